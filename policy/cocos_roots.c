/* Certificates in Cocos policies: bundles of roots, and keys that may sign ID blocks. */
#include "base/auto.h"
#include "base/digest.h"
#include "base/x509.h"
#include "policy/cocos_internal.h"

#include <openssl/core_names.h>
#include <openssl/err.h>

#define BUNDLE_MAX  (256u << 10)
#define BUNDLE_CERT 16

static void drop_certs(X509 **list, int n)
{
    for (int i = 0; i < n; i++)
        X509_free(list[i]);
}

static bool is_root(X509 *cert)
{
    return X509_NAME_cmp(X509_get_subject_name(cert), X509_get_issuer_name(cert)) == 0;
}

static int add_root(X509 *cert, struct cocos_hex_list *out, struct err *err)
{
    AUTO(buf_done) struct buf der = buf_new(CERT_MAX);
    uint8_t hash[32];
    if (x509_put_der(cert, &der, err) < 0)
        return -1;
    sha256(buf_bytes(&der), hash);
    return cocos_add_hex(out, bytes_of(hash, sizeof(hash)), err);
}

static int add_bundle(const struct cocos_object *o, const char *name, size_t at, struct bytes pem,
                      struct cocos_hex_list *out, struct err *err)
{
    X509 *list[BUNDLE_CERT];
    struct err why = { 0 };
    size_t before = out->n;
    int n = x509_parse_chain(pem, list, BUNDLE_CERT, &why), rc = 0;
    if (n < 0)
        return cocos_bad(err, o, name, "element %zu: %.150s", at, why.cause);
    for (int i = 0; i < n && rc == 0; i++)
        if (is_root(list[i]))
            rc = add_root(list[i], out, err);
    drop_certs(list, n);
    if (rc == 0 && out->n == before)
        return cocos_bad(err, o, name, "element %zu holds no root certificate", at);
    return rc;
}

static int read_paths(const struct cocos_object *trust, const struct cocos_files *files,
                      struct cocos_hex_list *out, struct err *err)
{
    static const char name[] = "cabundle_paths";
    const json_t *paths, *v;
    size_t i;
    if (cocos_list(trust, name, &paths, err) < 0)
        return -1;
    json_array_foreach(paths, i, v)
    {
        AUTO(buf_done) struct buf pem = buf_new(BUNDLE_MAX);
        if (!json_is_string(v) || !json_string_length(v))
            return cocos_bad(err, trust, name, "element %zu: want the name of a file", i);
        if (!files)
            return cocos_bad(err, trust, name, "no files are read here: put the certificates into cabundles");
        if (files->read(files->ctx, json_string_value(v), &pem, err) < 0)
            return err_while(err, "policy's cabundle_paths");
        if (add_bundle(trust, name, i, buf_bytes(&pem), out, err) < 0)
            return -1;
    }
    return 0;
}

int cocos_roots_parse(const struct cocos_object *trust, const struct cocos_files *files,
                      struct cocos_hex_list *out, struct err *err)
{
    static const char name[] = "cabundles";
    const json_t *list, *v;
    size_t i;
    if (cocos_list(trust, name, &list, err) < 0)
        return -1;
    json_array_foreach(list, i, v)
    {
        if (!json_is_string(v))
            return cocos_bad(err, trust, name, "element %zu: want PEM text", i);
        if (add_bundle(trust, name, i, bytes_of(json_string_value(v), json_string_length(v)), out, err) < 0)
            return -1;
    }
    return read_paths(trust, files, out, err);
}

/* ---- keys of ID blocks ---- */

/* AMD 56860, appendix "ECDSA P-384 public key": curve id, x and y little-endian in 72-byte fields, 0x404
 * bytes in all. */
#define AMD_KEY_SIZE  0x404
#define AMD_CURVE_384 2
#define AMD_COORD     72
#define P384_BYTES    48

static bool amd_form(X509 *cert, uint8_t out[static AMD_KEY_SIZE])
{
    EVP_PKEY *key = X509_get0_pubkey(cert);
    char group[32];
    BIGNUM *x = NULL, *y = NULL;
    bool good =
        key && EVP_PKEY_is_a(key, "EC") == 1 && EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1
        && !strcmp(group, "secp384r1") && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1
        && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1;
    memset(out, 0, AMD_KEY_SIZE);
    out[0] = AMD_CURVE_384;
    good = good && BN_bn2lebinpad(x, out + 4, P384_BYTES) == P384_BYTES
           && BN_bn2lebinpad(y, out + 4 + AMD_COORD, P384_BYTES) == P384_BYTES;
    BN_free(x);
    BN_free(y);
    ERR_clear_error();
    return good;
}

int cocos_amd_keys(const struct cocos_object *o, const char *name, struct cocos_hex_list *out,
                   struct err *err)
{
    const json_t *list, *v;
    size_t i;
    if (cocos_list(o, name, &list, err) < 0)
        return -1;
    json_array_foreach(list, i, v)
    {
        AUTO(buf_done) struct buf der = buf_new(CERT_MAX);
        AUTO(x509_drop) X509 *cert = NULL;
        uint8_t raw[AMD_KEY_SIZE];
        struct digest d;
        struct err why = { 0 };
        if (cocos_element(o, name, i, v, &der, err) < 0)
            return -1;
        if (x509_parse(buf_bytes(&der), &cert, &why) < 0)
            return cocos_bad(err, o, name, "element %zu: %.150s", i, why.cause);
        if (!amd_form(cert, raw))
            continue;
        if (digest_of(ALG_SHA384, bytes_of(raw, sizeof(raw)), &d, err) < 0
            || cocos_add_hex(out, digest_bytes(&d), err) < 0)
            return -1;
    }
    return 0;
}
