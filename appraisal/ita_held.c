/* What hardware evidence binds besides the machine: Azure's runtime data, a verifier's nonce, a caller's
 * data.
 */
#include "appraisal/ita_internal.h"

#include "base/auto.h"
#include "base/digest.h"

#include <errno.h>
#include <string.h>

static json_t *tee_claims(const struct ita_judging *j)
{
    return json_object_get(j->result->claims, j->request->has_tdx ? "tdx" : "sevsnp");
}

/* report_data is the hash, and zeros. SHA-256 is what every recorded paravisor uses. */
static bool is_hash(struct bytes report_data, struct bytes data)
{
    uint8_t hash[32];
    sha256(data, hash);
    return report_data.n == 64 && !memcmp(report_data.p, hash, 32)
           && bytes_zero(bytes_of(report_data.p + 32, 32));
}

int ita_judge_runtime_data(struct ita_judging *j, struct err *err)
{
    static const char name[] = "azure.runtime_data_binding";
    const struct ita_held *held = &j->request->tee;
    struct checks *checks = &j->result->checks;
    bool azure = j->request->route == ITA_V2_AZURE;
    struct err why = { 0 };
    if (!j->tee_holds || !held->has_runtime_data || !is_hash(j->report_data, held->runtime_data)) {
        if (azure)
            checks_add(checks, name, CHECK_FAILED,
                       j->tee_holds ? "report_data is not the hash of runtime_data" : "not made");
        return 0;
    }
    int rc = hcl_claims_parse(held->runtime_data, &j->hcl, &why);
    checks_add_rc(checks, name, rc, "report_data is the hash of runtime_data", &why);
    if (rc < 0)
        return 0;
    const char *key = j->request->has_tdx ? "attester_runtime_data" : "sevsnp_runtime_data";
    if (json_object_set(tee_claims(j), key, j->hcl.root) < 0)
        return err_set(err, ERR_IO, ENOMEM, "no memory for claims");
    return 0;
}

void ita_held_put(struct buf *out, const struct ita_held *held)
{
    buf_put(out, held->nonce.val);
    buf_put(out, held->nonce.iat);
    buf_put(out, held->user_data);
}

/* Data that evidence binds: an object as such, else its bytes. */
static int put_data(json_t *claims, struct bytes data, const char *object_name, const char *bytes_name,
                    struct err *err)
{
    AUTO(json_drop) json_t *parsed = NULL;
    struct err ignored = { 0 };
    bool object = json_parse(data, ITA_EVIDENCE_MAX, &parsed, &ignored) == 0 && json_is_object(parsed);
    json_t *value = object ? json_incref(parsed) : json_b64(data);
    if (json_object_set_new(claims, object ? object_name : bytes_name, value) < 0)
        return err_set(err, ERR_IO, ENOMEM, "no memory for claims");
    return 0;
}

static int put_nonce(json_t *claims, const struct ita_nonce *nonce, struct err *err)
{
    json_t *o = json_pack("{s:o,s:o,s:o}", "val", json_b64(nonce->val), "iat", json_b64(nonce->iat),
                          "signature", json_b64(nonce->signature));
    if (json_object_set_new(claims, "verifier_nonce", o) < 0)
        return err_set(err, ERR_IO, ENOMEM, "no memory for claims");
    return 0;
}

static bool equals(struct bytes a, const void *b, size_t n)
{
    return a.n == n && memcmp(a.p, b, n) == 0;
}

/* Azure: the guest's user-data within the runtime data. Else report_data as clients of the service make it;
 * or ours, whose second half is SHA-256 of what was asked with. */
static bool binds(const struct ita_judging *j, struct bytes data)
{
    struct digest hash;
    uint8_t half[32];
    struct err ignored = { 0 };
    if (digest_of(ALG_SHA512, data, &hash, &ignored) < 0)
        return false;
    if (j->hcl.root)
        return j->hcl.has_user_data && memcmp(j->hcl.user_data, hash.b, sizeof(j->hcl.user_data)) == 0;
    if (equals(j->report_data, hash.b, hash.n))
        return true;
    sha256(data, half);
    return memcmp(j->report_data.p + 32, half, sizeof(half)) == 0;
}

static int put_held(struct ita_judging *j, bool data_is_runtime, struct err *err)
{
    const struct ita_held *held = &j->request->tee;
    json_t *claims = tee_claims(j);
    if (data_is_runtime
        && put_data(claims, held->runtime_data, "attester_runtime_data", "attester_held_data", err) < 0)
        return -1;
    if (held->has_user_data
        && put_data(claims, held->user_data, "attester_user_data", "attester_held_data", err) < 0)
        return -1;
    return held->nonce.given ? put_nonce(claims, &held->nonce, err) : 0;
}

int ita_judge_held(struct ita_judging *j, struct err *err)
{
    const struct ita_held *held = &j->request->tee;
    bool data_is_runtime = held->has_runtime_data && !j->hcl.root;
    struct checks *checks = &j->result->checks;
    AUTO(buf_done) struct buf data = buf_new(ITA_EVIDENCE_MAX + ITA_NONCE_MAX);
    if (!held->nonce.given && !held->has_user_data && !data_is_runtime) {
        checks_add(checks, "binding.nonce", CHECK_NOT_APPLICABLE,
                   "not asked: neither nonce nor data were given");
        return 0;
    }
    if (data_is_runtime && held->has_user_data) {
        checks_add(checks, "binding.nonce", CHECK_FAILED,
                   "runtime_data and user_data: report_data can bind one of them only");
        return 0;
    }
    ita_held_put(&data, held);
    if (data_is_runtime)
        buf_put(&data, held->runtime_data);
    if (buf_check(&data, "nonce and data", err) < 0)
        return -1;
    bool ok = j->tee_holds && binds(j, buf_bytes(&data));
    checks_add(checks, "binding.nonce", ok ? CHECK_OK : CHECK_FAILED, "%s",
               ok             ? "the evidence binds what was given"
               : j->tee_holds ? "the evidence does not bind this nonce and data"
                              : "not made: the evidence is not authentic");
    return ok ? put_held(j, data_is_runtime, err) : 0;
}
