/** evidence/claims.h: what proven evidence says, in the names of Intel Trust Authority tokens, for policies
 * and people. Source of the names: Intel Trust Authority's attestation token documents (TDX, SEV-SNP, TPM).
 */
#ifndef CVM_EVIDENCE_CLAIMS_H
#define CVM_EVIDENCE_CLAIMS_H

#include "evidence/verify.h"

/** What was found beside the evidence. */
struct claims_chain {
    X509 *root;       /* where the evidence's chain ends; NULL: not said */
    bool crl_checked; /* a CRL was at hand, holds, and lists none of the chain */
};

/** The member "sevsnp": a new object, or NULL when memory is short.
 *  @param chain  NULL: the names of tokens only. Else also the fields that attestation policies compare; TCBs
 * as the report stores them, 64-bit numbers as "0x..."
 *  @param runtime_data  Azure: what report_data binds; else NULL. Borrowed. */
json_t *claims_snp(const struct snp_verdict *verdict, const struct claims_chain *chain, json_t *runtime_data);

/** The member "tdx". */
json_t *claims_tdx(const struct tdx_verdict *verdict, const struct claims_chain *chain, json_t *runtime_data);

/** The member "tpm": {"pcrs":[{"alg":"SHA-256","index":0,"digest":hex},...]}. */
json_t *claims_tpm(const struct tpm_pcrs *pcrs);

/** Who vouches for each register, and who could have forged it, on this cloud and TEE: a new object
 * {register:
 * {"vouches_for":text,"forgeable_by":text}}, or NULL when memory is short.
 *  @param rtmrs  the TD extends its RTMRs (Azure's do not)
 *  @param ak     of the quote's key: true where somebody else than the guest names it */
json_t *coverage_json(enum tee_type tee, enum cloud_type cloud, bool tpm, bool rtmrs, bool ak);

#endif
