#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"
#include "base/x509.h"
#include "tee/hcl_report.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>

#define RSA_BYTES_MIN 256 /* 2048 bits */
#define RSA_BYTES_MAX 512
#define RSA_E_MAX     4

static int check_keys(const json_t *root, struct err *err)
{
    const json_t *keys = json_object_get(root, "keys");
    if (!json_is_array(keys) || json_array_size(keys) > HCL_KEYS_MAX)
        return err_set(err, ERR_INPUT, 0, "HCL claims: \"keys\" is not an array of at most %d", HCL_KEYS_MAX);
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const char *kid = json_string_value(json_object_get(json_array_get(keys, i), "kid"));
        if (!kid)
            return err_set(err, ERR_INPUT, 0, "HCL claims: key %zu has no \"kid\"", i);
        for (size_t k = 0; k < i; k++)
            if (strcmp(kid, json_string_value(json_object_get(json_array_get(keys, k), "kid"))) == 0)
                return err_set(err, ERR_INPUT, 0, "HCL claims: keys %zu and %zu have the same \"kid\"", k, i);
    }
    return 0;
}

static int take_user_data(const json_t *root, struct hcl_claims *c, struct err *err)
{
    const json_t *v = json_object_get(root, "user-data");
    if (!v)
        return 0;
    if (!json_is_string(v) || json_string_length(v) != 2 * (size_t)HCL_USER_DATA /* no 0x in front here */
        || hex_decode_fixed(bytes_of(json_string_value(v), json_string_length(v)), c->user_data,
                            HCL_USER_DATA, err)
               < 0)
        return err_set(err, ERR_INPUT, 0, "HCL claims: \"user-data\" is not %d bytes in hex", HCL_USER_DATA);
    c->has_user_data = true;
    return 0;
}

int hcl_claims_parse(struct bytes var_data, struct hcl_claims *out, struct err *err)
{
    AUTO(json_drop) json_t *root = NULL;
    struct hcl_claims c = { .has_user_data = false };
    if (json_parse(var_data, HCL_REPORT_MAX, &root, err) < 0)
        return err_while(err, "read HCL claims");
    if (!json_is_object(root))
        return err_set(err, ERR_INPUT, 0, "HCL claims are not a JSON object");
    c.vm_configuration = json_object_get(root, "vm-configuration");
    if (c.vm_configuration && !json_is_object(c.vm_configuration))
        return err_set(err, ERR_INPUT, 0, "HCL claims: \"vm-configuration\" is not an object");
    if (check_keys(root, err) < 0 || take_user_data(root, &c, err) < 0)
        return -1;
    c.root = MOVE(root);
    *out = c;
    return 0;
}

void hcl_claims_done(struct hcl_claims *c)
{
    json_decref(c->root);
    *c = (struct hcl_claims){ 0 };
}

static const json_t *key_by_kid(const struct hcl_claims *c, const char *kid)
{
    const json_t *keys = json_object_get(c->root, "keys");
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const json_t *key = json_array_get(keys, i);
        if (strcmp(kid, json_string_value(json_object_get(key, "kid"))) == 0)
            return key;
    }
    return NULL;
}

static void bn_drop(BIGNUM **n)
{
    BN_free(*n);
}

static void bld_drop(OSSL_PARAM_BLD **b)
{
    OSSL_PARAM_BLD_free(*b);
}

static void params_drop(OSSL_PARAM **p)
{
    OSSL_PARAM_free(*p);
}

static void ctx_drop(EVP_PKEY_CTX **c)
{
    EVP_PKEY_CTX_free(*c);
}

static int rsa_public(struct bytes n, struct bytes e, EVP_PKEY **out, struct err *err)
{
    AUTO(bn_drop) BIGNUM *bn = BN_bin2bn(n.p, (int)n.n, NULL);
    AUTO(bn_drop) BIGNUM *be = BN_bin2bn(e.p, (int)e.n, NULL);
    AUTO(bld_drop) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    AUTO(params_drop) OSSL_PARAM *params = NULL;
    AUTO(ctx_drop) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (!bn || !be || !bld || !ctx || OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) != 1
        || OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be) != 1
        || !(params = OSSL_PARAM_BLD_to_param(bld)) || EVP_PKEY_fromdata_init(ctx) != 1
        || EVP_PKEY_fromdata(ctx, out, EVP_PKEY_PUBLIC_KEY, params) != 1)
        return err_set(err, ERR_IO, 0, "libcrypto refuses an RSA key of the HCL claims");
    return 0;
}

int hcl_key_spki(const struct hcl_claims *c, const char *kid, struct buf *out, struct err *err)
{
    AUTO(buf_done) struct buf n = buf_new(RSA_BYTES_MAX), e = buf_new(RSA_E_MAX);
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    const json_t *jwk = key_by_kid(c, kid);
    if (!jwk)
        return err_set(err, ERR_NOT_FOUND, 0, "HCL claims have no key \"%s\"", kid);
    const char *type = json_string_value(json_object_get(jwk, "kty"));
    if (!type || strcmp(type, "RSA") != 0)
        return err_set(err, ERR_INPUT, 0, "HCL claims: key \"%s\" is not an RSA key", kid);
    if (json_get_b64(jwk, "n", &n, err) < 0 || json_get_b64(jwk, "e", &e, err) < 0)
        return err_while(err, "read a key of the HCL claims");
    if (buf_check(&n, "RSA modulus", err) < 0 || buf_check(&e, "RSA exponent", err) < 0 || n.n < RSA_BYTES_MIN
        || !(n.p[0] & 0x80) || !(n.p[n.n - 1] & 1) || e.n == 0 || e.p[0] == 0 || !(e.p[e.n - 1] & 1)
        || be_uint(e.p, e.n) < 3)
        return err_set(err, ERR_INPUT, 0,
                       "HCL claims: key \"%s\" is no RSA key of %d to %d bits with a fitting exponent", kid,
                       RSA_BYTES_MIN * 8, RSA_BYTES_MAX * 8);
    return rsa_public(buf_bytes(&n), buf_bytes(&e), &key, err) < 0 ? -1 : spki_put_der(key, out, err);
}

int hcl_ak_spki(const struct hcl_report *report, struct buf *out, struct err *err)
{
    AUTO(hcl_claims_done) struct hcl_claims claims = { 0 };
    return hcl_claims_parse(report->var_data, &claims, err) < 0 ? -1
                                                                : hcl_key_spki(&claims, HCL_KEY_AK, out, err);
}

int hcl_user_data(const struct hcl_claims *c, uint8_t out[static HCL_USER_DATA], struct err *err)
{
    if (!c->has_user_data)
        return err_set(err, ERR_NOT_FOUND, 0, "HCL claims have no \"user-data\" (an older paravisor)");
    memcpy(out, c->user_data, HCL_USER_DATA);
    return 0;
}
