#include "agent/operate.h"

#include "agent/log_stream.h"
#include "agent/maintenance.h"
#include "agent/server.h"
#include "agent/workload.h"
#include "base/auto.h"
#include "base/file.h"
#include "base/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>

#define WAITING_MAX 64

struct operate {
    struct auth *auth;
    struct journal *journal;
    struct acts *acts;
    struct identity *identity;
    _Atomic(const struct workload_policy *) policy;
    struct workload *workload;
    struct maintenance *maintenance;
    struct log_streams *streams;
    pthread_mutex_t lock; /* workers: a late request must not meet a stopped one */
    struct worker *worker[OPERATE_THREADS], *writer;
    char state[PATH_MAX], run[PATH_MAX];
    uint8_t spki_sha256[32];
};

struct op {
    struct job job;
    struct request *request;
    operate_fn *work;
    void (*dropped)(struct request *r);
    struct buf answer;
};

int operate_new(const struct operate_options *options, struct operate **out, struct err *err)
{
    struct operate *o = calloc(1, sizeof(*o));
    if (!o)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the management routes");
    pthread_mutex_init(&o->lock, NULL);
    o->auth = options->auth;
    o->journal = options->journal;
    atomic_init(&o->policy, options->policy);
    o->workload = options->workload;
    memcpy(o->spki_sha256, options->tls_spki_sha256, sizeof(o->spki_sha256));
    const struct identity_options identity = { .collector = options->collector,
                                               .journal = options->journal,
                                               .state = options->state,
                                               .boot_id = options->boot_id };
    const char *slash = strrchr(options->socket, '/');
    int folder = slash ? (int)(slash - options->socket) : 0;
    if (log_streams_new(&o->streams, err) < 0
        || (o->workload && maintenance_new(o->workload, &o->maintenance, err) < 0)
        || identity_new(&identity, &o->identity, err) < 0
        || acts_new(o->journal, options->state, options->boot_id, &o->acts, err) < 0
        || path_set(o->state, sizeof(o->state), err, "%s", options->state) < 0
        || path_set(o->run, sizeof(o->run), err, "%.*s", folder, options->socket) < 0
        || worker_start("operate", WAITING_MAX, WAITING_MAX, &o->worker[OPERATE_SHORT], err) < 0
        || worker_start("engine", WAITING_MAX, WAITING_MAX, &o->worker[OPERATE_ENGINE], err) < 0
        || worker_start("update", 1, 1, &o->worker[OPERATE_UPDATE], err) < 0
        || worker_start("upload", WAITING_MAX, WAITING_MAX, &o->writer, err) < 0) {
        operate_free(o);
        return err_while(err, "start the management routes");
    }
    *out = o;
    return 0;
}

void operate_stop(struct operate *o)
{
    if (!o)
        return;
    pthread_mutex_lock(&o->lock);
    struct worker *worker[OPERATE_THREADS], *writer = MOVE(o->writer);
    for (size_t i = 0; i < OPERATE_THREADS; i++)
        worker[i] = MOVE(o->worker[i]);
    pthread_mutex_unlock(&o->lock);
    if (o->workload)
        atomic_store(&o->workload->cancel, true);
    if (o->streams)
        log_streams_stop(o->streams);
    worker_stop(writer);
    for (size_t i = 0; i < OPERATE_THREADS; i++)
        worker_stop(worker[i]);
    maintenance_free(MOVE(o->maintenance));
}

void operate_free(struct operate *o)
{
    if (!o)
        return;
    operate_stop(o);
    log_streams_free(o->streams);
    acts_free(o->acts);
    identity_free(o->identity);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

const struct workload_policy *operate_policy(const struct operate *o)
{
    return atomic_load(&o->policy);
}

void operate_set_policy(struct operate *o, const struct workload_policy *policy)
{
    atomic_store(&o->policy, policy);
}

struct maintenance *operate_maintenance(const struct operate *o)
{
    return o->maintenance;
}

struct log_streams *operate_streams(const struct operate *o)
{
    return o->streams;
}

void operate_tick(struct operate *o, uint64_t now_ms)
{
    log_streams_beat(o->streams, now_ms);
}

struct workload *operate_workload(const struct operate *o)
{
    return o->workload;
}

struct identity *operate_identity(const struct operate *o)
{
    return o->identity;
}

const char *operate_state(const struct operate *o)
{
    return o->state;
}

const char *operate_run(const struct operate *o)
{
    return o->run;
}

struct auth *operate_auth(const struct operate *o)
{
    return o->auth;
}

struct acts *operate_acts(const struct operate *o)
{
    return o->acts;
}

struct journal *operate_journal(const struct operate *o)
{
    return o->journal;
}

const uint8_t *operate_spki_sha256(const struct operate *o)
{
    return o->spki_sha256;
}

/* ---- one request's work ---- */

static int shutting_down(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, 0, "the agent is shutting down: try again when it has restarted");
}

static int no_management(struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, 0, "management could not be started: see the agent's log");
}

static void run(struct job *job)
{
    struct op *op = (struct op *)job;
    struct request *r = op->request;
    r->failed = op->work(r, &op->answer, &r->err) < 0 || buf_check(&op->answer, "answer", &r->err) < 0;
    request_resume(r);
}

static void dropped(struct job *job)
{
    struct op *op = (struct op *)job;
    struct request *r = op->request;
    if (op->dropped)
        op->dropped(r);
    r->failed = shutting_down(&r->err) < 0;
    request_resume(r);
}

int operate_begin(struct request *r, operate_fn *work, struct err *err)
{
    return operate_begin_on(r, OPERATE_SHORT, work, NULL, err);
}

int operate_begin_on(struct request *r, enum operate_thread thread, operate_fn *work,
                     void (*when_dropped)(struct request *r), struct err *err)
{
    struct operate *o = server_operate(r->server);
    if (!o)
        return no_management(err);
    struct op *op = calloc(1, sizeof(*op));
    if (!op)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a request");
    *op = (struct op){
        { run, dropped, r->port == PORT_EXTERNAL, NULL }, r, work, when_dropped, buf_new(ANSWER_MAX)
    };
    r->op = op;
    pthread_mutex_lock(&o->lock);
    int rc = o->worker[thread] ? worker_submit(o->worker[thread], &op->job, err) : shutting_down(err);
    pthread_mutex_unlock(&o->lock);
    return rc;
}

/* ---- files ---- */

int operate_upload(struct request *r, bool raw, uint64_t max, struct err *err)
{
    struct operate *o = server_operate(r->server);
    if (!o)
        return no_management(err);
    return upload_new(r->connection, o->state, max, raw, &r->upload, err);
}

static void flush(struct job *job)
{
    struct request *r = ((struct flush *)job)->request;
    r->failed = upload_flush(r->upload, &r->err) < 0;
    request_resume(r);
}

static void flush_dropped(struct job *job)
{
    struct request *r = ((struct flush *)job)->request;
    r->failed = shutting_down(&r->err) < 0;
    request_resume(r);
}

int operate_flush(struct request *r, struct err *err)
{
    struct operate *o = server_operate(r->server);
    r->flush = (struct flush){ { flush, flush_dropped, true, NULL }, r };
    pthread_mutex_lock(&o->lock);
    int rc = o->writer ? worker_submit(o->writer, &r->flush.job, err) : shutting_down(err);
    pthread_mutex_unlock(&o->lock);
    return rc;
}

int operate_answer(struct request *r, struct buf *out, struct err *err)
{
    buf_put(out, buf_bytes(&r->op->answer));
    return buf_check(out, "answer", err);
}

void op_free(struct op *op)
{
    if (!op)
        return;
    buf_wipe(&op->answer); /* may have held a token */
    free(op);
}

/* ---- the record ---- */

/* Of an IPv6 caller the first half is kept, see struct address. */
void operate_from_text(const struct request *r, char out[static OPERATE_FROM_TEXT])
{
    char text[INET6_ADDRSTRLEN] = "?";
    static const uint8_t v4[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF };
    if (r->port != PORT_EXTERNAL) {
        snprintf(out, OPERATE_FROM_TEXT, "%s", r->port == PORT_SOCKET ? "socket" : "internal");
    } else if (!memcmp(r->who.b, v4, sizeof(v4))) {
        inet_ntop(AF_INET, r->who.b + 12, text, sizeof(text));
        snprintf(out, OPERATE_FROM_TEXT, "%s", text);
    } else {
        inet_ntop(AF_INET6, r->who.b, text, sizeof(text));
        snprintf(out, OPERATE_FROM_TEXT, "%s/64", text);
    }
}

int operate_record_for(struct operate *o, const char *by, const char *from, const char *verb, json_t *what,
                       const struct err *failure, struct err *err)
{
    char why[ERR_TEXT_MAX];
    struct act act = { .verb = verb, .by = by, .from = from, .outcome = "done", .what = what };
    if (failure) {
        bool refused = failure->kind == ERR_DENIED || failure->kind == ERR_INPUT
                       || failure->kind == ERR_UNAUTHENTICATED || failure->kind == ERR_TOO_LARGE
                       || failure->kind == ERR_BUSY;
        act.outcome = refused ? "refused" : "failed";
        act.why = err_text(failure, why, sizeof(why));
    }
    return acts_record(o->acts, &act, err);
}

int operate_record(struct request *r, const char *verb, json_t *what, const struct err *failure,
                   struct err *err)
{
    char from[OPERATE_FROM_TEXT];
    operate_from_text(r, from);
    return operate_record_for(server_operate(r->server), r->caller.token_id, from, verb, what, failure, err);
}
