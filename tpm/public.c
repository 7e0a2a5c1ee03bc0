#include "tpm/public.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/json.h"
#include "tpm/signature.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdio.h>

#define ALG_NULL 0x0010

static const struct curve {
    uint16_t id;
    uint16_t size; /* bytes of a coordinate */
    const char *name, *group;
} curves[] = {
    { TPM_CURVE_P256, 32, "nist_p256", "P-256" },
    { TPM_CURVE_P384, 48, "nist_p384", "P-384" },
    { TPM_CURVE_P521, 66, "nist_p521", "P-521" },
};

static const struct curve *curve_of(uint16_t id)
{
    for (size_t i = 0; i < ARRAY_SIZE(curves); i++)
        if (curves[i].id == id)
            return &curves[i];
    return NULL;
}

/* What follows a scheme's id (Part 2, 11.2.1 to 11.2.4); a scheme without a row is refused. */
enum detail { DETAIL_NONE, DETAIL_HASH, DETAIL_HASH_COUNT };
static const struct {
    uint16_t id;
    enum detail detail;
} scheme_details[] = {
    { TPM_SCHEME_NULL, DETAIL_NONE },  { TPM_SCHEME_RSASSA, DETAIL_HASH },
    { TPM_SCHEME_RSAES, DETAIL_NONE }, { TPM_SCHEME_RSAPSS, DETAIL_HASH },
    { TPM_SCHEME_OAEP, DETAIL_HASH },  { TPM_SCHEME_ECDSA, DETAIL_HASH },
    { 0x0019, DETAIL_HASH },       /* ECDH */
    { 0x001A, DETAIL_HASH_COUNT }, /* ECDAA */
    { 0x001B, DETAIL_HASH },       /* SM2 */
    { 0x001C, DETAIL_HASH },       /* ECSCHNORR */
    { 0x001D, DETAIL_HASH },       /* ECMQV */
    { 0x0007, DETAIL_HASH },       /* MGF1 */
    { 0x0020, DETAIL_HASH },       /* KDF1_SP800_56A */
    { 0x0021, DETAIL_HASH },       /* KDF2 */
    { 0x0022, DETAIL_HASH },       /* KDF1_SP800_108 */
};

static int cut_short(const struct reader *r, struct err *err)
{
    return err_set(err, ERR_INPUT, 0, "TPMT_PUBLIC cut short at offset %zu", r->off);
}

static int parse_scheme(struct reader *r, uint16_t *scheme, uint16_t *hash, struct err *err)
{
    size_t i = 0;
    *hash = 0;
    if (!rd_u16be(r, scheme))
        return cut_short(r, err);
    while (i < ARRAY_SIZE(scheme_details) && scheme_details[i].id != *scheme)
        i++;
    if (i == ARRAY_SIZE(scheme_details))
        return err_set(err, ERR_INPUT, 0, "key scheme %#x before offset %zu is unknown", *scheme, r->off);
    if (scheme_details[i].detail == DETAIL_NONE)
        return 0;
    if (!rd_u16be(r, hash) || (scheme_details[i].detail == DETAIL_HASH_COUNT && !rd_skip(r, 2)))
        return cut_short(r, err);
    if (!digest_size(*hash))
        return err_set(err, ERR_INPUT, 0, "scheme hash %#x before offset %zu is unknown", *hash, r->off);
    return 0;
}

/* TPMT_SYM_DEF_OBJECT: block ciphers have key bits and a mode. */
static int parse_symmetric(struct reader *r, struct tpm_public *out, struct err *err)
{
    if (!rd_u16be(r, &out->sym_alg))
        return cut_short(r, err);
    if (out->sym_alg == ALG_NULL)
        return 0;
    if (out->sym_alg != 0x0006 && out->sym_alg != 0x0013 && out->sym_alg != 0x0026) /* AES, SM4, Camellia */
        return err_set(err, ERR_INPUT, 0, "symmetric algorithm %#x before offset %zu is unknown",
                       out->sym_alg, r->off);
    return rd_u16be(r, &out->sym_bits) && rd_u16be(r, &out->sym_mode) ? 0 : cut_short(r, err);
}

static int parse_rsa(struct reader *r, struct tpm_public *out, struct err *err)
{
    if (parse_symmetric(r, out, err) < 0 || parse_scheme(r, &out->scheme, &out->scheme_hash, err) < 0)
        return -1;
    if (!rd_u16be(r, &out->key_bits) || !rd_u32be(r, &out->exponent) || !rd_tpm2b(r, &out->modulus))
        return cut_short(r, err);
    if (out->exponent == 0)
        out->exponent = 65537;
    if (out->key_bits < 1024 || out->key_bits > 4096 || out->key_bits % 8)
        return err_set(err, ERR_INPUT, 0, "RSA key of %u bits before offset %zu: want 1024 to 4096",
                       out->key_bits, r->off);
    if (out->modulus.n && out->modulus.n != out->key_bits / 8u)
        return err_set(err, ERR_INPUT, 0, "modulus of %zu bytes before offset %zu in a key of %u bits",
                       out->modulus.n, r->off, out->key_bits);
    return 0;
}

static int parse_ecc(struct reader *r, struct tpm_public *out, struct err *err)
{
    if (parse_symmetric(r, out, err) < 0 || parse_scheme(r, &out->scheme, &out->scheme_hash, err) < 0)
        return -1;
    if (!rd_u16be(r, &out->curve))
        return cut_short(r, err);
    const struct curve *curve = curve_of(out->curve);
    if (!curve)
        return err_set(err, ERR_INPUT, 0, "curve %#x at offset %zu: want P-256, P-384 or P-521", out->curve,
                       r->off - 2);
    if (parse_scheme(r, &out->kdf, &out->kdf_hash, err) < 0)
        return -1;
    if (!rd_tpm2b(r, &out->x) || !rd_tpm2b(r, &out->y))
        return cut_short(r, err);
    if (out->x.n > curve->size || out->y.n > curve->size)
        return err_set(err, ERR_INPUT, 0, "point of %zu and %zu bytes before offset %zu on %s", out->x.n,
                       out->y.n, r->off, curve->group);
    return 0;
}

static bool type_known(uint16_t type)
{
    return type == TPM_KEY_RSA || type == TPM_KEY_ECC;
}

int tpm_public_parse(struct bytes raw, struct tpm_public *out, struct err *err)
{
    const struct bytes none = bytes_of(NULL, 0);
    struct tpm_public p = { .raw = raw, .auth_policy = none, .modulus = none, .x = none, .y = none };
    struct reader r = reader_of(raw);
    struct bytes inner;
    if (rd_tpm2b(&r, &inner) && r.rest.n == 0 && inner.n >= 2 && type_known((uint16_t)be_uint(inner.p, 2)))
        p.raw = inner;
    r = reader_of(p.raw);
    if (!rd_u16be(&r, &p.type) || !rd_u16be(&r, &p.name_alg) || !rd_u32be(&r, &p.attributes)
        || !rd_tpm2b(&r, &p.auth_policy))
        return cut_short(&r, err);
    if (!type_known(p.type))
        return err_set(err, ERR_INPUT, 0, "object type %#x at offset 0: want an RSA or ECC key", p.type);
    if (!digest_size(p.name_alg))
        return err_set(err, ERR_INPUT, 0, "name algorithm %#x at offset 2 is unknown", p.name_alg);
    if (p.auth_policy.n && p.auth_policy.n != digest_size(p.name_alg))
        return err_set(err, ERR_INPUT, 0, "authPolicy of %zu bytes at offset 8 with name algorithm %s",
                       p.auth_policy.n, digest_name(p.name_alg));
    if ((p.type == TPM_KEY_RSA ? parse_rsa(&r, &p, err) : parse_ecc(&r, &p, err)) < 0)
        return -1;
    if (r.rest.n)
        return err_set(err, ERR_INPUT, 0, "%zu bytes after the public area's end at offset %zu", r.rest.n,
                       r.off);
    *out = p;
    return 0;
}

static void bld_drop(OSSL_PARAM_BLD **b)
{
    OSSL_PARAM_BLD_free(*b);
}

static void bn_drop(BIGNUM **b)
{
    BN_free(*b);
}

static void params_drop(OSSL_PARAM **p)
{
    OSSL_PARAM_free(*p);
}

static void pkey_ctx_drop(EVP_PKEY_CTX **c)
{
    EVP_PKEY_CTX_free(*c);
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *bld)
{
    AUTO(params_drop) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    AUTO(pkey_ctx_drop) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;
    if (!params || !ctx || EVP_PKEY_fromdata_init(ctx) != 1
        || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        return NULL;
    return key;
}

static EVP_PKEY *rsa_key(const struct tpm_public *pub)
{
    AUTO(bld_drop) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    AUTO(bn_drop) BIGNUM *n = BN_bin2bn(pub->modulus.p, (int)pub->modulus.n, NULL);
    if (!bld || !n || !BN_is_odd(n) || !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n)
        || !OSSL_PARAM_BLD_push_ulong(bld, OSSL_PKEY_PARAM_RSA_E, pub->exponent))
        return NULL;
    return key_from("RSA", bld);
}

static EVP_PKEY *ecc_key(const struct tpm_public *pub, const struct curve *curve)
{
    uint8_t point[1 + 2 * 66] = { 0x04 }; /* uncompressed; TPMs may strip leading zeros of x and y */
    memcpy(point + 1 + curve->size - pub->x.n, pub->x.p, pub->x.n);
    memcpy(point + 1 + 2 * curve->size - pub->y.n, pub->y.p, pub->y.n);
    AUTO(bld_drop) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    if (!bld || !OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME, curve->group, 0)
        || !OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY, point,
                                             1 + 2 * (size_t)curve->size))
        return NULL;
    return key_from("EC", bld);
}

int tpm_public_key(const struct tpm_public *pub, EVP_PKEY **out, struct err *err)
{
    bool ecc = pub->type == TPM_KEY_ECC;
    if (ecc ? bytes_zero(pub->x) && bytes_zero(pub->y) : bytes_zero(pub->modulus))
        return err_set(err, ERR_INPUT, 0, "the public area is a template: it holds no key");
    EVP_PKEY *key = ecc ? ecc_key(pub, curve_of(pub->curve)) : rsa_key(pub);
    ERR_clear_error();
    if (!key)
        return err_set(err, ERR_INPUT, 0, "%s", ecc ? "the point is not on its curve" : "not an RSA modulus");
    *out = key;
    return 0;
}

/* Compared by value, and read into room of ours: making a key, or two numbers, costs a third of a
 * verification. The number is in this machine's byte order. */
static bool same_rsa(const struct tpm_public *pub, const EVP_PKEY *key)
{
    uint8_t n[1024];
    unsigned long e = 0;
    OSSL_PARAM params[] = { OSSL_PARAM_construct_BN(OSSL_PKEY_PARAM_RSA_N, n, sizeof(n)),
                            OSSL_PARAM_construct_ulong(OSSL_PKEY_PARAM_RSA_E, &e),
                            OSSL_PARAM_construct_end() };
    if (EVP_PKEY_get_params(key, params) != 1 || params[0].return_size != pub->modulus.n
        || e != pub->exponent)
        return false;
    for (size_t i = 0; i < pub->modulus.n; i++) {
        bool little = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
        if (n[little ? pub->modulus.n - 1 - i : i] != pub->modulus.p[i])
            return false;
    }
    return true;
}

int tpm_public_is(const struct tpm_public *pub, EVP_PKEY *key, bool *same, struct err *err)
{
    AUTO(pkey_drop) EVP_PKEY *own = NULL;
    if (key && pub->type == TPM_KEY_RSA && EVP_PKEY_is_a(key, "RSA") && same_rsa(pub, key)) {
        *same = true;
        return 0;
    }
    ERR_clear_error();
    if (tpm_public_key(pub, &own, err) < 0)
        return -1;
    *same = key && EVP_PKEY_eq(own, key) == 1;
    ERR_clear_error();
    return 0;
}

int tpm_public_spki(const struct tpm_public *pub, struct buf *out, struct err *err)
{
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    if (tpm_public_key(pub, &key, err) < 0)
        return -1;
    return spki_put_der(key, out, err);
}

int tpm_public_name(const struct tpm_public *pub, struct buf *out, struct err *err)
{
    struct digest d;
    if (digest_of(pub->name_alg, pub->raw, &d, err) < 0)
        return err_while(err, "name of a key");
    buf_u16be(out, pub->name_alg);
    buf_put(out, digest_bytes(&d));
    return buf_check(out, "name of a key", err);
}

/* A scheme that signs; the TPM refuses to quote with any other, a public area may say anything. */
static bool scheme_signs(const struct tpm_public *pub)
{
    return pub->type == TPM_KEY_RSA ? pub->scheme == TPM_SCHEME_RSASSA || pub->scheme == TPM_SCHEME_RSAPSS
                                    : pub->scheme == TPM_SCHEME_ECDSA;
}

int tpm_public_check_ak(const struct tpm_public *pub, struct err *err)
{
    const struct {
        bool wrong;
        const char *what;
    } rules[] = {
        { !(pub->attributes & TPM_ATTR_RESTRICTED),
          "it is not restricted, so it signs what a caller made up" },
        { !(pub->attributes & TPM_ATTR_SIGN), "it is no signing key" },
        { pub->attributes & TPM_ATTR_DECRYPT, "it is a decryption key" },
        { !(pub->attributes & TPM_ATTR_FIXED_TPM), "it is not fixedTPM, so it may exist outside the TPM" },
        { !scheme_signs(pub), "it has no fixed scheme RSASSA, RSAPSS or ECDSA" },
    };
    AUTO(buf_done) struct buf why = buf_new(512);
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
        if (rules[i].wrong)
            buf_printf(&why, "%s%s", why.n ? "; " : "", rules[i].what);
    if (why.n == 0 && !why.failed)
        return 0;
    return err_set(err, ERR_DENIED, 0, "not an attestation key: %.*s", (int)why.n,
                   (const char *)buf_bytes(&why).p);
}

static json_t *attributes_json(uint32_t attributes)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {
        { TPM_ATTR_FIXED_TPM, "fixed_tpm" },
        { 1u << 2, "st_clear" },
        { TPM_ATTR_FIXED_PARENT, "fixed_parent" },
        { TPM_ATTR_SENSITIVE_DATA_ORIGIN, "sensitive_data_origin" },
        { TPM_ATTR_USER_WITH_AUTH, "user_with_auth" },
        { TPM_ATTR_ADMIN_WITH_POLICY, "admin_with_policy" },
        { 1u << 10, "no_da" },
        { 1u << 11, "encrypted_duplication" },
        { TPM_ATTR_RESTRICTED, "restricted" },
        { TPM_ATTR_DECRYPT, "decrypt" },
        { TPM_ATTR_SIGN, "sign" },
        { 1u << 19, "x509_sign" },
    };
    json_t *list = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (attributes & names[i].bit)
            json_array_append_new(list, json_string(names[i].name));
    return list;
}

static json_t *name_json(const struct tpm_public *pub)
{
    AUTO(buf_done) struct buf name = buf_new(2 + DIGEST_MAX);
    return tpm_public_name(pub, &name, NULL) < 0 ? NULL : json_hex(buf_bytes(&name));
}

static json_t *alg_json(uint16_t id, const char *name)
{
    char text[8];
    snprintf(text, sizeof(text), "0x%04x", id);
    return json_string(name ?: text);
}

json_t *tpm_public_json(const struct tpm_public *pub)
{
    bool ecc = pub->type == TPM_KEY_ECC;
    char bits[12];
    snprintf(bits, sizeof(bits), "0x%08" PRIx32, pub->attributes);
    AUTO(json_drop)
    json_t *v = json_pack("{s:s, s:s?, s:s, s:o, s:o, s:o, s:o, s:s?, s:o}", "key_type", ecc ? "ecc" : "rsa",
                          "name_alg", digest_name(pub->name_alg), "object_attributes", bits, "attributes",
                          attributes_json(pub->attributes), "auth_policy", json_hex(pub->auth_policy),
                          "symmetric", alg_json(pub->sym_alg, pub->sym_alg == ALG_NULL ? "null" : NULL),
                          "scheme", alg_json(pub->scheme, tpm_scheme_name(pub->scheme)), "scheme_hash",
                          digest_name(pub->scheme_hash), "name", name_json(pub));
    AUTO(json_drop)
    json_t *key = ecc ? json_pack("{s:s, s:o, s:o}", "curve_id", curve_of(pub->curve)->name, "x",
                                  json_hex(pub->x), "y", json_hex(pub->y))
                      : json_pack("{s:i, s:I, s:o}", "key_bits", pub->key_bits, "exponent",
                                  (json_int_t)pub->exponent, "modulus", json_hex(pub->modulus));
    return !v || !key || json_object_update(v, key) < 0 ? NULL : MOVE(v);
}
