/* Signatures of recorded evidence, checked with libcrypto over the parts that the parsers found: an offset
 * that is off by one fails here. What to expect comes from the manifest. */
#include "evidence.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "base/x509.h"
#include "tee/hcl_report.h"
#include "tee/snp_report.h"
#include "tee/tdreport.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <stdio.h>

static json_t *manifest;

static int load_manifest(void **state)
{
    (void)state;
    if (!test_evidence())
        return 0;
    AUTO(sample_done) struct sample text = sample_load("manifest.json");
    return json_parse(sample_bytes(&text), FILE_MAX_DEFAULT, &manifest, &(struct err){ 0 });
}

static int drop_manifest(void **state)
{
    (void)state;
    json_decref(manifest);
    return 0;
}

static bool has_file(const json_t *c, const char *file)
{
    return json_object_get(json_object_get(c, "files"), file) != NULL;
}

static struct sample load(const json_t *c, const char *file)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", json_string_value(json_object_get(c, "dir")), file);
    return sample_load(path);
}

/* true if the case says so, or says nothing */
static bool expected(const json_t *c, const char *key)
{
    return !json_is_false(json_object_get(json_object_get(c, "expected"), key));
}

static bool verify(EVP_PKEY *key, const EVP_MD *md, struct bytes der, struct bytes data)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, md, NULL, key), 1);
    int rc = EVP_DigestVerify(ctx, der.p, der.n, data.p, data.n);
    EVP_MD_CTX_free(ctx);
    return rc == 1;
}

/* r and s, 32 bytes each, big-endian */
static bool verify_raw(EVP_PKEY *key, struct bytes rs, struct bytes data)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    unsigned char *der = NULL;
    ECDSA_SIG_set0(sig, BN_bin2bn(rs.p, 32, NULL), BN_bin2bn(rs.p + 32, 32, NULL));
    int n = i2d_ECDSA_SIG(sig, &der);
    bool good = n > 0 && verify(key, EVP_sha256(), bytes_of(der, (size_t)n), data);
    OPENSSL_free(der);
    ECDSA_SIG_free(sig);
    return good;
}

static EVP_PKEY *p256_key(struct bytes xy)
{
    uint8_t point[65] = { 4 };
    char group[] = "P-256";
    EVP_PKEY *key = NULL;
    memcpy(point + 1, xy.p, 64);
    OSSL_PARAM params[] = { OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group) - 1),
                            OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)),
                            OSSL_PARAM_END };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params), 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static void check_snp(const json_t *c, struct bytes raw, const char *vek, bool want)
{
    AUTO(sample_done) struct sample der = load(c, vek);
    AUTO(buf_done) struct buf sig = buf_new(256);
    AUTO(x509_drop) X509 *cert = NULL;
    struct snp_report r;
    struct err err = { 0 };
    assert_int_equal(snp_report_parse(raw, &r, &err), 0);
    assert_int_equal(x509_parse(sample_bytes(&der), &cert, &err), 0);
    assert_int_equal(snp_report_signature_der(&r, &sig, &err), 0);
    bool good = verify(X509_get0_pubkey(cert), EVP_sha384(), buf_bytes(&sig), snp_report_signed(r.raw));
    if (good != want)
        fail_msg("%s: signature %d, want %d", json_string_value(json_object_get(c, "id")), good, want);
}

static void snp_reports(void **state)
{
    static const char *const veks[] = { "vcek.der", "vlek.der" };
    const char *const reports[][2] = { { "report.bin", "signature" }, { "snp_report.bin", "snp_signature" } };
    unsigned checked = 0;
    size_t i;
    json_t *c;
    (void)state;
    skip_without_evidence();
    json_array_foreach(json_object_get(manifest, "cases"), i, c)
    {
        for (size_t v = 0; v < ARRAY_SIZE(veks); v++) {
            for (size_t k = 0; k < ARRAY_SIZE(reports); k++) {
                if (!has_file(c, veks[v]) || !has_file(c, reports[k][0]))
                    continue;
                AUTO(sample_done) struct sample raw = load(c, reports[k][0]);
                check_snp(c, sample_bytes(&raw), veks[v], expected(c, reports[k][1]));
                checked++;
            }
        }
    }
    print_message("%u SNP reports\n", checked);
    assert_true(checked >= 18);
}

static void check_quote(const json_t *c)
{
    AUTO(sample_done) struct sample raw = load(c, "quote.bin");
    X509 *chain[4] = { NULL };
    struct tdx_quote q;
    struct digest bound;
    struct err err = { 0 };
    assert_int_equal(tdx_quote_parse(sample_bytes(&raw), &q, &err), 0);
    AUTO(pkey_drop) EVP_PKEY *key = p256_key(q.attestation_key);
    assert_int_equal(verify_raw(key, q.signature, q.signed_bytes), expected(c, "quote_signature"));
    assert_int_equal(digest_parts(ALG_SHA256, (const struct bytes[]){ q.attestation_key, q.qe_auth_data }, 2,
                                  &bound, &err),
                     0);
    bool ak = memcmp(bound.b, q.qe_report.report_data.p, 32) == 0;
    assert_int_equal(ak, expected(c, "ak_binding"));
    assert_true(bytes_zero(bytes_of(q.qe_report.report_data.p + 32, 32)));
    int n = x509_parse_chain(q.pck_chain, chain, ARRAY_SIZE(chain), &err);
    assert_int_equal(n, 3);
    bool qe = verify_raw(X509_get0_pubkey(chain[0]), q.qe_report_signature, q.qe_report.raw);
    assert_int_equal(qe, expected(c, "qe_report_signature"));
    while (n-- > 0)
        X509_free(chain[n]);
}

static void tdx_quotes(void **state)
{
    unsigned checked = 0;
    size_t i;
    json_t *c;
    (void)state;
    skip_without_evidence();
    json_array_foreach(json_object_get(manifest, "cases"), i, c)
    {
        if (!has_file(c, "quote.bin"))
            continue;
        check_quote(c);
        checked++;
    }
    print_message("%u TDX quotes\n", checked);
    assert_true(checked >= 24);
}

/* The parts of an HCL report against the same parts as they were stored apart. */
static void check_hcl(const json_t *c)
{
    static const char *const hw[] = { "snp_report.bin", "tdreport.bin" };
    AUTO(sample_done) struct sample raw = load(c, "hcl_report.bin");
    struct hcl_report h;
    struct err err = { 0 };
    uint8_t want[64];
    assert_int_equal(hcl_report_parse(sample_bytes(&raw), &h, &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(hw); i++) {
        if (!has_file(c, hw[i]))
            continue;
        AUTO(sample_done) struct sample part = load(c, hw[i]);
        assert_true(bytes_equal(hcl_report_hw(&h), sample_bytes(&part)));
    }
    if (has_file(c, "runtime_data.json")) {
        AUTO(sample_done) struct sample claims = load(c, "runtime_data.json");
        assert_true(bytes_equal(hcl_var_data(&h), sample_bytes(&claims)));
    }
    assert_int_equal(hcl_expected_report_data(&h, want, &err), 0);
    struct bytes at =
        bytes_of(h.hw.p + (h.report_type == HCL_SNP ? SNP_OFF_REPORT_DATA : TDREPORT_OFF_REPORT_DATA),
                 sizeof(want));
    assert_int_equal(bytes_equal(at, bytes_of(want, sizeof(want))),
                     expected(c, "report_data_binds_runtime_data"));
}

static void check_ak(const json_t *c)
{
    AUTO(sample_done) struct sample raw = load(c, "hcl_report.bin"), pem = load(c, "ak_pub.pem");
    AUTO(buf_done) struct buf ours = buf_new(1024), theirs = buf_new(1024);
    struct hcl_report h;
    struct err err = { 0 };
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    AUTO(pkey_drop) EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(key);
    assert_int_equal(spki_put_der(key, &theirs, &err), 0);
    assert_int_equal(hcl_report_parse(sample_bytes(&raw), &h, &err), 0);
    assert_int_equal(hcl_ak_spki(&h, &ours, &err), 0);
    assert_true(bytes_equal(buf_bytes(&ours), buf_bytes(&theirs)));
}

static void hcl_reports(void **state)
{
    unsigned checked = 0, keys = 0;
    size_t i;
    json_t *c;
    (void)state;
    skip_without_evidence();
    json_array_foreach(json_object_get(manifest, "cases"), i, c)
    {
        if (!has_file(c, "hcl_report.bin"))
            continue;
        check_hcl(c);
        checked++;
        if (has_file(c, "ak_pub.pem")) {
            check_ak(c);
            keys++;
        }
    }
    print_message("%u HCL reports, %u attestation keys\n", checked, keys);
    assert_true(checked >= 9 && keys >= 8);
}

/* The hashes inside a TDREPORT are over the parts that the parser found. */
static void tdreports(void **state)
{
    size_t i;
    json_t *c;
    unsigned genuine = 0;
    (void)state;
    skip_without_evidence();
    json_array_foreach(json_object_get(manifest, "cases"), i, c)
    {
        if (!has_file(c, "tdreport.bin"))
            continue;
        AUTO(sample_done) struct sample raw = load(c, "tdreport.bin");
        struct tdreport t;
        assert_int_equal(tdreport_parse(sample_bytes(&raw), &t, &(struct err){ 0 }), 0);
        assert_int_equal(tdreport_consistent(&t), t.is_tdx);
        genuine += t.is_tdx;
    }
    assert_int_equal(genuine, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(snp_reports), cmocka_unit_test(tdx_quotes),
                                        cmocka_unit_test(hcl_reports), cmocka_unit_test(tdreports) };
    return cmocka_run_group_tests(tests, load_manifest, drop_manifest);
}
