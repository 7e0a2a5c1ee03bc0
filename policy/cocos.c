#include "base/auto.h"
#include "base/json_wide.h"
#include "policy/cocos_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

bool cocos_looks(struct bytes text)
{
    size_t i = 0;
    while (i < text.n && text.p[i] && strchr(" \t\r\n", text.p[i]))
        i++;
    return i < text.n && text.p[i] == '{';
}

/* ---- reading ---- */

/* The members that only TDX's schema has. */
static int find_kind(const json_t *root, enum cocos_kind *out, struct err *err)
{
    const struct cocos_object whole = { root, "" };
    struct cocos_object policy, trust;
    const json_t *header, *body, *collateral, *pcrs;
    if (cocos_inner(&whole, "policy", "policy", &policy, err) < 0
        || cocos_inner(&whole, "root_of_trust", "root_of_trust", &trust, err) < 0
        || cocos_member(&policy, "header_policy", &header, err) < 0
        || cocos_member(&policy, "td_quote_body_policy", &body, err) < 0
        || cocos_member(&trust, "get_collateral", &collateral, err) < 0
        || cocos_member(&whole, "pcr_values", &pcrs, err) < 0)
        return -1;
    if (!policy.json && !trust.json && !pcrs)
        return err_set(err, ERR_INPUT, 0,
                       "not an attestation policy: want the members policy, root_of_trust or pcr_values");
    *out = header || body || collateral ? COCOS_TDX : COCOS_SNP;
    return 0;
}

static int read_policy(const json_t *root, const struct cocos_files *files, struct cocos_policy *out,
                       struct err *err)
{
    if (!json_is_object(root))
        return err_set(err, ERR_INPUT, 0, "want a JSON object");
    if (find_kind(root, &out->kind, err) < 0)
        return -1;
    return out->kind == COCOS_TDX ? cocos_tdx_parse(root, files, out, err)
                                  : cocos_snp_parse(root, files, out, err);
}

int cocos_parse(struct bytes text, const struct cocos_files *files, struct cocos_policy **out,
                struct err *err)
{
    AUTO(json_drop) json_t *root = NULL;
    AUTO(cocos_drop) struct cocos_policy *p = calloc(1, sizeof(*p));
    if (!p)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a policy");
    if (json_wide_parse(text, COCOS_SIZE_MAX, &root, err) < 0 || read_policy(root, files, p, err) < 0)
        return -1;
    *out = MOVE(p);
    return 0;
}

void cocos_free(struct cocos_policy *p)
{
    if (!p)
        return;
    free(p->snp.author_keys.item);
    free(p->snp.id_keys.item);
    free(p->tdx.any_mr_td.item);
    free(p->roots.item);
    free(p);
}

enum cocos_kind cocos_kind_of(const struct cocos_policy *p)
{
    return p->kind;
}

bool cocos_uses_pcrs(const struct cocos_policy *p)
{
    return p->bank[0].n || p->bank[1].n || p->bank[2].n;
}

bool cocos_checks_crl(const struct cocos_policy *p)
{
    return p->kind == COCOS_SNP && p->snp.check_crl;
}

struct bytes cocos_rtmr(const struct cocos_policy *p, unsigned i)
{
    bool pinned = p->kind == COCOS_TDX && i < 4 && p->tdx.rtmr[i].text[0];
    return bytes_of(pinned ? p->tdx.rtmr_raw[i] : NULL, pinned ? 48 : 0);
}

/* ---- applying ---- */

void cocos_fail(struct cocos_run *r, const char *field, const char *found, const char *expected, ...)
{
    char want[512];
    va_list ap;
    va_start(ap, expected);
    vsnprintf(want, sizeof(want), expected, ap);
    va_end(ap);
    json_t *v =
        json_pack("{s:s,s:s,s:o}", "field", field, "expected", want, "found", json_text(bytes_str(found)));
    if (!v || json_array_append_new(r->failures, v) < 0)
        r->no_memory = true;
}

const char *cocos_claim_text(struct cocos_run *r, const char *field, const char *claim)
{
    const char *text = json_string_value(json_object_get(r->claims, claim));
    if (!text)
        cocos_fail(r, field, "not known of this evidence", "the claim %s", claim);
    return text;
}

bool cocos_same(struct cocos_run *r, const char *field, const char *claim, const char *want)
{
    r->compared++;
    const char *text = cocos_claim_text(r, field, claim);
    if (!text)
        return false;
    if (!strcmp(text, want))
        return true;
    cocos_fail(r, field, text, "%s", want);
    return false;
}

/* A JSON number, or "0x..." as 64-bit fields are spelled. */
bool cocos_claim_number(struct cocos_run *r, const char *field, const char *claim, uint64_t *out)
{
    const json_t *v = json_object_get(r->claims, claim);
    const char *text = json_string_value(v);
    char *end = NULL;
    if (json_is_integer(v) && json_integer_value(v) >= 0) {
        *out = (uint64_t)json_integer_value(v);
        return true;
    }
    errno = 0;
    if (text && text[0] == '0' && text[1] == 'x')
        *out = strtoull(text + 2, &end, 16);
    if (end && end != text + 2 && !*end && !errno)
        return true;
    cocos_fail(r, field, "not known of this evidence", "the claim %s", claim);
    return false;
}

void cocos_at_least(struct cocos_run *r, const char *field, const char *claim, uint64_t want)
{
    uint64_t have;
    char found[24];
    r->compared++;
    if (!cocos_claim_number(r, field, claim, &have) || have >= want)
        return;
    snprintf(found, sizeof(found), "%" PRIu64, have);
    cocos_fail(r, field, found, "at least %" PRIu64, want);
}

bool cocos_claim_true(const struct cocos_run *r, const char *claim)
{
    return json_is_true(json_object_get(r->claims, claim));
}

static void check_root(struct cocos_run *r, const char *claim)
{
    static const char field[] = "root_of_trust.cabundles";
    r->compared++;
    const char *root = cocos_claim_text(r, field, claim);
    if (root && !cocos_listed(&r->policy->roots, root))
        cocos_fail(r, field, root, "a chain that ends in a root of the bundle (SHA-256 %.64s%s)",
                   r->policy->roots.item[0].text, r->policy->roots.n > 1 ? ", ..." : "");
}

static const char *tee_of(const json_t *claims)
{
    return json_object_get(claims, "sevsnp") ? "SEV-SNP evidence"
           : json_object_get(claims, "tdx")  ? "TDX evidence"
                                             : "no hardware evidence that holds";
}

int cocos_apply(const struct cocos_policy *p, const json_t *claims, json_t *failures, struct err *err)
{
    bool snp = p->kind == COCOS_SNP;
    struct cocos_run r = { .policy = p, .failures = failures };
    r.claims = json_object_get(claims, snp ? "sevsnp" : "tdx");
    if (!r.claims) {
        cocos_fail(&r, "policy", tee_of(claims), snp ? "SEV-SNP evidence" : "TDX evidence");
    } else {
        if (snp)
            cocos_snp_apply(&r);
        else
            cocos_tdx_apply(&r);
        if (p->roots.n)
            check_root(&r, snp ? "sevsnp_root_sha256" : "tdx_root_sha256");
        cocos_pcrs_apply(&r, json_object_get(claims, "tpm"));
    }
    return r.no_memory ? err_set(err, ERR_IO, ENOMEM, "no memory for a verdict") : r.compared;
}
