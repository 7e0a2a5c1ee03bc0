#include "evidence/collect_internal.h"

#include "base/auto.h"
#include "base/file.h"
#include "tee/detect.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#define AUX_QUEUE 8

int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- one collection ---- */

void evidence_free(struct evidence *e)
{
    if (!e)
        return;
    buf_done(&e->quote);
    buf_done(&e->sig);
    buf_done(&e->ak_spki);
    buf_done(&e->ak_public);
    buf_done(&e->ak_cert);
    ak_chain_done(&e->ak_chain);
    tee_report_done(&e->tee);
    vek_certs_done(&e->certs);
    buf_done(&e->hcl);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

void evidence_missing(struct evidence *e, const char *key, const char *why)
{
    pthread_mutex_lock(&e->lock);
    if (e->missing_n < MISSING_MAX) {
        struct missing *m = &e->missing[e->missing_n++];
        m->key = key;
        snprintf(m->why, sizeof(m->why), "%s", why);
    }
    pthread_mutex_unlock(&e->lock);
}

void evidence_part_done(struct evidence *e, const struct err *err)
{
    if (err) {
        pthread_mutex_lock(&e->lock);
        if (e->err.kind == ERR_NONE)
            e->err = *err;
        pthread_mutex_unlock(&e->lock);
    }
    if (atomic_fetch_sub(&e->pending, 1) != 1)
        return;
    struct err why = e->err;
    if (why.kind == ERR_NONE) {
        atomic_fetch_add(&e->c->collected, 1);
        e->done(e->arg, e, NULL);
        return;
    }
    atomic_fetch_add(&e->c->failed, 1);
    collect_done_fn *done = e->done;
    void *arg = e->arg;
    evidence_free(e);
    done(arg, NULL, &why);
}

bool evidence_given_up(struct evidence *e)
{
    struct err err = { 0 };
    pthread_mutex_lock(&e->lock);
    bool failed = e->err.kind != ERR_NONE;
    pthread_mutex_unlock(&e->lock);
    if (failed) {
        evidence_part_done(e, NULL);
        return true;
    }
    if (monotonic_ms() - e->asked_at_ms <= COLLECT_WAIT_MAX)
        return false;
    err_set(&err, ERR_UNAVAILABLE, 0, "waited %d s for the device, which is busy or stuck: try again later",
            COLLECT_WAIT_MAX / 1000);
    evidence_part_done(e, &err);
    return true;
}

static void part_dropped(struct evidence *e)
{
    struct err err = { 0 };
    err_set(&err, ERR_UNAVAILABLE, 0, "the agent is shutting down");
    evidence_part_done(e, &err);
}

static void tpm_dropped(struct job *job)
{
    part_dropped((struct evidence *)((char *)job - offsetof(struct evidence, tpm_job)));
}

static void tee_dropped(struct job *job)
{
    struct evidence *e = (struct evidence *)((char *)job - offsetof(struct evidence, tee_job));
    if (e->fresh)
        collect_fresh_over(e->c);
    part_dropped(e);
}

/* ---- what is bound (contract, section 3) ---- */

static int copy_identity(struct collector *c, struct evidence *e, struct err *err)
{
    pthread_mutex_lock(&c->lock);
    bool ready = c->id.spki.n > 0;
    buf_put(&e->ak_spki, buf_bytes(&c->id.spki));
    buf_put(&e->ak_public, buf_bytes(&c->id.public_area));
    buf_put(&e->ak_cert, buf_bytes(&c->id.cert));
    for (size_t i = 0; i < c->id.chain.n; i++) {
        e->ak_chain.cert[i] = buf_new(CERT_TABLE_MAX);
        buf_put(&e->ak_chain.cert[i], buf_bytes(&c->id.chain.cert[i]));
        e->ak_chain.n = i + 1;
    }
    if (ready && !e->ak_cert.n && c->id.cert_why[0])
        evidence_missing(e, "ak_cert", c->id.cert_why);
    if (ready && e->ak_cert.n && !e->ak_chain.n)
        evidence_missing(e, "ak_cert_chain", c->id.chain_why[0] ? c->id.chain_why : "not fetched yet");
    pthread_mutex_unlock(&c->lock);
    return ready ? 0 : err_set(err, ERR_UNAVAILABLE, 0, "the TPM has not given its attestation key yet");
}

static void bind(struct collector *c, struct evidence *e)
{
    uint8_t challenge[MAGIC_SIZE + NONCE_MAX];
    memcpy(challenge, e->magic, MAGIC_SIZE);
    memcpy(challenge + MAGIC_SIZE, e->nonce, e->nonce_n);
    if (c->shape->tpm) {
        sha256(buf_bytes(&e->ak_spki), e->report_data);
    } else {
        pthread_mutex_lock(&c->lock);
        memcpy(e->report_data, c->workload_replay, 32);
        pthread_mutex_unlock(&c->lock);
    }
    sha256(bytes_of(challenge, MAGIC_SIZE + e->nonce_n), e->report_data + 32);
}

/* ---- submitting ---- */

static int check_request(const struct collector *c, const struct collect_request *r, struct err *err)
{
    if (r->magic.n != MAGIC_SIZE || r->nonce.n < 1 || r->nonce.n > NONCE_MAX || r->shown_nonce.n > 256
        || (r->service && strlen(r->service) > SERVICE_MAX))
        return err_set(err, ERR_INPUT, 0, "a nonce of %zu bytes: 1 to %d are possible", r->nonce.n,
                       NONCE_MAX);
    if (r->fresh && c->shape->report != REPORT_HCL)
        return err_set(err, ERR_INPUT, 0, "fresh=1 is for Azure; here every report is fresh");
    if (r->bank != ALG_SHA256 && r->bank != ALG_SHA384)
        return err_set(err, ERR_INPUT, 0, "PCR bank 0x%04x: sha256 and sha384 are possible", r->bank);
    return 0;
}

static struct evidence *evidence_new(struct collector *c, const struct collect_request *r)
{
    struct evidence *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    struct bytes shown = r->shown_nonce.n ? r->shown_nonce : r->nonce;
    pthread_mutex_init(&e->lock, NULL);
    e->tpm_job = (struct job){ collect_tpm_part, tpm_dropped, r->outside, NULL };
    e->tee_job = (struct job){ c->shape->report == REPORT_HCL ? collect_hcl_part : collect_kernel_part,
                               tee_dropped, r->outside, NULL };
    e->c = c;
    e->asked_at_ms = monotonic_ms();
    memcpy(e->magic, r->magic.p, MAGIC_SIZE);
    memcpy(e->nonce, r->nonce.p, e->nonce_n = r->nonce.n);
    memcpy(e->shown_nonce, shown.p, e->shown_nonce_n = shown.n);
    snprintf(e->service, sizeof(e->service), "%s", r->service ? r->service : "");
    e->bank = r->bank;
    e->fresh = r->fresh;
    e->outside = r->outside;
    e->quote = buf_new(ATTEST_MAX);
    e->sig = buf_new(SIGNATURE_MAX);
    e->ak_spki = buf_new(AK_MAX);
    e->ak_public = buf_new(AK_MAX);
    e->ak_cert = buf_new(AK_MAX);
    e->hcl = buf_new(1 << 16);
    e->tee.report = buf_new(REPORT_MAX);
    e->tee.certs = buf_new(CERT_TABLE_MAX);
    return e;
}

/* Both parts are queued or none: the second refusal ends the first part early and is reported through done.
 */
static int queue_parts(struct collector *c, struct evidence *e, struct err *err)
{
    bool tee = c->shape->report != REPORT_NONE;
    atomic_store(&e->pending, (c->shape->tpm ? 1 : 0) + (tee ? 1 : 0));
    struct worker *tee_on = e->fresh ? c->aux_worker : c->tee_worker;
    if (!tee)
        return worker_submit(c->tpm_worker, &e->tpm_job, err);
    if (worker_submit(tee_on, &e->tee_job, err) < 0)
        return -1;
    struct err second = { 0 };
    if (c->shape->tpm && worker_submit(c->tpm_worker, &e->tpm_job, &second) < 0)
        evidence_part_done(e, &second);
    return 0;
}

struct warm_up {
    struct job job;
    struct collector *c;
};

static void warm_run(struct job *job)
{
    struct err ignored = { 0 };
    (void)!collector_tpm_ready(((struct warm_up *)job)->c, &ignored);
    free(job);
}

static void warm_dropped(struct job *job)
{
    free(job);
}

/* The key is not known because the TPM did not answer so far: try again in the background, answer now. */
static void warm_up(struct collector *c)
{
    struct warm_up *w = calloc(1, sizeof(*w));
    struct err ignored = { 0 };
    if (!w)
        return;
    w->job = (struct job){ warm_run, warm_dropped, false, NULL };
    w->c = c;
    if (worker_waiting(c->tpm_worker) > 0 || worker_submit(c->tpm_worker, &w->job, &ignored) < 0)
        free(w);
}

int collector_submit(struct collector *c, const struct collect_request *request, collect_done_fn *done,
                     void *arg, struct err *err)
{
    if (check_request(c, request, err) < 0)
        return -1;
    struct evidence *e = evidence_new(c, request);
    if (!e)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a collection");
    e->done = done;
    e->arg = arg;
    if (c->shape->tpm && copy_identity(c, e, err) < 0) {
        warm_up(c);
        evidence_free(e);
        return -1;
    }
    bind(c, e);
    if (c->shape->report == REPORT_HCL && !e->fresh)
        collector_hcl_refresh_if_old(c);
    int rc = e->fresh ? collect_fresh_admit(c, err) : 0;
    if (rc == 0 && queue_parts(c, e, err) < 0) {
        if (e->fresh)
            collect_fresh_over(c);
        rc = -1;
    }
    if (rc < 0)
        evidence_free(e);
    return rc;
}

/* ---- waiting callers ---- */

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    bool done;
    struct evidence *evidence;
    struct err err;
};

static void wake_waiter(void *arg, struct evidence *evidence, const struct err *err)
{
    struct waiter *w = arg;
    pthread_mutex_lock(&w->lock);
    w->done = true;
    w->evidence = evidence;
    if (err)
        w->err = *err;
    pthread_cond_signal(&w->ended);
    pthread_mutex_unlock(&w->lock);
}

int collector_run(struct collector *c, const struct collect_request *request, struct evidence **out,
                  struct err *err)
{
    struct waiter w = { .lock = PTHREAD_MUTEX_INITIALIZER, .ended = PTHREAD_COND_INITIALIZER };
    if (collector_submit(c, request, wake_waiter, &w, err) < 0)
        return -1;
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.ended, &w.lock);
    pthread_mutex_unlock(&w.lock);
    pthread_cond_destroy(&w.ended);
    pthread_mutex_destroy(&w.lock);
    if (!w.evidence) {
        if (err)
            *err = w.err;
        return -1;
    }
    *out = w.evidence;
    return 0;
}

struct tpm_call {
    struct collector *c;
    int (*fn)(struct tpm *tpm, void *arg, struct err *err);
    void *arg;
};

static int run_tpm_call(void *arg, struct err *err)
{
    struct tpm_call *call = arg;
    if (call->c->shape->tpm && collector_tpm_ready(call->c, err) < 0)
        return -1;
    int rc = call->fn(call->c->shape->tpm ? call->c->tpm : NULL, call->arg, err);
    if (rc < 0 && call->c->shape->tpm && tpm_error_is_fatal(err))
        collector_tpm_drop(call->c);
    return rc;
}

int collector_with_tpm(struct collector *c, int (*fn)(struct tpm *tpm, void *arg, struct err *err), void *arg,
                       struct err *err)
{
    struct tpm_call call = { c, fn, arg };
    return worker_call(c->tpm_worker, run_tpm_call, &call, err);
}

/* ---- facts ---- */

const struct shape *collector_shape(const struct collector *c)
{
    return c->shape;
}

enum cloud_type collector_cloud(const struct collector *c)
{
    return c->cloud;
}

const char *collector_tpm_kind(const struct collector *c)
{
    return c->shape->tpm && c->lower->tpm.kind ? c->lower->tpm.kind : "none";
}

const char *collector_boot_id(const struct collector *c)
{
    return c->boot_id;
}

void collector_set_workload_replay(struct collector *c, const uint8_t replay[static 32])
{
    pthread_mutex_lock(&c->lock);
    memcpy(c->workload_replay, replay, 32);
    pthread_mutex_unlock(&c->lock);
}

void collector_stats_get(struct collector *c, struct collector_stats *out)
{
    struct vek_stats veks = { 0 };
    if (c->veks)
        vek_stats_get(c->veks, &veks);
    *out = (struct collector_stats){
        .collected = atomic_load(&c->collected),
        .failed = atomic_load(&c->failed),
        .quote_retries = atomic_load(&c->quote_retries),
        .tpm_reopened = atomic_load(&c->tpm_reopened),
        .vek_hits = veks.hits,
        .vek_misses = veks.misses,
        .vek_fetch_failures = veks.failures,
        .tpm_waiting = c->tpm_worker ? worker_waiting(c->tpm_worker) : 0,
        .tee_waiting = c->tee_worker ? worker_waiting(c->tee_worker) : 0,
    };
}

/* ---- life ---- */

/* Closes the TPM on its own thread, where it was used. */
static int close_tpm(void *arg, struct err *err)
{
    (void)err;
    collector_tpm_drop(arg);
    return 0;
}

void collector_free(struct collector *c)
{
    struct err ignored = { 0 };
    if (!c)
        return;
    worker_stop(c->aux_worker);
    worker_stop(c->tee_worker);
    if (c->tpm_worker)
        (void)!worker_call(c->tpm_worker, close_tpm, c, &ignored);
    worker_stop(c->tpm_worker);
    collector_tpm_drop(c);
    vek_store_free(c->veks);
    buf_done(&c->id.spki);
    buf_done(&c->id.public_area);
    buf_done(&c->id.cert);
    ak_chain_done(&c->id.chain);
    buf_done(&c->hcl.hcl);
    buf_done(&c->hcl.td_quote);
    buf_done(&c->log_tpm.b64);
    buf_done(&c->log_ccel.b64);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void collector_drop(struct collector **c)
{
    collector_free(*c);
}

static int open_first(void *arg, struct err *err)
{
    return collector_tpm_ready(arg, err);
}

static int detect_shape(struct collector *c, struct err *err)
{
    struct detection found = { 0 };
    AUTO(buf_done) struct buf names = buf_new(sizeof(err->cause) - 80);
    detect(c->lower, c->tpm, &found);
    c->shape = shape_find(found.tee, found.cloud, found.tpm, found.hcl);
    c->cloud = found.cloud;
    if (c->shape)
        return 0;
    for (size_t i = 0; i < found.count; i++)
        buf_printf(&names, "%s%s", i ? ", " : "", found.findings[i].what);
    return err_set(err, ERR_NOT_FOUND, 0,
                   "no TEE and no TPM here; looked for %.*s (cvm-cli doctor says more)", (int)names.n,
                   (const char *)buf_bytes(&names).p);
}

/* Detection reads the HCL report through the TPM: open it first if there is one. */
static int detect_on_tpm_thread(void *arg, struct err *err)
{
    struct collector *c = arg;
    struct err no_tpm = { 0 };
    if (!c->tcti && c->lower->tpm.open && c->lower->tpm.open(c->lower->tpm.ctx, &c->tcti, &no_tpm) == 0
        && tpm_open_tcti(c->tcti, &c->tpm, &no_tpm) < 0) {
        c->lower->tpm.close(c->lower->tpm.ctx, c->tcti);
        c->tcti = NULL;
    }
    return detect_shape(c, err);
}

static int read_boot_id(struct collector *c, struct err *err)
{
    char path[512];
    if (c->lower->boot_id)
        return path_set(c->boot_id, sizeof(c->boot_id), err, "%s", c->lower->boot_id);
    if (path_set(path, sizeof(path), err, "%s/sys/kernel/random/boot_id", c->lower->proc) < 0)
        return -1;
    return file_read_line(path, c->boot_id, sizeof(c->boot_id), err);
}

static int start_workers(struct collector *c, const struct collector_options *o, struct err *err)
{
    if (worker_start("tpm", o->queue, o->queue_outside, &c->tpm_worker, err) < 0
        || worker_start("tee", o->queue, o->queue_outside, &c->tee_worker, err) < 0)
        return -1;
    return worker_start("aux", AUX_QUEUE, AUX_QUEUE / 2, &c->aux_worker, err);
}

int collector_new(const struct collector_options *o, struct collector **out, struct err *err)
{
    AUTO(collector_drop) struct collector *c = calloc(1, sizeof(*c));
    struct err later = { 0 };
    if (!c)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the collector");
    pthread_mutex_init(&c->lock, NULL);
    c->lower = o->lower;
    c->shape = o->shape;
    c->cloud = o->shape ? o->shape->cloud : CLOUD_NONE;
    c->fresh_at_ms = -FRESH_INTERVAL_MS;
    c->id.spki = buf_new(AK_MAX);
    c->id.public_area = buf_new(AK_MAX);
    c->id.cert = buf_new(AK_MAX);
    c->hcl.hcl = buf_new(1 << 16);
    c->hcl.td_quote = buf_new(REPORT_MAX);
    if (read_boot_id(c, err) < 0 || start_workers(c, o, err) < 0)
        return err_while(err, "start the collector");
    if (!c->shape && worker_call(c->tpm_worker, detect_on_tpm_thread, c, err) < 0)
        return -1;
    if (c->shape->report != REPORT_NONE || c->shape->tpm)
        if (vek_store_new(c->lower, o->cache_dir, o->pool, &c->veks, err) < 0)
            return err_while(err, "start the collector");
    if (c->shape->report == REPORT_KERNEL)
        tee_report_cleanup(c->lower);
    collector_read_logs(c);
    /* a TPM that does not answer now is asked again at each request */
    if (c->shape->tpm)
        (void)!worker_call(c->tpm_worker, open_first, c, &later);
    *out = MOVE(c);
    return 0;
}
