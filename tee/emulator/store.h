/** tee/emulator/store.h: what an emulated machine keeps between starts: keys (0600), certificates and blobs,
 * each made once. A file that is there and damaged is an error that names it, never silently replaced. */
#ifndef CVM_TEE_EMULATOR_STORE_H
#define CVM_TEE_EMULATOR_STORE_H

#include "base/buf.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

struct store {
    char dir[PATH_MAX]; /* STATE/emulator; file names below are relative to it */
};

/** Largest file of a machine. */
#define STORE_FILE_MAX (1u << 20)

MUST_USE int store_open(struct store *s, const char *state_dir, struct err *err);

/** Makes a folder and its parents below the store. */
MUST_USE int store_folder(const struct store *s, const char *name, struct err *err);

/** Appends a file's bytes. @return 0, or -1 with ERR_NOT_FOUND when there is none yet */
MUST_USE int store_get(const struct store *s, const char *name, struct buf *out, struct err *err);

/** Writes a file, old or new, never half; nothing is written when the bytes are there already. */
MUST_USE int store_put(const struct store *s, const char *name, struct bytes data, mode_t mode,
                       struct err *err);

/** The failure of a file that is there but not what it must be. Always returns -1. */
int store_damaged(const struct store *s, const char *name, const char *why, struct err *err);

enum key_kind { KEY_RSA2048, KEY_RSA4096, KEY_P256, KEY_P384 };

/** The private key of that name; made and kept the first time. */
MUST_USE int store_key(const struct store *s, const char *name, enum key_kind kind, EVP_PKEY **out,
                       struct err *err);

/** The certificate of that name, checked against its key and its issuer's key; ERR_NOT_FOUND when it is still
 * to be made. */
MUST_USE int store_cert(const struct store *s, const char *name, EVP_PKEY *key, EVP_PKEY *issuer, X509 **out,
                        struct err *err);

/** Random bytes of that name; made and kept the first time. */
MUST_USE int store_random(const struct store *s, const char *name, uint8_t *out, size_t n, struct err *err);

#endif
