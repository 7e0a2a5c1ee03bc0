#include "agent/measurements.h"

#include "agent/server.h"
#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>

struct measurements {
    struct collector *collector;
    char path[PATH_MAX], boot_id[64];
    const struct rtmr_io *rtmr3;
    const char *no_rtmr3;
    _Atomic(struct workload_log *) log; /* NULL until it could be opened; set on the TPM's worker */
};

/* ---- on the TPM's worker ---- */

static int ready(struct measurements *m, struct tpm *tpm, struct workload_log **out, struct err *err)
{
    const struct workload_log_options o = { m->path, m->boot_id, m->rtmr3, m->no_rtmr3 };
    struct workload_log *log = atomic_load(&m->log);
    if (!log) {
        if (workload_log_open(&o, tpm, &log, err) < 0)
            return -1;
        atomic_store(&m->log, log);
        bool fine = workload_log_verdict(log) != MEASURED_DISAGREES;
        log_event(fine ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR, "workload-log", "verdict",
                  workload_log_verdict_text(log), NULL);
    }
    *out = log;
    return 0;
}

static int open_log(struct tpm *tpm, void *arg, struct err *err)
{
    struct workload_log *ignored;
    return ready(arg, tpm, &ignored, err);
}

/* ---- life ---- */

int measurements_open(struct collector *c, const char *state, struct measurements **out, struct err *err)
{
    struct measurements *m = calloc(1, sizeof(*m));
    struct err why = { 0 };
    if (!m)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the workload log");
    m->collector = c;
    m->rtmr3 = collector_rtmr3(c, &m->no_rtmr3);
    int rc = path_set(m->path, sizeof(m->path), &why, "%s/workload.jsonl", state) < 0
                     || path_set(m->boot_id, sizeof(m->boot_id), &why, "%s", collector_boot_id(c)) < 0
                     || collector_with_tpm(c, open_log, m, &why) < 0
                 ? -1
                 : 0;
    if (rc < 0 && why.kind != ERR_UNAVAILABLE)
        measurements_close(m);
    else
        *out = m;
    if (rc < 0 && err)
        *err = why;
    return rc < 0 ? err_while(err, "open the workload log") : 0;
}

void measurements_close(struct measurements *m)
{
    if (!m)
        return;
    workload_log_close(atomic_load(&m->log));
    free(m);
}

/* ---- reading ---- */

struct workload_log *measurements_log(struct measurements *m)
{
    return atomic_load(&m->log);
}

const char *measurements_verdict(struct measurements *m)
{
    struct workload_log *log = atomic_load(&m->log);
    return log ? workload_log_verdict_text(log) : "not open yet: the TPM does not answer";
}

bool measurements_mark(struct measurements *m, struct measured_mark *out)
{
    struct workload_log *log = atomic_load(&m->log);
    if (log)
        workload_log_mark(log, out);
    return log != NULL;
}

void measurements_put(struct measurements *m, size_t mark, struct buf *out)
{
    workload_log_json(atomic_load(&m->log), mark, out);
}

int measurements_golden(struct measurements *m, size_t mark, struct buf *out, struct err *err)
{
    return workload_log_golden(atomic_load(&m->log), mark, out, err);
}

const char *measurements_no_mirror(struct measurements *m)
{
    struct workload_log *log = atomic_load(&m->log);
    return log ? workload_log_no_mirror(log) : NULL;
}

const char *measurements_no_rtmr3(struct measurements *m)
{
    struct workload_log *log = atomic_load(&m->log);
    return log ? workload_log_no_rtmr3(log) : m->no_rtmr3;
}

/* ---- GET /measurements ---- */

static int report(struct tpm *tpm, void *arg, struct err *err)
{
    struct request *r = arg;
    struct workload_log *log;
    return ready(server_measurements(r->server), tpm, &log, err) < 0
                   || workload_log_report(log, tpm, &r->report, err) < 0
               ? -1
               : 0;
}

static void reported(void *arg, int rc, const struct err *err)
{
    struct request *r = arg;
    if (rc < 0) {
        r->failed = true;
        r->err = *err;
    }
    request_resume(r);
}

int measurements_begin(struct request *r, struct err *err)
{
    struct collector *c = server_collector_get(r->server);
    int rc;
    if (!c)
        return err_set(err, ERR_UNAVAILABLE, 0,
                       "the agent is shutting down: try again when it has restarted");
    r->report = buf_new(ANSWER_MAX);
    rc = server_measurements(r->server)
             ? collector_tpm_submit(c, report, reported, r, r->port == PORT_EXTERNAL, err)
             : err_set(err, ERR_UNAVAILABLE, 0, "there is no workload log: see the agent's log");
    server_collector_put(r->server);
    return rc;
}

int measurements_answer(struct request *r, struct buf *out, struct err *err)
{
    buf_put(out, buf_bytes(&r->report));
    buf_u8(out, '\n');
    return buf_check(out, "measurements", err);
}
