#include "tee/azure_verify.h"

#include "base/auto.h"

#include <openssl/err.h>

static int load_ak(const struct hcl_claims *claims, EVP_PKEY **out, struct err *err)
{
    AUTO(buf_done) struct buf spki = buf_new(4096);
    if (hcl_key_spki(claims, HCL_KEY_AK, &spki, err) < 0)
        return -1;
    return spki_parse_der(buf_bytes(&spki), out, err) < 0 ? err_while(err, HCL_KEY_AK) : 0;
}

static int check_format(struct azure_report *r, struct err *err)
{
    if (r->hcl.report_type != HCL_SNP && r->hcl.report_type != HCL_TDX)
        return err_set(err, ERR_INPUT, 0, "hardware report of type %u: want 2 (SNP) or 4 (TDX)",
                       (unsigned)r->hcl.report_type);
    if (r->hcl.report_type == HCL_TDX && tdreport_parse(r->hcl.hw, &r->td, err) < 0)
        return -1;
    if (hcl_claims_parse(r->hcl.var_data, &r->claims, err) < 0)
        return -1;
    return load_ak(&r->claims, &r->ak, err);
}

bool azure_open(struct bytes raw, struct azure_report *out, struct checks *checks)
{
    static const char *const others[] = { "azure.runtime_data_binding", "azure.vmpl",
                                          "azure.td_quote_binding", "azure.ak_binding", "tpm.ak_anchor" };
    struct azure_report r = { .ak = NULL };
    struct err err = { 0 };
    if (hcl_report_parse(raw, &r.hcl, &err) < 0) {
        checks_add_rc(checks, "azure.format", -1, NULL, &err);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
            checks_add(checks, others[i], CHECK_FAILED, "not made: the HCL report cannot be read");
        return false;
    }
    int rc = check_format(&r, &err);
    if (rc < 0)
        checks_add_rc(checks, "azure.format", rc, NULL, &err);
    else
        checks_add(checks, "azure.format", CHECK_OK,
                   "HCL report version %u around a report of %s, runtime data hashed by %s",
                   (unsigned)r.hcl.version, hcl_report_type_name(r.hcl.report_type),
                   hcl_hash_type_name(r.hcl.hash_type));
    *out = r;
    return true;
}

void azure_close(struct azure_report *r)
{
    hcl_claims_done(&r->claims);
    EVP_PKEY_free(r->ak);
}

static int check_runtime_data(const struct azure_report *r, struct err *err)
{
    uint8_t want[64];
    struct reader at = reader_of(r->hcl.hw);
    struct bytes report_data;
    bool snp = r->hcl.report_type == HCL_SNP;
    if ((!snp && r->hcl.report_type != HCL_TDX)
        || !rd_skip(&at, snp ? (size_t)SNP_OFF_REPORT_DATA : (size_t)TDREPORT_OFF_REPORT_DATA)
        || !rd_take(&at, sizeof(want), &report_data))
        return err_set(err, ERR_INPUT, 0, "there is no hardware report to compare with");
    if (hcl_expected_report_data(&r->hcl, want, err) < 0)
        return -1;
    if (!bytes_equal(report_data, bytes_of(want, sizeof(want))))
        return err_set(err, ERR_DENIED, 0,
                       "report_data is not the hash of the runtime data: one of them was changed");
    return 0;
}

#define AT(member) offsetof(struct tdx_body, member)

/* A quote repeats what the TDREPORT says that it was made of. The MAC, which would bind the rest, only the
 * same processor can check. */
static const struct {
    const char *name;
    size_t at;
} repeated[] = {
    { "report_data", AT(report_data) },
    { "MRTD", AT(mr_td) },
    { "TEE_TCB_SVN", AT(tee_tcb_svn) },
    { "MRSEAM", AT(mr_seam) },
    { "MRSIGNERSEAM", AT(mr_signer_seam) },
    { "SEAM attributes", AT(seam_attributes) },
    { "TD attributes", AT(td_attributes) },
    { "XFAM", AT(xfam) },
    { "MRCONFIGID", AT(mr_config_id) },
    { "MROWNER", AT(mr_owner) },
    { "MROWNERCONFIG", AT(mr_owner_config) },
    { "RTMR0", AT(rtmr[0]) },
    { "RTMR1", AT(rtmr[1]) },
    { "RTMR2", AT(rtmr[2]) },
    { "RTMR3", AT(rtmr[3]) },
};

static int check_td_quote(const struct azure_report *r, const struct tdx_body *quote, struct err *err)
{
    if (!quote)
        return err_set(err, ERR_NOT_FOUND, 0, "there is no TD quote to compare with");
    if (!r->td.raw.n)
        return err_set(err, ERR_INPUT, 0, "there is no TDREPORT to compare with");
    if (!tdreport_consistent(&r->td))
        return err_set(err, ERR_DENIED, 0, "the TDREPORT's hashes are not those of its parts");
    for (size_t i = 0; i < ARRAY_SIZE(repeated); i++) {
        const struct bytes *of_quote = (const void *)((const char *)quote + repeated[i].at);
        const struct bytes *of_report = (const void *)((const char *)&r->td.body + repeated[i].at);
        if (!bytes_equal(*of_quote, *of_report))
            return err_set(err, ERR_DENIED, 0, "the TD quote has another %s than the TDREPORT",
                           repeated[i].name);
    }
    return 0;
}

/* On Azure VMPL 0 is the paravisor's; a guest at another level could have made the runtime data up. */
static int check_vmpl(const struct azure_report *r, struct err *err)
{
    struct snp_report report;
    if (snp_report_parse(r->hcl.hw, &report, err) < 0)
        return -1;
    if (report.vmpl != 0)
        return err_set(err, ERR_DENIED, 0,
                       "the SNP report was asked for at VMPL %u, not by the paravisor at 0",
                       (unsigned)report.vmpl);
    return 0;
}

bool azure_verify(const struct azure_report *r, const struct tdx_body *td_quote, struct checks *checks)
{
    bool snp = r->hcl.report_type == HCL_SNP;
    struct err err = { 0 };
    int bound = check_runtime_data(r, &err);
    checks_add_rc(checks, "azure.runtime_data_binding", bound, "report_data is the hash of the runtime data",
                  &err);
    int place = snp ? check_vmpl(r, &err) : check_td_quote(r, td_quote, &err);
    if (snp) {
        checks_add_rc(checks, "azure.vmpl", place, "VMPL 0: the paravisor's report", &err);
        checks_add(checks, "azure.td_quote_binding", CHECK_NOT_APPLICABLE, "an SNP machine has no TD quote");
    } else {
        checks_add(checks, "azure.vmpl", CHECK_NOT_APPLICABLE, "TDX has no VMPL");
        checks_add_rc(checks, "azure.td_quote_binding", place, "the TD quote is of this TDREPORT", &err);
    }
    return bound == 0 && place == 0;
}

void azure_verify_ak(const struct azure_report *r, EVP_PKEY *key, const char *whose, struct checks *checks)
{
    bool same = r->ak && key && EVP_PKEY_eq(r->ak, key) == 1;
    ERR_clear_error();
    checks_add(checks, "azure.ak_binding", same ? CHECK_OK : CHECK_FAILED, "%s %s", whose,
               same     ? "HCLAkPub"
               : !r->ak ? "a key, and the runtime data name none"
                        : "another key than HCLAkPub");
}

void azure_verify_anchor(const struct azure_report *r, bool hardware_holds, bool bound, struct checks *checks)
{
    bool anchored = r->ak && hardware_holds && bound;
    checks_add(checks, "tpm.ak_anchor", anchored ? CHECK_OK : CHECK_FAILED, "%s",
               anchored          ? "HCLAkPub, in runtime data that the hardware report signs"
               : !hardware_holds ? "the hardware report does not hold"
               : !bound          ? "the hardware report is not over the runtime data"
                                 : "the runtime data name no attestation key");
}
