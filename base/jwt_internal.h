/** base/jwt_internal.h: what base/jwt*.c share; not for users. */
#ifndef CVM_BASE_JWT_INTERNAL_H
#define CVM_BASE_JWT_INTERNAL_H

#include "base/jwt.h"

struct jwt_alg_row {
    const char *name;
    const char *kty;   /* "RSA", "EC" */
    const char *curve; /* EC: as JWK names it */
    const char *group; /* EC: as OpenSSL's key does */
    const char *digest;
    bool pss;
    size_t half; /* EC: bytes of r and of s */
};

const struct jwt_alg_row *jwt_alg_row(enum jwt_alg alg);

/** base64url without padding, as RFC 7515 wants it: nothing else. */
MUST_USE int b64url_decode_strict(struct bytes text, struct buf *out, struct err *err);

#endif
