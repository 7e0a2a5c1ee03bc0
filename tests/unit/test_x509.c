/* Public keys as bytes: DER to the last byte, files more loosely, and nobody is asked for a passphrase. */
#include "base/auto.h"
#include "base/x509.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ROOM 512

struct made {
    EVP_PKEY *key;
    uint8_t der[ROOM];
    size_t n;
};

static int set_up(void **state)
{
    static struct made m;
    AUTO(buf_done) struct buf der = buf_new(ROOM);
    memset(&m, 0, sizeof(m));
    m.key = EVP_EC_gen("P-256");
    if (!m.key || spki_put_der(m.key, &der, &(struct err){ 0 }) < 0)
        return -1;
    memcpy(m.der, der.p, m.n = der.n);
    *state = &m;
    return 0;
}

static int tear_down(void **state)
{
    struct made *m = *state;
    EVP_PKEY_free(m->key);
    return 0;
}

typedef int parse_fn(struct bytes, EVP_PKEY **, struct err *);

static bool parses(parse_fn *parse, const struct made *m, struct bytes data)
{
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    struct err err = { 0 };
    if (parse(data, &key, &err) < 0) {
        assert_null(key);
        assert_int_equal(err.kind, ERR_INPUT);
        return false;
    }
    assert_int_equal(EVP_PKEY_eq(key, m->key), 1);
    return true;
}

static void test_der_to_the_last_byte(void **state)
{
    struct made *m = *state;
    assert_true(parses(spki_parse_der, m, bytes_of(m->der, m->n)));
    assert_true(parses(spki_parse, m, bytes_of(m->der, m->n)));
    for (size_t cut = 0; cut < m->n; cut++) {
        assert_false(parses(spki_parse_der, m, bytes_of(m->der, cut)));
        assert_false(parses(spki_parse, m, bytes_of(m->der, cut)));
    }
    assert_false(parses(spki_parse_der, m, bytes_of(m->der, m->n + 1)));
    assert_true(parses(spki_parse, m, bytes_of(m->der, m->n + 9)));
    m->der[m->n + 8] = 1;
    assert_false(parses(spki_parse, m, bytes_of(m->der, m->n + 9)));
}

static void test_pem(void **state)
{
    const struct made *m = *state;
    char *text;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PUBKEY(bio, m->key), 1);
    long n = BIO_get_mem_data(bio, &text);
    assert_true(parses(spki_parse, m, bytes_of(text, (size_t)n)));
    assert_false(parses(spki_parse_der, m, bytes_of(text, (size_t)n)));
    assert_false(parses(spki_parse, m, bytes_of(text, (size_t)n / 2)));
    for (char *label; (label = memmem(text, (size_t)n, "PUBLIC KEY", 10));)
        memcpy(label, "SOME OTHER", 10); /* what the block says that it is counts */
    assert_false(parses(spki_parse, m, bytes_of(text, (size_t)n)));
    BIO_free(bio);
}

/* With a terminal OpenSSL would ask there, and wait. */
static void test_an_encrypted_pem_is_refused(void **state)
{
    static const char text[] = "-----BEGIN PUBLIC KEY-----\nProc-Type: 4,ENCRYPTED\n"
                               "DEK-Info: AES-128-CBC,000102030405060708090A0B0C0D0E0F\n\n"
                               "MDEyMzQ1Njc4OWFiY2RlZg==\n-----END PUBLIC KEY-----\n";
    assert_false(parses(spki_parse, *state, bytes_str(text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_der_to_the_last_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pem, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_encrypted_pem_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
