#include "agent/verify_route.h"

#include "agent/server.h"
#include "agent/verify_body.h"
#include "base/auto.h"
#include "base/worker.h"
#include "evidence/verify_supply.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 64
/* Contract section 2: a queue of 128; over all threads, and never less than two for each. */
#define WAITING_MAX 128
#define DEPTH_MIN   2
/* Threads that may wait for vendors' services, each of which is asked by one thread at a time. */
#define FETCHERS    4
#define FETCH_DEPTH 32

struct verifier {
    struct worker *worker[THREADS_MAX];
    unsigned threads;
    pthread_mutex_t lock; /* over the fetchers: the first document that lacks something starts them */
    struct worker *fetcher[FETCHERS];
    unsigned fetchers;
    struct collateral_service *collateral;
    bool revocation;
    char *directory;
    bool allow_given_roots;
    struct verify_trust trust;
    struct verify_cache *cache;
};

struct verify_job {
    struct job job;
    struct verifier *verifier;
    struct request *request;
    struct verify_body body;
    struct verify_held given; /* struct verify_trust of the request */
    struct supply supply;
    bool supplied;
    struct buf answer;
};

/* ---- one verification ---- */

static void free_trust(void *trust)
{
    verify_trust_done(trust);
    free(trust);
}

/* The built-in roots and those of a request; asked for again and again where machines are emulated. */
static int hold_given(struct verifier *v, const char *roots, struct verify_held *out, struct err *err)
{
    static const char kind[] = "trust";
    const struct bytes parts[] = { bytes_of(kind, sizeof(kind)), bytes_str(roots) };
    struct digest key;
    if (digest_parts(ALG_SHA256, parts, ARRAY_SIZE(parts), &key, err) < 0)
        return -1;
    if (verify_cache_get(v->cache, key.b, out))
        return 0;
    struct verify_trust *trust = calloc(1, sizeof(*trust));
    if (!trust)
        return err_set(err, ERR_IO, ENOMEM, "no memory for roots");
    if (trust_load(trust, err) < 0 || verify_trust_add_extra(trust, bytes_str(roots), err) < 0) {
        free_trust(trust);
        return err_while(err, "trust_roots");
    }
    verify_cache_add(v->cache, key.b, trust, free_trust, out);
    return 0;
}

static int judge(struct verify_job *j, struct err *err)
{
    AUTO(appraisal_done) struct appraisal appraisal = { NULL, NULL };
    struct verify_material material = supply_material(&j->supply);
    struct verify_options *o = &j->body.request.verify;
    o->trust = j->given.object ? j->given.object : &j->verifier->trust;
    o->cache = j->verifier->cache;
    if (j->body.crl) { /* the request's own has no name to be cached by */
        material.snp_crl = j->body.crl;
        material.id = NULL;
    }
    o->material = j->supplied || j->body.crl ? &material : NULL;
    if (appraise(&j->body.request, &appraisal, err) < 0)
        return -1;
    AUTO(json_drop) json_t *answer = appraisal_json(&appraisal);
    if (!answer)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the answer");
    json_put(&j->answer, answer, false);
    buf_u8(&j->answer, '\n');
    return buf_check(&j->answer, "answer", err);
}

/* What is held of the verifier's: requests may outlive it. */
static void let_go(struct verify_job *j)
{
    verify_held_done(&j->given);
    supply_done(&j->supply);
}

static void finish(struct verify_job *j, int rc)
{
    struct request *r = j->request;
    let_go(j);
    r->failed = rc < 0;
    request_resume(r);
}

static void run_judge(struct job *job)
{
    struct verify_job *j = (struct verify_job *)job;
    finish(j, judge(j, &j->request->err));
}

static void dropped(struct job *job);
static struct worker *idlest(struct worker *const *workers, unsigned n);

/* On a fetcher; the judging goes back to where judging is done. */
static void run_fetch(struct job *job)
{
    struct verify_job *j = (struct verify_job *)job;
    struct verifier *v = j->verifier;
    const struct supply_request request = { .service = v->collateral,
                                            .trust = j->given.object ? j->given.object : &v->trust,
                                            .cache = v->cache,
                                            .revocation = v->revocation };
    const struct supply_evidence evidence = supply_evidence_of(j->body.request.document);
    struct err full = { 0 };
    int rc = supply_get(&request, &evidence, &j->supply, &j->request->err);
    j->supplied = rc == 0;
    j->job = (struct job){ run_judge, dropped, false, NULL };
    if (rc < 0)
        finish(j, rc);
    else if (worker_submit(idlest(v->worker, v->threads), &j->job, &full) < 0)
        run_judge(&j->job); /* it has waited long enough */
}

static int start_fetchers(struct verifier *v, struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&v->lock);
    while (rc == 0 && v->fetchers < FETCHERS) {
        rc = worker_start("collateral", FETCH_DEPTH, FETCH_DEPTH, &v->fetcher[v->fetchers], err);
        v->fetchers += rc == 0;
    }
    pthread_mutex_unlock(&v->lock);
    return rc;
}

/* The body as text and document, and the roots that it brings. */
static int prepare(struct verify_job *j, struct err *err)
{
    const struct verify_body_options options = {
        .directory = j->verifier->directory,
        .allow_given_roots = j->verifier->allow_given_roots,
        .now = time(NULL),
    };
    struct verify_body *body = &j->body;
    if (verify_body_parse(buf_bytes(&j->request->body), &options, body, err) < 0)
        return -1;
    buf_done(&j->request->body); /* nobody needs it any more */
    if (!body->request.document) {
        if (document_parse(body->request.collaterals, &body->document, err) < 0)
            return -1;
        buf_done(&body->collaterals);
    }
    body->request.document = &body->document;
    return body->trust_roots ? hold_given(j->verifier, body->trust_roots, &j->given, err) : 0;
}

static void run(struct job *job)
{
    struct verify_job *j = (struct verify_job *)job;
    struct verifier *v = j->verifier;
    struct err *err = &j->request->err;
    if (prepare(j, err) < 0) {
        finish(j, -1);
        return;
    }
    const struct supply_evidence evidence = supply_evidence_of(&j->body.document);
    if (!v->collateral || !supply_due(&evidence)) {
        run_judge(job);
        return;
    }
    j->job = (struct job){ run_fetch, dropped, false, NULL };
    if (start_fetchers(v, err) < 0 || worker_submit(idlest(v->fetcher, FETCHERS), &j->job, err) < 0) {
        if (err->kind == ERR_LIMITED)
            err_set(err, ERR_LIMITED, 0, "too many verifications wait for collateral: try again in a second");
        finish(j, -1);
    }
}

static void dropped(struct job *job)
{
    struct request *r = ((struct verify_job *)job)->request;
    let_go((struct verify_job *)job);
    err_set(&r->err, ERR_UNAVAILABLE, 0, "the agent is shutting down: try again when it has restarted");
    r->failed = true;
    request_resume(r);
}

/* ---- the threads ---- */

int verifier_new(const struct verifier_options *options, struct verifier **out, struct err *err)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = options->threads ? options->threads : cores > 0 ? (unsigned)cores : 1;
    threads = threads < THREADS_MAX ? threads : THREADS_MAX;
    unsigned share = WAITING_MAX / threads > DEPTH_MIN ? WAITING_MAX / threads : DEPTH_MIN;
    unsigned depth = options->depth ? options->depth : share;
    struct verifier *v = calloc(1, sizeof(*v));
    if (!v)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the verifier");
    pthread_mutex_init(&v->lock, NULL);
    v->allow_given_roots = options->allow_given_roots;
    v->collateral = options->collateral;
    v->revocation = options->revocation;
    v->directory = options->directory && *options->directory ? strdup(options->directory) : NULL;
    int rc = trust_load(&v->trust, err);
    if (rc == 0)
        rc = verify_cache_new(VERIFY_CACHE_ENTRIES, &v->cache, err);
    while (rc == 0 && v->threads < threads) {
        rc = worker_start("verify", depth, depth, &v->worker[v->threads], err);
        v->threads += rc == 0;
    }
    if (rc < 0) {
        verifier_free(v);
        return err_while(err, "start the verifier");
    }
    *out = v;
    return 0;
}

void verifier_free(struct verifier *v)
{
    if (!v)
        return;
    while (v->fetchers) /* they hand on to the threads */
        worker_stop(v->fetcher[--v->fetchers]);
    while (v->threads)
        worker_stop(v->worker[--v->threads]);
    verify_cache_free(v->cache);
    verify_trust_done(&v->trust);
    pthread_mutex_destroy(&v->lock);
    free(v->directory);
    free(v);
}

/* The thread with the least to do. */
static struct worker *idlest(struct worker *const *workers, unsigned n)
{
    struct worker *best = workers[0];
    unsigned least = worker_load(best);
    for (unsigned i = 1; i < n && least; i++) {
        unsigned load = worker_load(workers[i]);
        if (load < least) {
            least = load;
            best = workers[i];
        }
    }
    return best;
}

/* ---- for others ---- */

int verifier_submit(struct verifier *v, struct job *job, struct err *err)
{
    return start_fetchers(v, err) < 0 ? -1 : worker_submit(idlest(v->fetcher, FETCHERS), job, err);
}

int verifier_roots(struct verifier *v, const char *given, struct verify_held *held,
                   const struct verify_trust **out, struct err *err)
{
    if (given && !v->allow_given_roots)
        return err_set(err, ERR_DENIED, 0,
                       "trust_roots: this agent takes no roots (start it with --allow-emulated-roots)");
    if (given && hold_given(v, given, held, err) < 0)
        return -1;
    *out = given ? held->object : &v->trust;
    return 0;
}

struct collateral_service *verifier_collateral(const struct verifier *v)
{
    return v->collateral;
}

/* ---- the route ---- */

void verify_job_free(struct verify_job *job)
{
    if (!job)
        return;
    verify_body_done(&job->body);
    buf_done(&job->answer);
    free(job);
}

int verify_begin(struct request *r, struct err *err)
{
    struct verifier *v = server_verifier(r->server);
    if (!v)
        return err_set(err, ERR_UNAVAILABLE, 0, "no verifier was started: see the agent's log");
    if (!r->body.n)
        return err_set(err, ERR_INPUT, 0, "no body: send {\"collaterals\":...}");
    struct verify_job *j = calloc(1, sizeof(*j));
    if (!j)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a verification");
    *j = (struct verify_job){
        .job = { run, dropped, false, NULL }, .verifier = v, .request = r, .answer = buf_new(ANSWER_MAX)
    };
    r->verification = j;
    if (worker_submit(idlest(v->worker, v->threads), &j->job, err) == 0)
        return 0;
    if (err->kind == ERR_LIMITED)
        err_set(err, ERR_LIMITED, 0, "too many verifications wait: try again in a second");
    return -1;
}

int verify_answer(struct request *r, struct buf *out, struct err *err)
{
    buf_put(out, buf_bytes(&r->verification->answer));
    return buf_check(out, "answer", err);
}
