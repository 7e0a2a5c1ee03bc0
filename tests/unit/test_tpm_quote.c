/* tpm/attest, tpm/signature, tpm/pcrs: quotes of Azure, Google Cloud and GCE vTPMs, against what the manifest
 * of the recorded evidence says of them and against libcrypto. */
#include "evidence.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/json.h"
#include "base/x509.h"
#include "tpm/attest.h"
#include "tpm/pcrs.h"
#include "tpm/signature.h"

#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdio.h>

/* Every recorded quote: folder, the AK as PEM or certificate, bare signature or TPMT_SIGNATURE. */
static const struct quote_case {
    const char *folder, *quote, *sig, *pcrs, *key;
    bool bare;
} cases[] = {
    { "azure-snp/genoa-v3-report-vtpm", "tpm_quote.msg", "tpm_quote.sig", "pcrs.json", "ak_pub.pem", true },
    { "azure-snp/milan-v2-report-vtpm", "tpm_quote.msg", "tpm_quote.sig", "pcrs.json", "ak_pub.pem", true },
    { "azure-snp/milan-v3-report-vtpm", "tpm_quote.msg", "tpm_quote.sig", "pcrs.json", "ak_pub.pem", true },
    { "azure-tdx/v4-00806f-vtpm", "tpm_quote.msg", "tpm_quote.sig", "pcrs.json", "ak_pub.pem", true },
    { "azure-tdx/v4-90c06f-akcert", "tpm_quote.msg", "tpm_quote.sig", "pcrs.json", "ak_pub.pem", true },
    { "gcp-snp/vtpm-33-byte-nonce", "tpm_quote.msg", "tpm_quote.sig", "pcrs.json", "ak_cert.der", false },
    { "gcp-vtpm/gce-cos-85-nonce9009", "quote_sha1.msg", "quote_sha1.sig", "pcrs_sha1.json", "ak_pub.pem",
      false },
    { "gcp-vtpm/gce-cos-85-nonce9009", "quote_sha256.msg", "quote_sha256.sig", "pcrs_sha256.json",
      "ak_pub.pem", false },
    { "gcp-vtpm/gce-cos-85-nonce9009", "quote_sha384.msg", "quote_sha384.sig", "pcrs_sha384.json",
      "ak_pub.pem", false },
};

static struct sample load(const struct quote_case *c, const char *file)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", c->folder, file);
    return sample_load(path);
}

static EVP_PKEY *load_key(const struct quote_case *c)
{
    AUTO(sample_done) struct sample s = load(c, c->key);
    EVP_PKEY *key = NULL;
    if (strstr(c->key, ".der")) {
        AUTO(x509_drop) X509 *cert = NULL;
        assert_int_equal(x509_parse(sample_bytes(&s), &cert, &(struct err){ 0 }), 0);
        key = X509_get_pubkey(cert);
    } else {
        BIO *bio = BIO_new_mem_buf(s.p, (int)s.n);
        key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
        BIO_free(bio);
    }
    assert_non_null(key);
    return key;
}

static bool signature_holds(EVP_PKEY *key, const struct tpm_signature *sig, struct bytes message)
{
    AUTO(buf_done) struct buf der = buf_new(4096);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(tpm_signature_to_der(sig, &der, &(struct err){ 0 }), 0);
    bool ok = EVP_DigestVerifyInit_ex(ctx, NULL, digest_name(sig->hash), NULL, NULL, key, NULL) == 1
              && EVP_DigestVerify(ctx, der.p, der.n, message.p, message.n) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static void every_quote_is_signed_and_covers_its_pcrs(void **state)
{
    (void)state;
    skip_without_evidence();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct quote_case *c = &cases[i];
        AUTO(sample_done)
        struct sample quote = load(c, c->quote), sig = load(c, c->sig), file = load(c, c->pcrs);
        AUTO(pkey_drop) EVP_PKEY *key = load_key(c);
        struct tpm_attest a;
        struct tpm_signature s;
        struct tpm_pcrs pcrs;
        struct digest d;
        struct err err = { 0 };
        assert_int_equal(tpm_attest_parse(sample_bytes(&quote), &a, &err), 0);
        assert_int_equal(tpm_signature_parse(sample_bytes(&sig), &s, &err), c->bare ? -1 : 0);
        if (c->bare)
            assert_int_equal(tpm_signature_parse_bare(sample_bytes(&sig), TPM_SCHEME_RSASSA, ALG_SHA256, &s,
                                                      &err),
                             0);
        assert_int_equal(s.bare, c->bare);
        assert_true(signature_holds(key, &s, a.raw));
        assert_false(signature_holds(key, &s, a.extra_data));
        assert_int_equal(tpm_pcrs_parse(sample_bytes(&file), &pcrs, &err), 0);
        assert_int_equal(a.quote.n, 1);
        assert_int_equal(a.quote.selections[0].alg, pcrs.alg);
        assert_int_equal(a.quote.selections[0].mask & ~pcrs.mask, 0);
        assert_int_equal(tpm_pcr_digest(a.quote.selections, a.quote.n, &pcrs, 1, s.hash, &d, &err), 0);
        assert_true(bytes_equal(digest_bytes(&d), a.quote.pcr_digest));
    }
}

static void assert_member(const json_t *facts, const json_t *ours, const char *fact, const char *member)
{
    const json_t *want = json_object_get(facts, fact), *got = json_object_get(ours, member);
    if (json_is_boolean(got))
        assert_int_equal(json_is_true(got), json_integer_value(want));
    else if (!json_equal(want, got))
        fail_msg("%s differs", member);
}

/* The manifest was written by another implementation. */
static void json_says_what_the_manifest_says(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample text = sample_load("manifest.json");
    AUTO(json_drop) json_t *manifest = NULL;
    size_t i, seen = 0;
    json_t *entry;
    assert_int_equal(json_parse(sample_bytes(&text), 64 << 20, &manifest, &(struct err){ 0 }), 0);
    json_array_foreach(json_object_get(manifest, "cases"), i, entry)
    {
        const json_t *facts = json_object_get(json_object_get(entry, "facts"), "tpm_quote");
        const json_t *files = json_object_get(entry, "files");
        if (!facts || !json_object_get(files, "tpm_quote.msg"))
            continue;
        const struct quote_case c = { .folder = json_string_value(json_object_get(entry, "dir")) };
        AUTO(sample_done) struct sample quote = load(&c, "tpm_quote.msg");
        struct tpm_attest a;
        assert_int_equal(tpm_attest_parse(sample_bytes(&quote), &a, &(struct err){ 0 }), 0);
        AUTO(json_drop) json_t *v = tpm_attest_json(&a);
        static const char *const same[] = { "magic", "qualified_signer", "extra_data",
                                            "clock", "reset_count",      "restart_count",
                                            "safe",  "firmware_version", "pcr_digest" };
        for (size_t k = 0; k < ARRAY_SIZE(same); k++)
            assert_member(facts, v, same[k], same[k]);
        const json_t *want = json_array_get(json_object_get(facts, "pcr_select"), 0);
        const json_t *got = json_array_get(json_object_get(v, "pcr_select"), 0);
        assert_true(json_equal(json_object_get(want, "alg"), json_object_get(got, "alg")));
        assert_true(json_equal(json_object_get(want, "pcrs"), json_object_get(got, "pcrs")));
        assert_string_equal(json_string_value(json_object_get(v, "attest_type_name")), "ATTEST_QUOTE");
        seen++;
    }
    assert_in_range(seen, 5, 100);
}

static void refuses_every_cut_and_every_tail(void **state)
{
    (void)state;
    skip_without_evidence();
    struct tpm_attest a;
    struct tpm_signature s;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(sample_done)
        struct sample quote = load(&cases[i], cases[i].quote), sig = load(&cases[i], cases[i].sig);
        for (size_t n = 0; n < quote.n; n++) {
            AUTO(free_u8) uint8_t *cut = heap_copy(quote.p, n);
            struct err err = { 0 };
            assert_int_equal(tpm_attest_parse(bytes_of(cut, n), &a, &err), -1);
            assert_int_equal(err.kind, ERR_INPUT);
        }
        for (size_t n = 0; n < sig.n; n++) {
            AUTO(free_u8) uint8_t *cut = heap_copy(sig.p, n);
            assert_int_equal(tpm_signature_parse(bytes_of(cut, n), &s, &(struct err){ 0 }), -1);
            assert_int_equal(tpm_signature_parse_bare(bytes_of(cut, n), TPM_SCHEME_RSASSA, ALG_SHA256, &s,
                                                      NULL),
                             n == 256 ? 0 : -1);
        }
        AUTO(buf_done) struct buf longer = buf_new(4096);
        buf_put(&longer, sample_bytes(&quote));
        buf_u8(&longer, 0);
        assert_int_equal(tpm_attest_parse(buf_bytes(&longer), &a, &(struct err){ 0 }), -1);
    }
}

/* A quote with one bit changed either does not parse or is not what was signed. */
static void one_changed_bit_never_verifies(void **state)
{
    (void)state;
    skip_without_evidence();
    const struct quote_case *c = &cases[5];
    AUTO(sample_done) struct sample quote = load(c, c->quote), sig = load(c, c->sig);
    AUTO(pkey_drop) EVP_PKEY *key = load_key(c);
    struct tpm_attest a;
    struct tpm_signature s;
    for (size_t bit = 0; bit < quote.n * 8; bit++) {
        quote.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(tpm_signature_parse(sample_bytes(&sig), &s, &(struct err){ 0 }), 0);
        if (tpm_attest_parse(sample_bytes(&quote), &a, &(struct err){ 0 }) == 0)
            assert_false(signature_holds(key, &s, a.raw));
        quote.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(tpm_attest_parse(sample_bytes(&quote), &a, &(struct err){ 0 }), 0);
    for (size_t bit = 0; bit < sig.n * 8; bit += 3) {
        sig.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (tpm_signature_parse(sample_bytes(&sig), &s, &(struct err){ 0 }) == 0
            && s.scheme == TPM_SCHEME_RSASSA)
            assert_false(signature_holds(key, &s, a.raw));
        sig.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

static void put_attest_head(struct buf *b, uint16_t type)
{
    buf_u32be(b, TPM_ATTEST_MAGIC);
    buf_u16be(b, type);
    buf_tpm2b(b, bytes_str("signer"));
    buf_tpm2b(b, bytes_str("nonce"));
    buf_u64be(b, 1);
    buf_u32be(b, 2);
    buf_u32be(b, 3);
    buf_u8(b, 1);
    buf_u64be(b, 4);
}

static void other_types_keep_their_part_as_bytes(void **state)
{
    (void)state;
    static const uint16_t types[] = { 0x8014, 0x8015, 0x8016, 0x8017, 0x8019, 0x801A, 0x801C };
    struct tpm_attest a;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        AUTO(buf_done) struct buf b = buf_new(256);
        put_attest_head(&b, types[i]);
        buf_str(&b, "attested");
        assert_int_equal(tpm_attest_parse(buf_bytes(&b), &a, &(struct err){ 0 }), 0);
        assert_true(bytes_equal(a.attested, bytes_str("attested")));
        AUTO(json_drop) json_t *v = tpm_attest_json(&a);
        assert_string_equal(json_string_value(json_object_get(v, "attested")), "6174746573746564");
    }
    AUTO(buf_done) struct buf unknown = buf_new(256);
    put_attest_head(&unknown, 0x8013);
    assert_int_equal(tpm_attest_parse(buf_bytes(&unknown), &a, &(struct err){ 0 }), -1);
}

static void selections_have_a_maximum(void **state)
{
    (void)state;
    struct tpm_attest a;
    for (uint32_t n = TPM_SELECTIONS_MAX; n <= TPM_SELECTIONS_MAX + 1; n++) {
        AUTO(buf_done) struct buf b = buf_new(512);
        put_attest_head(&b, TPM_ATTEST_QUOTE);
        buf_u32be(&b, n);
        for (uint32_t i = 0; i < n; i++)
            buf_put(&b, bytes_of("\x00\x0B\x03\x01\x00\x80", 6));
        buf_tpm2b(&b, bytes_str("digest"));
        assert_int_equal(tpm_attest_parse(buf_bytes(&b), &a, &(struct err){ 0 }),
                         n > TPM_SELECTIONS_MAX ? -1 : 0);
    }
    assert_int_equal(a.quote.selections[15].mask, 0x800001);
    assert_int_equal(a.quote.selections[15].count, 2);
}

/* TPM2B_ATTEST: the size in front is taken off, a wrong one refused. */
static void size_prefix_is_optional(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample quote = load(&cases[0], cases[0].quote);
    AUTO(buf_done) struct buf b = buf_new(4096);
    struct tpm_attest a, c;
    const struct bytes raw =
        be_uint(quote.p, 4) == TPM_ATTEST_MAGIC ? sample_bytes(&quote) : bytes_of(quote.p + 2, quote.n - 2);
    buf_tpm2b(&b, raw);
    assert_int_equal(tpm_attest_parse(buf_bytes(&b), &a, &(struct err){ 0 }), 0);
    assert_int_equal(tpm_attest_parse(raw, &c, &(struct err){ 0 }), 0);
    assert_true(bytes_equal(a.raw, c.raw));
    b.p[1]++;
    assert_int_equal(tpm_attest_parse(buf_bytes(&b), &a, &(struct err){ 0 }), -1);
}

/* libcrypto signs with a fresh key; r and s go into a TPMT_SIGNATURE with zeros in front or stripped. */
static void ecdsa_signature_of(EVP_PKEY *key, size_t size, bool padded, struct buf *out)
{
    uint8_t der[256], part[2][66];
    size_t n = sizeof(der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit_ex(ctx, NULL, "sha256", NULL, NULL, key, NULL), 1);
    assert_int_equal(EVP_DigestSign(ctx, der, &n, (const uint8_t *)"message", 7), 1);
    EVP_MD_CTX_free(ctx);
    const uint8_t *p = der;
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
    buf_u16be(out, TPM_SCHEME_ECDSA);
    buf_u16be(out, ALG_SHA256);
    const BIGNUM *parts[] = { ECDSA_SIG_get0_r(sig), ECDSA_SIG_get0_s(sig) };
    for (int i = 0; i < 2; i++) {
        int len = padded ? (int)size : BN_num_bytes(parts[i]);
        assert_int_equal(BN_bn2binpad(parts[i], part[i], len), len);
        buf_tpm2b(out, bytes_of(part[i], (size_t)len));
    }
    ECDSA_SIG_free(sig);
}

static void ecdsa_signatures_of_every_curve_verify(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t size;
    } groups[] = { { "P-256", 32 }, { "P-384", 48 }, { "P-521", 66 } };
    for (size_t g = 0; g < ARRAY_SIZE(groups); g++) {
        AUTO(pkey_drop) EVP_PKEY *key = EVP_EC_gen(groups[g].name);
        for (int i = 0; i < 40;
             i++) { /* often enough for short r and s, and for both signs of the first bit */
            AUTO(buf_done) struct buf b = buf_new(512);
            struct tpm_signature s;
            ecdsa_signature_of(key, groups[g].size, i % 2, &b);
            assert_int_equal(tpm_signature_parse(buf_bytes(&b), &s, &(struct err){ 0 }), 0);
            assert_true(signature_holds(key, &s, bytes_str("message")));
            assert_false(signature_holds(key, &s, bytes_str("massage")));
            AUTO(json_drop) json_t *v = tpm_signature_json(&s);
            assert_string_equal(json_string_value(json_object_get(v, "sig_alg")), "ecdsa");
        }
    }
}

static void malformed_signatures_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {
        { "\x00\x18\x00\x0B\x00\x00\x00\x01\x01", 9 },          /* r empty */
        { "\x00\x18\x00\x0B\x00\x01\x00\x00\x01\x01", 10 },     /* r zero */
        { "\x00\x18\x00\x0B\x00\x01\x01\x00\x01\x00", 10 },     /* s zero */
        { "\x00\x18\x00\x0B\x00\x01\x01\x00\x01\x01\x00", 11 }, /* a byte more */
        { "\x00\x18\x00\x99\x00\x01\x01\x00\x01\x01", 10 },     /* hash */
        { "\x00\x05\x00\x0B\x00\x01\x01", 7 },                  /* HMAC */
        { "\x00\x10", 2 },                                      /* no signature */
        { "\x00\x14\x00\x0B\x00\x01\x01", 7 },                  /* RSA of one byte */
    };
    struct tpm_signature s;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(tpm_signature_parse(bytes_of(bad[i].bytes, bad[i].n), &s, &(struct err){ 0 }), -1);
    static const uint8_t zeros[512];
    assert_int_equal(tpm_signature_parse_bare(bytes_of(zeros, 256), TPM_SCHEME_ECDSA, ALG_SHA256, &s, NULL),
                     -1);
    assert_int_equal(tpm_signature_parse_bare(bytes_of(zeros, 256), TPM_SCHEME_RSAPSS, 0x99, &s, NULL), -1);
    assert_int_equal(tpm_signature_parse_bare(bytes_of(zeros, 384), TPM_SCHEME_RSAPSS, ALG_SHA384, &s, NULL),
                     0);
    assert_int_equal(tpm_signature_parse_bare(bytes_of(zeros, 128), TPM_SCHEME_RSASSA, ALG_SHA256, &s, NULL),
                     -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_quote_is_signed_and_covers_its_pcrs),
        cmocka_unit_test(json_says_what_the_manifest_says),
        cmocka_unit_test(refuses_every_cut_and_every_tail),
        cmocka_unit_test(one_changed_bit_never_verifies),
        cmocka_unit_test(other_types_keep_their_part_as_bytes),
        cmocka_unit_test(selections_have_a_maximum),
        cmocka_unit_test(size_prefix_is_optional),
        cmocka_unit_test(ecdsa_signatures_of_every_curve_verify),
        cmocka_unit_test(malformed_signatures_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
