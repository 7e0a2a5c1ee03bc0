/** appraisal/ita_token.h: what an appraisal answers: a signed token with the claims of an Intel Trust
 * Authority token. Source: Intel Trust Authority, "Attestation tokens and claims"; RFC 7519. */
#ifndef CVM_APPRAISAL_ITA_TOKEN_H
#define CVM_APPRAISAL_ITA_TOKEN_H

#include "appraisal/ita_evidence.h"

#define ITA_TOKEN_LIFE_S  300
#define ITA_EAT_PROFILE   "https://portal.trustauthority.intel.com/eat_profile.html"
#define ITA_POLICY_ID_MAX 64

/** The outcome of one policy. */
struct ita_applied {
    const char *id;   /* UUID */
    unsigned version; /* from 1: "v1" */
    const char *hash; /* base64 of SHA-384 over the text as it was uploaded */
    bool matched;
    const json_t *defined; /* policy_defined_claims, an object; NULL: none. Borrowed */
};

struct ita_issuer {
    const char *name;     /* iss */
    const char *instance; /* UUID of this process */
    time_t now;
};

/** The claims of a token over evidence that holds and policies that ran.
 *  @return 0 with a new object, or -1: ERR_DENIED (policy_must_match, and one does not), ERR_INPUT (two
 *  policies define one claim differently), ERR_IO */
MUST_USE int ita_token_claims(const struct ita_request *request, const struct ita_result *result,
                              const struct ita_applied *applied, size_t n, const struct ita_issuer *issuer,
                              json_t **out, struct err *err);

/** A random UUID, version 4 (RFC 9562), and its terminator. */
MUST_USE int uuid_new(char out[static 37], struct err *err);

#endif
