/* Signatures of golden measurements: the canonical text and fixed signatures, both made by Python 3.11 (json,
 * cryptography), and what must not verify. */
#include "evidence.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/x509.h"
#include "policy/golden_sign.h"

#include <openssl/ec.h>
#include <openssl/pem.h>

#include <stdlib.h>
#include <string.h>

/* json.dumps(inner, sort_keys=True, separators=(",", ":"), ensure_ascii=True) of the document below. */
static const char canonical[] = "{\"a\":[1,-2,null,true],\"b\":\"na\\u00efve "
                                "\\ud83d\\ude00\\u007f/\\\"\\\\\",\"\\u00e9\":{\"y\":[],\"z\":{}}}";
static const char inner[] = "{\"\xC3\xA9\":{\"z\":{},\"y\":[]},\"a\":[1,-2,null,true],"
                            "\"b\":\"na\\u00EFve \xF0\x9F\x98\x80\\u007f\\/\\\"\\\\\"}";

static const char p256_public[] = "-----BEGIN PUBLIC KEY-----\n"
                                  "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEnCvssiSLK+d6ymxReXSALxJa4LWy\n"
                                  "6/qDlfjcyjDJYtdzE1ARPoLf/8qRE+fUTHJp383vM+NPD9Tiiwhuc45erA==\n"
                                  "-----END PUBLIC KEY-----\n";
static const char p256_signature[] =
    "MEUCICHbVirnt852mL+lhV4mS0VeBZwEnqd0gAq8RXl8REVgAiEAuYNMvYjVSMwrj2v8c4THQW5o5Xh+3qMczwz7"
    "g837d5A=";
static const char rsa_public[] = "-----BEGIN PUBLIC KEY-----\n"
                                 "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2HU26xivjeztq348ZBqe\n"
                                 "5wjNcVUpraj+lrAkf5IZ+Crn9eKNWbOdBFdodkm2Od4s8lt9P3v1VNY3qG+q4Fyj\n"
                                 "cBksK10V9Js1JzVPY6B9qZwCLVAuCKQbAQeUHnkBlVWR7Ha0KQT//sQeDh6Bc7Rb\n"
                                 "DDsrmJRsBkOqUtvWw6hQq9gKpNFQhJttbjLeKrJfXd6x31V28E4XWMBVp1szFycp\n"
                                 "BFpGUR4LXgUinXjz2ELMQtvt9jan0aKFD3evxR9FmW4DaKrhCyo6hX1EKaYrKkQb\n"
                                 "eZzp0UEAR1XISMYzz6aQWbPUMQDDWcYvTNUxi7TlW0lJZZUfAJ24jrW4mZxupOjI\n"
                                 "wwIDAQAB\n"
                                 "-----END PUBLIC KEY-----\n";
static const char rsa_signature[] =
    "uCaDScg8UYeOE6hhnF2PsCGK8wF+r1OJpKPn3XqRBSe0wQn7YQvcOiKv/rotb+8OV7kz6AGzIWgfLxWDJOW/RPkd"
    "1Pc5oCWBtx129D70OYG7i/o5+VNR66XCHUuR3b7Z+zJj5IjCQ08hNJTEIcOGunAjHZEdkTGuQiwXv6M3f3x1oMm1"
    "5zOM0JF+V6pcBYF2YJAX2HOu39BMHcqsS9ewH5QZamkzIZ0p2u04SiEbe2VJybfstMTRVUaB0g/MvpzOHrnPzBmZ"
    "mQHX04xBp3FiV4niVPcxOw8ZeP7gKlAHzWohjfCfeTN2Kfbeo5u3NZv2/YUlA6PPUcVK61NyruZYIw==";

/* A key of this run: PEM of both halves. */
static char own_private[1024], own_public[1024];

static int make_key(void **state)
{
    (void)state;
    AUTO(pkey_drop) EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *private = BIO_new(BIO_s_mem()), *public = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(private, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(PEM_write_bio_PUBKEY(public, key), 1);
    assert_true(BIO_read(private, own_private, sizeof(own_private) - 1) > 0);
    assert_true(BIO_read(public, own_public, sizeof(own_public) - 1) > 0);
    BIO_free(private);
    BIO_free(public);
    return 0;
}

static json_t *document(const char *signature)
{
    json_t *v = json_object(), *object = NULL;
    assert_int_equal(json_parse(bytes_str(inner), 4096, &object, NULL), 0);
    json_object_set_new(v, "golden_measurement", object);
    if (signature)
        json_object_set_new(v, "signature", json_string(signature));
    return v;
}

static void text_is_what_python_writes(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
    } rows[] = {
        { inner, canonical },
        { " [ ] ", "[]" },
        { "{\"b\":1,\"a\":{\"d\":-0,\"c\":[{}]}}", "{\"a\":{\"c\":[{}],\"d\":0},\"b\":1}" },
        { "[9223372036854775807,-9223372036854775808]", "[9223372036854775807,-9223372036854775808]" },
        { "\"\\b\\f\\n\\r\\t\\u0001\\u001f ~\\u007f\\u0080\"",
          "\"\\b\\f\\n\\r\\t\\u0001\\u001f ~\\u007f\\u0080\"" },
        { "\"\\u2028\\uFFFF\\uD800\\uDC00\\uDBFF\\uDFFF\"",
          "\"\\u2028\\uffff\\ud800\\udc00\\udbff\\udfff\"" },
        /* by code point, not by UTF-16 unit: U+FFFF before U+10000 */
        { "{\"\\uD800\\uDC00\":1,\"\\uFFFF\":2,\"Z\":3,\"a\":4,\"\":5}",
          "{\"\":5,\"Z\":3,\"a\":4,\"\\uffff\":2,\"\\ud800\\udc00\":1}" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(json_drop) json_t *v = NULL;
        AUTO(buf_done) struct buf out = buf_new(4096);
        assert_int_equal(json_parse(bytes_str(rows[i].json), 4096, &v, NULL), 0);
        assert_int_equal(json_canonical_put(&out, v, NULL), 0);
        AUTO(free_str) char *text = buf_take_str(&out);
        assert_string_equal(text, rows[i].text);
    }
}

static void other_numbers_have_no_canonical_text(void **state)
{
    (void)state;
    static const char *const bad[] = { "1.0", "[1e2]", "{\"a\":[{\"b\":-0.5}]}" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO(json_drop) json_t *v = NULL;
        AUTO(buf_done) struct buf out = buf_new(4096);
        struct err err = { 0 };
        assert_int_equal(json_parse(bytes_str(bad[i]), 4096, &v, NULL), 0);
        assert_int_equal(json_canonical_put(&out, v, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
    AUTO(json_drop) json_t *v = json_string("longer than the room");
    AUTO(buf_done) struct buf out = buf_new(8);
    struct err err = { 0 };
    assert_int_equal(json_canonical_put(&out, v, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
}

static const struct {
    const char *key, *signature;
} made[] = { { p256_public, p256_signature }, { rsa_public, rsa_signature } };

static void python_signatures_verify(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
        AUTO(json_drop) json_t *v = document(made[i].signature);
        struct err err = { 0 };
        assert_int_equal(golden_signature_verify(v, bytes_str(made[i].key), &err), 0);
        assert_int_equal(golden_signature_verify(v, bytes_str(made[1 - i].key), &err), -1);
        assert_int_equal(err.kind, ERR_UNAUTHENTICATED);
    }
}

static void no_damaged_signature_verifies(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
        AUTO(buf_done) struct buf raw = buf_new(1024);
        assert_int_equal(b64_decode(bytes_str(made[i].signature), &raw, NULL), 0);
        for (size_t bit = 0; bit < 8 * raw.n; bit += i ? 17 : 1) {
            raw.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            AUTO(free_str) char *text = b64_str(buf_bytes(&raw));
            AUTO(json_drop) json_t *v = document(text);
            raw.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(golden_signature_verify(v, bytes_str(made[i].key), NULL), -1);
        }
        for (size_t n = 0; n < raw.n; n++) {
            AUTO(free_str) char *text = b64_str(bytes_of(raw.p, n));
            AUTO(json_drop) json_t *v = document(text);
            struct err err = { 0 };
            assert_int_equal(golden_signature_verify(v, bytes_str(made[i].key), &err), -1);
            assert_int_equal(err.kind, ERR_UNAUTHENTICATED);
        }
    }
}

static void every_part_of_the_document_is_signed(void **state)
{
    (void)state;
    static const char *const keys[] = { "a", "b", "\xC3\xA9" };
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        AUTO(json_drop) json_t *v = document(p256_signature);
        struct err err = { 0 };
        assert_int_equal(json_object_del(json_object_get(v, "golden_measurement"), keys[i]), 0);
        assert_int_equal(golden_signature_verify(v, bytes_str(p256_public), &err), -1);
        assert_int_equal(err.kind, ERR_UNAUTHENTICATED);
    }
    AUTO(json_drop) json_t *v = document(p256_signature);
    json_object_set_new(json_object_get(v, "golden_measurement"), "more", json_null());
    assert_int_equal(golden_signature_verify(v, bytes_str(p256_public), NULL), -1);
}

static void what_we_sign_verifies(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *v = document(NULL);
    struct err err = { 0 };
    assert_int_equal(golden_signature_verify(v, bytes_str(own_public), &err), -1);
    assert_int_equal(err.kind, ERR_UNAUTHENTICATED);
    assert_int_equal(golden_sign(v, bytes_str(own_private), &err), 0);
    assert_int_equal(golden_signature_verify(v, bytes_str(own_public), &err), 0);
}

static void bad_keys_are_refused_and_change_nothing(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *v = document("kept");
    AUTO(free_u8) uint8_t *big = calloc(1, GOLDEN_KEY_MAX + 1);
    const struct bytes bad[] = { bytes_str(""), bytes_str("-----BEGIN PRIVATE KEY-----\n"),
                                 bytes_str(own_public), bytes_of(big, GOLDEN_KEY_MAX + 1) };
    struct err err = { 0 };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(golden_sign(v, bad[i], &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
        assert_string_equal(json_string_value(json_object_get(v, "signature")), "kept");
    }
    for (size_t n = 0; n < strlen(own_private) - 2; n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy((const uint8_t *)own_private, n);
        if (golden_sign(v, bytes_of(cut, n), &err) == 0)
            fail_msg("a key cut to %zu bytes was used", n);
    }
    AUTO(json_drop) json_t *empty = json_object();
    assert_int_equal(golden_sign(empty, bytes_str(own_private), &err), -1);
    assert_int_equal(golden_signature_verify(empty, bytes_str(own_public), &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    assert_int_equal(golden_signature_verify(v, bytes_str("x"), &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_what_python_writes),
        cmocka_unit_test(other_numbers_have_no_canonical_text),
        cmocka_unit_test(python_signatures_verify),
        cmocka_unit_test(no_damaged_signature_verifies),
        cmocka_unit_test(every_part_of_the_document_is_signed),
        cmocka_unit_test(what_we_sign_verifies),
        cmocka_unit_test(bad_keys_are_refused_and_change_nothing),
    };
    return cmocka_run_group_tests(tests, make_key, NULL);
}
