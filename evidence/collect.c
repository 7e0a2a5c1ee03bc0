#include "evidence/collect_internal.h"

#include "base/auto.h"
#include "base/file.h"
#include "tee/detect.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#define AUX_QUEUE 8

/* ---- the TPM for others ---- */

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

/* As tpm_call, with nobody waiting for it. */
struct tpm_errand {
    struct job job;
    struct tpm_call call;
    void (*done)(void *arg, int rc, const struct err *err);
};

static void errand_run(struct job *job)
{
    struct tpm_errand *e = (struct tpm_errand *)job;
    struct err err = { 0 };
    int rc = run_tpm_call(&e->call, &err);
    e->done(e->call.arg, rc, rc < 0 ? &err : NULL);
    free(e);
}

static void errand_dropped(struct job *job)
{
    struct tpm_errand *e = (struct tpm_errand *)job;
    struct err err = { 0 };
    err_set(&err, ERR_UNAVAILABLE, 0, "the agent is shutting down");
    e->done(e->call.arg, -1, &err);
    free(e);
}

int collector_tpm_submit(struct collector *c, int (*fn)(struct tpm *tpm, void *arg, struct err *err),
                         void (*done)(void *arg, int rc, const struct err *err), void *arg, bool outside,
                         struct err *err)
{
    struct tpm_errand *e = calloc(1, sizeof(*e));
    if (!e)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a job");
    *e = (struct tpm_errand){ { errand_run, errand_dropped, outside, NULL }, { c, fn, arg }, done };
    if (worker_submit(c->tpm_worker, &e->job, err) == 0)
        return 0;
    free(e);
    return -1;
}

/* ---- RTMR3 ---- */

static void find_rtmr3(struct collector *c)
{
    struct err err = { 0 };
    if (c->lower->rtmr3)
        c->rtmr3 = *c->lower->rtmr3;
    else if (c->shape->tee != TEE_TDX)
        return;
    else if (rtmr3_find(c->lower->sys, c->rtmr3_path, sizeof(c->rtmr3_path), &err) == 0)
        c->rtmr3 = rtmr_file(c->rtmr3_path);
    else
        snprintf(c->rtmr3_why, sizeof(c->rtmr3_why), "%.190s", err.cause);
}

const struct rtmr_io *collector_rtmr3(const struct collector *c, const char **why)
{
    *why = c->rtmr3_why[0] ? c->rtmr3_why : NULL;
    return c->rtmr3.read ? &c->rtmr3 : NULL;
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

void collector_set_log_marks(struct collector *c, log_marks_fn *fn, void *arg)
{
    c->marks = fn;
    c->marks_arg = arg;
}

void collector_marks(struct collector *c, struct log_marks *out)
{
    struct log_marks marks = { .workload = LOG_MARK_NONE, .journal = LOG_MARK_NONE };
    if (c->marks)
        c->marks(c->marks_arg, &marks);
    *out = marks;
}

const struct log_marks *evidence_log_marks(const struct evidence *e)
{
    return &e->marks;
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
    buf_done(&c->tdx.json);
    buf_done(&c->tdx.pck_chain);
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
    c->collateral = o->collateral;
    c->tdx.json = buf_new(COLLATERAL_TEXT_MAX);
    c->tdx.pck_chain = buf_new(REPORT_MAX);
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
    find_rtmr3(c);
    /* a TPM that does not answer now is asked again at each request */
    if (c->shape->tpm)
        (void)!worker_call(c->tpm_worker, open_first, c, &later);
    *out = MOVE(c);
    return 0;
}
