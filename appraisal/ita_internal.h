/* appraisal/ita_internal.h: what the parts of ita_judge() share. */
#ifndef CVM_APPRAISAL_ITA_INTERNAL_H
#define CVM_APPRAISAL_ITA_INTERNAL_H

#include "appraisal/ita_evidence.h"
#include "tee/hcl_report.h"
#include "tee/snp_verify.h"
#include "tee/tdx_verify.h"

struct ita_judging {
    const struct ita_request *request;
    const struct ita_options *options;
    struct ita_result *result;
    bool tee_holds;           /* every check of the hardware evidence */
    struct bytes report_data; /* of authentic evidence, 64 bytes; empty: none */
    struct hcl_claims hcl;    /* Azure: runtime data that report_data is the hash of; root NULL: none */
    EVP_PKEY *ak;             /* who signed the TPM quote, once it is anchored; owned */
    uint8_t ak_spki[32];      /* SHA-256 of its SubjectPublicKeyInfo */
    bool ak_bound;            /* report_data begins with that */
};

/** The TEE's evidence: fills tee_holds, report_data and the claims. */
MUST_USE int ita_judge_tdx(struct ita_judging *j, struct err *err);
MUST_USE int ita_judge_snp(struct ita_judging *j, struct err *err);

/** Azure's runtime data: makes azure.runtime_data_binding, fills hcl. */
MUST_USE int ita_judge_runtime_data(struct ita_judging *j, struct err *err);

/** That evidence binds nonce and data of the caller: makes binding.nonce. After ita_judge_tpm(). */
MUST_USE int ita_judge_held(struct ita_judging *j, struct err *err);

/** The TPM's quote: makes the tpm.* checks and the claims. */
MUST_USE int ita_judge_tpm(struct ita_judging *j, struct err *err);

/** val || iat || data of a held structure. */
void ita_held_put(struct buf *out, const struct ita_held *held);

#endif
