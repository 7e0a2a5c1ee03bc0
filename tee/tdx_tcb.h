/** tee/tdx_tcb.h: what Intel's TCB info and TD quoting enclave identity say, and the status that they give a
 * platform. Parsed is not trusted: the signature over the bytes is checked by tdx_verify.h before this is
 * asked. Source: Intel PCS API version 4 (TDX TCB info V3, enclave identity V2); order and rules of the
 * evaluation: Intel TDX DCAP, quote verification library, "TCB level evaluation". */
#ifndef CVM_TEE_TDX_TCB_H
#define CVM_TEE_TDX_TCB_H

#include "tee/pck_cert.h"
#include "tee/tdx_quote.h"

#include <time.h>

#define TDX_TCB_COMPONENTS     16
#define TDX_TCB_LEVELS_MAX     64
#define TDX_ISV_LEVELS_MAX     32
#define TDX_MODULES_MAX        16
#define TDX_ADVISORIES_MAX     192 /* of a verdict; of a level a third: the longest recorded has 24 */
#define TDX_ADVISORY_SIZE      32
#define TDX_COLLATERAL_DOC_MAX (512u << 10) /* a TCB info or identity; recorded ones have 7 KB */

/** Better first. */
enum tdx_tcb_status {
    TDX_TCB_UNKNOWN, /* null: not judged */
    TDX_TCB_UP_TO_DATE,
    TDX_TCB_SW_HARDENING_NEEDED,
    TDX_TCB_CONFIGURATION_NEEDED,
    TDX_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED,
    TDX_TCB_TD_RELAUNCH_ADVISED, /* this and the next only as results */
    TDX_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED,
    TDX_TCB_OUT_OF_DATE,
    TDX_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED,
    TDX_TCB_REVOKED,
    TDX_TCB_NO_MATCHING_LEVEL, /* only as a result */
    TDX_TCB_STATUSES
};

/** Intel's name, "NoMatchingTcbLevel", or NULL for TDX_TCB_UNKNOWN. */
const char *tdx_tcb_status_name(enum tdx_tcb_status status);

/** Sets of statuses: 1u << status. TDX_ACCEPT_NO_COLLATERAL: a verdict without any status is accepted too. */
#define TDX_ACCEPT_NO_COLLATERAL (1u << TDX_TCB_UNKNOWN)
#define TDX_ACCEPT_DEFAULT       (1u << TDX_TCB_UP_TO_DATE | 1u << TDX_TCB_SW_HARDENING_NEEDED)

/** Reads "S,S,…": Intel's names (any case), and "none" for TDX_ACCEPT_NO_COLLATERAL. UpToDate is always in
 * the set; "none" alone leaves the default. Revoked and NoMatchingTcbLevel are never acceptable.
 *  @return 0, or -1 with ERR_INPUT naming the word */
MUST_USE int tdx_accept_parse(const char *list, uint32_t *out, struct err *err);

/** A level of the platform. */
struct tdx_tcb_level {
    uint8_t sgx[TDX_TCB_COMPONENTS], tdx[TDX_TCB_COMPONENTS];
    uint16_t pcesvn;
    enum tdx_tcb_status status;
    char date[24];
    const json_t *advisories; /* array of texts in the document, or NULL */
};

/** A level of one thing with a security version: the TDX module, the quoting enclave. */
struct tdx_isv_level {
    uint16_t isvsvn;
    enum tdx_tcb_status status;
    const json_t *advisories;
};

struct tdx_isv_levels {
    struct tdx_isv_level list[TDX_ISV_LEVELS_MAX];
    size_t n;
};

struct tdx_module {
    uint8_t version; /* of "TDX_xx" */
    uint8_t mr_signer[48], attributes[8], attributes_mask[8];
    struct tdx_isv_levels levels;
};

struct tdx_tcb_info {
    json_t *doc; /* owns what the levels' advisories point to */
    time_t issued, next_update;
    uint32_t evaluation; /* tcbEvaluationDataNumber */
    uint8_t fmspc[6], pceid[2];
    bool has_module;
    struct tdx_module module; /* version 0, without levels */
    struct tdx_module identities[TDX_MODULES_MAX];
    size_t identities_n;
    struct tdx_tcb_level levels[TDX_TCB_LEVELS_MAX]; /* highest first, as Intel sorts them */
    size_t levels_n;
};

struct tdx_qe_identity {
    json_t *doc;
    time_t issued, next_update;
    uint32_t evaluation;
    uint8_t misc_select[4], misc_select_mask[4];
    uint8_t attributes[16], attributes_mask[16];
    uint8_t mr_signer[32];
    uint16_t isv_prod_id;
    struct tdx_isv_levels levels;
};

/** Reads the inner object of a TCB info: id TDX, version 3. SGX's is refused by name.
 *  @param out  written only on success; tdx_tcb_info_done() frees
 *  @return 0, or -1 with ERR_INPUT naming the member */
MUST_USE int tdx_tcb_info_parse(struct bytes raw, struct tdx_tcb_info *out, struct err *err);
void tdx_tcb_info_done(struct tdx_tcb_info *info);

/** Reads the inner object of a TD quoting enclave identity: id TD_QE, version 2. SGX's QE is refused by name.
 */
MUST_USE int tdx_qe_identity_parse(struct bytes raw, struct tdx_qe_identity *out, struct err *err);
void tdx_qe_identity_done(struct tdx_qe_identity *identity);

/** The TDX module of the body is one that the TCB info knows: version, signer, attributes.
 *  @param found  the identity with its levels, or NULL for module version 0, which has none
 *  @return 0, or -1 with ERR_DENIED */
MUST_USE int tdx_module_identity_check(const struct tdx_tcb_info *info, const struct tdx_body *body,
                                       const struct tdx_module **found, struct err *err);

/** The quoting enclave's report is of the identity, and not a debug enclave. */
MUST_USE int tdx_qe_identity_check(const struct tdx_qe_identity *identity, const struct tdx_qe_report *report,
                                   struct err *err);

/** A set of advisory names, in the order first seen. */
struct tdx_advisories {
    size_t n;
    char id[TDX_ADVISORIES_MAX][TDX_ADVISORY_SIZE];
};

struct tdx_tcb_result {
    enum tdx_tcb_status status;               /* all converged */
    enum tdx_tcb_status platform, module, qe; /* module: TDX_TCB_UNKNOWN for module version 0 */
    char date[24];                            /* of the platform's level, or "" */
    struct tdx_advisories advisories;         /* of the three levels; none without a platform level */
};

/** What is evaluated: all authenticated, and of the platform that the TCB info is for. */
struct tdx_tcb_request {
    const struct tdx_tcb_info *info;
    const struct tdx_qe_identity *qe_identity;
    const struct pck_cert *pck;
    const struct tdx_body *body;
    const struct tdx_module *module; /* from tdx_module_identity_check() */
    uint16_t qe_isv_svn;
};

/** Finds the levels and converges them. */
void tdx_tcb_evaluate(const struct tdx_tcb_request *rq, struct tdx_tcb_result *out);

#endif
