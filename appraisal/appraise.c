#include "appraisal/appraise.h"

#include "base/auto.h"
#include "policy/golden_compare.h"
#include "policy/golden_sign.h"

#include <errno.h>

/* A golden measurement as given, and taken apart. */
struct golden_input {
    bool given;
    json_t *json;
    struct golden golden;
};

static void golden_input_done(struct golden_input *g)
{
    json_decref(g->json);
    golden_done(&g->golden);
}

static int read_golden(struct bytes text, struct golden_input *out, struct err *err)
{
    if (!text.n)
        return 0;
    if (json_parse(text, GOLDEN_SIZE_MAX, &out->json, err) < 0
        || golden_parse_json(out->json, &out->golden, err) < 0)
        return err_while(err, "golden measurement");
    out->given = true;
    return 0;
}

static int judge_signature(const struct golden_input *golden, struct bytes key, struct checks *checks,
                           struct err *err)
{
    static const char name[] = "golden.signature";
    if (!key.n) {
        checks_add(checks, name, CHECK_NOT_APPLICABLE, "not asked: no key was given");
        return 0;
    }
    if (!golden->given) {
        checks_add(checks, name, CHECK_FAILED, "a key was given, and no golden measurement");
        return 0;
    }
    struct err why = { 0 };
    int rc = golden_signature_verify(golden->json, key, &why);
    if (rc < 0 && why.kind != ERR_UNAUTHENTICATED) {
        *err = why;
        return err_while(err, "golden measurement's signature");
    }
    checks_add_rc(checks, name, rc, "signed by the given key", &why);
    return 0;
}

static int judge_golden(const struct golden_input *golden, struct bytes key, struct verify_result *r,
                        struct err *err)
{
    static const char *const names[] = { "golden.tee", "golden.pcrs", "golden.workload" };
    AUTO(registers_done) struct registers machine = { .bank = 0 };
    if (judge_signature(golden, key, &r->checks, err) < 0)
        return -1;
    for (size_t i = 0; !golden->given && i < ARRAY_SIZE(names); i++)
        checks_add(&r->checks, names[i], CHECK_NOT_APPLICABLE, "not asked: no golden measurement was given");
    if (!golden->given)
        return 0;
    if (registers_of(r, &machine, err) < 0)
        return -1;
    golden_compare(&golden->golden, &machine, &r->checks, r->not_checked);
    return 0;
}

/* ---- the answer ---- */

static int make_facts(struct appraisal *a, struct err *err)
{
    const struct verify_result *r = a->result;
    a->facts = json_object();
    if (json_object_set(a->facts, "claims", r->claims) < 0
        || json_object_set(a->facts, "coverage", r->coverage) < 0
        || json_object_set(a->facts, "not_checked", r->not_checked) < 0
        || json_object_set_new(a->facts, "freshness", json_string(r->freshness)) < 0
        || json_object_set_new(a->facts, "binding", r->binding ? json_string(r->binding) : json_null()) < 0
        || (r->document.tee == TEE_TDX && !tdx_verdict_members(a->facts, &r->tdx)))
        return err_set(err, ERR_IO, ENOMEM, "no memory for the answer");
    return 0;
}

/* A golden measurement or a policy that pins RTMR1 and RTMR2 vouches for the system that named the key. */
static struct bytes pinned(const struct golden_input *g, const struct policies *policies, unsigned rtmr)
{
    const struct register_value *v = &g->golden.want.value[REG_TDX_RTMR0 + rtmr];
    return g->given && v->n ? bytes_of(v->b, v->n) : policies_rtmr(policies, rtmr);
}

static int judge_policies(const struct policies *policies, time_t at, struct appraisal *a, struct err *err)
{
    AUTO(json_drop) json_t *list = json_array();
    if (!policies || !policies->n)
        return 0;
    if (!list)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the answer");
    if (policies_apply(policies, a->result->claims, at, &a->result->checks, list, err) < 0)
        return -1;
    return json_object_set(a->facts, "policies", list) < 0
               ? err_set(err, ERR_IO, ENOMEM, "no memory for the answer")
               : 0;
}

static int take_document(const struct appraise_request *request, struct document *out, struct err *err)
{
    if (!request->document)
        return document_parse(request->collaterals, out, err);
    *out = *request->document;
    *request->document = (struct document){ .root = NULL };
    return 0;
}

int appraise(const struct appraise_request *request, struct appraisal *out, struct err *err)
{
    AUTO(golden_input_done) struct golden_input golden = { .json = NULL };
    AUTO(document_done) struct document document = { .root = NULL };
    AUTO(appraisal_done) struct appraisal made = { NULL, NULL };
    struct verify_options options = request->verify;
    if (take_document(request, &document, err) < 0 || read_golden(request->golden, &golden, err) < 0)
        return -1;
    options.pinned_rtmr1 = pinned(&golden, request->policies, 1);
    options.pinned_rtmr2 = pinned(&golden, request->policies, 2);
    if (verify_document(&document, &options, &made.result, err) < 0
        || judge_golden(&golden, request->golden_key, made.result, err) < 0 || make_facts(&made, err) < 0
        || judge_policies(request->policies, options.at, &made, err) < 0)
        return -1;
    *out = made;
    made = (struct appraisal){ NULL, NULL };
    return 0;
}

void appraisal_done(struct appraisal *a)
{
    verify_result_free(a->result);
    json_decref(a->facts);
    *a = (struct appraisal){ NULL, NULL };
}

json_t *appraisal_json(const struct appraisal *a)
{
    const struct checks *checks = &a->result->checks;
    const struct check *failed = checks_first_failed(checks);
    bool success = verify_success(a->result);
    char error[CHECK_NAME_MAX + CHECK_DETAIL_MAX + 4];
    AUTO(json_drop) json_t *out = json_pack("{s:b}", "success", (int)success);
    if (failed)
        snprintf(error, sizeof(error), "%s: %s", failed->name, failed->detail);
    else
        snprintf(error, sizeof(error), "more checks than are kept");
    if (!success && json_object_set_new(out, "error", json_text(bytes_str(error))) < 0)
        return NULL;
    if (json_object_set_new(out, "checks", checks_json(checks)) < 0
        || json_object_update_missing(out, a->facts) < 0
        || json_object_set_new(out, "warnings", checks_warnings_json(checks)) < 0)
        return NULL;
    return MOVE(out);
}
