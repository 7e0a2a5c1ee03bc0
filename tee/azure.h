/** tee/azure.h: what is Azure's own: the HCL report in the TPM's NV memory and its refresh, and the two
 * services at the link-local metadata address. All of it is untrusted transport.
 *  Source: kinvolk/azure-cvm-tooling (az-cvm-vtpm/src/vtpm, az-snp-vtpm/src/imds.rs,
 * az-tdx-vtpm/src/imds.rs), microsoft/openvmm openhcl_attestation_protocol. */
#ifndef CVM_TEE_AZURE_H
#define CVM_TEE_AZURE_H

#include "base/buf.h"
#include "tee/lower.h"
#include "tpm/tpm.h"

#define AZURE_NV_HCL_REPORT 0x01400001u
#define AZURE_NV_USER_DATA  0x01400002u
#define AZURE_USER_DATA     64
#define AZURE_HCL_MAX       (16u << 10)
#define AZURE_JSON_MAX      (64u << 10) /* an answer of the metadata service */
#define AZURE_REFRESH_MAX   10000       /* ms */
#define AZURE_IMDS_MS       5000        /* one request to the metadata service */

/** Reads the HCL report as it is now (appends to out). @return 0, or -1 with ERR_NOT_FOUND: not Azure */
MUST_USE int azure_hcl_read(struct tpm *tpm, struct buf *out, struct err *err);

/** One visit to the TPM: runs fn(tpm, arg) where the TPM may be used and waits for it. Between two visits
 * others use the TPM. evidence/collect.h's collector_with_tpm() is one. */
typedef int azure_visit_fn(void *ctx, int (*fn)(struct tpm *tpm, void *arg, struct err *err), void *arg,
                           struct err *err);

/** Has the paravisor make a new report bound to user_data: writes the user-data index (defining it anew if it
 * is missing or of another size), then reads the report until its runtime data hold user_data.
 *  @param visit        called with ctx for each short use of the TPM
 *  @param deadline_ms  at most AZURE_REFRESH_MAX
 *  @param out          receives the whole HCL report
 *  @return 0, or -1: ERR_UNAVAILABLE at the deadline (the old report still stands), else as the TPM says */
MUST_USE int azure_hcl_refresh(azure_visit_fn *visit, void *ctx,
                               const uint8_t user_data[static AZURE_USER_DATA], unsigned deadline_ms,
                               struct buf *out, struct err *err);

/** A TD quote for a TDREPORT (1024 bytes) from the metadata service (POST /acc/tdquote). The quote must carry
 * the TDREPORT's report_data and MRTD.
 *  @return 0, or -1: ERR_UNAVAILABLE (no answer, with its status), ERR_INPUT (garbage), ERR_IO (a quote for
 *          another TD or report) */
MUST_USE int azure_td_quote(const struct lower *l, struct bytes tdreport, unsigned deadline_ms,
                            struct buf *quote, struct err *err);

/** The JSON answer of /acc/tdquote, judged as azure_td_quote() does; pure. */
MUST_USE int azure_td_quote_parse(struct bytes json, struct bytes tdreport, struct buf *quote,
                                  struct err *err);

/** Certificates of the THIM service, DER; not matched to any report here. */
struct azure_thim {
    struct buf vcek;
    struct buf chain[2]; /* ASK, ARK */
};

/** GET /metadata/THIM/amd/certification. */
MUST_USE int azure_thim(const struct lower *l, unsigned deadline_ms, struct azure_thim *out,
                        unsigned *retry_after_s, struct err *err);

/** The JSON answer of THIM; pure. */
MUST_USE int azure_thim_parse(struct bytes json, struct azure_thim *out, struct err *err);

/** For AUTO(azure_thim_done). */
void azure_thim_done(struct azure_thim *t);

#endif
