/* One collection: what it binds, its two parts on their workers, and its end. */
#include "evidence/collect_internal.h"

#include "base/auto.h"
#include "evidence/attestation.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- one collection ---- */

void evidence_free(struct evidence *e)
{
    if (!e)
        return;
    buf_done(&e->quote);
    buf_done(&e->sig);
    buf_done(&e->second.quote);
    buf_done(&e->second.sig);
    buf_done(&e->ak_spki);
    buf_done(&e->ak_public);
    buf_done(&e->ak_cert);
    ak_chain_done(&e->ak_chain);
    tee_report_done(&e->tee);
    vek_certs_done(&e->certs);
    buf_done(&e->hcl);
    buf_done(&e->collateral);
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

/* Two devices speak of one log where RTMR3 has it too: it must not have grown between them. */
static void check_rtmr3(struct evidence *e, struct err *err)
{
    struct log_marks now;
    if (!e->c->rtmr3.read)
        return;
    collector_marks(e->c, &now);
    if (e->bound.generation % 2 || now.generation != e->bound.generation)
        err_set(err, ERR_UNAVAILABLE, 0, "the workload was measured while this was collected: ask again");
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
    if (why.kind == ERR_NONE)
        check_rtmr3(e, &why);
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
    if ((int64_t)clock_ms() - e->asked_at_ms <= COLLECT_WAIT_MAX)
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
    pthread_mutex_unlock(&c->lock);
    return ready ? 0 : err_set(err, ERR_UNAVAILABLE, 0, "the TPM has not given its attestation key yet");
}

/* Contract, section 2: the TEE never signs the caller's bytes as they are. */
static int bind_attestation(const struct collector *c, struct evidence *e, struct err *err)
{
    struct bytes report_data = bytes_of(e->asked.report_data, sizeof(e->asked.report_data));
    if (e->asked.raw) {
        memcpy(e->report_data, report_data.p, sizeof(e->report_data));
        return 0;
    }
    return c->shape->tpm && c->shape->tee == TEE_SEV_SNP
               ? attestation_bind_cocos(report_data, buf_bytes(&e->ak_public), e->report_data, err)
               : attestation_bind_v1(report_data, bytes_of(e->asked.nonce, sizeof(e->asked.nonce)),
                                     e->report_data, err);
}

static void bind(struct collector *c, struct evidence *e)
{
    if (c->shape->tpm) {
        sha256(buf_bytes(&e->ak_spki), e->report_data);
    } else {
        memcpy(e->report_data, e->bound.replay, 32);
    }
    sha256(bytes_of(e->extra, e->extra_n), e->report_data + 32);
}

/* ---- submitting ---- */

/* A quote that carries magic and nonce of a document is for documents only: any container could ask for one
 * here otherwise, and put it into a document of its own. */
static int check_attestation(const struct collect_attestation *a, struct err *err)
{
    static const char *const magics[] = { "Internal/collaterals", "External/collaterals",
                                          "Workload/collaterals" };
    for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
        if (!memcmp(a->nonce, magics[i], MAGIC_SIZE))
            return err_set(
                err, ERR_INPUT, 0,
                "nonce: begins with \"%s\", which the agent keeps for its own documents: choose another",
                magics[i]);
    return 0;
}

static int check_request(const struct collector *c, const struct collect_request *r, struct err *err)
{
    if (c->shape->report == REPORT_NONE && !c->shape->tpm)
        return err_set(
            err, ERR_UNAVAILABLE, 0,
            "this agent judges others (--verifier) and has no evidence: ask one in a confidential VM");
    if (r->attestation)
        return check_attestation(r->attestation, err);
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

static void copy_question(struct evidence *e, const struct collect_request *r)
{
    struct bytes shown = r->shown_nonce.n ? r->shown_nonce : r->nonce;
    e->bank = r->attestation ? ALG_SHA256 : r->bank;
    if (r->attestation) {
        e->attestation = true;
        e->asked = *r->attestation;
        memcpy(e->extra, e->asked.nonce, e->extra_n = sizeof(e->asked.nonce));
        return;
    }
    memcpy(e->magic, r->magic.p, MAGIC_SIZE);
    memcpy(e->nonce, r->nonce.p, e->nonce_n = r->nonce.n);
    memcpy(e->shown_nonce, shown.p, e->shown_nonce_n = shown.n);
    snprintf(e->service, sizeof(e->service), "%s", r->service ? r->service : "");
    memcpy(e->extra, e->magic, MAGIC_SIZE);
    memcpy(e->extra + MAGIC_SIZE, e->nonce, e->nonce_n);
    e->extra_n = MAGIC_SIZE + e->nonce_n;
}

static struct evidence *evidence_new(struct collector *c, const struct collect_request *r)
{
    struct evidence *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    pthread_mutex_init(&e->lock, NULL);
    e->tpm_job = (struct job){ collect_tpm_part, tpm_dropped, r->outside, NULL };
    e->tee_job = (struct job){ c->shape->report == REPORT_HCL ? collect_hcl_part : collect_kernel_part,
                               tee_dropped, r->outside, NULL };
    e->c = c;
    e->asked_at_ms = (int64_t)clock_ms();
    copy_question(e, r);
    e->fresh = r->fresh;
    e->outside = r->outside;
    e->quote = buf_new(ATTEST_MAX);
    e->sig = buf_new(SIGNATURE_MAX);
    e->second.quote = buf_new(ATTEST_MAX);
    e->second.sig = buf_new(SIGNATURE_MAX);
    e->ak_spki = buf_new(AK_MAX);
    e->ak_public = buf_new(AK_MAX);
    e->ak_cert = buf_new(AK_MAX);
    e->hcl = buf_new(1 << 16);
    e->collateral = buf_new(COLLATERAL_TEXT_MAX);
    e->tee.report = buf_new(REPORT_MAX);
    e->tee.certs = buf_new(CERT_TABLE_MAX);
    return e;
}

/* The chain above the AK's certificate has come, or not: the part's end. */
static void chain_came(void *arg, const struct err *err)
{
    struct evidence *e = arg;
    struct err why = { 0 };
    if (ak_chain_get(e->c->veks, buf_bytes(&e->ak_cert), &e->ak_chain, &why) < 0) {
        e->ak_chain = (struct ak_chain){ 0 };
        evidence_missing(e, "ak_cert_chain", err ? err->cause : why.cause);
    }
    evidence_part_done(e, NULL);
}

static void start_chain(struct evidence *e)
{
    struct err why = { 0 };
    if (ak_chain_fetch(e->c->veks, buf_bytes(&e->ak_cert), VEK_WAIT_MS, chain_came, e, &why) < 0)
        chain_came(e, &why);
}

/* All parts are queued or none: the second refusal ends its part early and is reported through done. */
static int queue_parts(struct collector *c, struct evidence *e, struct err *err)
{
    bool tee = c->shape->report != REPORT_NONE, chain = e->ak_cert.n && !e->ak_chain.n;
    struct err second = { 0 };
    atomic_store(&e->pending, (c->shape->tpm ? 1 : 0) + (tee ? 1 : 0) + (chain ? 1 : 0));
    if (tee && worker_submit(e->fresh ? c->aux_worker : c->tee_worker, &e->tee_job, err) < 0)
        return -1;
    if (c->shape->tpm && worker_submit(c->tpm_worker, &e->tpm_job, tee ? &second : err) < 0) {
        if (!tee)
            return -1;
        evidence_part_done(e, &second);
    }
    if (chain)
        start_chain(e);
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
    collector_marks(c, &e->bound);
    e->marks = e->bound;
    if (e->attestation && bind_attestation(c, e, err) < 0) {
        evidence_free(e);
        return -1;
    }
    if (!e->attestation)
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
