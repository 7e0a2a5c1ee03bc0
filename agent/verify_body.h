/** agent/verify_body.h: the body of POST /offchain-verify (contract, section 5). */
#ifndef CVM_AGENT_VERIFY_BODY_H
#define CVM_AGENT_VERIFY_BODY_H

#include "appraisal/appraise.h"

struct verify_body {
    json_t *root; /* owned; texts below are borrowed from it */
    struct buf collaterals, golden;
    struct document document; /* of collaterals, where they are an object */
    const char *trust_roots;  /* PEM, or NULL */
    struct buf accept_binding;
    struct policies policies;
    X509_CRL *crl; /* owned; NULL: none */
    struct verify_material material;
    struct appraise_request request; /* without trust, material and cache */
};

struct verify_body_options {
    const char *directory; /* NULL: *_path is off */
    bool allow_given_roots;
    time_t now;
};

/** Reads a body strictly: a member that is not known is refused.
 *  @return 0 (verify_body_done() it), or -1: ERR_INPUT, ERR_TOO_LARGE, ERR_DENIED (a path or roots that this
 * agent does not allow), ERR_NOT_FOUND, ERR_IO (a file) */
MUST_USE int verify_body_parse(struct bytes text, const struct verify_body_options *options,
                               struct verify_body *out, struct err *err);

/** For AUTO(verify_body_done). */
void verify_body_done(struct verify_body *b);

#endif
