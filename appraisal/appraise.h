/** appraisal/appraise.h: the whole answer of contract section 5: a document verified, then held against a
 * golden measurement and policies. cvm-cli verify and POST /offchain-verify both give it. */
#ifndef CVM_APPRAISAL_APPRAISE_H
#define CVM_APPRAISAL_APPRAISE_H

#include "appraisal/policies.h"
#include "evidence/verify.h"
#include "policy/registers.h"

struct appraise_request {
    struct bytes collaterals;        /* JSON; untrusted */
    struct document *document;       /* the same, parsed already: taken over. NULL: collaterals */
    struct bytes golden;             /* JSON; no bytes: none */
    struct bytes golden_key;         /* PEM of the public key that must have signed it; no bytes: not asked */
    const struct policies *policies; /* NULL: none */
    struct verify_options verify;    /* what golden and policies pin of RTMR1 and RTMR2 is set here */
};

struct appraisal {
    struct verify_result *result;
    json_t *facts; /* members of the answer besides success, error, checks, warnings */
};

/** Judges. A refusal is in the checks; an input that cannot be read is an error.
 *  @return 0 with a new appraisal in *out, whatever it says; or -1: ERR_INPUT or ERR_TOO_LARGE (which input,
 * where, what), ERR_IO (memory) */
MUST_USE int appraise(const struct appraise_request *request, struct appraisal *out, struct err *err);

/** For AUTO(appraisal_done) struct appraisal a = { 0 }. */
void appraisal_done(struct appraisal *a);

/** The answer as a new object {"success","error"?,"checks",...,"warnings"}, or NULL when memory is short. */
json_t *appraisal_json(const struct appraisal *a);

/** Fills the registers that golden measurements are compared with; only what is proven.
 *  @param out  empty; registers_done() */
MUST_USE int registers_of(const struct verify_result *r, struct registers *out, struct err *err);

/** The TEE's part of the registers, from a report and its reported TCB, or from a quote's body: for callers
 * that compare documents without verifying them. */
MUST_USE int registers_set_snp(struct registers *out, const struct snp_report *r, const struct snp_tcb *tcb,
                               struct err *err);
MUST_USE int registers_set_tdx(struct registers *out, const struct tdx_body *b, struct err *err);

/** Fills an empty trust with the built-in certificates of all vendors. */
MUST_USE int trust_load(struct verify_trust *out, struct err *err);

#endif
