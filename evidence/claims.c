#include "evidence/claims.h"

#include "base/auto.h"
#include "base/digest.h"
#include "tee/pck_cert.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

static void set_hex(json_t *o, const char *key, struct bytes data)
{
    json_object_set_new(o, key, json_hex(data));
}

static void set_flag(json_t *o, const char *key, bool value)
{
    json_object_set_new(o, key, json_boolean(value));
}

static void set_number(json_t *o, const char *key, uint64_t value)
{
    json_object_set_new(o, key, json_integer((json_int_t)value));
}

static void set_text(json_t *o, const char *key, const char *value)
{
    json_object_set_new(o, key, json_string(value));
}

static void set_hex64(json_t *o, const char *key, uint64_t value)
{
    json_object_set_new(o, key, json_hex_u64(value));
}

static void set_tcb64(json_t *o, const char *key, struct bytes stored)
{
    set_hex64(o, key, le_uint(stored.p, stored.n));
}

static void set_chain(json_t *o, const char *root_key, const char *crl_key, const struct claims_chain *chain)
{
    AUTO(buf_done) struct buf der = buf_new(CERT_MAX);
    uint8_t hash[32];
    struct err ignored;
    set_flag(o, crl_key, chain->crl_checked);
    if (!chain->root || x509_put_der(chain->root, &der, &ignored) < 0)
        return;
    sha256(buf_bytes(&der), hash);
    set_hex(o, root_key, bytes_of(hash, sizeof(hash)));
}

/* The report says it from version 3 on; before, the VCEK's product name does ("Milan-B1": stepping 1). */
static void set_stepping(json_t *o, const struct snp_verdict *verdict)
{
    const char *dash = strrchr(verdict->vek_product, '-');
    if (verdict->report.has_cpuid)
        set_number(o, "sevsnp_stepping", verdict->report.cpuid_step);
    else if (dash && dash[1] >= 'A' && dash[1] <= 'Z' && dash[2] >= '0' && dash[2] <= '9' && !dash[3])
        set_number(o, "sevsnp_stepping", (uint64_t)(dash[2] - '0'));
}

/* What no token shows, and attestation policies compare. */
static void set_report_details(json_t *o, const struct snp_verdict *verdict)
{
    const struct snp_report *r = &verdict->report;
    set_number(o, "sevsnp_report_version", r->version);
    set_hex64(o, "sevsnp_policy", r->policy);
    set_hex64(o, "sevsnp_platform_info", r->platform_info);
    set_hex(o, "sevsnp_reportid", r->report_id);
    set_hex(o, "sevsnp_reportid_ma", r->report_id_ma);
    set_hex(o, "sevsnp_chipid", r->chip_id);
    set_tcb64(o, "sevsnp_current_tcb", r->current_tcb);
    set_tcb64(o, "sevsnp_committed_tcb", r->committed_tcb);
    set_tcb64(o, "sevsnp_reported_tcb", r->reported_tcb);
    set_tcb64(o, "sevsnp_launch_tcb", r->launch_tcb);
    set_hex64(o, "sevsnp_vek_tcb", verdict->vek_tcb);
    set_number(o, "sevsnp_current_build", r->current.build);
    set_number(o, "sevsnp_current_version", (uint64_t)r->current.major << 8 | r->current.minor);
    set_number(o, "sevsnp_committed_build", r->committed.build);
    set_number(o, "sevsnp_committed_version", (uint64_t)r->committed.major << 8 | r->committed.minor);
    set_flag(o, "sevsnp_author_key_en", r->author_key_en);
    set_text(o, "sevsnp_product", snp_product_name(verdict->product));
    set_stepping(o, verdict);
}

json_t *claims_snp(const struct snp_verdict *verdict, const struct claims_chain *chain, json_t *runtime_data)
{
    const struct snp_report *r = &verdict->report;
    json_t *o = json_object();
    set_text(o, "attester_type", "AMD SEV-SNP");
    set_text(o, "sevsnp_claim_version", "1.0.0");
    set_hex(o, "sevsnp_launchmeasurement", r->measurement);
    set_hex(o, "sevsnp_reportdata", r->report_data);
    set_hex(o, "sevsnp_hostdata", r->host_data);
    set_hex(o, "sevsnp_familyId", r->family_id);
    set_hex(o, "sevsnp_imageId", r->image_id);
    set_hex(o, "sevsnp_idkeydigest", r->id_key_digest);
    set_hex(o, "sevsnp_authorkeydigest", r->author_key_digest);
    set_number(o, "sevsnp_guestsvn", r->guest_svn);
    set_number(o, "sevsnp_vmpl", r->vmpl);
    set_number(o, "sevsnp_bootloader_svn", verdict->reported.bootloader);
    set_number(o, "sevsnp_tee_svn", verdict->reported.tee);
    set_number(o, "sevsnp_snpfw_svn", verdict->reported.snp);
    set_number(o, "sevsnp_microcode_svn", verdict->reported.microcode);
    set_flag(o, "sevsnp_is_debuggable", r->policy >> SNP_POLICY_DEBUG & 1);
    set_flag(o, "sevsnp_migration_allowed", r->policy >> SNP_POLICY_MIGRATE_MA & 1);
    set_flag(o, "sevsnp_smt_allowed", r->policy >> SNP_POLICY_SMT & 1);
    if (chain) {
        set_report_details(o, verdict);
        set_chain(o, "sevsnp_root_sha256", "sevsnp_crl_checked", chain);
    }
    if (runtime_data)
        json_object_set(o, "sevsnp_runtime_data", runtime_data);
    return o;
}

/* The attributes that tokens show one by one, by their bit. */
static const struct {
    const char *name;
    unsigned bit;
} attributes[] = {
    { "tdx_td_attributes_debug", TDX_ATTR_DEBUG },
    { "tdx_td_attributes_septve_disable", TDX_ATTR_SEPT_VE_DISABLE },
    { "tdx_td_attributes_protection_keys", TDX_ATTR_PKS },
    { "tdx_td_attributes_key_locker", TDX_ATTR_KL },
    { "tdx_td_attributes_perfmon", TDX_ATTR_PERFMON },
    { "tdx_is_debuggable", TDX_ATTR_DEBUG },
    { "tdx_is_migratable", TDX_ATTR_MIGRATABLE },
};

static void set_body(json_t *o, const struct tdx_body *b)
{
    set_hex(o, "tdx_tee_tcb_svn", b->tee_tcb_svn);
    set_hex(o, "tdx_mrseam", b->mr_seam);
    set_hex(o, "tdx_mrsignerseam", b->mr_signer_seam);
    set_hex(o, "tdx_mrtd", b->mr_td);
    set_hex(o, "tdx_mrconfigid", b->mr_config_id);
    set_hex(o, "tdx_mrowner", b->mr_owner);
    set_hex(o, "tdx_mrownerconfig", b->mr_owner_config);
    for (unsigned i = 0; i < TDX_RTMRS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "tdx_rtmr%u", i);
        set_hex(o, key, b->rtmr[i]);
    }
    set_hex(o, "tdx_seam_attributes", b->seam_attributes);
    set_hex(o, "tdx_td_attributes", b->td_attributes);
    set_hex(o, "tdx_xfam", b->xfam);
    set_hex(o, "tdx_report_data", b->report_data);
    set_number(o, "tdx_seamsvn", le_uint(b->tee_tcb_svn.p, 2));
    for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
        set_flag(o, attributes[i].name, tdx_attributes(b) >> attributes[i].bit & 1);
}

/* Facts of the PCK that an authentic quote carries. */
static void set_pck(json_t *o, json_t *collateral, const struct tdx_quote *quote)
{
    X509 *chain[4] = { NULL };
    struct pck_cert pck;
    struct err ignored;
    int n = quote->pck_chain.n ? x509_parse_chain(quote->pck_chain, chain, ARRAY_SIZE(chain), &ignored) : 0;
    if (n > 0 && pck_cert_parse(chain[0], &pck, &ignored) == 0) {
        json_t *svn = json_array();
        for (unsigned i = 0; i < PCK_COMPONENTS; i++)
            json_array_append_new(svn, json_integer(pck.component_svn[i]));
        json_object_set_new(o, "tdx_tcb_comp_svn", svn);
        set_number(o, "tdx_pcesvn", pck.pcesvn);
        set_hex(collateral, "fmspc", pck.fmspc);
    }
    ERR_clear_error();
    for (int i = 0; i < n; i++)
        X509_free(chain[i]);
}

static void set_tcb(json_t *o, json_t *collateral, const struct tdx_verdict *verdict)
{
    const char *status = tdx_tcb_status_name(verdict->tcb.status);
    if (status)
        set_text(o, "attester_tcb_status", status);
    if (verdict->tcb.date[0])
        set_text(o, "attester_tcb_date", verdict->tcb.date);
    if (verdict->tcb.advisories.n) {
        json_t *ids = json_array();
        for (size_t i = 0; i < verdict->tcb.advisories.n; i++)
            json_array_append_new(ids, json_string(verdict->tcb.advisories.id[i]));
        json_object_set_new(o, "attester_advisory_ids", ids);
    }
    if (verdict->has_evaluation)
        set_number(collateral, "tcbevaluationdatanumber", verdict->evaluation);
}

/* The header's bytes 8 and 10, where go-tdx-guest reads PCE SVN and QE SVN (Intel: reserved). */
static void set_header(json_t *o, const struct tdx_quote *quote)
{
    struct reader r = reader_of(quote->signed_bytes);
    uint16_t pce = 0, qe = 0;
    set_number(o, "tdx_quote_version", quote->version);
    set_hex(o, "tdx_qe_vendor_id", quote->qe_vendor_id);
    if (!rd_skip(&r, 8) || !rd_u16le(&r, &pce) || !rd_u16le(&r, &qe))
        return;
    set_number(o, "tdx_header_pce_svn", pce);
    set_number(o, "tdx_header_qe_svn", qe);
}

json_t *claims_tdx(const struct tdx_verdict *verdict, const struct claims_chain *chain, json_t *runtime_data)
{
    const struct tdx_quote *quote = &verdict->quote;
    json_t *o = json_object(), *collateral = json_object();
    uint8_t hash[32];
    sha256(bytes_of(quote->signed_bytes.p, quote->quote_len), hash);
    set_text(o, "attester_type", "TDX");
    set_body(o, &quote->body);
    if (chain) {
        set_header(o, quote);
        set_chain(o, "tdx_root_sha256", "tdx_crl_checked", chain);
    }
    set_hex(collateral, "quotehash", bytes_of(hash, sizeof(hash)));
    set_pck(o, collateral, quote);
    set_tcb(o, collateral, verdict);
    json_object_set_new(o, "tdx_collateral", collateral);
    if (runtime_data)
        json_object_set(o, "attester_runtime_data", runtime_data);
    return o;
}

/* "SHA-256" as tokens spell it. */
static const char *bank_name(uint16_t alg)
{
    return alg == ALG_SHA1     ? "SHA-1"
           : alg == ALG_SHA256 ? "SHA-256"
           : alg == ALG_SHA384 ? "SHA-384"
           : alg == ALG_SHA512 ? "SHA-512"
                               : "SM3-256";
}

json_t *claims_tpm(const struct tpm_pcrs *pcrs)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        if (!(pcrs->mask >> i & 1))
            continue;
        json_array_append_new(list, json_pack("{s:s,s:i,s:o}", "alg", bank_name(pcrs->alg), "index", (int)i,
                                              "digest", json_hex(digest_bytes(&pcrs->pcr[i]))));
    }
    return json_pack("{s:o}", "pcrs", list);
}
