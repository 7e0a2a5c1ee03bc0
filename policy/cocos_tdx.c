/* TDX policies: reading and applying. The rules are those of go-tdx-guest validate/validate.go. */
#include "base/auto.h"
#include "base/enc.h"
#include "policy/cocos_internal.h"

#include <stdlib.h>

const struct cocos_field cocos_tdx_fields[COCOS_TDX_FIELDS] = {
    [TDX_MR_SEAM] = { "mr_seam", "tdx_mrseam", 48 },
    [TDX_TD_ATTRIBUTES] = { "td_attributes", "tdx_td_attributes", 8 },
    [TDX_XFAM] = { "xfam", "tdx_xfam", 8 },
    [TDX_MR_TD] = { "mr_td", "tdx_mrtd", 48 },
    [TDX_MR_CONFIG_ID] = { "mr_config_id", "tdx_mrconfigid", 48 },
    [TDX_MR_OWNER] = { "mr_owner", "tdx_mrowner", 48 },
    [TDX_MR_OWNER_CONFIG] = { "mr_owner_config", "tdx_mrownerconfig", 48 },
    [TDX_REPORT_DATA] = { "report_data", "tdx_report_data", 64 },
};

/* Bits that a TD may have at all, whatever the policy says: widen the table when a TDX module brings more.
 * Source: go-tdx-guest's fixed0 and fixed1 masks (TDX module 1.0); XFAM as the CPU's XCR0 and IA32_XSS. */
static const struct fixed_bits {
    const char *field, *claim;
    uint64_t always, allowed;
} fixed[] = {
    { "xfam", "tdx_xfam", 0x3, 0x6DBE7 },
    /* DEBUG, SEPT_VE_DISABLE, PKS, PERFMON */
    { "td_attributes", "tdx_td_attributes", 0,
      UINT64_C(1) << 0 | UINT64_C(1) << 28 | UINT64_C(1) << 30 | UINT64_C(1) << 63 },
};

/* ---- reading ---- */

static int read_rtmrs(const struct cocos_object *o, struct cocos_tdx *out, struct err *err)
{
    static const char name[] = "rtmrs";
    const json_t *list;
    if (cocos_list(o, name, &list, err) < 0)
        return -1;
    if (!list || json_array_size(list) == 0)
        return 0;
    if (json_array_size(list) != 4)
        return cocos_bad(err, o, name, "%zu registers, want 4 (\"\" skips one)", json_array_size(list));
    for (size_t i = 0; i < 4; i++) {
        AUTO(buf_done) struct buf raw = buf_new(COCOS_SIZE_MAX);
        if (cocos_element(o, name, i, json_array_get(list, i), &raw, err) < 0)
            return -1;
        if (raw.n == 0)
            continue;
        if (raw.n != 48)
            return cocos_bad(err, o, name, "element %zu has %zu bytes, want 48", i, raw.n);
        memcpy(out->rtmr_raw[i], raw.p, 48);
        hex_to(out->rtmr[i].text, buf_bytes(&raw));
    }
    return 0;
}

static int read_header(const struct cocos_object *policy, struct cocos_tdx *out, struct err *err)
{
    static const char *const names[] = { "qe_vendor_id", "minimum_pce_svn", "minimum_qe_svn", NULL };
    struct cocos_object o;
    if (cocos_inner(policy, "header_policy", "policy.headerPolicy", &o, err) < 0
        || cocos_only(&o, names, err) < 0 || cocos_hex(&o, "qe_vendor_id", 16, &out->qe_vendor_id, err) < 0
        || cocos_number32(&o, "minimum_pce_svn", UINT16_MAX, &out->minimum_pce_svn, err) < 0)
        return -1;
    return cocos_number32(&o, "minimum_qe_svn", UINT16_MAX, &out->minimum_qe_svn, err);
}

static int read_body(const struct cocos_object *policy, struct cocos_tdx *out, struct err *err)
{
    static const char *const names[] = { "minimum_tee_tcb_svn",
                                         "mr_seam",
                                         "td_attributes",
                                         "xfam",
                                         "mr_td",
                                         "mr_config_id",
                                         "mr_owner",
                                         "mr_owner_config",
                                         "rtmrs",
                                         "report_data",
                                         "enable_td_debug_check",
                                         "any_mr_td",
                                         NULL };
    struct cocos_object o;
    if (cocos_inner(policy, "td_quote_body_policy", "policy.tdQuoteBodyPolicy", &o, err) < 0
        || cocos_only(&o, names, err) < 0
        || cocos_bytes(&o, "minimum_tee_tcb_svn", 16, out->minimum_tee_tcb_svn, &out->has_minimum_tee_tcb_svn,
                       err)
               < 0)
        return -1;
    for (size_t i = 0; i < COCOS_TDX_FIELDS; i++)
        if (cocos_hex(&o, cocos_tdx_fields[i].name, cocos_tdx_fields[i].size, &out->field[i], err) < 0)
            return -1;
    if (read_rtmrs(&o, out, err) < 0 || cocos_hexes(&o, "any_mr_td", 48, &out->any_mr_td, err) < 0)
        return -1;
    return cocos_bool(&o, "enable_td_debug_check", &out->enable_td_debug_check, err);
}

static int read_trust(const struct cocos_object *whole, const struct cocos_files *files,
                      struct cocos_policy *out, struct err *err)
{
    static const char *const names[] = { "cabundle_paths", "cabundles", "check_crl", "get_collateral", NULL };
    struct cocos_object o;
    bool collateral;
    if (cocos_inner(whole, "root_of_trust", "rootOfTrust", &o, err) < 0 || cocos_only(&o, names, err) < 0
        || cocos_bool(&o, "check_crl", &out->tdx.check_crl, err) < 0
        || cocos_bool(&o, "get_collateral", &collateral, err) < 0)
        return -1;
    if (out->tdx.check_crl && !collateral)
        return cocos_bad(err, &o, "checkCrl", "true, and getCollateral is not: CRLs are collateral");
    return cocos_roots_parse(&o, files, &out->roots, err);
}

int cocos_tdx_parse(const json_t *root, const struct cocos_files *files, struct cocos_policy *out,
                    struct err *err)
{
    static const char *const top[] = { "policy", "root_of_trust", NULL };
    static const char *const parts[] = { "header_policy", "td_quote_body_policy", NULL };
    const struct cocos_object whole = { root, "" };
    struct cocos_object policy;
    if (cocos_only(&whole, top, err) < 0 || cocos_inner(&whole, "policy", "policy", &policy, err) < 0
        || cocos_only(&policy, parts, err) < 0 || read_header(&policy, &out->tdx, err) < 0
        || read_body(&policy, &out->tdx, err) < 0)
        return -1;
    return read_trust(&whole, files, out, err);
}

/* ---- applying ---- */

/* The little-endian number whose bytes a claim shows as hex. */
static bool claim_le64(struct cocos_run *r, const char *field, const char *claim, uint64_t *out)
{
    uint8_t raw[8];
    struct err ignored;
    const char *text = cocos_claim_text(r, field, claim);
    if (!text || hex_decode_fixed(bytes_str(text), raw, sizeof(raw), &ignored) < 0)
        return false;
    *out = le_uint(raw, sizeof(raw));
    return true;
}

static void check_fixed(struct cocos_run *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
        const struct fixed_bits *f = &fixed[i];
        uint64_t have;
        char found[24];
        r->compared++;
        if (!claim_le64(r, f->field, f->claim, &have))
            continue;
        snprintf(found, sizeof(found), "%#" PRIx64, have);
        if ((have & f->always) != f->always)
            cocos_fail(r, f->field, found, "all bits of %#" PRIx64 " set", f->always);
        if (have & ~f->allowed)
            cocos_fail(r, f->field, found, "no bits outside %#" PRIx64, f->allowed);
    }
}

static void check_tcb_svn(struct cocos_run *r, const struct cocos_tdx *t)
{
    static const char field[] = "policy.tdQuoteBodyPolicy.minimumTeeTcbSvn";
    uint8_t have[16];
    char want[33];
    struct err ignored;
    r->compared++;
    const char *text = cocos_claim_text(r, field, "tdx_tee_tcb_svn");
    if (!text)
        return;
    bool holds = hex_decode_fixed(bytes_str(text), have, sizeof(have), &ignored) == 0;
    for (size_t i = 0; holds && i < sizeof(have); i++)
        holds = have[i] >= t->minimum_tee_tcb_svn[i];
    if (!holds)
        cocos_fail(r, field, text, "each byte at least that of %s",
                   hex_to(want, bytes_of(t->minimum_tee_tcb_svn, 16)));
}

static void check_body(struct cocos_run *r, const struct cocos_tdx *t)
{
    static const char *const spelled[COCOS_TDX_FIELDS] = { "mrSeam",        "tdAttributes", "xfam",
                                                           "mrTd",          "mrConfigId",   "mrOwner",
                                                           "mrOwnerConfig", "reportData" };
    char field[64], claim[16];
    for (size_t i = 0; i < COCOS_TDX_FIELDS; i++) {
        if (!t->field[i].text[0])
            continue;
        snprintf(field, sizeof(field), "policy.tdQuoteBodyPolicy.%s", spelled[i]);
        cocos_same(r, field, cocos_tdx_fields[i].claim, t->field[i].text);
    }
    for (unsigned i = 0; i < 4; i++) {
        if (!t->rtmr[i].text[0])
            continue;
        snprintf(field, sizeof(field), "policy.tdQuoteBodyPolicy.rtmrs[%u]", i);
        snprintf(claim, sizeof(claim), "tdx_rtmr%u", i);
        cocos_same(r, field, claim, t->rtmr[i].text);
    }
    if (t->any_mr_td.n) {
        const char *have = cocos_claim_text(r, "policy.tdQuoteBodyPolicy.anyMrTd", "tdx_mrtd");
        r->compared++;
        if (have && !cocos_listed(&t->any_mr_td, have))
            cocos_fail(r, "policy.tdQuoteBodyPolicy.anyMrTd", have, "one of %zu measurements",
                       t->any_mr_td.n);
    }
}

void cocos_tdx_apply(struct cocos_run *r)
{
    const struct cocos_tdx *t = &r->policy->tdx;
    uint64_t attributes;
    check_fixed(r);
    if (t->qe_vendor_id.text[0])
        cocos_same(r, "policy.headerPolicy.qeVendorId", "tdx_qe_vendor_id", t->qe_vendor_id.text);
    if (t->minimum_pce_svn)
        cocos_at_least(r, "policy.headerPolicy.minimumPceSvn", "tdx_header_pce_svn", t->minimum_pce_svn);
    if (t->minimum_qe_svn)
        cocos_at_least(r, "policy.headerPolicy.minimumQeSvn", "tdx_header_qe_svn", t->minimum_qe_svn);
    if (t->has_minimum_tee_tcb_svn)
        check_tcb_svn(r, t);
    check_body(r, t);
    if (t->enable_td_debug_check
        && claim_le64(r, "policy.tdQuoteBodyPolicy.enableTdDebugCheck", "tdx_td_attributes", &attributes)
        && attributes & 1)
        cocos_fail(r, "policy.tdQuoteBodyPolicy.enableTdDebugCheck", "the DEBUG attribute is set",
                   "no debugging");
    r->compared += t->enable_td_debug_check + t->check_crl;
    if (t->check_crl && !cocos_claim_true(r, "tdx_crl_checked"))
        cocos_fail(r, "rootOfTrust.checkCrl", "no CRL that holds was at hand",
                   "CRLs of Intel that do not list the certificates");
}
