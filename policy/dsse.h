/** policy/dsse.h: signed statements in the form of in-toto's and cosign's attestations: a DSSE envelope, a
 * JSON object with payload, payloadType and signatures. Keys: P-256 (ECDSA with SHA-256, DER) or Ed25519.
 *  Source: Dead Simple Signing Envelope 1.0.2 (secure-systems-lab/dsse, protocol.md and envelope.md). */
#ifndef CVM_POLICY_DSSE_H
#define CVM_POLICY_DSSE_H

#include "base/json.h"
#include "policy/pem_key.h"

#define DSSE_IN_TOTO        "application/vnd.in-toto+json"
#define DSSE_SIZE_MAX       (16u << 20)
#define DSSE_SIGNATURES_MAX 16

/** What is signed: "DSSEv1", and type and payload with their lengths. Appends to out. */
void dsse_put_pae(struct buf *out, struct bytes type, struct bytes payload);

/** Makes an envelope with one signature; its keyid is the SHA-256 of the key's SubjectPublicKeyInfo in hex.
 *  @param key_pem  a private key in PEM, not encrypted
 *  @return 0 with a new object in *out, or -1 with ERR_INPUT (the key), ERR_TOO_LARGE, ERR_IO (libcrypto) */
MUST_USE int dsse_sign(const char *type, struct bytes payload, struct bytes key_pem, json_t **out,
                       struct err *err);

/** Verifies an envelope and hands out what was signed. Other keys' signatures beside are passed over.
 *  @param payload     the bytes that were signed are appended, on success only
 *  @return 0; -1 with ERR_UNAUTHENTICATED: no signature is this key's; ERR_INPUT: not an envelope, another
 * type, or a key of another kind; ERR_TOO_LARGE */
MUST_USE int dsse_verify(const json_t *envelope, const char *type, struct bytes public_pem,
                         struct buf *payload, struct err *err);

/** Is it an envelope, by its members? */
bool dsse_is_envelope(const json_t *value);

#endif
