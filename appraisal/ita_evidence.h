/** appraisal/ita_evidence.h: the evidence of an appraisal request, judged, and the claims that policies see.
 * Signatures and bindings come first; claims hold only what evidence proves. What a policy may weigh (TCB
 * status, SVNs, registers) is a claim here and no reason to refuse; debug guests, revoked platforms and
 * whatever is not signed are refused before any policy is asked. */
#ifndef CVM_APPRAISAL_ITA_EVIDENCE_H
#define CVM_APPRAISAL_ITA_EVIDENCE_H

#include "appraisal/ita_request.h"
#include "base/checks.h"
#include "base/jwt.h"
#include "evidence/verify_trust.h"
#include "tee/collateral.h"

struct ita_options {
    const struct verify_trust *trust;
    struct collateral_service *service; /* for VEKs and TDX collateral not in the request; NULL: none */
    const struct jwks *gpu_keys;        /* of NVIDIA's attestation service; NULL: none are configured */
    time_t at;
};

/** Large: keep it on the heap. */
struct ita_result {
    struct checks checks;
    json_t *claims; /* {"tdx"|"sevsnp":{},"tpm"?:{},"nvgpu"?:{}}; owned; whole only if the checks hold */
};

/** Judges. A no is in the checks.
 *  @return 0 with a new result (ita_result_free()), or -1 with ERR_IO: memory is short */
MUST_USE int ita_judge(const struct ita_request *request, const struct ita_options *options,
                       struct ita_result **out, struct err *err);

void ita_result_free(struct ita_result *r);

/** For AUTO(ita_result_drop) struct ita_result *r. */
static inline void ita_result_drop(struct ita_result **r)
{
    ita_result_free(*r);
}

#endif
