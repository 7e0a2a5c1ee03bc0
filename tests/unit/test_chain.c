/* base/chain.h: paths, CRLs and times, over certificates made for the purpose and recorded ones. */
#include "evidence.h"
#include "made_certs.h"

#include "base/auto.h"
#include "base/chain.h"

#include <string.h>

#define CA_EXT                                                                                               \
    {                                                                                                        \
        "basicConstraints", "critical,CA:TRUE", { NULL, 0 }, false                                           \
    }
#define SIGN_EXT                                                                                             \
    {                                                                                                        \
        "keyUsage", "critical,keyCertSign,cRLSign", { NULL, 0 }, false                                       \
    }

static const struct made_ext ca[] = { CA_EXT, SIGN_EXT };

static EVP_PKEY *keys[4];
static X509 *root, *middle, *leaf; /* keys 0, 1, 2 */

static X509 *make(const char *cn, int key, X509 *issuer, int issuer_key, const struct made_ext *ext, size_t n)
{
    return made_cert(&(struct made_spec){ .cn = cn,
                                          .key = keys[key],
                                          .issuer = issuer,
                                          .issuer_key = keys[issuer_key],
                                          .serial = 7,
                                          .ext = ext,
                                          .ext_n = n });
}

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        keys[i] = made_ec_key("P-256");
    root = make("root", 0, NULL, 0, ca, 2);
    middle = make("middle", 1, root, 0, ca, 2);
    leaf = make("leaf", 2, middle, 1, NULL, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    X509_free(root);
    X509_free(middle);
    X509_free(leaf);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        EVP_PKEY_free(keys[i]);
    return 0;
}

/* @return 0, or the kind of the error */
static int verify_with(X509 *cert, X509 *const *pool, size_t pool_n, X509 *anchor, struct chain_result *out)
{
    struct err err = { 0 };
    const struct chain_request rq = {
        .leaf = cert, .pool = pool, .pool_n = pool_n, .anchors = &anchor, .anchors_n = 1, .at = MADE_NOW
    };
    int rc = chain_verify(&rq, out, &err);
    assert_true(rc == 0 || err.cause[0]);
    return rc == 0 ? 0 : (int)err.kind;
}

/* leaf below this intermediate below the root */
static int verify(X509 *cert, X509 *intermediate)
{
    struct chain_result out;
    return verify_with(cert, &intermediate, 1, root, &out);
}

static void finds_the_path(void **state)
{
    (void)state;
    struct chain_result out;
    X509 *pool[] = { leaf, root, middle };
    assert_int_equal(verify_with(leaf, pool, 3, root, &out), 0);
    assert_int_equal(out.n, 3);
    assert_ptr_equal(out.path[1], middle);
    assert_true(X509_cmp(out.path[2], root) == 0 && out.dates_hold);
    assert_int_equal(verify_with(middle, NULL, 0, root, &out), 0); /* the anchor is the direct issuer */
    assert_int_equal(out.n, 2);
    assert_int_equal(verify_with(root, NULL, 0, root, &out), 0);
    assert_int_equal(out.n, 1);
}

static void missing_is_not_wrong(void **state)
{
    (void)state;
    struct chain_result out;
    assert_int_equal(verify_with(leaf, NULL, 0, root, &out), ERR_NOT_FOUND);
    /* the same name and another key */
    AUTO(x509_drop) X509 *impostor = make("middle", 3, root, 0, ca, 2);
    assert_int_equal(verify(leaf, impostor), ERR_DENIED);
    X509 *both[] = { impostor, middle };
    assert_int_equal(verify_with(leaf, both, 2, root, &out), 0);
    assert_ptr_equal(out.path[1], middle);
}

static void trusts_anchors_only(void **state)
{
    (void)state;
    struct chain_result out;
    X509 *pool[] = { middle, root };
    /* the root of the pool, again with the same key but another serial number, or with another key */
    AUTO(x509_drop)
    X509 *renewed =
        made_cert(&(struct made_spec){ .cn = "root", .key = keys[0], .serial = 8, .ext = ca, .ext_n = 2 });
    AUTO(x509_drop) X509 *stranger = make("root", 3, NULL, 3, ca, 2);
    assert_int_equal(verify_with(leaf, pool, 2, stranger, &out), ERR_DENIED);
    assert_int_equal(verify_with(root, pool, 2, stranger, &out), ERR_DENIED);
    assert_int_equal(verify_with(leaf, pool, 2, renewed, &out), 0); /* it is the anchor that has signed */
    assert_true(X509_cmp(out.path[2], renewed) == 0);
    const struct chain_request none = { .leaf = leaf, .pool = pool, .pool_n = 2, .at = MADE_NOW };
    assert_int_equal(chain_verify(&none, &out, &(struct err){ 0 }), -1);
}

static void issuers_must_be_allowed_to(void **state)
{
    (void)state;
    const struct made_ext not_ca[] = { { .oid = "basicConstraints", .text = "critical,CA:FALSE" } };
    const struct made_ext no_sign[] = { CA_EXT, { .oid = "keyUsage", .text = "critical,digitalSignature" } };
    const struct made_ext short_path[] = { { .oid = "basicConstraints",
                                             .text = "critical,CA:TRUE,pathlen:0" } };
    const struct {
        const struct made_ext *ext;
        size_t n;
        int want;
    } rows[] = { { NULL, 0, ERR_DENIED },
                 { not_ca, 1, ERR_DENIED },
                 { no_sign, 2, ERR_DENIED },
                 { short_path, 1, 0 },
                 { ca, 1, 0 } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(x509_drop) X509 *issuer = make("middle", 1, root, 0, rows[i].ext, rows[i].n);
        assert_int_equal(verify(leaf, issuer), rows[i].want);
    }
    /* a CA below one whose path length is 0 */
    struct chain_result out;
    AUTO(x509_drop) X509 *upper = make("upper", 3, root, 0, short_path, 1);
    AUTO(x509_drop) X509 *lower = make("middle", 1, upper, 3, ca, 2);
    X509 *pool[] = { upper, lower };
    assert_int_equal(verify_with(lower, pool, 1, root, &out), 0);
    assert_int_equal(verify_with(leaf, pool, 2, root, &out), ERR_DENIED);
}

static void critical_extensions(void **state)
{
    (void)state;
    static const uint8_t null[] = { 5, 0 };
    const struct made_ext unknown[] = { { "1.2.3.4.5", NULL, { null, 2 }, true } };
    const struct made_ext harmless[] = { { "1.2.3.4.5", NULL, { null, 2 }, false } };
    const struct made_ext constraints[] = {
        CA_EXT, { .oid = "nameConstraints", .text = "critical,permitted;DNS:a.b" }
    };
    /* as Google's and the TCG's certificates have them */
    static const uint8_t names[] = { 0x30, 0x14, 0xA4, 0x12, 0x30, 0x10, 0x31, 0x0E, 0x30, 0x0C, 0x06,
                                     0x03, 0x55, 0x04, 0x03, 0x0C, 0x05, 'm',  'o',  'd',  'e',  'l' };
    const struct made_ext san[] = { { "subjectAltName", NULL, { names, sizeof(names) }, true },
                                    { .oid = "extendedKeyUsage", .text = "critical,2.23.133.8.3" } };
    const struct {
        const struct made_ext *ext;
        size_t n;
        int want;
    } rows[] = { { unknown, 1, ERR_DENIED }, { harmless, 1, 0 }, { san, 2, 0 } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(x509_drop) X509 *cert = make("leaf", 2, middle, 1, rows[i].ext, rows[i].n);
        assert_int_equal(verify(cert, middle), rows[i].want);
    }
    AUTO(x509_drop) X509 *issuer = make("middle", 1, root, 0, constraints, 2);
    assert_int_equal(verify(leaf, issuer), ERR_DENIED);
}

static void weak_hashes(void **state)
{
    (void)state;
    AUTO(pkey_drop) EVP_PKEY *rsa = made_rsa_key();
    AUTO(x509_drop)
    X509 *issuer = made_cert(&(struct made_spec){
        .cn = "middle", .key = rsa, .issuer = root, .issuer_key = keys[0], .ext = ca, .ext_n = 2 });
    for (int pss = 0; pss < 2; pss++) {
        struct made_spec spec = {
            .cn = "leaf", .key = keys[2], .issuer = issuer, .issuer_key = rsa, .md = EVP_sha1(), .pss = pss
        };
        AUTO(x509_drop) X509 *weak = made_cert(&spec);
        spec.md = EVP_sha384();
        AUTO(x509_drop) X509 *strong = made_cert(&spec);
        assert_int_equal(verify(weak, issuer), ERR_DENIED);
        assert_int_equal(verify(strong, issuer), 0);
    }
}

/* A root that is given is the anchor, or an older certificate of its key. */
static void roots_that_are_given(void **state)
{
    (void)state;
    AUTO(x509_drop) X509 *again = make("root", 0, NULL, 0, ca, 2);
    AUTO(x509_drop) X509 *renamed = make("stem", 0, NULL, 0, ca, 2);
    AUTO(x509_drop) X509 *impostor = make("root", 3, NULL, 3, ca, 2);
    AUTO(x509_drop) X509 *of_another = make("root", 0, NULL, 3, ca, 2); /* its key, signed by another */
    const struct {
        X509 *certs[3];
        size_t n;
        int want;
    } rows[] = {
        { { NULL }, 0, 0 },
        { { leaf, middle }, 2, 0 },
        { { leaf, middle, root }, 3, 0 },
        { { root, leaf, impostor }, 3, 0 },
        { { again }, 1, 0 },
        { { renamed }, 1, -1 },
        { { middle, impostor }, 2, -1 },
        { { of_another }, 1, -1 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct err err = { 0 };
        assert_int_equal(chain_root_fits(rows[i].certs, rows[i].n, root, &err), rows[i].want);
        assert_int_equal(err.kind, rows[i].want ? ERR_DENIED : ERR_NONE);
    }
}

static void ends_in_loops_and_long_paths(void **state)
{
    (void)state;
    struct chain_result out;
    AUTO(x509_drop) X509 *a = make("a", 1, NULL, 1, ca, 2);
    AUTO(x509_drop) X509 *b = make("b", 3, a, 1, ca, 2);
    AUTO(x509_drop) X509 *a_by_b = make("a", 1, b, 3, ca, 2);
    AUTO(x509_drop) X509 *below = make("leaf", 2, a, 1, NULL, 0);
    X509 *loop[] = { b, a_by_b };
    assert_int_not_equal(verify_with(below, loop, 2, root, &out), 0);
    X509 *chain[CHAIN_DEPTH_MAX] = { root };
    size_t n = 1;
    for (; n < CHAIN_DEPTH_MAX; n++) {
        char cn[16];
        snprintf(cn, sizeof(cn), "link %zu", n);
        chain[n] = make(cn, 0, chain[n - 1], 0, ca, 2);
    }
    AUTO(x509_drop) X509 *end = make("end", 2, chain[n - 1], 0, NULL, 0);
    assert_int_equal(verify_with(chain[n - 1], chain, n, root, &out), 0);
    assert_int_equal(out.n, CHAIN_DEPTH_MAX);
    assert_int_equal(verify_with(end, chain, n, root, &out), ERR_DENIED);
    while (--n > 0)
        X509_free(chain[n]);
}

static void every_bit_counts(void **state)
{
    (void)state;
    int n = i2d_X509(leaf, NULL);
    for (size_t bit = 0; bit < (size_t)n * 8; bit++) {
        AUTO(x509_drop) X509 *changed = made_bit_changed(leaf, bit);
        if (changed && verify(changed, middle) == 0)
            fail_msg("bit %zu of %d bytes", bit, n);
    }
}

static void dates(void **state)
{
    (void)state;
    struct chain_result out;
    time_t from, until;
    struct made_spec spec = { .cn = "leaf",
                              .key = keys[2],
                              .issuer = middle,
                              .issuer_key = keys[1],
                              .from = MADE_NOW - 5,
                              .until = MADE_NOW + 5 };
    AUTO(x509_drop) X509 *cert = made_cert(&spec);
    for (time_t off = -6; off <= 6; off++) {
        const struct chain_request rq = {
            .leaf = cert, .pool = &middle, .pool_n = 1, .anchors = &root, .anchors_n = 1, .at = MADE_NOW + off
        };
        assert_int_equal(chain_verify(&rq, &out, &(struct err){ 0 }), 0); /* dates are apart */
        assert_int_equal(out.dates_hold, off >= -5 && off <= 5);
        assert_true(out.dates_hold || strstr(out.dates_why, "2025-06-15"));
    }
    assert_int_equal(chain_dates(&out, &from, &until, &(struct err){ 0 }), 0);
    assert_true(from == MADE_NOW - 5 && until == MADE_NOW + 5);
}

static int judge_crl(const struct made_crl_spec *spec, X509 *issuer, time_t at)
{
    struct err err = { 0 };
    AUTO(crl_drop) X509_CRL *crl = made_crl(spec);
    return crl_verify(crl, issuer, at, &err) == 0 ? 0 : (int)err.kind;
}

static void crls(void **state)
{
    (void)state;
    static const uint8_t partial[] = { 0x30, 0x03, 0x81, 0x01, 0xFF }; /* onlyContainsUserCerts */
    static const uint8_t whole[] = { 0x30, 0x00 };
    const struct made_ext idp[] = {
        { "issuingDistributionPoint", NULL, { partial, sizeof(partial) }, true }
    };
    const struct made_ext all[] = { { "issuingDistributionPoint", NULL, { whole, sizeof(whole) }, true } };
    static const uint8_t one[] = { 0x02, 0x01, 0x01 };
    const struct made_ext delta[] = { { "deltaCRL", NULL, { one, sizeof(one) }, true } };
    const struct made_ext no_crls[] = { CA_EXT, { .oid = "keyUsage", .text = "critical,keyCertSign" } };
    AUTO(x509_drop) X509 *mute = make("root", 0, NULL, 0, no_crls, 2);
    struct made_crl_spec spec = { .issuer = root, .key = keys[0] };
    assert_int_equal(judge_crl(&spec, root, MADE_NOW), 0);
    assert_int_equal(judge_crl(&spec, root, MADE_NOW - 10 * MADE_DAY), 0);
    assert_int_equal(judge_crl(&spec, root, MADE_NOW - 10 * MADE_DAY - 1), ERR_DENIED);
    assert_int_equal(judge_crl(&spec, root, MADE_NOW + 10 * MADE_DAY + 1), ERR_DENIED);
    assert_int_equal(judge_crl(&spec, middle, MADE_NOW), ERR_DENIED); /* of another issuer */
    assert_int_equal(judge_crl(&spec, mute, MADE_NOW), ERR_DENIED);
    spec.key = keys[3]; /* by another key */
    assert_int_equal(judge_crl(&spec, root, MADE_NOW), ERR_DENIED);
    spec.key = keys[0];
    spec.md = EVP_sha1();
    assert_int_equal(judge_crl(&spec, root, MADE_NOW), ERR_DENIED);
    spec.md = NULL;
    const struct {
        const struct made_ext *ext;
        int want;
    } rows[] = { { idp, ERR_DENIED }, { delta, ERR_DENIED }, { all, 0 } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        spec.ext = rows[i].ext;
        spec.ext_n = 1;
        assert_int_equal(judge_crl(&spec, root, MADE_NOW), rows[i].want);
    }
}

static void pss_crls(void **state)
{
    (void)state;
    AUTO(pkey_drop) EVP_PKEY *rsa = made_rsa_key();
    AUTO(x509_drop)
    X509 *issuer = made_cert(&(struct made_spec){ .cn = "ark", .key = rsa, .ext = ca, .ext_n = 2 });
    struct made_crl_spec spec = { .issuer = issuer, .key = rsa, .pss = true, .md = EVP_sha384() };
    assert_int_equal(judge_crl(&spec, issuer, MADE_NOW), 0);
    spec.md = EVP_sha1();
    assert_int_equal(judge_crl(&spec, issuer, MADE_NOW), ERR_DENIED);
}

static void revocation(void **state)
{
    (void)state;
    AUTO(x509_drop)
    X509 *good = made_cert(&(struct made_spec){
        .cn = "good", .key = keys[2], .issuer = middle, .issuer_key = keys[1], .serial = 9 });
    /* the same serial number, another issuer */
    AUTO(x509_drop)
    X509 *other = made_cert(&(struct made_spec){
        .cn = "other", .key = keys[2], .issuer = root, .issuer_key = keys[0], .serial = 7 });
    AUTO(crl_drop)
    X509_CRL *crl = made_crl(&(struct made_crl_spec){ .issuer = middle, .key = keys[1], .revoked = leaf });
    assert_true(crl_revokes(crl, leaf));
    assert_false(crl_revokes(crl, good));
    assert_false(crl_revokes(crl, other));
}

static void recorded_crl(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample ca_pem = sample_load("x509-crl/revoked-leaf-prem-test-ca/ca_cert.pem");
    AUTO(sample_done)
    struct sample leaf_pem = sample_load("x509-crl/revoked-leaf-prem-test-ca/revoked_cert.pem");
    AUTO(sample_done) struct sample crl_pem = sample_load("x509-crl/revoked-leaf-prem-test-ca/ca_crl.pem");
    AUTO(x509_drop) X509 *issuer = NULL, *revoked = NULL;
    AUTO(crl_drop) X509_CRL *crl = NULL;
    struct chain_result out;
    struct err err = { 0 };
    time_t at, from, until;
    assert_int_equal(x509_parse(sample_bytes(&ca_pem), &issuer, &err), 0);
    assert_int_equal(x509_parse(sample_bytes(&leaf_pem), &revoked, &err), 0);
    assert_int_equal(crl_parse(sample_bytes(&crl_pem), &crl, &err), 0);
    assert_int_equal(rfc3339_parse("2026-03-01T00:00:00Z", &at, &err), 0); /* the manifest's verify_at */
    assert_int_equal(crl_verify(crl, issuer, at, &err), 0);
    assert_true(crl_revokes(crl, revoked));
    assert_int_equal(crl_times(crl, &from, &until, &err), 0);
    char a[24], b[24];
    assert_string_equal(rfc3339_text(from, a), "2026-02-17T22:39:57Z");
    assert_string_equal(rfc3339_text(until, b), "2026-03-19T22:40:57Z");
    assert_int_equal(crl_verify(crl, issuer, until + 1, &err), -1);
    assert_int_equal(verify_with(revoked, NULL, 0, issuer, &out),
                     0); /* revocation is not the path's business */
    for (size_t n = 0; n < crl_pem.n - 40; n++) {
        AUTO(crl_drop) X509_CRL *cut = NULL;
        AUTO(free_u8) uint8_t *copy = heap_copy(crl_pem.p, n);
        assert_int_equal(crl_parse(bytes_of(copy, n), &cut, &err), -1);
    }
}

static void times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        time_t want;
    } good[] = { { "1970-01-01T00:00:00Z", 0 },
                 { "2025-06-15T15:06:40Z", MADE_NOW },
                 { "2025-06-15T17:06:40+02:00", MADE_NOW },
                 { "2025-06-15T15:06:40.123456Z", MADE_NOW },
                 { "2025-06-15T14:36:40.5-00:30", MADE_NOW },
                 { "2024-02-29T00:00:00Z", 1709164800 } };
    static const char *const bad[] = { "",
                                       "2025-06-15",
                                       "2025-06-15T15:06:40",
                                       "2025-6-15T15:06:40Z",
                                       " 2025-06-15T15:06:40Z",
                                       "2025-06-15 15:06:40Z",
                                       "2025-06-15T15:06:40ZZ",
                                       "2025-06-15T15:06:40.Z",
                                       "2025-02-29T00:00:00Z",
                                       "2025-13-01T00:00:00Z",
                                       "2025-00-01T00:00:00Z",
                                       "2025-01-32T00:00:00Z",
                                       "2025-01-01T24:00:00Z",
                                       "2025-01-01T00:60:00Z",
                                       "2025-01-01T00:00:60Z",
                                       "2025-01-01T00:00:00+24:00",
                                       "2025-01-01T00:00:00+0200",
                                       "2025-01-01T00:00:00+-2:00",
                                       "yesterday" };
    struct err err = { 0 };
    time_t t = 1;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(rfc3339_parse(good[i].text, &t, &err), 0);
        assert_int_equal(t, good[i].want);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (rfc3339_parse(bad[i], &t, &err) == 0 || err.kind != ERR_INPUT)
            fail_msg("\"%s\" was taken for %lld", bad[i], (long long)t);
    assert_int_equal(t, good[ARRAY_SIZE(good) - 1].want); /* untouched by failures */
    char text[24];
    assert_string_equal(rfc3339_text(MADE_NOW, text), "2025-06-15T15:06:40Z");
    assert_string_equal(rfc3339_text((time_t)INT64_MAX, text), "?");
}

static void times_of_rfc_3339(void **state)
{
    (void)state;
    static const char *const same[] = { "2024-01-01T00:00:00Z", "2024-01-01t00:00:00z",
                                        "2024-01-01T00:00:00.999Z", "2024-01-01T01:30:00+01:30",
                                        "2023-12-31T23:00:00-01:00" };
    static const char *const bad[] = { "",
                                       "2024-01-01",
                                       "2024-01-01 00:00:00Z",
                                       "2024-02-30T00:00:00Z",
                                       "2024-01-01T00:00:00",
                                       "2024-01-01T24:00:00Z",
                                       "2024-01-01T00:00:00.Z",
                                       "2024-01-01T00:00:00+24:00",
                                       "2024-01-01T00:00:00ZZ" };
    for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
        struct err err = { 0 };
        time_t at = 0;
        assert_int_equal(rfc3339_parse(same[i], &at, &err), 0);
        assert_int_equal(at, 1704067200);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err err = { 0 };
        time_t at;
        assert_int_equal(rfc3339_parse(bad[i], &at, &err), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_of_rfc_3339),
        cmocka_unit_test(finds_the_path),
        cmocka_unit_test(missing_is_not_wrong),
        cmocka_unit_test(trusts_anchors_only),
        cmocka_unit_test(issuers_must_be_allowed_to),
        cmocka_unit_test(critical_extensions),
        cmocka_unit_test(weak_hashes),
        cmocka_unit_test(roots_that_are_given),
        cmocka_unit_test(ends_in_loops_and_long_paths),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(dates),
        cmocka_unit_test(crls),
        cmocka_unit_test(pss_crls),
        cmocka_unit_test(revocation),
        cmocka_unit_test(recorded_crl),
        cmocka_unit_test(times),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
