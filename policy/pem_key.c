#include "policy/pem_key.h"

#include "base/auto.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

static void drop_bio(BIO **bio)
{
    BIO_free(*bio);
}

typedef EVP_PKEY *read_key_fn(BIO *, EVP_PKEY **, pem_password_cb *, void *);

static int read_key(struct bytes pem, read_key_fn *reader, const char *what, EVP_PKEY **out, struct err *err)
{
    if (pem.n > PEM_KEY_MAX)
        return err_set(err, ERR_INPUT, 0, "a key of %zu bytes, at most %d are read", pem.n, PEM_KEY_MAX);
    AUTO(drop_bio) BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key = bio ? reader(bio, NULL, x509_no_passphrase, NULL) : NULL;
    ERR_clear_error();
    if (!key)
        return err_set(err, ERR_INPUT, 0, "not a %s in PEM", what);
    *out = key;
    return 0;
}

int pem_private_key(struct bytes pem, EVP_PKEY **out, struct err *err)
{
    return read_key(pem, PEM_read_bio_PrivateKey, "private key without a passphrase", out, err);
}

int pem_public_key(struct bytes pem, EVP_PKEY **out, struct err *err)
{
    return read_key(pem, PEM_read_bio_PUBKEY, "public key", out, err);
}

static bool group_of(const EVP_PKEY *key, char out[static 32])
{
    *out = '\0';
    return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, out, 32, NULL) == 1;
}

bool pem_key_is_p256(const EVP_PKEY *key)
{
    char group[32];
    return group_of(key, group) && (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0);
}

const char *pem_key_text(const EVP_PKEY *key, char *out, size_t size)
{
    char group[32];
    bool curve = group_of(key, group);
    snprintf(out, size, "%s%s%s", EVP_PKEY_get0_type_name(key) ?: "of an unknown kind", curve ? " on " : "",
             group);
    return out;
}
