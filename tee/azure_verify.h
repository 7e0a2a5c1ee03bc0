/** tee/azure_verify.h: the HCL report of an Azure confidential VM, judged: hardware report -> runtime data ->
 * the virtual TPM's attestation key. The hardware report itself is judged by snp_verify() or tdx_verify().
 * Pure. Sources: microsoft/openvmm openhcl_attestation_protocol; Azure confidential VM guest attestation, as
 * recorded evidence shows it. */
#ifndef CVM_TEE_AZURE_VERIFY_H
#define CVM_TEE_AZURE_VERIFY_H

#include "base/checks.h"
#include "base/x509.h"
#include "tee/hcl_report.h"
#include "tee/snp_verify.h"
#include "tee/tdreport.h"

/** An HCL report taken apart; views into its bytes. */
struct azure_report {
    struct hcl_report hcl;
    struct hcl_claims claims; /* owned; root is NULL if they do not parse */
    EVP_PKEY *ak;             /* owned; HCLAkPub, NULL if there is none */
    struct tdreport td;       /* if hcl.report_type is HCL_TDX */
};

/** Takes an HCL report apart and makes the check azure.format.
 *  @param out  filled in if true; free with azure_close()
 *  @return false if the bytes cannot be read; all other azure.* checks are then recorded as false */
MUST_USE bool azure_open(struct bytes raw, struct azure_report *out, struct checks *checks);
void azure_close(struct azure_report *r);

/** Makes azure.runtime_data_binding (report_data is the hash of the runtime data), azure.vmpl (SNP: the
 * report is of the paravisor, VMPL 0; else null) and azure.td_quote_binding (TDX: the quote has the
 * TDREPORT's report_data and MRTD; else null). They compare; whether the hardware report is genuine is said
 * by its own checks.
 *  @param td_quote  body of the parsed TD quote, NULL: there is none
 *  @return true if all that apply hold */
bool azure_verify(const struct azure_report *r, const struct tdx_body *td_quote, struct checks *checks);

/** Makes azure.ak_binding: the key is HCLAkPub. May be called for several keys: the worst result stays.
 *  @param key    NULL: unreadable
 *  @param whose  for the detail: "the quote is signed by", "the AK certificate is of" */
void azure_verify_ak(const struct azure_report *r, EVP_PKEY *key, const char *whose, struct checks *checks);

/** Makes tpm.ak_anchor: HCLAkPub is anchored when genuine hardware signed the runtime data that names it.
 *  @param hardware_holds  every check of the hardware report holds
 *  @param bound           what azure_verify() returned */
void azure_verify_anchor(const struct azure_report *r, bool hardware_holds, bool bound,
                         struct checks *checks);

#endif
