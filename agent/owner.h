/** agent/owner.h: the owner's public key, config/cvm_agent/owner.pub: P-256 or Ed25519. Pure. */
#ifndef CVM_AGENT_OWNER_H
#define CVM_AGENT_OWNER_H

#include "base/x509.h"

#define OWNER_FILE_MAX 4096

/** Parses a SubjectPublicKeyInfo, PEM or DER.
 *  @return 0 with a new key, or -1 with ERR_INPUT: no key, or of another kind */
MUST_USE int owner_key_parse(struct bytes file, EVP_PKEY **out, struct err *err);

/** Verifies an owner's signature over a SHA-256. P-256: ECDSA of the digest, or of a message that is the 32
 * bytes of the digest, in DER or as r and s of 32 bytes each. Ed25519: the 32 bytes are the message.
 *  @param text  the signature in base64, as in X-Owner-Signature
 *  @return 0, or -1 with ERR_DENIED */
MUST_USE int owner_verify(EVP_PKEY *key, const char *text, const uint8_t digest[static 32], struct err *err);

#endif
