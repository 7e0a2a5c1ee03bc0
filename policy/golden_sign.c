#include "policy/golden_sign.h"

#include "base/auto.h"
#include "base/enc.h"
#include "policy/pem_key.h"

#include <openssl/err.h>
#include <string.h>

#define INNER "golden_measurement"

static void drop_md(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

/* P-256, or RSA of a usable size. */
static int check_key(EVP_PKEY *key, struct err *err)
{
    char text[64];
    if (EVP_PKEY_is_a(key, "RSA")) {
        int bits = EVP_PKEY_get_bits(key);
        if (bits < GOLDEN_RSA_BITS_MIN || bits > GOLDEN_RSA_BITS_MAX)
            return err_set(err, ERR_INPUT, 0, "RSA key of %d bits: %d to %d are used", bits,
                           GOLDEN_RSA_BITS_MIN, GOLDEN_RSA_BITS_MAX);
        return 0;
    }
    if (pem_key_is_p256(key))
        return 0;
    return err_set(err, ERR_INPUT, 0, "the key is %s: golden measurements are signed with P-256 or RSA",
                   pem_key_text(key, text, sizeof(text)));
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
    if (pem_private_key(key_pem, &key, err) < 0 || check_key(key, err) < 0
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
    if (pem_public_key(public_pem, &key, err) < 0 || check_key(key, err) < 0
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
