#include "appraisal/ita_evidence.h"

#include "appraisal/ita_internal.h"
#include "base/auto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* NVIDIA's own service judges its GPUs and says so in a token. */
static int judge_gpu(struct ita_judging *j, struct err *err)
{
    static const char name[] = "nvgpu.token";
    AUTO(jwt_done) struct jwt token = { .header = NULL };
    const struct ita_request *r = j->request;
    struct checks *checks = &j->result->checks;
    struct err why = { 0 };
    if (!j->options->gpu_keys) {
        checks_add(checks, name, CHECK_FAILED, "this agent has no keys of NVIDIA's service (nvgpu_jwks)");
        return 0;
    }
    const struct jwt_rules rules = { .algs = JWT_BIT(JWT_ES384), .now = j->options->at, .exp_due = true };
    int rc = jwt_verify(bytes_str(r->gpu_token), j->options->gpu_keys, &rules, &token, &why);
    checks_add_rc(checks, name, rc, "signed by NVIDIA's service, and not expired", &why);
    if (rc < 0)
        return 0;
    const char *nonce = json_string_value(json_object_get(token.claims, "eat_nonce"));
    if (r->gpu_nonce) {
        bool same = nonce && strcasecmp(nonce, r->gpu_nonce) == 0;
        checks_add(checks, "nvgpu.nonce", same ? CHECK_OK : CHECK_FAILED, "%s",
                   same ? "eat_nonce is the one given" : "eat_nonce is not the one given");
    }
    if (json_is_false(json_object_get(token.claims, "x-nvidia-overall-att-result")))
        checks_add(checks, name, CHECK_FAILED, "NVIDIA's service refused the GPU");
    if (json_object_set(j->result->claims, "nvgpu", token.claims) < 0)
        return err_set(err, ERR_IO, ENOMEM, "no memory for claims");
    return 0;
}

static int judge(struct ita_judging *j, struct err *err)
{
    const struct ita_request *r = j->request;
    if (r->has_tdx && ita_judge_tdx(j, err) < 0)
        return -1;
    if (r->has_snp && ita_judge_snp(j, err) < 0)
        return -1;
    if ((r->has_tdx || r->has_snp) && ita_judge_runtime_data(j, err) < 0)
        return -1;
    if (r->has_tpm && ita_judge_tpm(j, err) < 0)
        return -1;
    if ((r->has_tdx || r->has_snp) && ita_judge_held(j, err) < 0)
        return -1;
    return r->gpu_token ? judge_gpu(j, err) : 0;
}

int ita_judge(const struct ita_request *request, const struct ita_options *options, struct ita_result **out,
              struct err *err)
{
    AUTO(ita_result_drop) struct ita_result *result = calloc(1, sizeof(*result));
    if (!result || !(result->claims = json_object()))
        return err_set(err, ERR_IO, ENOMEM, "no memory for an appraisal");
    struct ita_judging j = { .request = request, .options = options, .result = result };
    int rc = judge(&j, err);
    hcl_claims_done(&j.hcl);
    EVP_PKEY_free(j.ak);
    if (rc < 0)
        return -1;
    *out = MOVE(result);
    return 0;
}

void ita_result_free(struct ita_result *r)
{
    if (!r)
        return;
    json_decref(r->claims);
    free(r);
}
