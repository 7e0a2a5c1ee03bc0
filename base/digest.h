/** base/digest.h: hashes by their TCG algorithm id (TCG Algorithm Registry, revision 1.34, table 3), over
 * libcrypto. */
#ifndef CVM_BASE_DIGEST_H
#define CVM_BASE_DIGEST_H

#include "base/bytes.h"

enum { ALG_SHA1 = 0x0004, ALG_SHA256 = 0x000B, ALG_SHA384 = 0x000C, ALG_SHA512 = 0x000D, ALG_SM3 = 0x0012 };

#define DIGEST_MAX 64

struct digest {
    uint16_t alg; /* TCG algorithm id, 0 when empty */
    uint8_t n;    /* bytes in use */
    uint8_t b[DIGEST_MAX];
};

/** Bytes of a digest of alg, or 0 for an algorithm that we do not know. */
size_t digest_size(uint16_t alg);

/** "sha256" and so on, or NULL for an algorithm that we do not know. */
const char *digest_name(uint16_t alg);

/** The algorithm of "sha1", "sha256", "sha384", "sha512", "sm3_256" (any case, "sha-256" too), or 0. */
uint16_t digest_by_name(const char *name);

/** libcrypto's implementation, looked up once for the process: it does so itself at each use, under locks
 * that all threads share. NULL: not known, or libcrypto has none. */
const struct evp_md_st *digest_md(uint16_t alg);

/** H(part 0 || part 1 || ...). The algorithm must be a known one.
 *  @return 0, or -1 with ERR_INPUT (unknown algorithm) or ERR_IO (libcrypto refused) */
MUST_USE int digest_parts(uint16_t alg, const struct bytes *parts, size_t count, struct digest *out,
                          struct err *err);

MUST_USE int digest_of(uint16_t alg, struct bytes data, struct digest *out, struct err *err);

/** A hash that is computed many times over few bytes: what libcrypto does before the first byte is done once.
 * For one thread. */
struct hasher;

/** @return 0 with a new object in *out, or -1 with ERR_INPUT (unknown algorithm) or ERR_IO (libcrypto) */
MUST_USE int hasher_new(uint16_t alg, struct hasher **out, struct err *err);
void hasher_free(struct hasher *h);

/** A hash of bytes that come in pieces: begin, put as often as there are pieces, end. */
MUST_USE int hasher_begin(struct hasher *h, struct err *err);
MUST_USE int hasher_put(struct hasher *h, struct bytes data, struct err *err);
MUST_USE int hasher_end(struct hasher *h, struct digest *out, struct err *err);

static inline void hasher_drop(struct hasher **h)
{
    hasher_free(*h);
}

/** As digest_parts(). */
MUST_USE int hasher_parts(struct hasher *h, const struct bytes *parts, size_t count, struct digest *out,
                          struct err *err);

/** SHA-256 into 32 bytes; for fixed uses where failure means libcrypto is unusable: aborts then. */
void sha256(struct bytes data, uint8_t out[static 32]);
void sha384(struct bytes data, uint8_t out[static 48]);

static inline struct bytes digest_bytes(const struct digest *d)
{
    return bytes_of(d->b, d->n);
}

/** value = H(value || extend), the extend operation of PCRs and RTMRs; both of value->alg's size. */
MUST_USE int digest_extend(struct digest *value, struct bytes extend, struct err *err);

#endif
