/** policy/pem_key.h: keys that people hold in PEM files. */
#ifndef CVM_POLICY_PEM_KEY_H
#define CVM_POLICY_PEM_KEY_H

#include "base/x509.h"

/** Largest key file. */
#define PEM_KEY_MAX 65536

/** Reads a private key; one with a passphrase is refused, nothing is asked on a terminal.
 *  @return 0 with a new key in *out, or -1 with ERR_INPUT */
MUST_USE int pem_private_key(struct bytes pem, EVP_PKEY **out, struct err *err);

/** Reads a public key. @return as above */
MUST_USE int pem_public_key(struct bytes pem, EVP_PKEY **out, struct err *err);

/** Is it on the curve P-256? */
bool pem_key_is_p256(const EVP_PKEY *key);

/** "RSA", "EC on secp384r1": for messages. Returns out. */
const char *pem_key_text(const EVP_PKEY *key, char *out, size_t size);

#endif
