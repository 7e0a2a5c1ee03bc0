#include "tee/p256.h"

#include "base/digest.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <string.h>

#define HALF    32
#define DER_MAX (2 + 2 * (2 + HALF + 1))

int p256_key(struct bytes xy, EVP_PKEY **out, struct err *err)
{
    uint8_t point[1 + P256_KEY_SIZE] = { POINT_CONVERSION_UNCOMPRESSED };
    char group[] = "P-256";
    EVP_PKEY *key = NULL;
    if (xy.n != P256_KEY_SIZE)
        return err_set(err, ERR_INPUT, 0, "P-256 key of %zu bytes, want %d", xy.n, P256_KEY_SIZE);
    memcpy(point + 1, xy.p, P256_KEY_SIZE);
    OSSL_PARAM params[] = { OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group) - 1),
                            OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
                            OSSL_PARAM_END };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    bool ok = ctx && EVP_PKEY_fromdata_init(ctx) == 1
              && EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    if (!ok)
        return err_set(err, ERR_INPUT, 0, "the public key is no point of P-256");
    *out = key;
    return 0;
}

bool p256_is_key(const EVP_PKEY *key)
{
    char group[32];
    return key && EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1
           && (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0);
}

/* One INTEGER, in its shortest form. */
static size_t put_integer(uint8_t *out, const uint8_t *half)
{
    size_t n = HALF, pad;
    while (n > 1 && *half == 0) {
        half++;
        n--;
    }
    pad = *half >> 7;
    out[0] = V_ASN1_INTEGER;
    out[1] = (uint8_t)(n + pad);
    out[2] = 0;
    memcpy(out + 2 + pad, half, n);
    return 2 + pad + n;
}

bool p256_verify(EVP_PKEY *key, struct bytes data, struct bytes rs)
{
    uint8_t der[DER_MAX], digest[32];
    if (rs.n != P256_SIGNATURE_SIZE)
        return false;
    size_t n = put_integer(der + 2, rs.p);
    n += put_integer(der + 2 + n, rs.p + HALF);
    der[0] = V_ASN1_SEQUENCE | V_ASN1_CONSTRUCTED;
    der[1] = (uint8_t)n;
    sha256(data, digest);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    bool ok = ctx && EVP_PKEY_verify_init(ctx) == 1
              && EVP_PKEY_verify(ctx, der, n + 2, digest, sizeof(digest)) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}
