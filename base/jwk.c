/* JSON Web Keys, base/jwt.h. */
#include "base/jwt_internal.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdlib.h>

#define MODULUS_MAX 1024

static int fail_at(struct err *err, size_t at, const char *what)
{
    return err_set(err, ERR_INPUT, 0, "keys[%zu]: %s", at, what);
}

/* ---- reading ---- */

static bool get_bytes(const json_t *v, const char *name, struct buf *out)
{
    const json_t *text = json_object_get(v, name);
    struct err ignored;
    return json_is_string(text)
           && b64url_decode_strict(bytes_of(json_string_value(text), json_string_length(text)), out, &ignored)
                  == 0
           && !out->failed && out->n;
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1
        || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return key;
}

static EVP_PKEY *rsa_key(const json_t *v)
{
    AUTO(buf_done) struct buf n = buf_new(MODULUS_MAX);
    AUTO(buf_done) struct buf e = buf_new(8);
    EVP_PKEY *key = NULL;
    if (!get_bytes(v, "n", &n) || !get_bytes(v, "e", &e) || !(n.p[n.n - 1] & 1) || !(e.p[e.n - 1] & 1)
        || be_uint(e.p, e.n) < 3)
        return NULL;
    BIGNUM *modulus = BN_bin2bn(n.p, (int)n.n, NULL), *exponent = BN_bin2bn(e.p, (int)e.n, NULL);
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (bld && modulus && exponent && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, modulus) == 1
        && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, exponent) == 1) {
        OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
        key = key_from("RSA", params);
        OSSL_PARAM_free(params);
    }
    OSSL_PARAM_BLD_free(bld);
    BN_free(modulus);
    BN_free(exponent);
    return key;
}

static EVP_PKEY *ec_key(const json_t *v, const struct jwt_alg_row *row)
{
    AUTO(buf_done) struct buf point = buf_new(1 + 2 * 48);
    char group[16];
    buf_u8(&point, POINT_CONVERSION_UNCOMPRESSED);
    if (!get_bytes(v, "x", &point) || point.n != 1 + row->half || !get_bytes(v, "y", &point)
        || point.n != 1 + 2 * row->half)
        return NULL;
    snprintf(group, sizeof(group), "%s", row->group);
    OSSL_PARAM params[] = { OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, strlen(group)),
                            OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point.p, point.n),
                            OSSL_PARAM_END };
    return key_from("EC", params);
}

/* The key of the first certificate (RFC 7517, section 4.7: standard base64). */
static EVP_PKEY *certified_key(const json_t *x5c)
{
    AUTO(buf_done) struct buf der = buf_new(CERT_MAX);
    AUTO(x509_drop) X509 *cert = NULL;
    const json_t *first = json_array_get(x5c, 0);
    struct err ignored;
    if (!json_is_string(first)
        || b64_decode(bytes_of(json_string_value(first), json_string_length(first)), &der, &ignored) < 0
        || x509_parse(buf_bytes(&der), &cert, &ignored) < 0)
        return NULL;
    EVP_PKEY *key = X509_get_pubkey(cert);
    ERR_clear_error();
    return key;
}

static const struct jwt_alg_row *row_of_curve(const char *curve)
{
    for (unsigned i = 0; curve && i < JWT_ALGS; i++)
        if (jwt_alg_row((enum jwt_alg)i)->curve && !strcmp(jwt_alg_row((enum jwt_alg)i)->curve, curve))
            return jwt_alg_row((enum jwt_alg)i);
    return NULL;
}

/* @return 1 with a key, 0: an entry to pass over, -1 */
static int read_key(const json_t *v, enum jwks_source source, size_t at, EVP_PKEY **out, struct err *err)
{
    const char *kty = json_string_value(json_object_get(v, "kty"));
    const json_t *use = json_object_get(v, "use"), *x5c = json_object_get(v, "x5c");
    const char *curve = json_string_value(json_object_get(v, "crv"));
    if (!json_is_object(v))
        return fail_at(err, at, "not a JSON object");
    if (use && (!json_is_string(use) || strcmp(json_string_value(use), "sig") != 0))
        return 0;
    if (!kty)
        return fail_at(err, at, "kty is missing");
    bool own = json_object_get(v, "n") || json_object_get(v, "x");
    if (source == JWKS_X5C_ONLY && !x5c)
        return 0;
    if (x5c && (source == JWKS_X5C_ONLY || !own))
        *out = certified_key(x5c);
    else if (!strcmp(kty, "RSA"))
        *out = rsa_key(v);
    else if (!strcmp(kty, "EC") && row_of_curve(curve))
        *out = ec_key(v, row_of_curve(curve));
    else
        return 0; /* OKP, oct, other curves */
    return *out ? 1 : fail_at(err, at, "no public key that can be read");
}

static uint32_t algs_of(const json_t *v, EVP_PKEY *key)
{
    const json_t *said = json_object_get(v, "alg");
    uint32_t algs = 0;
    for (unsigned i = 0; i < JWT_ALGS; i++)
        if (jwt_alg_fits((enum jwt_alg)i, key)
            && (!said
                || (json_is_string(said) && !strcmp(json_string_value(said), jwt_alg_name((enum jwt_alg)i)))))
            algs |= JWT_BIT(i);
    return algs;
}

static int add_key(const json_t *v, enum jwks_source source, size_t at, struct jwks *s, struct err *err)
{
    EVP_PKEY *key = NULL;
    int rc = read_key(v, source, at, &key, err);
    if (rc <= 0)
        return rc;
    const json_t *kid = json_object_get(v, "kid");
    uint32_t algs = algs_of(v, key);
    struct jwk *k = &s->key[s->n];
    rc = 0;
    if (kid && (!json_is_string(kid) || json_string_length(kid) > JWK_KID_MAX))
        rc = fail_at(err, at, "kid is not text of at most 128 bytes");
    if (rc < 0 || !algs) { /* too short, or of an algorithm that nobody here has */
        EVP_PKEY_free(key);
        return rc;
    }
    *k = (struct jwk){ .key = key, .algs = algs };
    snprintf(k->kid, sizeof(k->kid), "%s", kid ? json_string_value(kid) : "");
    s->n++;
    return 0;
}

int jwks_parse(struct bytes text, enum jwks_source source, struct jwks *out, struct err *err)
{
    AUTO(json_drop) json_t *root = NULL;
    AUTO(jwks_done) struct jwks s = { 0, NULL };
    if (json_parse(text, JWKS_SIZE, &root, err) < 0)
        return err_while(err, "key set");
    const json_t *keys = json_object_get(root, "keys");
    size_t n = json_is_array(keys) ? json_array_size(keys) : 1;
    if (!json_is_object(root) || (keys ? !json_is_array(keys) : !json_object_get(root, "kty")))
        return err_set(err, ERR_INPUT, 0, "not a key set: want {\"keys\":[...]}");
    if (n > JWKS_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "a key set of %zu keys, at most %d are read", n, JWKS_MAX);
    if (!(s.key = calloc(n ? n : 1, sizeof(*s.key))))
        return err_set(err, ERR_IO, ENOMEM, "no memory for a key set");
    for (size_t i = 0; i < n; i++)
        if (add_key(keys ? json_array_get(keys, i) : root, source, i, &s, err) < 0)
            return err_while(err, "key set");
    if (!s.n)
        return err_set(err, ERR_INPUT, 0, "the key set has no key for signatures that are verified here");
    *out = s;
    s = (struct jwks){ 0, NULL };
    return 0;
}

void jwks_done(struct jwks *s)
{
    for (size_t i = 0; i < s->n; i++)
        EVP_PKEY_free(s->key[i].key);
    free(s->key);
    *s = (struct jwks){ 0, NULL };
}

/* ---- writing ---- */

static json_t *b64url_json(struct bytes data)
{
    AUTO(buf_done) struct buf text = buf_new(2 * MODULUS_MAX);
    b64url_put(&text, data);
    return text.failed ? NULL : json_stringn((const char *)text.p, text.n);
}

/* @param half  0: as short as it is */
static json_t *number_json(EVP_PKEY *key, const char *name, size_t half)
{
    BIGNUM *number = NULL;
    uint8_t raw[MODULUS_MAX];
    json_t *v = NULL;
    if (EVP_PKEY_get_bn_param(key, name, &number) == 1 && (size_t)BN_num_bytes(number) <= sizeof(raw)) {
        int n = half ? BN_bn2binpad(number, raw, (int)half) : BN_bn2bin(number, raw);
        v = n > 0 ? b64url_json(bytes_of(raw, (size_t)n)) : NULL;
    }
    BN_free(number);
    ERR_clear_error();
    return v;
}

static const struct jwt_alg_row *row_of_key(EVP_PKEY *key)
{
    static const enum jwt_alg kinds[] = { JWT_PS256, JWT_ES256, JWT_ES384 };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (jwt_alg_fits(kinds[i], key))
            return jwt_alg_row(kinds[i]);
    return NULL;
}

/* The members that name the key, in the order of their names, as thumbprints hash them. */
static json_t *naming_members(EVP_PKEY *key)
{
    const struct jwt_alg_row *row = row_of_key(key);
    if (!row)
        return NULL;
    if (row->half)
        return json_pack("{s:s,s:s,s:o,s:o}", "crv", row->curve, "kty", "EC", "x",
                         number_json(key, OSSL_PKEY_PARAM_EC_PUB_X, row->half), "y",
                         number_json(key, OSSL_PKEY_PARAM_EC_PUB_Y, row->half));
    return json_pack("{s:o,s:s,s:o}", "e", number_json(key, OSSL_PKEY_PARAM_RSA_E, 0), "kty", "RSA", "n",
                     number_json(key, OSSL_PKEY_PARAM_RSA_N, 0));
}

static int no_key(struct err *err)
{
    return err_set(err, ERR_INPUT, 0, "the key is neither RSA of 2048 bits and more nor on P-256 or P-384");
}

int jwk_thumbprint(EVP_PKEY *key, struct buf *out, struct err *err)
{
    AUTO(json_drop) json_t *members = naming_members(key);
    AUTO(buf_done) struct buf text = buf_new(4 * MODULUS_MAX);
    uint8_t hash[32];
    if (!members)
        return no_key(err);
    json_put(&text, members, false);
    if (buf_check(&text, "key", err) < 0)
        return -1;
    sha256(buf_bytes(&text), hash);
    b64url_put(out, bytes_of(hash, sizeof(hash)));
    return buf_check(out, "thumbprint", err);
}

int jwk_json(EVP_PKEY *key, enum jwt_alg alg, const char *kid, json_t **out, struct err *err)
{
    AUTO(json_drop) json_t *v = naming_members(key);
    AUTO(buf_done) struct buf print = buf_new(64);
    if (!v || !jwt_alg_fits(alg, key))
        return no_key(err);
    if (!kid && jwk_thumbprint(key, &print, err) < 0)
        return -1;
    AUTO(free_str) char *own = kid ? NULL : buf_take_str(&print);
    if (json_object_set_new(v, "use", json_string("sig")) < 0
        || json_object_set_new(v, "alg", json_string(jwt_alg_name(alg))) < 0
        || json_object_set_new(v, "kid", json_string(kid ? kid : own)) < 0)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a key");
    *out = MOVE(v);
    return 0;
}
