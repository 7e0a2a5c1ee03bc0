/* Signed statements; that other tools read them is tested in tests/integration/test_signed_papers.py. */
#include "evidence.h"
#include "made_certs.h"

#include "base/auto.h"
#include "base/enc.h"
#include "policy/dsse.h"

#include <openssl/pem.h>

static const char statement[] = "{\"_type\":\"https://in-toto.io/Statement/v1\",\"subject\":[]}";

static void put_pem(EVP_PKEY *key, bool private_part, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    assert_non_null(bio);
    assert_int_equal(private_part ? PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
                                  : PEM_write_bio_PUBKEY(bio, key),
                     1);
    long n = BIO_get_mem_data(bio, &text);
    buf_put(out, bytes_of(text, (size_t)n));
    BIO_free(bio);
}

struct pair {
    struct buf secret, open;
};

static struct pair pair_of(EVP_PKEY *key)
{
    struct pair p = { buf_new(8192), buf_new(8192) };
    assert_non_null(key);
    put_pem(key, true, &p.secret);
    put_pem(key, false, &p.open);
    EVP_PKEY_free(key);
    return p;
}

static void pair_done(struct pair *p)
{
    buf_done(&p->secret);
    buf_done(&p->open);
}

static json_t *signed_by(const struct pair *p)
{
    json_t *envelope = NULL;
    struct err err = { 0 };
    assert_int_equal(dsse_sign(DSSE_IN_TOTO, bytes_str(statement), buf_bytes(&p->secret), &envelope, &err),
                     0);
    return envelope;
}

static int verify(const json_t *envelope, const struct pair *p, struct err *err)
{
    AUTO(buf_done) struct buf out = buf_new(DSSE_SIZE_MAX);
    int rc = dsse_verify(envelope, DSSE_IN_TOTO, buf_bytes(&p->open), &out, err);
    if (rc == 0)
        assert_true(bytes_equal(buf_bytes(&out), bytes_str(statement)));
    else
        assert_int_equal(out.n, 0);
    return rc;
}

/* protocol.md, "Test Vectors". */
static void encodes_as_the_protocol_says(void **state)
{
    AUTO(buf_done) struct buf out = buf_new(256);
    (void)state;
    dsse_put_pae(&out, bytes_str("http://example.com/HelloWorld"), bytes_str("hello world"));
    assert_true(
        bytes_equal(buf_bytes(&out), bytes_str("DSSEv1 29 http://example.com/HelloWorld 11 hello world")));
}

static void signs_and_verifies(void **state)
{
    EVP_PKEY *const keys[] = { made_ec_key("P-256"), EVP_PKEY_Q_keygen(NULL, NULL, "ED25519") };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        struct pair mine = pair_of(keys[i]), other = pair_of(made_ec_key("P-256"));
        AUTO(json_drop) json_t *envelope = signed_by(&mine);
        struct err err = { 0 };
        assert_true(dsse_is_envelope(envelope));
        assert_int_equal(verify(envelope, &mine, &err), 0);
        assert_int_equal(verify(envelope, &other, &err), -1);
        assert_int_equal(err.kind, ERR_UNAUTHENTICATED);
        /* one signature more, of another key, in front */
        AUTO(json_drop) json_t *second = signed_by(&other);
        json_array_insert(json_object_get(envelope, "signatures"), 0,
                          json_array_get(json_object_get(second, "signatures"), 0));
        assert_int_equal(verify(envelope, &mine, &err), 0);
        assert_int_equal(verify(envelope, &other, &err), 0);
        pair_done(&mine);
        pair_done(&other);
    }
}

/* Each bit of payload, type and signature. */
static void every_bit_counts(void **state)
{
    struct pair mine = pair_of(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    AUTO(json_drop) json_t *envelope = signed_by(&mine);
    json_t *signature = json_array_get(json_object_get(envelope, "signatures"), 0);
    const struct {
        json_t *object;
        const char *key;
    } members[] = { { envelope, "payload" }, { envelope, "payloadType" }, { signature, "sig" } };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        char text[256];
        snprintf(text, sizeof(text), "%s",
                 json_string_value(json_object_get(members[i].object, members[i].key)));
        for (size_t k = 0; text[k]; k++) {
            struct err err = { 0 };
            text[k] ^= 1;
            json_object_set_new(members[i].object, members[i].key, json_text(bytes_str(text)));
            assert_int_equal(verify(envelope, &mine, &err), -1);
            assert_true(err.kind == ERR_INPUT || err.kind == ERR_UNAUTHENTICATED);
            text[k] ^= 1;
        }
        json_object_set_new(members[i].object, members[i].key, json_text(bytes_str(text)));
    }
    struct err err = { 0 };
    assert_int_equal(verify(envelope, &mine, &err), 0);
    pair_done(&mine);
}

static void refuses_what_is_no_envelope(void **state)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "1",
        "{\"payload\":\"\"}",
        "{\"payload\":\"\",\"payloadType\":1,\"signatures\":[]}",
        "{\"payload\":\"\",\"payloadType\":\"text\",\"signatures\":[]}",
        "{\"payload\":\"*\",\"payloadType\":\"" DSSE_IN_TOTO "\",\"signatures\":[]}",
        "{\"payload\":\"\",\"payloadType\":\"" DSSE_IN_TOTO "\",\"signatures\":[1]}",
        "{\"payload\":\"\",\"payloadType\":\"" DSSE_IN_TOTO
        "\",\"signatures\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}",
    };
    struct pair mine = pair_of(made_ec_key("P-256"));
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        AUTO(json_drop) json_t *value = NULL;
        struct err err = { 0 };
        assert_int_equal(json_parse(bytes_str(texts[i]), 4096, &value, &err), 0);
        assert_int_equal(verify(value, &mine, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
    AUTO(json_drop)
    json_t *none = json_pack("{s:s, s:s, s:[]}", "payload", "", "payloadType", DSSE_IN_TOTO, "signatures");
    struct err err = { 0 };
    assert_int_equal(verify(none, &mine, &err), -1);
    assert_int_equal(err.kind, ERR_UNAUTHENTICATED);
    pair_done(&mine);
}

static void refuses_other_keys(void **state)
{
    EVP_PKEY *const keys[] = { made_ec_key("P-384"), EVP_RSA_gen(2048) };
    struct pair mine = pair_of(made_ec_key("P-256"));
    AUTO(json_drop) json_t *envelope = signed_by(&mine);
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        struct pair wrong = pair_of(keys[i]);
        json_t *out = NULL;
        struct err err = { 0 };
        assert_int_equal(dsse_sign(DSSE_IN_TOTO, bytes_str(statement), buf_bytes(&wrong.secret), &out, &err),
                         -1);
        assert_int_equal(err.kind, ERR_INPUT);
        assert_int_equal(verify(envelope, &wrong, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
        /* a public key does not sign, a private one does not verify */
        assert_int_equal(dsse_sign(DSSE_IN_TOTO, bytes_str(statement), buf_bytes(&mine.open), &out, &err),
                         -1);
        assert_null(out);
        pair_done(&wrong);
    }
    pair_done(&mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_as_the_protocol_says),
        cmocka_unit_test(signs_and_verifies),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(refuses_what_is_no_envelope),
        cmocka_unit_test(refuses_other_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
