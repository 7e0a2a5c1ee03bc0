/** policy/golden_sign.h: signatures over golden measurements, as tools of the automata project make them:
 * base64 in member "signature" beside "golden_measurement", over the latter's canonical text. ECDSA P-256
 * (DER) or RSA PKCS#1 v1.5, both with SHA-256. */
#ifndef CVM_POLICY_GOLDEN_SIGN_H
#define CVM_POLICY_GOLDEN_SIGN_H

#include "base/json.h"
#include "policy/pem_key.h"

/** Largest key file, and the sizes of RSA keys that are used. */
#define GOLDEN_KEY_MAX      PEM_KEY_MAX
#define GOLDEN_RSA_BITS_MIN 2048
#define GOLDEN_RSA_BITS_MAX 8192

/** Appends the canonical text: members sorted by code point, no white space, everything but printable ASCII
 * as \uXXXX (lower-case hex, surrogate pairs), the short escapes of JSON; byte for byte what Python's
 * json.dumps(sort_keys=True, separators=(",", ":"), ensure_ascii=True) writes.
 *  @return 0, or -1 with ERR_INPUT: a number that is not an integer, which has many spellings */
MUST_USE int json_canonical_put(struct buf *out, const json_t *value, struct err *err);

/** Signs document["golden_measurement"] and sets document["signature"].
 *  @param key_pem  a private key in PEM, not encrypted
 *  @return 0, or -1 with ERR_INPUT (the key or the document), ERR_IO (libcrypto); the document is unchanged
 * then */
MUST_USE int golden_sign(json_t *document, struct bytes key_pem, struct err *err);

/** Judges document["signature"].
 *  @param public_pem  a public key in PEM
 *  @return 0 valid; -1 with ERR_UNAUTHENTICATED: there is none, or it is not this key's over this document;
 * -1 with ERR_INPUT: the key or the document is malformed */
MUST_USE int golden_signature_verify(const json_t *document, struct bytes public_pem, struct err *err);

#endif
