/** tee/tdx_verify.h: a TDX quote, judged. Pure: bytes, collateral, trust anchors and a clock in; checks and a
 * verdict out. Signatures come first, and nothing that is not signed steers the result.
 *
 * What does not depend on the quote is prepared once and used for many, also by several threads: the
 * collateral, and the signer that a platform repeats in each quote. What is left for a quote is one P-256
 * verification.
 *  Sources: Intel TDX DCAP Quoting Library API; Intel SGX PCK Certificate and CRL Profile; Intel PCS API
 * version 4. */
#ifndef CVM_TEE_TDX_VERIFY_H
#define CVM_TEE_TDX_VERIFY_H

#include "base/checks.h"
#include "tee/tdx_collateral.h"
#include "tee/tdx_tcb.h"

/** Trusted roots, compared by their whole DER; borrowed. */
struct tdx_anchors {
    X509 *const *list;
    size_t n;
};

/** Collateral whose signatures, chains and CRLs have been judged; without a clock, so that it can be kept as
 * long as its dates hold. Never written after it is made. */
struct tdx_prepared_collateral;

/** Judges collateral. What does not hold is recorded and fails the checks that need it.
 *  @param c  no longer needed afterwards
 *  @return 0 with a new object in *out, or -1 with ERR_IO: memory is short */
MUST_USE int tdx_prepare_collateral(const struct tdx_collateral *c, const struct tdx_anchors *anchors,
                                    struct tdx_prepared_collateral **out, struct err *err);
void tdx_prepared_collateral_free(struct tdx_prepared_collateral *p);

static inline void tdx_prepared_collateral_drop(struct tdx_prepared_collateral **p)
{
    tdx_prepared_collateral_free(*p);
}

/** Who signed a quote, judged likewise: PCK chain, quoting enclave's report, attestation key. A platform
 * repeats these bytes in each quote until its quoting enclave starts anew. */
struct tdx_prepared_signer;

/** The bytes of a quote that tdx_prepare_signer() judges: all signature data but the signature itself. For
 * keys of caches. */
struct bytes tdx_signer_bytes(const struct tdx_quote *quote);

/** Judges them. What does not hold is recorded and fails the checks that need it.
 *  @param quote  no longer needed afterwards
 *  @return 0 with a new object in *out, or -1 with ERR_IO: memory is short */
MUST_USE int tdx_prepare_signer(const struct tdx_quote *quote, const struct tdx_anchors *anchors,
                                struct tdx_prepared_signer **out, struct err *err);
void tdx_prepared_signer_free(struct tdx_prepared_signer *p);

static inline void tdx_prepared_signer_drop(struct tdx_prepared_signer **p)
{
    tdx_prepared_signer_free(*p);
}

struct tdx_request {
    struct bytes quote;                               /* untrusted, any length */
    const struct tdx_prepared_collateral *collateral; /* NULL: there is none */
    const struct tdx_prepared_signer *signer; /* used if the quote has these very bytes; NULL is fine */
    struct tdx_anchors anchors;               /* for a signer that is not prepared */
    time_t at;
    uint32_t accept;        /* TDX_ACCEPT_DEFAULT, or from tdx_accept_parse() */
    bool accept_expired;    /* collateral whose nextUpdate is over: a warning then */
    bool refuse_service_td; /* a TD that a service TD (migration) is bound to; else it is a warning */
};

struct tdx_verdict {
    bool parsed;            /* quote is filled in */
    struct tdx_quote quote; /* views into the request's bytes */
    bool authentic;         /* a quoting enclave with a PCK below an anchor signed this body */
    size_t anchor;          /* which one, when authentic */
    struct tdx_tcb_result tcb;
    bool has_evaluation;
    uint32_t evaluation;  /* tcbEvaluationDataNumber of the TCB info */
    time_t latest_signed; /* issueDate or thisUpdate of authentic collateral; 0: none */
};

/** Makes all the tdx.* checks of the contract, and document.clock. Every name is recorded whatever happens; a
 * check that an earlier failure made impossible is false. */
void tdx_verify(const struct tdx_request *rq, struct checks *checks, struct tdx_verdict *out);

/** Sets tcb_status, platform_tcb_status, tdx_module_status, qe_status, tcb_date, advisory_ids and
 * tcb_evaluation_data_number in object. @return false when memory is short */
MUST_USE bool tdx_verdict_members(json_t *object, const struct tdx_verdict *verdict);

#endif
