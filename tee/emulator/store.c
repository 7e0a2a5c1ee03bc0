#include "tee/emulator/store.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/x509.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <string.h>
#include <sys/stat.h>

static int full_path(const struct store *s, const char *name, char out[static PATH_MAX], struct err *err)
{
    return path_set(out, PATH_MAX, err, "%s/%s", s->dir, name);
}

int store_open(struct store *s, const char *state_dir, struct err *err)
{
    if (path_set(s->dir, sizeof(s->dir), err, "%s/emulator", state_dir) < 0)
        return -1;
    return dir_make(s->dir, 0700, err);
}

int store_folder(const struct store *s, const char *name, struct err *err)
{
    char path[PATH_MAX];
    if (full_path(s, name, path, err) < 0)
        return -1;
    for (char *p = path + strlen(s->dir) + 1;; p++) { /* every level below the store, one after the other */
        char end = *p;
        if (end != '/' && end != '\0')
            continue;
        *p = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return err_set(err, ERR_IO, (uint32_t)errno, "cannot make the folder %s: %s", path,
                           strerror(errno));
        *p = end;
        if (end == '\0')
            return 0;
    }
}

int store_get(const struct store *s, const char *name, struct buf *out, struct err *err)
{
    AUTO(free_u8) uint8_t *p = NULL;
    char path[PATH_MAX];
    size_t n;
    if (full_path(s, name, path, err) < 0 || file_read(path, STORE_FILE_MAX, &p, &n, err) < 0)
        return -1;
    buf_put(out, bytes_of(p, n));
    return buf_check(out, "a file of the emulated machine", err);
}

int store_put(const struct store *s, const char *name, struct bytes data, mode_t mode, struct err *err)
{
    AUTO(buf_done) struct buf old = buf_new(STORE_FILE_MAX);
    struct err ignored = { 0 };
    char path[PATH_MAX];
    if (store_get(s, name, &old, &ignored) == 0 && bytes_equal(buf_bytes(&old), data))
        return 0;
    if (full_path(s, name, path, err) < 0)
        return -1;
    return file_write_atomic(path, data, mode, err);
}

int store_damaged(const struct store *s, const char *name, const char *why, struct err *err)
{
    return err_set(err, ERR_INPUT, 0, "%s/%s: %s; remove %s to make a new machine", s->dir, name, why,
                   s->dir);
}

/* Four primes instead of two: found in an eighth of the time, and the public key is an RSA key like any
 * other. These keys protect nothing. */
#define EMULATED_PRIMES 4

static EVP_PKEY *rsa4096_make(void)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    if (ctx && EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 4096) == 1
        && EVP_PKEY_CTX_set_rsa_keygen_primes(ctx, EMULATED_PRIMES) == 1)
        (void)!EVP_PKEY_generate(ctx, &key);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *key_make(enum key_kind kind)
{
    switch (kind) {
    case KEY_RSA2048:
        return EVP_RSA_gen(2048);
    case KEY_RSA4096:
        return rsa4096_make();
    case KEY_P256:
        return EVP_EC_gen("P-256");
    case KEY_P384:
        return EVP_EC_gen("P-384");
    }
    return NULL;
}

static int key_keep(const struct store *s, const char *name, EVP_PKEY *key, struct err *err)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *pem = NULL;
    int rc = -1;
    if (bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        long n = BIO_get_mem_data(bio, &pem);
        rc = store_put(s, name, bytes_of(pem, n > 0 ? (size_t)n : 0), 0600, err);
    } else {
        (void)err_set(err, ERR_IO, 0, "cannot write the key %s", name);
    }
    BIO_free(bio);
    return rc;
}

int store_key(const struct store *s, const char *name, enum key_kind kind, EVP_PKEY **out, struct err *err)
{
    AUTO(buf_wipe) struct buf pem = buf_new(STORE_FILE_MAX);
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    if (store_get(s, name, &pem, err) == 0) {
        BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
        key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
        BIO_free(bio);
        if (!key)
            return store_damaged(s, name, "not a private key", err);
    } else {
        if (err->kind != ERR_NOT_FOUND)
            return -1;
        key = key_make(kind);
        if (!key)
            return err_set(err, ERR_IO, 0, "libcrypto cannot make the key %s", name);
        if (key_keep(s, name, key, err) < 0)
            return -1;
    }
    *out = MOVE(key);
    return 0;
}

int store_cert(const struct store *s, const char *name, EVP_PKEY *key, EVP_PKEY *issuer, X509 **out,
               struct err *err)
{
    AUTO(buf_done) struct buf der = buf_new(STORE_FILE_MAX);
    AUTO(x509_drop) X509 *cert = NULL;
    struct err ignored = { 0 };
    if (store_get(s, name, &der, err) < 0)
        return -1;
    if (x509_parse(buf_bytes(&der), &cert, &ignored) < 0)
        return store_damaged(s, name, "not a certificate", err);
    if (EVP_PKEY_eq(X509_get0_pubkey(cert), key) != 1)
        return store_damaged(s, name, "not the certificate of its key", err);
    if (X509_verify(cert, issuer) != 1)
        return store_damaged(s, name, "not signed by its issuer", err);
    *out = MOVE(cert);
    return 0;
}

int store_random(const struct store *s, const char *name, uint8_t *out, size_t n, struct err *err)
{
    AUTO(buf_wipe) struct buf kept = buf_new(STORE_FILE_MAX);
    if (store_get(s, name, &kept, err) == 0) {
        if (kept.n != n)
            return store_damaged(s, name, "another length", err);
        memcpy(out, kept.p, n);
        return 0;
    }
    if (err->kind != ERR_NOT_FOUND)
        return -1;
    if (RAND_bytes(out, (int)n) != 1)
        return err_set(err, ERR_IO, 0, "libcrypto has no random numbers");
    return store_put(s, name, bytes_of(out, n), 0600, err);
}
