/* tpm/public: the AK of a GCE vTPM, and keys that libcrypto made. */
#include "evidence.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/json.h"
#include "tpm/public.h"
#include "tpm/signature.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>

#define GCE "gcp-vtpm/gce-cos-85-nonce9009/"

/* Attributes of an AK: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign. */
#define AK_ATTRIBUTES 0x00050072u

static struct buf pem_to_spki(const struct sample *pem)
{
    struct buf out = buf_new(4096);
    BIO *bio = BIO_new_mem_buf(pem->p, (int)pem->n);
    AUTO(pkey_drop) EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_int_equal(spki_put_der(key, &out, &(struct err){ 0 }), 0);
    return out;
}

static void real_ak_gives_its_pem(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample raw = sample_load(GCE "ak_pub.tpmt"), pem = sample_load(GCE "ak_pub.pem");
    AUTO(buf_done) struct buf want = pem_to_spki(&pem), got = buf_new(4096), prefixed = buf_new(4096);
    struct tpm_public pub;
    struct err err = { 0 };
    assert_int_equal(tpm_public_parse(sample_bytes(&raw), &pub, &err), 0);
    assert_int_equal(tpm_public_spki(&pub, &got, &err), 0);
    assert_true(bytes_equal(buf_bytes(&want), buf_bytes(&got)));
    assert_int_equal(pub.attributes, AK_ATTRIBUTES);
    assert_int_equal(tpm_public_check_ak(&pub, &err), 0);
    buf_tpm2b(&prefixed, pub.raw);
    assert_int_equal(tpm_public_parse(buf_bytes(&prefixed), &pub, &err), 0);
    prefixed.p[1]--;
    assert_int_equal(tpm_public_parse(buf_bytes(&prefixed), &pub, &err), -1);
}

/* The quote's qualifiedSigner is H(H(handle of the hierarchy) || Name) for a primary key: an independent
 * witness of the Name (TPM 2.0 Part 1, section 16.3). */
static void name_is_the_one_in_the_quote(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done)
    struct sample raw = sample_load(GCE "ak_pub.tpmt"), quote = sample_load(GCE "quote_sha256.msg");
    AUTO(buf_done) struct buf name = buf_new(128);
    struct tpm_public pub;
    struct digest d;
    assert_int_equal(tpm_public_parse(sample_bytes(&raw), &pub, &(struct err){ 0 }), 0);
    assert_int_equal(tpm_public_name(&pub, &name, &(struct err){ 0 }), 0);
    assert_int_equal(name.n, 34);
    const struct bytes parts[] = { bytes_of("\x40\x00\x00\x0B", 4), buf_bytes(&name) }; /* endorsement */
    assert_int_equal(digest_parts(ALG_SHA256, parts, 2, &d, &(struct err){ 0 }), 0);
    assert_non_null(memmem(quote.p, quote.n, d.b, 32));
}

static void refuses_every_cut_and_survives_one_bit(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample raw = sample_load(GCE "ak_pub.tpmt");
    struct tpm_public pub;
    for (size_t n = 0; n < raw.n; n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(raw.p, n);
        struct err err = { 0 };
        assert_int_equal(tpm_public_parse(bytes_of(cut, n), &pub, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
    for (size_t bit = 0; bit < raw.n * 8; bit++) {
        AUTO(buf_done) struct buf spki = buf_new(4096);
        AUTO(free_u8) uint8_t *copy = heap_copy(raw.p, raw.n);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (tpm_public_parse(bytes_of(copy, raw.n), &pub, &(struct err){ 0 }) < 0)
            continue;
        AUTO(json_drop) json_t *v = tpm_public_json(&pub);
        assert_non_null(v);
        int rc = tpm_public_spki(&pub, &spki, &(struct err){ 0 });
        assert_true(rc == 0 || spki.n == 0);
    }
}

static void put_ecc(struct buf *b, uint32_t attributes, uint16_t curve, struct bytes x, struct bytes y,
                    bool scheme)
{
    buf_u16be(b, TPM_KEY_ECC);
    buf_u16be(b, ALG_SHA256);
    buf_u32be(b, attributes);
    buf_u16be(b, 0);      /* authPolicy */
    buf_u16be(b, 0x0010); /* symmetric: NULL */
    buf_u16be(b, scheme ? TPM_SCHEME_ECDSA : 0x0010);
    if (scheme)
        buf_u16be(b, ALG_SHA256);
    buf_u16be(b, curve);
    buf_u16be(b, 0x0010); /* kdf: NULL */
    buf_tpm2b(b, x);
    buf_tpm2b(b, y);
}

static struct bytes stripped(struct bytes v)
{
    while (v.n && v.p[0] == 0)
        v = bytes_of(v.p + 1, v.n - 1);
    return v;
}

static void ecc_keys_of_every_curve_come_back(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint16_t curve;
        size_t size;
    } groups[] = { { "P-256", TPM_CURVE_P256, 32 },
                   { "P-384", TPM_CURVE_P384, 48 },
                   { "P-521", TPM_CURVE_P521, 66 } };
    for (size_t g = 0; g < ARRAY_SIZE(groups); g++)
        for (int i = 0; i < 8; i++) {
            AUTO(pkey_drop) EVP_PKEY *key = EVP_EC_gen(groups[g].name);
            AUTO(buf_done) struct buf area = buf_new(1024), want = buf_new(1024), got = buf_new(1024);
            uint8_t point[133];
            size_t n = 0, size = groups[g].size;
            struct tpm_public pub;
            assert_int_equal(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, point,
                                                             sizeof(point), &n),
                             1);
            assert_int_equal(n, 1 + 2 * size);
            struct bytes x = bytes_of(point + 1, size), y = bytes_of(point + 1 + size, size);
            put_ecc(&area, AK_ATTRIBUTES, groups[g].curve, i % 2 ? stripped(x) : x, i % 2 ? stripped(y) : y,
                    true);
            assert_int_equal(tpm_public_parse(buf_bytes(&area), &pub, &(struct err){ 0 }), 0);
            assert_int_equal(tpm_public_check_ak(&pub, &(struct err){ 0 }), 0);
            assert_int_equal(tpm_public_spki(&pub, &got, &(struct err){ 0 }), 0);
            assert_int_equal(spki_put_der(key, &want, &(struct err){ 0 }), 0);
            assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&want)));
        }
}

static void a_point_off_the_curve_is_no_key(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf area = buf_new(1024), zero = buf_new(1024), spki = buf_new(1024);
    struct tpm_public pub;
    struct err err = { 0 };
    put_ecc(&area, AK_ATTRIBUTES, TPM_CURVE_P256, bytes_str("\x05"), bytes_str("\x06"), true);
    assert_int_equal(tpm_public_parse(buf_bytes(&area), &pub, &err), 0);
    assert_int_equal(tpm_public_spki(&pub, &spki, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    put_ecc(&zero, AK_ATTRIBUTES, TPM_CURVE_P256, bytes_of(NULL, 0), bytes_of(NULL, 0), true);
    assert_int_equal(tpm_public_parse(buf_bytes(&zero), &pub, &err), 0); /* a template */
    assert_int_equal(tpm_public_spki(&pub, &spki, &err), -1);
    assert_non_null(strstr(err.cause, "template"));
}

static void every_missing_ak_property_is_named(void **state)
{
    (void)state;
    static const struct {
        uint32_t attributes;
        bool scheme;
        const char *says;
    } bad[] = {
        { AK_ATTRIBUTES & ~TPM_ATTR_RESTRICTED, true, "not restricted" },
        { AK_ATTRIBUTES & ~TPM_ATTR_SIGN, true, "no signing key" },
        { AK_ATTRIBUTES | TPM_ATTR_DECRYPT, true, "decryption key" },
        { AK_ATTRIBUTES & ~TPM_ATTR_FIXED_TPM, true, "not fixedTPM" },
        { AK_ATTRIBUTES, false, "no fixed scheme" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO(buf_done) struct buf area = buf_new(1024);
        struct tpm_public pub;
        struct err err = { 0 };
        put_ecc(&area, bad[i].attributes, TPM_CURVE_P256, bytes_str("x"), bytes_str("y"), bad[i].scheme);
        assert_int_equal(tpm_public_parse(buf_bytes(&area), &pub, &err), 0);
        assert_int_equal(tpm_public_check_ak(&pub, &err), -1);
        assert_int_equal(err.kind, ERR_DENIED);
        assert_non_null(strstr(err.cause, bad[i].says));
    }
    AUTO(buf_done) struct buf none = buf_new(1024);
    struct tpm_public pub;
    struct err err = { 0 };
    put_ecc(&none, TPM_ATTR_DECRYPT, TPM_CURVE_P256, bytes_str("x"), bytes_str("y"), false);
    assert_int_equal(tpm_public_parse(buf_bytes(&none), &pub, &err), 0);
    assert_int_equal(tpm_public_check_ak(&pub, &err), -1);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_non_null(strstr(err.cause, bad[i].says));
}

static void json_names_what_the_area_says(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf area = buf_new(1024);
    struct tpm_public pub;
    put_ecc(&area, AK_ATTRIBUTES, TPM_CURVE_P384, bytes_str("x"), bytes_str("y"), true);
    assert_int_equal(tpm_public_parse(buf_bytes(&area), &pub, &(struct err){ 0 }), 0);
    AUTO(json_drop) json_t *v = tpm_public_json(&pub);
    assert_string_equal(json_string_value(json_object_get(v, "key_type")), "ecc");
    assert_string_equal(json_string_value(json_object_get(v, "object_attributes")), "0x00050072");
    assert_string_equal(json_string_value(json_object_get(v, "scheme")), "ecdsa");
    assert_string_equal(json_string_value(json_object_get(v, "scheme_hash")), "sha256");
    assert_string_equal(json_string_value(json_object_get(v, "symmetric")), "null");
    assert_string_equal(json_string_value(json_object_get(v, "curve_id")), "nist_p384");
    assert_string_equal(json_string_value(json_object_get(v, "x")), "78");
    assert_int_equal(json_array_size(json_object_get(v, "attributes")), 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_ak_gives_its_pem),
        cmocka_unit_test(name_is_the_one_in_the_quote),
        cmocka_unit_test(refuses_every_cut_and_survives_one_bit),
        cmocka_unit_test(ecc_keys_of_every_curve_come_back),
        cmocka_unit_test(a_point_off_the_curve_is_no_key),
        cmocka_unit_test(every_missing_ak_property_is_named),
        cmocka_unit_test(json_names_what_the_area_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
