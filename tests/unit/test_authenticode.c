/* Signatures over UEFI programs. The signed samples were made by sbsign 0.9.4. */
#include "evidence.h"
#include "made_certs.h"

#include "base/auto.h"
#include "base/enc.h"
#include "image/authenticode.h"

static struct sample kernel, once, twice;
static X509 *signer, *second;

static X509 *load_cert(const char *path)
{
    struct sample pem = sample_load_path(path);
    struct err err = { 0 };
    X509 *cert = NULL;
    assert_int_equal(x509_parse(sample_bytes(&pem), &cert, &err), 0);
    sample_done(&pem);
    return cert;
}

static int setup(void **state)
{
    (void)state;
    kernel = sample_load_path(CVM_TEST_DATA "/image/uki.efi");
    once = sample_load_path(CVM_TEST_DATA "/image/signed.efi");
    twice = sample_load_path(CVM_TEST_DATA "/image/signed_two.efi");
    signer = load_cert(CVM_TEST_DATA "/image/signer.pem");
    second = load_cert(CVM_TEST_DATA "/image/signer_two.pem");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sample_done(&kernel);
    sample_done(&once);
    sample_done(&twice);
    X509_free(signer);
    X509_free(second);
    return 0;
}

/* How many signatures of a program are under a certificate; -1: it cannot be read. */
static int count(struct bytes program, X509 *cert, size_t *all)
{
    AUTO(authenticode_done) struct authenticode_list list = { .n = 0 };
    struct pe pe;
    struct err err = { 0 };
    int good = 0;
    if (pe_parse(program, &pe, &err) < 0 || authenticode_read(&pe, &list, &err) < 0) {
        assert_int_equal(err.kind, ERR_INPUT);
        return -1;
    }
    *all = list.n;
    for (size_t i = 0; i < list.n; i++)
        if (authenticode_check(&pe, &list.item[i], cert, &err) == 0)
            good++;
        else
            assert_int_equal(err.kind, ERR_UNAUTHENTICATED);
    return good;
}

static void judges_signatures(void **state)
{
    size_t n;
    (void)state;
    assert_int_equal(count(sample_bytes(&kernel), signer, &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(count(sample_bytes(&once), signer, &n), 1);
    assert_int_equal(n, 1);
    assert_int_equal(count(sample_bytes(&once), second, &n), 0);
    assert_int_equal(count(sample_bytes(&twice), signer, &n), 1);
    assert_int_equal(n, 2);
    assert_int_equal(count(sample_bytes(&twice), second, &n), 1);
}

/* osslsigncode computed the hash. */
static void hashes_without_signatures(void **state)
{
    const struct sample *samples[] = { &once, &twice };
    struct pe pe;
    struct digest d;
    struct err err = { 0 };
    char hex[65];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        assert_int_equal(pe_parse(sample_bytes(samples[i]), &pe, &err), 0);
        assert_int_equal(pe_authenticode(&pe, ALG_SHA256, &d, &err), 0);
        assert_string_equal(hex_to(hex, digest_bytes(&d)),
                            "345176ab73649bd9ce6df157e60b1f4a7304e44aed403f6a2f42427977e787be");
    }
}

/* The signature covers the program; of its own bytes those that nobody signed may change, and must not let
 * another program in. */
static void every_bit_of_the_program_counts(void **state)
{
    AUTO(free_u8) uint8_t *copy = heap_copy(once.p, once.n);
    size_t n, table = once.n;
    struct pe pe;
    struct err err = { 0 };
    (void)state;
    assert_int_equal(pe_parse(sample_bytes(&once), &pe, &err), 0);
    table -= pe.certificates.n;
    for (size_t i = 0; i < table; i++) {
        bool left_out = i >= pe.checksum_at && i < pe.checksum_at + 4;
        copy[i] ^= 1;
        int good = count(bytes_of(copy, once.n), signer, &n);
        assert_true(left_out ? good == 1 : good <= 0);
        copy[i] ^= 1;
    }
    for (size_t i = table; i < once.n; i++) {
        copy[i] ^= 4;
        int good = count(bytes_of(copy, once.n), second, &n);
        assert_true(good <= 0);
        copy[i] ^= 4;
    }
}

static void put_size(uint8_t *file, const struct pe *pe, size_t size)
{
    for (int i = 0; i < 4; i++)
        file[pe->certificates_at + 4 + (size_t)i] = (uint8_t)(size >> 8 * i);
}

/* Each cut of the table, once with a directory that is true, once with the old one: it then points past the
 * end of the file. */
static void refuses_every_cut(void **state)
{
    struct pe pe;
    struct err err = { 0 };
    size_t n;
    (void)state;
    assert_int_equal(pe_parse(sample_bytes(&twice), &pe, &err), 0);
    size_t table = twice.n - pe.certificates.n;
    for (size_t end = table; end < twice.n; end++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(twice.p, end);
        assert_int_equal(count(bytes_of(cut, end), signer, &n), -1);
        put_size(cut, &pe, end - table);
        int good = count(bytes_of(cut, end), signer, &n);
        /* none left, the first one whole, or both without the zeros behind the second */
        if (good >= 0)
            assert_true((end == table && n == 0) || (n == 1 && good == 1) || (n == 2 && end + 8 > twice.n));
    }
}

static void refuses_what_is_no_signature(void **state)
{
    const struct {
        size_t at;
        uint8_t value;
    } changes[] = { { 0, 7 }, { 3, 0xFF }, { 4, 1 }, { 5, 1 }, { 6, 1 }, { 8, 0x31 } };
    struct pe pe;
    struct err err = { 0 };
    size_t n;
    (void)state;
    assert_int_equal(pe_parse(sample_bytes(&once), &pe, &err), 0);
    size_t table = once.n - pe.certificates.n;
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        AUTO(free_u8) uint8_t *copy = heap_copy(once.p, once.n);
        copy[table + changes[i].at] = changes[i].value;
        assert_int_equal(count(bytes_of(copy, once.n), signer, &n), -1);
    }
}

/* ---- Signing ---- */

static void signs_the_same_each_time(void **state)
{
    AUTO(buf_done) struct buf a = buf_new(1u << 20), b = buf_new(1u << 20), both = buf_new(1u << 20);
    AUTO(pkey_drop) EVP_PKEY *key = made_rsa_key();
    AUTO(pkey_drop) EVP_PKEY *other_key = made_rsa_key();
    AUTO(x509_drop) X509 *cert = made_cert(&(struct made_spec){ .cn = "signer", .key = key });
    AUTO(x509_drop) X509 *other = made_cert(&(struct made_spec){ .cn = "other", .key = other_key });
    struct err err = { 0 };
    size_t n;
    (void)state;
    assert_int_equal(authenticode_sign(sample_bytes(&kernel), key, &cert, 1, &a, &err), 0);
    assert_int_equal(authenticode_sign(sample_bytes(&kernel), key, &cert, 1, &b, &err), 0);
    assert_true(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
    /* both certificates are long expired: firmware does not look */
    assert_int_equal(count(buf_bytes(&a), cert, &n), 1);
    assert_int_equal(count(buf_bytes(&a), other, &n), 0);
    assert_int_equal(authenticode_sign(buf_bytes(&a), other_key, &other, 1, &both, &err), 0);
    assert_int_equal(count(buf_bytes(&both), cert, &n), 1);
    assert_int_equal(count(buf_bytes(&both), other, &n), 1);
    assert_int_equal(n, 2);
}

/* The firmware may know the authority alone. */
static void a_chain_leads_to_the_trusted_one(void **state)
{
    static const struct made_ext is_ca = { .oid = "basicConstraints", .text = "critical,CA:TRUE" };
    AUTO(buf_done) struct buf out = buf_new(1u << 20);
    AUTO(pkey_drop) EVP_PKEY *root_key = made_rsa_key();
    AUTO(pkey_drop) EVP_PKEY *key = made_rsa_key();
    AUTO(x509_drop)
    X509 *root = made_cert(&(struct made_spec){ .cn = "root", .key = root_key, .ext = &is_ca, .ext_n = 1 });
    AUTO(x509_drop)
    X509 *leaf =
        made_cert(&(struct made_spec){ .cn = "leaf", .key = key, .issuer = root, .issuer_key = root_key });
    struct err err = { 0 };
    size_t n;
    (void)state;
    assert_int_equal(authenticode_sign(sample_bytes(&kernel), key, &leaf, 1, &out, &err), 0);
    assert_int_equal(count(buf_bytes(&out), leaf, &n), 1);
    assert_int_equal(count(buf_bytes(&out), root, &n), 1);
    assert_int_equal(count(buf_bytes(&out), signer, &n), 0);
}

static void refuses_keys(void **state)
{
    AUTO(buf_done) struct buf out = buf_new(1u << 20);
    AUTO(pkey_drop) EVP_PKEY *key = made_rsa_key();
    AUTO(pkey_drop) EVP_PKEY *curve = made_ec_key("P-256");
    AUTO(pkey_drop) EVP_PKEY *small = EVP_RSA_gen(1024);
    AUTO(x509_drop) X509 *cert = made_cert(&(struct made_spec){ .cn = "curve", .key = curve });
    const struct {
        EVP_PKEY *key;
        const char *says;
    } rows[] = { { curve, "RSA alone" }, { small, "1024 bits" }, { key, "not the certificate's" } };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = { 0 };
        assert_int_equal(authenticode_sign(sample_bytes(&kernel), rows[i].key, &cert, 1, &out, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
        assert_non_null(strstr(err.cause, rows[i].says));
        assert_int_equal(out.n, 0);
    }
}

static void as_many_signatures_as_are_read(void **state)
{
    AUTO(pkey_drop) EVP_PKEY *key = made_rsa_key();
    AUTO(x509_drop) X509 *cert = made_cert(&(struct made_spec){ .cn = "signer", .key = key });
    AUTO(buf_done) struct buf now = buf_new(1u << 20);
    struct err err = { 0 };
    size_t n;
    (void)state;
    buf_put(&now, sample_bytes(&kernel));
    for (int i = 0; i <= AUTHENTICODE_MAX; i++) {
        struct buf next = buf_new(1u << 20);
        int rc = authenticode_sign(buf_bytes(&now), key, &cert, 1, &next, &err);
        assert_int_equal(rc, i < AUTHENTICODE_MAX ? 0 : -1);
        if (rc == 0) {
            buf_done(&now);
            now = next;
        }
    }
    assert_int_equal(count(buf_bytes(&now), cert, &n), AUTHENTICODE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judges_signatures),
        cmocka_unit_test(hashes_without_signatures),
        cmocka_unit_test(every_bit_of_the_program_counts),
        cmocka_unit_test(refuses_every_cut),
        cmocka_unit_test(refuses_what_is_no_signature),
        cmocka_unit_test(signs_the_same_each_time),
        cmocka_unit_test(a_chain_leads_to_the_trusted_one),
        cmocka_unit_test(refuses_keys),
        cmocka_unit_test(as_many_signatures_as_are_read),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
