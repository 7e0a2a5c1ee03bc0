/* policy/cocos.h: policies in all their spellings, and those that are refused. */
#include "cocos_rig.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

/* camelCase, numbers as text, enumerations by name: the same policy. */
static void the_other_spelling(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *p = snp_policy();
    AUTO(json_drop) json_t *pcrs = json_incref(json_object_get(p, "pcr_values"));
    AUTO(buf_done) struct buf text = buf_new(1 << 20), camel = buf_new(1 << 20);
    AUTO(json_drop) json_t *other = NULL;
    AUTO(cocos_drop) struct cocos_policy *parsed = NULL;
    struct err err = { 0 };
    char field[64];
    json_object_del(p, "pcr_values");
    set(p, "policy/policy", "\"196639\"");
    set(p, "policy/vmpl", "\"2\"");
    set(p, "policy/product/name", "\"SEV_PRODUCT_MILAN\"");
    json_put(&text, p, false);
    for (size_t i = 0; i < text.n; i++) { /* no value has an underscore but SEV_PRODUCT_MILAN */
        if (text.p[i] == '_' && text.p[i + 1] >= 'a' && text.p[i + 1] <= 'z')
            buf_u8(&camel, (uint8_t)(text.p[++i] - 32));
        else
            buf_u8(&camel, text.p[i]);
    }
    assert_int_equal(json_parse(buf_bytes(&camel), 1 << 20, &other, &err), 0);
    assert_non_null(json_object_get(json_object_get(other, "policy"), "minimumLaunchTcb"));
    json_object_set(other, "pcr_values", pcrs);
    assert_int_equal(failures_of(other, snp_claims, field), 0);
    set(other, "policy/minimum_tcb", "1"); /* both spellings */
    assert_int_equal(parse(other, &parsed, &err), -1);
    assert_non_null(strstr(err.cause, "policy.minimum_tcb"));
}

static void malformed_policies_name_the_place(void **state)
{
    static const struct {
        bool tdx;
        const char *path, *value, *says;
    } cases[] = {
        { false, "policy/policy", "0", "policy.policy" },
        { false, "policy/policy", NULL, "policy.policy" },
        { false, "policy/policy", "68719673344", "policy.policy" },
        { false, "policy/policy", "-1", "policy.policy" },
        { false, "policy/policy", "1.5", "policy.policy" },
        { false, "policy/policy", "\"18446744073709551616\"", "policy.policy" },
        { false, "policy/policy", "\"196608 \"", "policy.policy" },
        { false, "policy/policy", "true", "policy.policy" },
        { false, "policy/measurement", "\"AAAA\"", "3 bytes, want 48" },
        { false, "policy/measurement", "\"!!!\"", "policy.measurement" },
        { false, "policy/measurement", "15352208179752599555", "want base64" },
        { false, "policy/chip_id", "[1]", "policy.chip_id" },
        { false, "policy/minimum_build", "256", "policy.minimum_build" },
        { false, "policy/minimum_version", "\"1\"", "policy.minimum_version" },
        { false, "policy/minimum_version", "\"1.2.3\"", "policy.minimum_version" },
        { false, "policy/minimum_version", "\"1.256\"", "policy.minimum_version" },
        { false, "policy/minimum_version", "1.5", "policy.minimum_version" },
        { false, "policy/vmpl", "4", "policy.vmpl" },
        { false, "policy/platform_info", "64", "policy.platform_info" },
        { false, "policy/platform_info", "256", "policy.platform_info" },
        { false, "policy/require_author_key", "1", "policy.require_author_key" },
        { false, "policy/trusted_id_key_hashes", "[\"AAAA\"]", "element 0 has 3 bytes, want 48" },
        { false, "policy/trusted_id_keys", "[\"AAAA\"]", "policy.trusted_id_keys" },
        { false, "policy/product", "{\"name\":\"SEV_PRODUCT_ROME\"}", "policy.product.name" },
        { false, "policy/product", "{\"name\":4}", "policy.product.name" },
        { false, "policy/product", "{\"name\":2}", "product_line" },
        { false, "root_of_trust/product_line", "\"Rome\"", "root_of_trust.product_line" },
        { false, "root_of_trust/check_crl", "\"yes\"", "root_of_trust.check_crl" },
        { false, "root_of_trust/cabundle_paths", "[\"/etc/passwd\"]", "root_of_trust.cabundle_paths" },
        { false, "root_of_trust/cabundles", "[\"none\"]", "root_of_trust.cabundles" },
        { false, "pcr_values/sha256", "{\"24\":\"00\"}", "pcr_values.sha256" },
        { false, "pcr_values/sha256", "{\"01\":\"00\"}", "pcr_values.sha256" },
        { false, "pcr_values/sha256", "{\"1\":\"00\"}", "PCR 1" },
        { false, "pcr_values/sha256", "{\"1\":\"zz\"}", "PCR 1" },
        { false, "pcr_values/sha512", "{}", "pcr_values.sha512" },
        { false, "policy", "7", "policy: want an object" },
        { true, "policy/headerPolicy/qeVendorId", "\"AAAA\"", "policy.headerPolicy.qe_vendor_id" },
        { true, "policy/headerPolicy/minimumQeSvn", "65536", "minimum_qe_svn" },
        { true, "policy/headerPolicy/more", "1", "policy.headerPolicy.more" },
        { true, "policy/tdQuoteBodyPolicy/rtmrs", "[\"\"]", "1 registers, want 4" },
        { true, "policy/tdQuoteBodyPolicy/rtmrs", "[\"\",\"\",\"AAAA\",\"\"]", "element 2 has 3 bytes" },
        { true, "policy/tdQuoteBodyPolicy/minimumTeeTcbSvn", B64_48_00, "minimum_tee_tcb_svn" },
        { true, "policy/tdQuoteBodyPolicy/anyMrTd", "[\"\"]", "any_mr_td" },
        { true, "policy/tdQuoteBodyPolicy/mr_td", B64_48_00, "two spellings" },
        { true, "policy/tdQuoteBodyPolicy/mrtd", B64_48_00, "mrtd: no such member" },
        { true, "policy/extra", "{}", "policy.extra" },
        { true, "pcr_values", "{}", "pcr_values" },
        { true, "rootOfTrust/getCollateral", "false", "rootOfTrust.checkCrl" },
        { true, "rootOfTrust/productLine", "\"x\"", "rootOfTrust.productLine" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(json_drop) json_t *p = cases[i].tdx ? tdx_policy() : snp_policy();
        AUTO(cocos_drop) struct cocos_policy *parsed = NULL;
        struct err err = { 0 };
        set(p, cases[i].path, cases[i].value);
        assert_int_equal(parse(p, &parsed, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
        if (!strstr(err.cause, cases[i].says))
            fail_msg("%s = %s: %s", cases[i].path, cases[i].value, err.cause);
    }
}

static void texts_that_are_no_policies(void **state)
{
    static const char *const bad[] = { "",
                                       "{",
                                       "[]",
                                       "{}",
                                       "{\"a\":1}",
                                       "{\"policy\":{\"policy\":1e400}}",
                                       "{\"policy\":{\"policy\":196608},\"policy\":{}}",
                                       "{\"policy\":\"\xff\"}",
                                       "{\"policy\":{\"measurement\":\"\\u0000\"}}",
                                       "null" };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO(cocos_drop) struct cocos_policy *p = NULL;
        struct err err = { 0 };
        assert_int_equal(cocos_parse(bytes_str(bad[i]), NULL, &p, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
    AUTO(buf_done) struct buf deep = buf_new(1 << 20);
    AUTO(cocos_drop) struct cocos_policy *p = NULL;
    struct err err = { 0 };
    for (int i = 0; i < 10000; i++)
        buf_str(&deep, "{\"policy\":");
    assert_int_equal(cocos_parse(buf_bytes(&deep), NULL, &p, &err), -1);
    AUTO(buf_done) struct buf large = buf_new(4 << 20);
    buf_str(&large, "{\"policy\":{\"policy\":196608,\"measurement\":\"");
    buf_fill(&large, 'A', COCOS_SIZE_MAX);
    buf_str(&large, "\"}}");
    assert_int_equal(cocos_parse(buf_bytes(&large), NULL, &p, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
}

/* A certificate of an own key; its digest is not the one of the claims until they have it. */
static X509 *make_cert(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"signer", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha384()) > 0);
    return cert;
}

/* AMD's form, written here a second time: curve 2, x and y little-endian, 72 bytes each, 0x404 in all. */
static char *amd_digest(EVP_PKEY *key)
{
    uint8_t raw[0x404] = { 2 }, point[97], hash[48];
    size_t n = 0;
    assert_int_equal(EVP_PKEY_get_octet_string_param(key, "encoded-pub-key", point, sizeof(point), &n), 1);
    assert_int_equal(n, 97);
    for (int i = 0; i < 48; i++) {
        raw[4 + i] = point[1 + 47 - i];
        raw[4 + 72 + i] = point[1 + 48 + 47 - i];
    }
    assert_int_equal(EVP_Digest(raw, sizeof(raw), hash, NULL, EVP_sha384(), NULL), 1);
    return hex_str(bytes_of(hash, sizeof(hash)));
}

static void keys_in_certificates_and_bundles_of_roots(void **state)
{
    (void)state;
    AUTO(pkey_drop) EVP_PKEY *key = EVP_EC_gen("P-384");
    AUTO(x509_drop) X509 *cert = make_cert(key);
    AUTO(free_str) char *digest = amd_digest(key);
    AUTO(buf_done) struct buf der = buf_new(CERT_MAX), text = buf_new(1 << 20);
    AUTO(json_drop) json_t *claims = NULL;
    AUTO(json_drop) json_t *p = snp_policy();
    struct err err = { 0 };
    char field[64];
    assert_int_equal(x509_put_der(cert, &der, &err), 0);
    assert_int_equal(json_parse(bytes_str(snp_claims), 1 << 20, &claims, &err), 0);
    json_object_set_new(json_object_get(claims, "sevsnp"), "sevsnp_authorkeydigest", json_string(digest));
    json_put(&text, claims, false);
    AUTO(free_str) char *signed_by = buf_take_str(&text);
    assert_int_equal(failures_of(p, signed_by, field), 1);
    json_object_set_new(json_object_get(p, "policy"), "trusted_author_keys",
                        json_pack("[o]", json_b64(buf_bytes(&der))));
    assert_int_equal(failures_of(p, signed_by, field), 0);

    BIO *bio = BIO_new(BIO_s_mem());
    char *pem = NULL;
    PEM_write_bio_X509(bio, cert);
    long n = BIO_get_mem_data(bio, &pem);
    json_object_set_new(json_object_get(p, "root_of_trust"), "cabundles",
                        json_pack("[o]", json_stringn(pem, (size_t)n)));
    BIO_free(bio);
    assert_int_equal(failures_of(p, signed_by, field), 1);
    assert_string_equal(field, "root_of_trust.cabundles");
    uint8_t hash[32];
    assert_int_equal(EVP_Digest(der.p, der.n, hash, NULL, EVP_sha256(), NULL), 1);
    json_object_set_new(json_object_get(claims, "sevsnp"), "sevsnp_root_sha256",
                        json_hex(bytes_of(hash, 32)));
    AUTO(buf_done) struct buf again = buf_new(1 << 20);
    json_put(&again, claims, false);
    AUTO(free_str) char *rooted = buf_take_str(&again);
    assert_int_equal(failures_of(p, rooted, field), 0);
}

static void what_a_tdx_policy_pins(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *v = tdx_policy();
    AUTO(cocos_drop) struct cocos_policy *p = NULL;
    struct err err = { 0 };
    assert_int_equal(parse(v, &p, &err), 0);
    assert_int_equal(cocos_kind_of(p), COCOS_TDX);
    assert_false(cocos_uses_pcrs(p));
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(cocos_rtmr(p, i).n, 48);
        assert_int_equal(cocos_rtmr(p, i).p[0], 7 + i);
    }
    assert_int_equal(cocos_rtmr(p, 4).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_other_spelling),
        cmocka_unit_test(malformed_policies_name_the_place),
        cmocka_unit_test(texts_that_are_no_policies),
        cmocka_unit_test(keys_in_certificates_and_bundles_of_roots),
        cmocka_unit_test(what_a_tdx_policy_pins),
    };
    return cmocka_run_group_tests(tests, load_claims, drop_claims);
}
