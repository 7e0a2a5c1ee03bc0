/* Tokens and key sets: vectors of RFC 7515 (A.3) and RFC 7638 (3.1), each algorithm made and verified, and
 * what must be refused. */
#include "evidence.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json_wide.h"
#include "base/jwt.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

static const char rfc_token[] =
    "eyJhbGciOiJFUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290"
    "Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
static const char rfc_keys[] =
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";
static const char rfc_rsa[] =
    "{\"kty\":\"RSA\",\"n\":"
    "\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
    "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_"
    "FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-"
    "bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPks"
    "INHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw\",\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-"
    "29\"}";

#define NOW 1700000000

/* A pair of keys of each kind, made once. */
static EVP_PKEY *rsa[2], *p256[2], *p384[2];

static int make_keys(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        rsa[i] = EVP_RSA_gen(2048);
        p256[i] = EVP_EC_gen("P-256");
        p384[i] = EVP_EC_gen("P-384");
        if (!rsa[i] || !p256[i] || !p384[i])
            return -1;
    }
    return 0;
}

static int drop_keys(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        EVP_PKEY_free(rsa[i]);
        EVP_PKEY_free(p256[i]);
        EVP_PKEY_free(p384[i]);
    }
    return 0;
}

static EVP_PKEY *key_for(enum jwt_alg alg, int which)
{
    return alg == JWT_ES256 ? p256[which] : alg == JWT_ES384 ? p384[which] : rsa[which];
}

static struct jwks set_of(EVP_PKEY *key, enum jwt_alg alg, const char *kid)
{
    AUTO(json_drop) json_t *jwk = NULL;
    AUTO(buf_done) struct buf text = buf_new(1 << 16);
    struct err err = { 0 };
    struct jwks s = { 0, NULL };
    assert_int_equal(jwk_json(key, alg, kid, &jwk, &err), 0);
    buf_str(&text, "{\"keys\":[");
    json_put(&text, jwk, false);
    buf_str(&text, "]}");
    assert_int_equal(jwks_parse(buf_bytes(&text), JWKS_KEYS, &s, &err), 0);
    return s;
}

static char *token_of(EVP_PKEY *key, enum jwt_alg alg, const char *kid, const char *claims)
{
    AUTO(json_drop) json_t *v = NULL;
    AUTO(buf_done) struct buf out = buf_new(JWT_MAX);
    struct err err = { 0 };
    assert_int_equal(json_parse(bytes_str(claims), 65536, &v, &err), 0);
    assert_int_equal(jwt_sign(key, alg, kid, NULL, v, &out, &err), 0);
    return buf_take_str(&out);
}

static int verify(const char *token, const struct jwks *keys, uint32_t algs, struct err *err)
{
    AUTO(jwt_done) struct jwt t = { .header = NULL };
    const struct jwt_rules rules = { .algs = algs, .now = NOW, .leeway_s = 60, .exp_due = true };
    return jwt_verify(bytes_str(token), keys, &rules, &t, err);
}

static void vectors_of_the_rfcs(void **state)
{
    (void)state;
    AUTO(jwks_done) struct jwks keys = { 0, NULL };
    AUTO(jwks_done) struct jwks rsa_keys = { 0, NULL };
    AUTO(jwt_done) struct jwt t = { .header = NULL };
    AUTO(buf_done) struct buf print = buf_new(64);
    struct err err = { 0 };
    struct jwt_rules rules = { .algs = JWT_ANY, .now = 1300819379, .exp_due = true, .issuer = "joe" };
    assert_int_equal(jwks_parse(bytes_str(rfc_keys), JWKS_KEYS, &keys, &err), 0);
    assert_int_equal(jwt_verify(bytes_str(rfc_token), &keys, &rules, &t, &err), 0);
    assert_int_equal(t.alg, JWT_ES256);
    assert_string_equal(json_string_value(json_object_get(t.claims, "iss")), "joe");
    rules.now = 1300819380; /* exp: not any more */
    assert_int_equal(jwt_verify(bytes_str(rfc_token), &keys, &rules, &t, &err), -1);
    assert_int_equal(err.kind, ERR_UNAUTHENTICATED);
    rules.now = 1300819379;
    rules.issuer = "mallory";
    assert_int_equal(jwt_verify(bytes_str(rfc_token), &keys, &rules, &t, &err), -1);
    assert_int_equal(jwks_parse(bytes_str(rfc_rsa), JWKS_KEYS, &rsa_keys, &err), 0);
    assert_string_equal(rsa_keys.key[0].kid, "2011-04-29");
    assert_int_equal(rsa_keys.key[0].algs, JWT_BIT(JWT_RS256));
    assert_int_equal(jwk_thumbprint(rsa_keys.key[0].key, &print, &err), 0);
    buf_u8(&print, 0);
    assert_string_equal((char *)print.p, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

static void each_algorithm_makes_what_it_verifies(void **state)
{
    (void)state;
    for (unsigned i = 0; i < JWT_ALGS; i++) {
        enum jwt_alg alg = (enum jwt_alg)i;
        AUTO(jwks_done) struct jwks right = set_of(key_for(alg, 0), alg, "k1");
        AUTO(jwks_done) struct jwks swapped = set_of(key_for(alg, 1), alg, "k1");
        AUTO(free_str) char *token = token_of(key_for(alg, 0), alg, "k1", "{\"exp\":1700000100,\"a\":[1]}");
        struct err err = { 0 };
        assert_int_equal(verify(token, &right, JWT_BIT(alg), &err), 0);
        assert_int_equal(verify(token, &swapped, JWT_BIT(alg), &err), -1);
        assert_int_equal(err.kind, ERR_UNAUTHENTICATED);
        assert_int_equal(verify(token, &right, JWT_ANY & ~JWT_BIT(alg), &err), -1); /* not asked for */
        assert_int_equal(err.kind, ERR_UNAUTHENTICATED);
    }
}

static void every_cut_and_every_changed_character_is_refused(void **state)
{
    (void)state;
    AUTO(jwks_done) struct jwks keys = set_of(p384[0], JWT_ES384, "k1");
    AUTO(free_str) char *token = token_of(p384[0], JWT_ES384, "k1", "{\"exp\":1700000100}");
    size_t n = strlen(token);
    for (size_t i = 0; i < n; i++) {
        struct err err = { 0 };
        AUTO(free_str) char *cut = strndup(token, i);
        assert_int_equal(verify(cut, &keys, JWT_ANY, &err), -1);
        AUTO(free_str) char *changed = strdup(token);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_int_equal(verify(changed, &keys, JWT_ANY, &err), -1);
        assert_true(err.kind == ERR_INPUT || err.kind == ERR_UNAUTHENTICATED);
    }
}

static char *by_hand(const char *header, const char *claims, const char *signature)
{
    AUTO(buf_done) struct buf t = buf_new(JWT_MAX);
    b64url_put(&t, bytes_str(header));
    buf_u8(&t, '.');
    b64url_put(&t, bytes_str(claims));
    buf_u8(&t, '.');
    b64url_put(&t, bytes_str(signature));
    return buf_take_str(&t);
}

static void what_a_token_may_not_say(void **state)
{
    (void)state;
    static const char *const headers[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"None\",\"kid\":\"k1\"}",
        "{\"alg\":\"HS256\",\"kid\":\"k1\"}",
        "{\"alg\":\"HS512\",\"kid\":\"k1\"}",
        "{\"alg\":\"es384\",\"kid\":\"k1\"}",
        "{\"alg\":\"ES384\",\"kid\":\"k1\",\"crit\":[\"b64\"],\"b64\":false}",
        "{\"alg\":\"ES384\",\"kid\":\"other\"}",
        "{\"alg\":\"RS256\",\"kid\":\"k1\"}",
        "{\"alg\":7,\"kid\":\"k1\"}",
        "{\"kid\":\"k1\"}",
        "[]",
        "{\"alg\":\"ES384\",\"alg\":\"ES384\",\"kid\":\"k1\"}",
    };
    AUTO(jwks_done) struct jwks keys = set_of(p384[0], JWT_ES384, "k1");
    for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
        struct err err = { 0 };
        AUTO(free_str) char *empty = by_hand(headers[i], "{\"exp\":1700000100}", "");
        AUTO(free_str)
        char *zeros = by_hand(headers[i], "{\"exp\":1700000100}",
                              "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz");
        assert_int_equal(verify(empty, &keys, JWT_ANY, &err), -1);
        assert_int_equal(verify(zeros, &keys, JWT_ANY, &err), -1);
    }
}

static void dates(void **state)
{
    static const struct {
        const char *claims;
        int rc;
    } cases[] = {
        { "{\"exp\":1699999941}", 0 }, /* within the leeway */
        { "{\"exp\":1699999940}", -1 },
        { "{}", -1 },
        { "{\"exp\":1700000100,\"nbf\":1700000060}", 0 },
        { "{\"exp\":1700000100,\"nbf\":1700000061}", -1 },
        { "{\"exp\":1700000100,\"iat\":1700000061}", -1 },
        { "{\"exp\":\"1700000100\"}", -1 },
        { "{\"exp\":1700000100.5}", 0 },
        { "{\"exp\":1e300}", 0 },
        { "{\"exp\":-1e300}", -1 },
    };
    (void)state;
    AUTO(jwks_done) struct jwks keys = set_of(p256[0], JWT_ES256, "k1");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct err err = { 0 };
        AUTO(free_str) char *token = token_of(p256[0], JWT_ES256, "k1", cases[i].claims);
        assert_int_equal(verify(token, &keys, JWT_ANY, &err), cases[i].rc);
    }
}

static void key_sets_that_are_none(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[]}",
        "{\"keys\":[7]}",
        "{\"keys\":[{}]}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}]}", /* 17 bits */
        "{\"keys\":[{\"kty\":\"RSA\",\"e\":\"AQAB\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\",\"y\":\"AAAA\"}]}",
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
        "\"y\":"
        "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}]}", /* not on the curve */
        "{\"keys\":[{\"kty\":\"RSA\",\"x5c\":[\"AAAA\"]}]}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct jwks s = { 0, NULL };
        struct err err = { 0 };
        assert_int_equal(jwks_parse(bytes_str(bad[i]), JWKS_KEYS, &s, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
}

static void a_recorded_token_can_be_taken_apart(void **state)
{
    (void)state;
    skip_without_evidence();
    struct sample f = sample_load("token/azure-maa-jwt/token.jwt");
    AUTO(jwt_done) struct jwt t = { .header = NULL };
    struct err err = { 0 };
    assert_int_equal(jwt_peek(sample_bytes(&f), &t, &err), 0);
    assert_string_equal(json_string_value(json_object_get(t.header, "alg")), "RS256");
    assert_true(json_is_object(json_object_get(t.claims, "x-ms-isolation-tee")));
    sample_done(&f);
}

static void wide_numbers_stay_exact(void **state)
{
    static const char text[] =
        "{\n  \"a\": 15352208179752599555,\n  \"b\": [\n    18446744073709551615,\n    9223372036854775807,\n"
        "    1\n  ],\n  \"c\": \"15352208179752599555\"\n}";
    (void)state;
    AUTO(json_drop) json_t *v = NULL;
    AUTO(buf_done) struct buf out = buf_new(4096);
    struct err err = { 0 };
    uint64_t n = 0;
    assert_int_equal(json_wide_parse(bytes_str(text), 4096, &v, &err), 0);
    assert_true(json_wide_u64(json_object_get(v, "a"), &n));
    assert_true(n == UINT64_C(15352208179752599555));
    assert_true(json_wide_u64(json_array_get(json_object_get(v, "b"), 0), &n));
    assert_true(n == UINT64_MAX);
    assert_false(json_wide_u64(json_object_get(v, "c"), &n));
    json_wide_put(&out, v);
    assert_true(bytes_equal(buf_bytes(&out), bytes_str(text)));
    static const char *const bad[] = { "18446744073709551616", "-9223372036854775809", "1e400",
                                       "015352208179752599555", "15352208179752599555x" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        json_t *none = NULL;
        assert_int_equal(json_wide_parse(bytes_str(bad[i]), 4096, &none, &err), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_the_rfcs),
        cmocka_unit_test(each_algorithm_makes_what_it_verifies),
        cmocka_unit_test(every_cut_and_every_changed_character_is_refused),
        cmocka_unit_test(what_a_token_may_not_say),
        cmocka_unit_test(dates),
        cmocka_unit_test(key_sets_that_are_none),
        cmocka_unit_test(a_recorded_token_can_be_taken_apart),
        cmocka_unit_test(wide_numbers_stay_exact),
    };
    return cmocka_run_group_tests(tests, make_keys, drop_keys);
}
