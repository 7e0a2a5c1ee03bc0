/** appraisal/ita_request.h: the body of an appraisal request in the shape that Intel Trust Authority's
 * clients send: {"tdx":{"quote","runtime_data",...},"tpm":{...},"policy_ids":[...]}, or the older flat one
 * with "quote" or "report" at the top. Members of our own add what a verifier without a network needs:
 * certificates, collateral, roots of emulators. Parsed is not trusted.
 *  Source: Intel Trust Authority, REST API "attest" v2 and its Go client's evidence builders; contract,
 * section 2. */
#ifndef CVM_APPRAISAL_ITA_REQUEST_H
#define CVM_APPRAISAL_ITA_REQUEST_H

#include "base/buf.h"
#include "base/json.h"

#include <time.h>

#define ITA_CHAIN_MAX    8
#define ITA_POLICIES_MAX 10 /* of one request */
#define ITA_NONCE_MAX    1024
#define ITA_EVIDENCE_MAX (4u << 20) /* all byte members together */
#define ITA_NOTES_MAX    8

/** Whose route was asked. */
enum ita_route { ITA_V2, ITA_V2_AZURE, ITA_SNP_V1 };

/** {"val","iat","signature"} of a verifier's nonce; evidence binds val || iat. */
struct ita_nonce {
    bool given;
    struct bytes val, iat, signature;
};

/** What evidence says it binds besides itself: SHA-512 (TPM: SHA-256) of nonce || user_data. */
struct ita_held {
    struct ita_nonce nonce;
    struct bytes runtime_data, user_data; /* p of an absent one has n 0; has_* tells */
    bool has_runtime_data, has_user_data;
};

struct ita_chain {
    struct bytes item[ITA_CHAIN_MAX]; /* DER */
    size_t n;
};

struct ita_request {
    json_t *root;     /* owned; texts and objects below are borrowed from it */
    struct buf bytes; /* owned; what base64 decodes to */
    enum ita_route route;
    bool flat; /* evidence at the top level */

    bool has_tdx, has_snp, has_tpm;
    struct bytes quote; /* of the TD */
    const json_t *collateral;
    struct bytes report; /* SNP */
    struct bytes vek_cert;
    struct ita_chain cert_chain;
    struct ita_held tee;
    struct {
        struct bytes quote, signature, pcrs, ak_cert;
        const json_t *pcrs_object; /* instead of pcrs: {"hash","pcrs"} as in collaterals, or a PCR file */
        struct ita_chain ak_cert_chain;
        struct ita_held held;
    } tpm;
    const char *gpu_token, *gpu_nonce; /* NVIDIA's attestation token; hex; NULL: none */

    const char *policy_id[ITA_POLICIES_MAX];
    size_t policies;
    bool policy_must_match;
    bool rs256;                          /* token_signing_alg; else PS384 */
    const char *trust_roots;             /* PEM, or NULL */
    const char *at;                      /* RFC 3339, or NULL */
    const char *not_read[ITA_NOTES_MAX]; /* members that clients send and nobody here judges */
    size_t not_read_n;
};

/** Reads a body strictly: an unknown member, a wrong type, two TEEs are refused with the member's path.
 *  @param text  untrusted; not needed afterwards
 *  @return 0 (ita_request_done() it), or -1: ERR_INPUT, ERR_TOO_LARGE, ERR_IO (memory) */
MUST_USE int ita_request_parse(struct bytes text, enum ita_route route, struct ita_request *out,
                               struct err *err);

/** For AUTO(ita_request_done). */
void ita_request_done(struct ita_request *r);

#endif
