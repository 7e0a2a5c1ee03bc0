#include "agent/appraisal_route.h"

#include "agent/operate.h"
#include "agent/policy_store.h"
#include "agent/server.h"
#include "agent/token_key.h"
#include "agent/verify_route.h"
#include "appraisal/ita_token.h"
#include "base/auto.h"
#include "base/chain.h"
#include "base/file.h"
#include "base/worker.h"
#include "evidence/verify_cache.h"

#include <errno.h>
#include <stdatomic.h>

#define ISSUER "cvm-agent"
#define CERTS  "/certs"

struct appraiser {
    struct verifier *verifier;
    struct policy_store *store;
    atomic_bool external;
    struct jwks gpu_keys;
    char instance[37];
    struct token_key *key;
};

struct appraisal_job {
    struct job job;
    struct appraiser *appraiser;
    struct request *request;
    enum ita_route route;
    struct buf answer;
};

/* ---- the appraiser ---- */

static int no_memory(struct err *err)
{
    return err_set(err, ERR_IO, ENOMEM, "no memory for an appraisal");
}

static int read_gpu_keys(const char *path, struct jwks *out, struct err *err)
{
    AUTO(free_u8) uint8_t *text = NULL;
    size_t n;
    if (!*path)
        return 0;
    if (file_read(path, JWKS_SIZE, &text, &n, err) < 0
        || jwks_parse(bytes_of(text, n), JWKS_KEYS, out, err) < 0)
        return err_while(err, "nvgpu_jwks");
    return 0;
}

int appraiser_new(const struct appraiser_options *options, struct appraiser **out, struct err *err)
{
    struct appraiser *a = calloc(1, sizeof(*a));
    if (!a)
        return no_memory(err);
    a->verifier = options->verifier;
    atomic_init(&a->external, false);
    if (uuid_new(a->instance, err) < 0 || read_gpu_keys(options->gpu_jwks, &a->gpu_keys, err) < 0
        || token_key_new(options->token_key, &a->key, err) < 0
        || policy_store_new(options->state, options->policy_directory, &a->store, err) < 0) {
        appraiser_free(a);
        return err_while(err, "start appraisal");
    }
    *out = a;
    return 0;
}

void appraiser_open_outside(struct appraiser *a, bool open)
{
    atomic_store(&a->external, open);
}

bool appraiser_is_outside(struct appraiser *a)
{
    return a && atomic_load(&a->external);
}

void appraiser_free(struct appraiser *a)
{
    if (!a)
        return;
    token_key_free(a->key);
    policy_store_free(a->store);
    jwks_done(&a->gpu_keys);
    free(a);
}

/* ---- one appraisal ---- */

struct appraised {
    struct held_policy held[ITA_POLICIES_MAX];
    struct rego_result result[ITA_POLICIES_MAX];
    json_t *defined[ITA_POLICIES_MAX];
    struct ita_applied applied[ITA_POLICIES_MAX];
    size_t n;
};

static void appraised_done(struct appraised *p)
{
    for (size_t i = 0; i < ITA_POLICIES_MAX; i++) {
        policy_release(&p->held[i]);
        rego_result_done(&p->result[i]);
        json_decref(p->defined[i]);
    }
}

/* All are found before any evidence is looked at. */
static int hold_policies(struct appraiser *a, const struct ita_request *request, struct appraised *out,
                         struct err *err)
{
    for (; out->n < request->policies; out->n++)
        if (policy_store_hold(a->store, request->policy_id[out->n], &out->held[out->n], err) < 0)
            return err_set(err, ERR_INPUT, 0, "policy_ids: no policy %.64s: GET /policies lists them",
                           request->policy_id[out->n]);
    return 0;
}

/* An error of a policy fails the request: it is never just "unmatched". */
static int ask(struct held_policy *policy, const struct rego_run *run, struct rego_result *result,
               json_t **defined, struct err *err)
{
    if (rego_evaluate(policy->rego, run, result, err) < 0) {
        struct err why = *err;
        return err_set(err, why.kind == ERR_IO ? ERR_IO : ERR_INPUT, 0, "policy %.64s: %.90s",
                       policy->info.name, why.cause);
    }
    return json_parse(bytes_of(result->json, result->json_n), 16u << 20, defined, err);
}

static int ask_policies(const struct ita_request *request, const json_t *claims, time_t now,
                        struct appraised *p, struct err *err)
{
    AUTO(rego_document_drop) struct rego_document *input = NULL;
    AUTO(buf_done) struct buf text = buf_new(REGO_DOCUMENT_MAX);
    if (!p->n)
        return 0;
    const json_t *flat = json_object_get(claims, "sevsnp");
    json_put(&text, request->route == ITA_SNP_V1 && flat ? flat : claims, false);
    if (buf_check(&text, "claims", err) < 0 || rego_document_read(buf_bytes(&text), &input, err) < 0)
        return -1;
    const struct rego_run run = { .input = input, .now_ns = (int64_t)now * 1000000000 };
    for (size_t i = 0; i < p->n; i++) {
        const struct stored_policy *info = &p->held[i].info;
        if (ask(&p->held[i], &run, &p->result[i], &p->defined[i], err) < 0)
            return -1;
        p->applied[i] =
            (struct ita_applied){ info->id, info->version, info->hash, p->result[i].matched, p->defined[i] };
    }
    return 0;
}

static int refuse(const struct checks *checks, struct err *err)
{
    const struct check *failed = checks_first_failed(checks);
    return err_set(err, ERR_DENIED, 0, "the evidence does not verify: %.40s: %.100s",
                   failed ? failed->name : "evidence", failed ? failed->detail : "nothing was checked");
}

static int sign(struct appraiser *a, bool rs256, const json_t *claims, struct buf *out, struct err *err)
{
    AUTO(buf_done) struct buf token = buf_new(JWT_MAX);
    if (token_key_sign(a->key, rs256, claims, &token, err) < 0 || buf_check(&token, "token", err) < 0)
        return -1;
    buf_str(out, "{\"token\":\"");
    buf_put(out, buf_bytes(&token));
    buf_str(out, "\"}\n");
    return buf_check(out, "answer", err);
}

static int judge(struct appraisal_job *j, const struct ita_request *request, struct appraised *p,
                 struct err *err)
{
    struct appraiser *a = j->appraiser;
    AUTO(verify_held_done) struct verify_held given = { NULL, NULL, NULL, NULL };
    AUTO(ita_result_drop) struct ita_result *result = NULL;
    AUTO(json_drop) json_t *claims = NULL;
    struct ita_options options = { .service = verifier_collateral(a->verifier),
                                   .gpu_keys = a->gpu_keys.n ? &a->gpu_keys : NULL,
                                   .at = time(NULL) };
    struct ita_issuer issuer = { ISSUER, a->instance, options.at };
    if (request->at && rfc3339_parse(request->at, &options.at, err) < 0)
        return err_while(err, "at");
    if (verifier_roots(a->verifier, request->trust_roots, &given, &options.trust, err) < 0
        || hold_policies(a, request, p, err) < 0 || ita_judge(request, &options, &result, err) < 0)
        return -1;
    if (!checks_all_hold(&result->checks))
        return refuse(&result->checks, err);
    if (ask_policies(request, result->claims, options.at, p, err) < 0
        || ita_token_claims(request, result, p->applied, p->n, &issuer, &claims, err) < 0)
        return -1;
    return sign(a, request->rs256, claims, &j->answer, err);
}

static int appraise_request(struct appraisal_job *j, struct err *err)
{
    AUTO(ita_request_done) struct ita_request request = { .root = NULL };
    AUTO(appraised_done) struct appraised p = { .n = 0 };
    if (ita_request_parse(buf_bytes(&j->request->body), j->route, &request, err) < 0)
        return -1;
    buf_done(&j->request->body); /* nobody needs it any more */
    return judge(j, &request, &p, err);
}

static void run(struct job *job)
{
    struct appraisal_job *j = (struct appraisal_job *)job;
    struct request *r = j->request;
    r->failed = appraise_request(j, &r->err) < 0;
    request_resume(r);
}

static void run_certs(struct job *job)
{
    struct appraisal_job *j = (struct appraisal_job *)job;
    struct request *r = j->request;
    r->failed = token_key_need(j->appraiser->key, &r->err) < 0;
    if (!r->failed)
        buf_str(&j->answer, token_key_jwks(j->appraiser->key));
    request_resume(r);
}

/* On operate's thread: what is put is in the journal, or it is not put. */
static int work_put(struct request *r, struct buf *out, struct err *err)
{
    struct appraiser *a = server_appraiser(r->server);
    struct stored_policy p;
    bool created = false;
    char version[16];
    if (acts_ready(operate_acts(server_operate(r->server)), err) < 0
        || policy_store_put(a->store, query_get(&r->query, "name"), buf_bytes(&r->body), &p, &created, err)
               < 0)
        return -1;
    snprintf(version, sizeof(version), "v%u", p.version);
    AUTO(json_drop)
    json_t *what =
        json_pack("{s:s,s:s,s:s,s:s}", "id", p.id, "name", p.name, "version", version, "hash", p.hash);
    buf_printf(out, "{\"id\":\"%s\",\"version\":\"%s\",\"hash\":\"%s\"}\n", p.id, version, p.hash);
    return operate_record(r, "policy-put", what, NULL, err);
}

static void dropped(struct job *job)
{
    struct request *r = ((struct appraisal_job *)job)->request;
    err_set(&r->err, ERR_UNAVAILABLE, 0, "the agent is shutting down: try again when it has restarted");
    r->failed = true;
    request_resume(r);
}

/* ---- the routes ---- */

void appraisal_job_free(struct appraisal_job *job)
{
    if (!job)
        return;
    buf_done(&job->answer);
    free(job);
}

static int appraiser_of(struct request *r, struct appraiser **out, struct err *err)
{
    *out = server_appraiser(r->server);
    return *out ? 0 : err_set(err, ERR_UNAVAILABLE, 0, "appraisal was not started: see the agent's log");
}

static int begin(struct request *r, enum ita_route route, void (*work)(struct job *), struct err *err)
{
    struct appraiser *a;
    if (appraiser_of(r, &a, err) < 0)
        return -1;
    struct appraisal_job *j = calloc(1, sizeof(*j));
    if (!j)
        return no_memory(err);
    *j = (struct appraisal_job){ .job = { work, dropped, false, NULL },
                                 .appraiser = a,
                                 .request = r,
                                 .route = route,
                                 .answer = buf_new(ANSWER_MAX) };
    r->appraisal = j;
    return verifier_submit(a->verifier, &j->job, err);
}

static int begin_appraisal(struct request *r, enum ita_route route, struct err *err)
{
    struct appraiser *a;
    if (appraiser_of(r, &a, err) < 0)
        return -1;
    if (!r->body.n)
        return err_set(err, ERR_INPUT, 0, "no body: send {\"tdx\":{\"quote\":...}} or {\"sevsnp\":{...}}");
    return begin(r, route, run, err);
}

int appraise_v2_begin(struct request *r, struct err *err)
{
    return begin_appraisal(r, ITA_V2, err);
}

int appraise_azure_begin(struct request *r, struct err *err)
{
    return begin_appraisal(r, ITA_V2_AZURE, err);
}

int appraise_snp_begin(struct request *r, struct err *err)
{
    return begin_appraisal(r, ITA_SNP_V1, err);
}

int certs_begin(struct request *r, struct err *err)
{
    return begin(r, ITA_V2, run_certs, err);
}

int appraisal_answer(struct request *r, struct buf *out, struct err *err)
{
    buf_put(out, buf_bytes(&r->appraisal->answer));
    return buf_check(out, "answer", err);
}

int policies_prepare(struct request *r, struct err *err)
{
    if (!query_get(&r->query, "name"))
        return err_set(err, ERR_INPUT, 0, "no name: PUT /policies?name=NAME");
    return 0;
}

int policy_put_begin(struct request *r, struct err *err)
{
    if (!r->body.n)
        return err_set(err, ERR_INPUT, 0, "no body: send the policy's text");
    struct appraiser *a;
    return appraiser_of(r, &a, err) < 0 ? -1 : operate_begin(r, work_put, err);
}

int policies_list_answer(struct request *r, struct buf *out, struct err *err)
{
    struct appraiser *a;
    return appraiser_of(r, &a, err) < 0 ? -1 : policy_store_list(a->store, out, err);
}

int policy_text_answer(struct request *r, struct buf *out, struct err *err)
{
    struct appraiser *a;
    char id[64];
    if (appraiser_of(r, &a, err) < 0)
        return -1;
    snprintf(id, sizeof(id), "%.*s", (int)(r->segment.n < 63 ? r->segment.n : 63),
             (const char *)r->segment.p);
    return policy_store_text(a->store, id, out, err);
}
