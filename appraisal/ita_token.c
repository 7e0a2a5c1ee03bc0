#include "appraisal/ita_token.h"

#include "base/auto.h"
#include "base/enc.h"

#include <errno.h>
#include <sys/random.h>

static int no_memory(struct err *err)
{
    return err_set(err, ERR_IO, ENOMEM, "no memory for a token");
}

int uuid_new(char out[static 37], struct err *err)
{
    uint8_t b[16];
    char hex[33];
    if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
        return err_set(err, ERR_IO, (uint32_t)errno, "no random bytes");
    b[6] = (uint8_t)((b[6] & 0x0F) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3F) | 0x80);
    hex_to(hex, bytes_of(b, sizeof(b)));
    snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
    return 0;
}

/* ---- policies ---- */

static json_t *policy_json(const struct ita_applied *a)
{
    char version[16];
    snprintf(version, sizeof(version), "v%u", a->version);
    return json_pack("{s:s,s:s,s:s}", "id", a->id, "version", version, "hash", a->hash);
}

/* Who has defined a claim already. */
static const char *definer(const struct ita_applied *applied, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (applied[i].defined && json_object_get(applied[i].defined, name))
            return applied[i].id;
    return "";
}

static int merge(json_t *into, const struct ita_applied *applied, size_t at, struct err *err)
{
    void *i;
    json_t *defined = (json_t *)(uintptr_t)applied[at].defined; /* the library's iterators know no const */
    for (i = json_object_iter(defined); i; i = json_object_iter_next(defined, i)) {
        const char *name = json_object_iter_key(i);
        json_t *value = json_object_iter_value(i), *there = json_object_get(into, name);
        if (there && !json_equal(there, value))
            return err_set(err, ERR_INPUT, 0, "policies %.40s and %.40s define %.40s differently",
                           definer(applied, at, name), applied[at].id, name);
        if (!there && json_object_set(into, name, value) < 0)
            return no_memory(err);
    }
    return 0;
}

static int put_policies(const struct ita_request *request, const struct ita_applied *applied, size_t n,
                        json_t *claims, struct err *err)
{
    AUTO(json_drop) json_t *matched = json_array();
    AUTO(json_drop) json_t *unmatched = json_array();
    AUTO(json_drop) json_t *defined = json_object();
    for (size_t i = 0; i < n; i++) {
        if (!applied[i].matched && request->policy_must_match)
            return err_set(err, ERR_DENIED, 0, "policy %.40s does not match, and policy_must_match is set",
                           applied[i].id);
        if (json_array_append_new(applied[i].matched ? matched : unmatched, policy_json(&applied[i])) < 0)
            return no_memory(err);
        if (merge(defined, applied, i, err) < 0)
            return -1;
    }
    if (json_object_set(claims, "policy_ids_matched", matched) < 0
        || (json_array_size(unmatched) && json_object_set(claims, "policy_ids_unmatched", unmatched) < 0)
        || (json_object_size(defined) && json_object_set(claims, "policy_defined_claims", defined) < 0))
        return no_memory(err);
    return 0;
}

/* ---- the verifier's own claims ---- */

static bool debuggable(const json_t *claims)
{
    const json_t *tdx = json_object_get(claims, "tdx"), *snp = json_object_get(claims, "sevsnp");
    return json_is_true(json_object_get(tdx, "tdx_is_debuggable"))
           || json_is_true(json_object_get(snp, "sevsnp_is_debuggable"));
}

static int put_own(const struct ita_request *request, const struct ita_result *result,
                   const struct ita_issuer *issuer, json_t *out, struct err *err)
{
    char id[37];
    if (uuid_new(id, err) < 0)
        return -1;
    json_t *own = json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:s,s:s,s:[s]}", "ver",
                            request->route == ITA_SNP_V1 ? "1.0.0" : "2.0.0", "eat_profile", ITA_EAT_PROFILE,
                            "intuse", "generic", "iss", issuer->name, "iat", (json_int_t)issuer->now, "nbf",
                            (json_int_t)issuer->now, "exp", (json_int_t)(issuer->now + ITA_TOKEN_LIFE_S),
                            "jti", id, "dbgstat", debuggable(result->claims) ? "enabled" : "disabled",
                            "verifier_instance_ids", issuer->instance);
    int rc = own ? json_object_update(out, own) : -1;
    json_decref(own);
    if (rc < 0)
        return no_memory(err);
    if (!request->not_read_n)
        return 0;
    json_t *list = json_array();
    for (size_t i = 0; i < request->not_read_n; i++)
        json_array_append_new(list, json_string(request->not_read[i]));
    return json_object_set_new(out, "not_checked", list) < 0 ? no_memory(err) : 0;
}

int ita_token_claims(const struct ita_request *request, const struct ita_result *result,
                     const struct ita_applied *applied, size_t n, const struct ita_issuer *issuer,
                     json_t **out, struct err *err)
{
    AUTO(json_drop) json_t *claims = json_object();
    const json_t *flat = json_object_get(result->claims, "sevsnp");
    json_t *evidence =
        request->route == ITA_SNP_V1 && flat ? json_deep_copy(flat) : json_copy(result->claims);
    int rc = evidence ? json_object_update(claims, evidence) : -1;
    json_decref(evidence);
    if (!claims || rc < 0)
        return no_memory(err);
    if (put_own(request, result, issuer, claims, err) < 0
        || put_policies(request, applied, n, claims, err) < 0)
        return -1;
    *out = MOVE(claims);
    return 0;
}
