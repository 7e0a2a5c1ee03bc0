#include "policy/golden_sign.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/x509.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#define INNER "golden_measurement"

static void drop_bio(BIO **bio)
{
    BIO_free(*bio);
}

static void drop_md(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

/* Instead of OpenSSL's question on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

/* P-256, or RSA of a usable size. */
static int check_key(EVP_PKEY *key, struct err *err)
{
    char group[32] = "";
    if (EVP_PKEY_is_a(key, "RSA")) {
        int bits = EVP_PKEY_get_bits(key);
        if (bits < GOLDEN_RSA_BITS_MIN || bits > GOLDEN_RSA_BITS_MAX)
            return err_set(err, ERR_INPUT, 0, "RSA key of %d bits: %d to %d are used", bits,
                           GOLDEN_RSA_BITS_MIN, GOLDEN_RSA_BITS_MAX);
        return 0;
    }
    if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1
        && (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0))
        return 0;
    return err_set(err, ERR_INPUT, 0, "the key is %s%s%s: golden measurements are signed with P-256 or RSA",
                   EVP_PKEY_get0_type_name(key) ?: "of an unknown kind", *group ? " on " : "", group);
}

typedef EVP_PKEY *read_key_fn(BIO *, EVP_PKEY **, pem_password_cb *, void *);

static int read_key(struct bytes pem, read_key_fn *reader, const char *what, EVP_PKEY **out, struct err *err)
{
    if (pem.n > GOLDEN_KEY_MAX)
        return err_set(err, ERR_INPUT, 0, "a key of %zu bytes, at most %d are read", pem.n, GOLDEN_KEY_MAX);
    AUTO(drop_bio) BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    AUTO(pkey_drop) EVP_PKEY *key = bio ? reader(bio, NULL, no_passphrase, NULL) : NULL;
    ERR_clear_error();
    if (!key)
        return err_set(err, ERR_INPUT, 0, "not a %s in PEM", what);
    if (check_key(key, err) < 0)
        return -1;
    *out = MOVE(key);
    return 0;
}

static int canonical_inner(const json_t *document, struct buf *out, struct err *err)
{
    const json_t *inner = json_object_get(document, INNER);
    if (!inner)
        return err_set(err, ERR_INPUT, 0, "there is no member \"" INNER "\"");
    return json_canonical_put(out, inner, err);
}

int golden_sign(json_t *document, struct bytes key_pem, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(SIZE_MAX / 2);
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    AUTO(drop_md) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t signature[GOLDEN_RSA_BITS_MAX / 8];
    size_t n = sizeof(signature);
    if (read_key(key_pem, PEM_read_bio_PrivateKey, "private key without a passphrase", &key, err) < 0
        || canonical_inner(document, &text, err) < 0)
        return -1;
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1
              && EVP_DigestSign(ctx, signature, &n, text.p, text.n) == 1;
    ERR_clear_error();
    json_t *value = ok ? json_b64(bytes_of(signature, n)) : NULL;
    if (!value || json_object_set_new(document, "signature", value) < 0)
        return err_set(err, ERR_IO, 0, "libcrypto did not sign");
    return 0;
}

int golden_signature_verify(const json_t *document, struct bytes public_pem, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(SIZE_MAX / 2);
    AUTO(buf_done) struct buf signature = buf_new(GOLDEN_KEY_MAX);
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    AUTO(drop_md) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (read_key(public_pem, PEM_read_bio_PUBKEY, "public key", &key, err) < 0
        || canonical_inner(document, &text, err) < 0)
        return -1;
    if (!json_object_get(document, "signature"))
        return err_set(err, ERR_UNAUTHENTICATED, 0, "the golden measurement is not signed");
    if (json_get_b64(document, "signature", &signature, err) < 0)
        return -1;
    struct bytes s = buf_bytes(&signature);
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1
              && EVP_DigestVerify(ctx, s.p, s.n, text.p, text.n) == 1;
    ERR_clear_error();
    if (!ok)
        return err_set(err, ERR_UNAUTHENTICATED, 0, "the signature is not this key's over this document");
    return 0;
}
