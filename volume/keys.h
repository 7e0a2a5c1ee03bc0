/** volume/keys.h: what is computed from the sealed secret, and the recovery key. Secrets are wiped by their
 * owners. */
#ifndef CVM_VOLUME_KEYS_H
#define CVM_VOLUME_KEYS_H

#include "base/buf.h"

#define VOLUME_SECRET 32

/** Fresh bytes of the kernel's generator; the TPM's is not asked, since a host may run it. */
MUST_USE int volume_secret_new(uint8_t out[static VOLUME_SECRET], struct err *err);

/** HMAC-SHA256(secret, "cvm-agent/volume-v1" 0x00 purpose). */
MUST_USE int volume_key(const uint8_t secret[static VOLUME_SECRET], const char *purpose,
                        uint8_t out[static VOLUME_SECRET], struct err *err);

/** The MAC block of a header: a text, HMAC-SHA256 of all bytes before it, zeros.
 *  @param header  VOLUME_HEADER_SIZE bytes, the last block not looked at */
MUST_USE int volume_mac(const uint8_t secret[static VOLUME_SECRET], struct bytes header, uint8_t *block,
                        struct err *err);

/** @return 0 if the header's last block is its MAC block, else -1 with ERR_DENIED */
MUST_USE int volume_mac_check(const uint8_t secret[static VOLUME_SECRET], struct bytes header,
                              struct err *err);

/** Encrypts the recovery key to an owner: RSA-OAEP with SHA-256 (label empty).
 *  @param pem     the owner's public key, RSA of 3072 to 8192 bits
 *  @param out     receives the ciphertext
 *  @param owner   receives the SHA-256 of the key's DER SubjectPublicKeyInfo
 *  @return 0, or -1 with ERR_INPUT (no such key) or ERR_IO */
MUST_USE int volume_recovery_encrypt(struct bytes pem, const uint8_t key[static VOLUME_SECRET],
                                     struct buf *out, uint8_t owner[static 32], struct err *err);

#endif
