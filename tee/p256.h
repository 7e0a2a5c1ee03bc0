/** tee/p256.h: ECDSA over P-256 and SHA-256 with keys and signatures as Intel writes them: x and y, r and s,
 * 32 bytes each, big-endian. */
#ifndef CVM_TEE_P256_H
#define CVM_TEE_P256_H

#include "base/x509.h"

#define P256_KEY_SIZE       64
#define P256_SIGNATURE_SIZE 64

/** A public key from x and y.
 *  @return 0 with a new key in *out, or -1 with ERR_INPUT: another length, or no point of the curve */
MUST_USE int p256_key(struct bytes xy, EVP_PKEY **out, struct err *err);

/** True if the key is one on P-256. */
bool p256_is_key(const EVP_PKEY *key);

/** True if rs is this key's signature over the SHA-256 of data. The key must be one on P-256. */
MUST_USE bool p256_verify(EVP_PKEY *key, struct bytes data, struct bytes rs);

#endif
