/** evidence/verify_trust.h: the roots that a verification may end at, by vendor. Built-in ones are given
 * first; then extra ones, good for every vendor's part, as an emulator's roots.pem has them. */
#ifndef CVM_EVIDENCE_VERIFY_TRUST_H
#define CVM_EVIDENCE_VERIFY_TRUST_H

#include "base/x509.h"

enum verify_vendor { VERIFY_AMD, VERIFY_INTEL, VERIFY_GOOGLE, VERIFY_MICROSOFT, VERIFY_VENDORS };

#define VERIFY_ANCHORS_MAX 48
#define VERIFY_POOL_MAX    32
#define VERIFY_EXTRA_MAX   32

struct verify_vendor_trust {
    X509 *anchor[VERIFY_ANCHORS_MAX]; /* built-in ones first */
    size_t anchors, builtin;
    X509 *pool[VERIFY_POOL_MAX];
    size_t pooled;
};

/** Never written once verifications use it. */
struct verify_trust {
    struct verify_vendor_trust vendor[VERIFY_VENDORS];
    bool has_extra;
    uint8_t id[32]; /* names the set of anchors: part of every cache key */
};

/** Adds a built-in certificate (PEM or DER): an anchor, or an intermediate for building chains.
 *  @return 0, or -1: ERR_INPUT, ERR_TOO_LARGE (full, or extra roots are in already) */
MUST_USE int verify_trust_add(struct verify_trust *t, enum verify_vendor vendor, bool anchor,
                              struct bytes cert, struct err *err);

/** Adds the roots of a PEM bundle for every vendor's part.
 *  @return 0, or -1: ERR_INPUT (no certificates, or others than roots), ERR_TOO_LARGE */
MUST_USE int verify_trust_add_extra(struct verify_trust *t, struct bytes pem, struct err *err);

/** For AUTO(verify_trust_done) struct verify_trust t = { 0 }. */
void verify_trust_done(struct verify_trust *t);

/** True if anchor number i of the vendor is an extra one. */
static inline bool verify_trust_is_extra(const struct verify_trust *t, enum verify_vendor vendor, size_t i)
{
    return i >= t->vendor[vendor].builtin;
}

#endif
