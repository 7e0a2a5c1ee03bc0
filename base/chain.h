/** base/chain.h: certificate chains and CRLs, judged. Pure: bytes, anchors and a clock in, a verdict out.
 * Signatures come first; dates are reported beside the verdict, since verifiers name them as a check of their
 * own. Source: RFC 5280, sections 4.2, 5 and 6.1, as far as the vendors' hierarchies need it. */
#ifndef CVM_BASE_CHAIN_H
#define CVM_BASE_CHAIN_H

#include "base/x509.h"

#include <time.h>

#define CHAIN_DEPTH_MAX 6           /* certificates in a path, leaf and anchor included */
#define CRL_MAX         (16u << 20) /* largest CRL that is parsed */

/** What a chain is built from. */
struct chain_request {
    X509 *leaf;
    X509 *const
        *pool; /* intermediates, untrusted, any order; anchors in it are not trusted for being there */
    size_t pool_n;
    X509 *const *anchors; /* trusted, compared by their whole DER */
    size_t anchors_n;
    time_t at;
};

struct chain_result {
    X509 *path[CHAIN_DEPTH_MAX]; /* borrowed: leaf first, anchor last */
    size_t n;
    size_t anchor;       /* index among the anchors */
    bool dates_hold;     /* every certificate of the path is valid at the clock */
    char dates_why[160]; /* the first that is not, and its dates */
};

/** Finds a path from the leaf to an anchor in which each certificate's signature is by the next: names match,
 * the signature verifies (not over MD5 or SHA-1), the issuer is a CA that may sign certificates, path lengths
 * hold, and no critical extension is there that nobody understands. The anchor itself may be the leaf's
 * direct issuer.
 *  @return 0, or -1 with the certificate where the path ends and why: ERR_NOT_FOUND when no certificate of
 * its issuer's name is at hand, ERR_DENIED when there is one and it will not do */
MUST_USE int chain_verify(const struct chain_request *request, struct chain_result *out, struct err *err);

/** Judges the roots among certificates that came with evidence. If there are any, one must be the anchor that
 * the path ends at, or another certificate of its name and key that this key signed: beside a wrong or
 * damaged root a path to the anchor may still exist, but that is not the chain which was given.
 *  @return 0, or -1 with ERR_DENIED */
MUST_USE int chain_root_fits(X509 *const *certs, size_t n, X509 *anchor, struct err *err);

/** When the whole path is valid, anchor included: from the latest notBefore until the earliest notAfter, so
 * that a verdict can be kept without its clock. @return 0, or -1 with ERR_INPUT: a date that is none */
MUST_USE int chain_dates(const struct chain_result *path, time_t *from, time_t *until, struct err *err);

/** Parses a CRL, DER or PEM. @return 0 with a new reference (X509_CRL_free), or -1 with ERR_INPUT or
 * ERR_TOO_LARGE (over CRL_MAX) */
MUST_USE int crl_parse(struct bytes data, X509_CRL **out, struct err *err);

static inline void crl_drop(X509_CRL **crl)
{
    X509_CRL_free(*crl);
}

/** Judges a CRL by the issuer that must have signed it: issuer name, right to sign CRLs, signature (not over
 * MD5 or SHA-1), no critical extension (the CRL might be partial), dates at the clock.
 *  @return 0, or -1 with ERR_DENIED naming what does not hold */
MUST_USE int crl_verify(X509_CRL *crl, X509 *issuer, time_t at, struct err *err);

/** True if the CRL lists the certificate's serial number (and is by the certificate's issuer). */
bool crl_revokes(X509_CRL *crl, const X509 *cert);

/** thisUpdate and nextUpdate as seconds since 1970; nextUpdate absent: 0. @return 0, or -1 with ERR_INPUT */
MUST_USE int crl_times(const X509_CRL *crl, time_t *this_update, time_t *next_update, struct err *err);

/** An ASN.1 time as seconds since 1970. */
MUST_USE int asn1_time_value(const ASN1_TIME *t, time_t *out, struct err *err);

/** RFC 3339 "2025-01-31T12:00:00Z" (also with an offset or a fraction of seconds) to seconds since 1970; no
 * leap seconds. @return 0, or -1 with ERR_INPUT */
MUST_USE int rfc3339_parse(const char *text, time_t *out, struct err *err);

/** Seconds since 1970 as RFC 3339 in UTC. Returns out. */
char *rfc3339_text(time_t t, char out[static 24]);

#endif
