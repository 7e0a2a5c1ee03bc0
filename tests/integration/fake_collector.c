/* The interface of evidence/collect.h over one worker that sleeps instead of asking devices, so that queues,
 * load and shutdown can be tested at any speed. CVM_FAKE_DELAY_MS: time that one collection takes.
 * CVM_FAKE_DEPTH: queue. */
#include "base/auto.h"
#include "base/json.h"
#include "evidence/collect.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

struct collector {
    struct worker *worker;
    const struct shape *shape;
    unsigned delay_ms;
    _Atomic uint64_t collected;
    log_marks_fn *marks;
    void *marks_arg;
};

struct evidence {
    struct job job;
    struct collector *c;
    struct log_marks marks;
    struct buf magic, nonce;
    uint16_t bank;
    bool fresh, outside;
    collect_done_fn *done;
    void *arg;
};

static unsigned number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

int collector_new(const struct collector_options *options, struct collector **out, struct err *err)
{
    const char *shape = getenv("CVM_FAKE_SHAPE");
    if (shape && !strcmp(shape, "nothing"))
        return err_set(err, ERR_NOT_FOUND, 0,
                       "no TEE and no TPM: looked for configfs-tsm, /dev/sev-guest, a TPM");
    struct collector *c = calloc(1, sizeof(*c));
    if (!c)
        return err_set(err, ERR_IO, ENOMEM, "no memory");
    c->shape = shape_by_name(shape ? shape : "gcp-snp");
    c->delay_ms = number("CVM_FAKE_DELAY_MS", 0);
    if (worker_start("fake", number("CVM_FAKE_DEPTH", options->queue), options->queue_outside, &c->worker,
                     err)
        < 0) {
        free(c);
        return -1;
    }
    *out = c;
    return 0;
}

void collector_free(struct collector *c)
{
    if (!c)
        return;
    worker_stop(c->worker);
    free(c);
}

const struct shape *collector_shape(const struct collector *c)
{
    return c->shape;
}

enum cloud_type collector_cloud(const struct collector *c)
{
    return collector_shape(c)->cloud;
}

const char *collector_tpm_kind(const struct collector *c)
{
    return c->shape->tpm ? "device" : "none";
}

const char *collector_boot_id(const struct collector *c)
{
    (void)c;
    return "f4a5e000-0000-4000-8000-000000000000";
}

static void run(struct job *job)
{
    struct evidence *e = (struct evidence *)job;
    const struct timespec delay = { e->c->delay_ms / 1000, (long)(e->c->delay_ms % 1000) * 1000000L };
    nanosleep(&delay, NULL);
    atomic_fetch_add(&e->c->collected, 1);
    if (e->c->marks)
        e->c->marks(e->c->marks_arg, &e->marks);
    e->done(e->arg, e, NULL);
}

static void dropped(struct job *job)
{
    struct evidence *e = (struct evidence *)job;
    struct err err = { 0 };
    err_set(&err, ERR_UNAVAILABLE, 0, "shutting down: try again");
    e->done(e->arg, NULL, &err);
    evidence_free(e);
}

int collector_submit(struct collector *c, const struct collect_request *request, collect_done_fn *done,
                     void *arg, struct err *err)
{
    struct evidence *e = calloc(1, sizeof(*e));
    if (!e)
        return err_set(err, ERR_IO, ENOMEM, "no memory");
    *e = (struct evidence){ .job = { run, dropped, request->outside, NULL },
                            .c = c,
                            .magic = buf_new(64),
                            .nonce = buf_new(64),
                            .bank = request->bank,
                            .fresh = request->fresh,
                            .outside = request->outside,
                            .done = done,
                            .arg = arg };
    buf_put(&e->magic, request->magic);
    buf_put(&e->nonce, request->nonce);
    if (worker_submit(c->worker, &e->job, err) == 0)
        return 0;
    evidence_free(e);
    return -1;
}

void evidence_free(struct evidence *e)
{
    if (!e)
        return;
    buf_done(&e->magic);
    buf_done(&e->nonce);
    free(e);
}

void collector_set_log_marks(struct collector *c, log_marks_fn *fn, void *arg)
{
    c->marks = fn;
    c->marks_arg = arg;
}

const struct log_marks *evidence_log_marks(const struct evidence *e)
{
    return &e->marks;
}

const struct rtmr_io *collector_rtmr3(const struct collector *c, const char **why)
{
    (void)c;
    *why = NULL;
    return NULL;
}

struct errand {
    struct job job;
    int (*fn)(struct tpm *tpm, void *arg, struct err *err);
    void (*done)(void *arg, int rc, const struct err *err);
    void *arg;
};

static void errand_run(struct job *job)
{
    struct errand *e = (struct errand *)job;
    struct err err = { 0 };
    int rc = e->fn(NULL, e->arg, &err);
    e->done(e->arg, rc, &err);
    free(e);
}

static void errand_dropped(struct job *job)
{
    struct errand *e = (struct errand *)job;
    struct err err = { 0 };
    err_set(&err, ERR_UNAVAILABLE, 0, "shutting down: try again");
    e->done(e->arg, -1, &err);
    free(e);
}

int collector_tpm_submit(struct collector *c, int (*fn)(struct tpm *tpm, void *arg, struct err *err),
                         void (*done)(void *arg, int rc, const struct err *err), void *arg, bool outside,
                         struct err *err)
{
    struct errand *e = calloc(1, sizeof(*e));
    if (!e)
        return err_set(err, ERR_IO, ENOMEM, "no memory");
    *e = (struct errand){ { errand_run, errand_dropped, outside, NULL }, fn, done, arg };
    if (worker_submit(c->worker, &e->job, err) == 0)
        return 0;
    free(e);
    return -1;
}

struct with_tpm {
    int (*fn)(struct tpm *tpm, void *arg, struct err *err);
    void *arg;
};

static int without_tpm(void *arg, struct err *err)
{
    const struct with_tpm *w = arg;
    return w->fn(NULL, w->arg, err);
}

int collector_with_tpm(struct collector *c, int (*fn)(struct tpm *tpm, void *arg, struct err *err), void *arg,
                       struct err *err)
{
    static atomic_uint calls; /* the first CVM_FAKE_TPM_DEAD of them find no TPM */
    struct with_tpm w = { fn, arg };
    if (atomic_fetch_add(&calls, 1) < number("CVM_FAKE_TPM_DEAD", 0))
        return err_set(err, ERR_UNAVAILABLE, 0, "the TPM does not answer");
    return worker_call(c->worker, without_tpm, &w, err);
}

int evidence_document(const struct collector *c, const struct evidence *e,
                      const struct document_extras *extras, struct buf *out, struct err *err)
{
    (void)c;
    buf_str(out, "{");
    json_put_b64(out, "magic", buf_bytes(&e->magic));
    json_put_b64(out, "nonce", buf_bytes(&e->nonce));
    buf_printf(out, ",\"bank\":%u,\"fresh\":%s,\"outside\":%s,\"journal_log\":%s,\"tls_spki_sha256\":\"%s\"}",
               e->bank, e->fresh ? "true" : "false", e->outside ? "true" : "false",
               extras->journal_log ? extras->journal_log : "null", extras->tls_spki_sha256);
    return buf_check(out, "document", err);
}

int evidence_golden(const struct collector *c, const struct evidence *e, uint32_t pcrs, bool all,
                    const char *workload_log, struct buf *out, struct err *err)
{
    (void)c, (void)e, (void)workload_log;
    buf_printf(out, "{\"golden_measurement\":{\"mask\":%u,\"all\":%s}}", pcrs, all ? "true" : "false");
    return buf_check(out, "golden", err);
}

void collector_stats_get(struct collector *c, struct collector_stats *out)
{
    *out = (struct collector_stats){ .collected = atomic_load(&c->collected),
                                     .tpm_waiting = worker_waiting(c->worker) };
}
