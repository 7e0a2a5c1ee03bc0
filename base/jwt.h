/** base/jwt.h: signed JSON Web Tokens in compact form, and the key sets that they are verified with. Only
 * asymmetric algorithms exist here: "none" and the HMAC family are not names that anything could be asked to
 * accept.
 *  Sources: RFC 7515 (JWS), 7517 (JWK), 7518 (algorithms), 7519 (JWT), 7638 (thumbprints). */
#ifndef CVM_BASE_JWT_H
#define CVM_BASE_JWT_H

#include "base/json.h"
#include "base/x509.h"

#include <time.h>

#define JWT_MAX      (256u << 10) /* largest token */
#define JWKS_MAX     64           /* keys of a set */
#define JWKS_SIZE    (1u << 20)   /* largest text of a set */
#define JWK_KID_MAX  128
#define JWT_RSA_BITS 2048 /* smallest RSA key; 8192 is the largest */

enum jwt_alg {
    JWT_RS256,
    JWT_RS384,
    JWT_RS512,
    JWT_PS256,
    JWT_PS384,
    JWT_PS512,
    JWT_ES256,
    JWT_ES384,
    JWT_ALGS
};

/** Sets of algorithms: JWT_BIT(JWT_PS384) | JWT_BIT(JWT_RS256). */
#define JWT_BIT(alg) (1u << (alg))
#define JWT_ANY      ((1u << JWT_ALGS) - 1)

/** "RS256", as the header's alg names it. */
const char *jwt_alg_name(enum jwt_alg alg);

struct jwk {
    char kid[JWK_KID_MAX + 1]; /* "": the entry has none */
    EVP_PKEY *key;             /* public; owned */
    uint32_t algs;             /* those that fit the key and its member alg */
};

/** Begin with { 0 }; end with jwks_done(). Never written after jwks_parse(): threads may share it. */
struct jwks {
    size_t n;
    struct jwk *key; /* owned */
};

enum jwks_source {
    JWKS_KEYS,    /* a key's own members, or, where they are absent, its certificate's key */
    JWKS_X5C_ONLY /* the key of the first certificate of x5c; entries without are passed over (Azure) */
};

/** Reads {"keys":[...]}, or a single key. Keys of other kinds, for other uses, or of curves that no algorithm
 * here has, are passed over.
 *  @param text  untrusted, any length
 *  @return 0, or -1: ERR_INPUT (no key set; a key that is damaged, with its place; none that is usable),
 * ERR_TOO_LARGE */
MUST_USE int jwks_parse(struct bytes text, enum jwks_source source, struct jwks *out, struct err *err);

/** For AUTO(jwks_done). */
void jwks_done(struct jwks *s);

struct jwt_rules {
    uint32_t algs; /* accepted, JWT_BIT() of each; the token's header chooses among them only */
    time_t now;
    unsigned leeway_s;  /* for exp, nbf and iat */
    bool exp_due;       /* a token without exp is refused */
    const char *issuer; /* iss must be this; NULL: not looked at */
};

struct jwt {
    json_t *header, *claims; /* objects; owned */
    enum jwt_alg alg;
    size_t key; /* which of the set's verified it */
};

/** Verifies: the signature first, by the key that the token's kid names (without kid: by the set's only key),
 * then exp, nbf, iat and iss. What a critical header extension demands is refused, none being known here.
 *  @param token  untrusted; white space at its ends is passed over
 *  @param out    jwt_done() it; written only on success
 *  @return 0, or -1: ERR_INPUT (not a compact JWS with an object of claims), ERR_TOO_LARGE,
 * ERR_UNAUTHENTICATED (algorithm, key, signature, dates or issuer say no), ERR_IO */
MUST_USE int jwt_verify(struct bytes token, const struct jwks *keys, const struct jwt_rules *rules,
                        struct jwt *out, struct err *err);

/** Takes a token apart without verifying anything: to find out where its keys may be. alg and key are not
 * set. */
MUST_USE int jwt_peek(struct bytes token, struct jwt *out, struct err *err);

/** For AUTO(jwt_done). */
void jwt_done(struct jwt *t);

/** Appends a signed token {"alg","kid"?,"typ":"JWT"} with these claims.
 *  @param key  private, of the kind and size that alg wants
 *  @param extra  further members of the header, as jku; NULL: none. It must not have alg, kid or typ
 *  @return 0, or -1 with ERR_INPUT (the key does not fit) or ERR_IO */
MUST_USE int jwt_sign(EVP_PKEY *key, enum jwt_alg alg, const char *kid, const json_t *extra,
                      const json_t *claims, struct buf *out, struct err *err);

/** Appends the RFC 7638 thumbprint of a public key: base64url of SHA-256, 43 characters. */
MUST_USE int jwk_thumbprint(EVP_PKEY *key, struct buf *out, struct err *err);

/** The public half of a key as a new JWK {"kty",...,"use":"sig","alg","kid"}.
 *  @param kid  NULL: the thumbprint */
MUST_USE int jwk_json(EVP_PKEY *key, enum jwt_alg alg, const char *kid, json_t **out, struct err *err);

/** True if the algorithm can be used with this key: kind, curve, size. */
bool jwt_alg_fits(enum jwt_alg alg, EVP_PKEY *key);

#endif
