/* tpm/quote_verify.h: recorded quotes and a log, and made quotes that are wrong in one place. */
#include "evidence.h"
#include "made_certs.h"

#include "base/auto.h"
#include "tpm/quote_verify.h"
#include "tpm/signature.h"

#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <string.h>

#define COS "gcp-vtpm/gce-cos-85-nonce9009/"
#define GCP "gcp-snp/vtpm-33-byte-nonce/"

static struct checks checks;

static bool holds(const struct tpm_quote_request *rq, struct tpm_quote_verdict *out)
{
    memset(&checks, 0, sizeof(checks));
    tpm_quote_verify(rq, &checks, out);
    assert_int_equal(checks.n, 5);
    return checks_all_hold(&checks);
}

static enum check_result result(const char *name)
{
    const struct check *c = checks_find(&checks, name);
    assert_non_null(c);
    return c->result;
}

/* ---- recorded ---- */

struct recorded {
    struct sample msg, sig, pub, pcrs_file;
    struct tpm_public ak_public;
    struct tpm_pcrs pcrs;
    EVP_PKEY *ak;
};

static void load_cos(struct recorded *r, const char *bank)
{
    char path[128];
    struct err err = { 0 };
    snprintf(path, sizeof(path), COS "quote_%s.msg", bank);
    r->msg = sample_load(path);
    snprintf(path, sizeof(path), COS "quote_%s.sig", bank);
    r->sig = sample_load(path);
    snprintf(path, sizeof(path), COS "pcrs_%s.json", bank);
    r->pcrs_file = sample_load(path);
    r->pub = sample_load(COS "ak_pub.tpmt");
    assert_int_equal(tpm_public_parse(sample_bytes(&r->pub), &r->ak_public, &err), 0);
    assert_int_equal(tpm_public_key(&r->ak_public, &r->ak, &err), 0);
    assert_int_equal(tpm_pcrs_parse(sample_bytes(&r->pcrs_file), &r->pcrs, &err), 0);
}

static void recorded_done(struct recorded *r)
{
    sample_done(&r->msg);
    sample_done(&r->sig);
    sample_done(&r->pub);
    sample_done(&r->pcrs_file);
    EVP_PKEY_free(r->ak);
}

static struct tpm_quote_request request_of(const struct recorded *r)
{
    static const uint8_t nonce[] = { 0x90, 0x09 };
    return (struct tpm_quote_request){ .quote = sample_bytes(&r->msg),
                                       .signature = sample_bytes(&r->sig),
                                       .ak = r->ak,
                                       .ak_public = &r->ak_public,
                                       .public_due = true,
                                       .banks = &r->pcrs,
                                       .bank_count = 1,
                                       .pcrs_due = true,
                                       .extra_data_asked = true,
                                       .extra_data = bytes_of(nonce, sizeof(nonce)) };
}

static void recorded_quotes(void **state)
{
    (void)state;
    static const char *const banks[] = { "sha1", "sha256", "sha384" };
    skip_without_evidence();
    for (size_t i = 0; i < ARRAY_SIZE(banks); i++) {
        AUTO(recorded_done) struct recorded r = { .ak = NULL };
        struct tpm_quote_verdict v;
        load_cos(&r, banks[i]);
        struct tpm_quote_request rq = request_of(&r);
        assert_true(holds(&rq, &v));
        assert_true(v.authentic && v.pcrs_hold && v.parsed);
        assert_int_equal(tpm_quote_covers(&v, r.pcrs.alg), 0xFFFFFF);
        assert_int_equal(tpm_quote_covers(&v, ALG_SHA512), 0);
        assert_int_equal(checks.warnings_n, i == 0); /* the SHA-1 bank */
        rq.extra_data.n = 1;
        assert_false(holds(&rq, &v));
        assert_int_equal(result("tpm.extra_data"), CHECK_FAILED);
        rq.extra_data_asked = false;
        assert_true(holds(&rq, &v));
        assert_int_equal(result("tpm.extra_data"), CHECK_NOT_APPLICABLE);
    }
}

static void every_bit_and_cut(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(recorded_done) struct recorded r = { .ak = NULL };
    struct tpm_quote_verdict v;
    load_cos(&r, "sha256");
    struct tpm_quote_request rq = request_of(&r);
    struct sample *const parts[] = { &r.msg, &r.sig };
    struct bytes *const views[] = { &rq.quote, &rq.signature };
    for (size_t k = 0; k < 2; k++) {
        for (size_t bit = 0; bit < parts[k]->n * 8; bit++) {
            parts[k]->p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (holds(&rq, &v) || v.authentic)
                fail_msg("part %zu, bit %zu", k, bit);
            parts[k]->p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        for (size_t n = 0; n < parts[k]->n; n++) {
            AUTO(free_u8) uint8_t *cut = heap_copy(parts[k]->p, n);
            *views[k] = bytes_of(cut, n);
            assert_false(holds(&rq, &v));
            assert_int_equal(result("tpm.pcr_digest"), CHECK_FAILED);
            assert_int_equal(result("tpm.extra_data"), CHECK_FAILED);
        }
        *views[k] = sample_bytes(parts[k]);
    }
    assert_true(holds(&rq, &v));
}

static void every_pcr_counts(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(recorded_done) struct recorded r = { .ak = NULL };
    struct tpm_quote_verdict v;
    load_cos(&r, "sha256");
    const struct tpm_quote_request rq = request_of(&r);
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        r.pcrs.pcr[i].b[i] ^= 1;
        assert_false(holds(&rq, &v));
        assert_true(v.authentic && !v.pcrs_hold && tpm_quote_covers(&v, ALG_SHA256) == 0);
        assert_int_equal(result("tpm.pcr_digest"), CHECK_FAILED);
        r.pcrs.pcr[i].b[i] ^= 1;
        r.pcrs.mask &= ~(1u << i); /* no value for it */
        assert_false(holds(&rq, &v));
        r.pcrs.mask |= 1u << i;
    }
    assert_true(holds(&rq, &v));
}

static void what_is_missing(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(recorded_done) struct recorded r = { .ak = NULL };
    struct tpm_quote_verdict v;
    load_cos(&r, "sha256");
    struct tpm_quote_request rq = request_of(&r);
    rq.bank_count = 0;
    assert_false(holds(&rq, &v));
    assert_int_equal(result("tpm.pcr_digest"), CHECK_FAILED);
    rq.pcrs_due = false;
    assert_true(holds(&rq, &v));
    assert_int_equal(result("tpm.pcr_digest"), CHECK_NOT_APPLICABLE);
    rq.ak_public = NULL;
    assert_false(holds(&rq, &v));
    assert_int_equal(result("tpm.ak_attributes"), CHECK_FAILED);
    rq.public_due = false;
    assert_true(holds(&rq, &v));
    assert_int_equal(result("tpm.ak_attributes"), CHECK_NOT_APPLICABLE);
    rq.ak = NULL;
    assert_false(holds(&rq, &v));
    assert_int_equal(result("tpm.quote_signature"), CHECK_FAILED);
}

/* ---- made ---- */

struct made {
    struct buf quote, signature;
    struct tpm_pcrs pcrs;
};

static void made_done(struct made *m)
{
    buf_done(&m->quote);
    buf_done(&m->signature);
}

/* A quote over PCRs 0 and 2 of SHA-256, its pcrDigest by pcr_hash. */
static void make_quote(struct made *m, uint16_t type, uint32_t mask, uint16_t pcr_hash)
{
    const struct tpm_selection selection = { ALG_SHA256, mask, (unsigned)__builtin_popcount(mask) };
    struct digest digest;
    m->pcrs = (struct tpm_pcrs){ .alg = ALG_SHA256, .mask = 5 };
    for (int i = 0; i < 3; i++)
        m->pcrs.pcr[i] = (struct digest){ .alg = ALG_SHA256, .n = 32, .b = { (uint8_t)(i + 1) } };
    assert_int_equal(tpm_pcr_digest(&selection, 1, &m->pcrs, 1, pcr_hash, &digest, &(struct err){ 0 }), 0);
    m->quote = buf_new(1024);
    buf_u32be(&m->quote, TPM_ATTEST_MAGIC);
    buf_u16be(&m->quote, type);
    buf_tpm2b(&m->quote, bytes_str("signer"));
    buf_tpm2b(&m->quote, bytes_str("nonce"));
    buf_fill(&m->quote, 0, 8 + 4 + 4 + 1 + 8);
    buf_u32be(&m->quote, 1);
    buf_u16be(&m->quote, ALG_SHA256);
    buf_u8(&m->quote, 3);
    buf_u8(&m->quote, (uint8_t)mask);
    buf_fill(&m->quote, 0, 2);
    buf_tpm2b(&m->quote, digest_bytes(&digest));
}

static const EVP_MD *md_of(uint16_t hash)
{
    return hash == ALG_SHA1     ? EVP_sha1()
           : hash == ALG_SHA256 ? EVP_sha256()
           : hash == ALG_SHA384 ? EVP_sha384()
                                : EVP_sha512();
}

static void put_scalar(struct buf *out, const BIGNUM *v)
{
    uint8_t raw[80];
    buf_tpm2b(out, bytes_of(raw, (size_t)BN_bn2bin(v, raw)));
}

static void sign(struct made *m, EVP_PKEY *key, uint16_t scheme, uint16_t hash)
{
    uint8_t raw[1024];
    size_t n = sizeof(raw);
    EVP_PKEY_CTX *pkey_ctx = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, &pkey_ctx, md_of(hash), NULL, key), 1);
    if (scheme == TPM_SCHEME_RSAPSS)
        EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING);
    assert_int_equal(EVP_DigestSign(ctx, raw, &n, m->quote.p, m->quote.n), 1);
    EVP_MD_CTX_free(ctx);
    m->signature = buf_new(2048);
    buf_u16be(&m->signature, scheme);
    buf_u16be(&m->signature, hash);
    if (scheme == TPM_SCHEME_ECDSA) {
        const unsigned char *p = raw;
        ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
        put_scalar(&m->signature, ECDSA_SIG_get0_r(sig));
        put_scalar(&m->signature, ECDSA_SIG_get0_s(sig));
        ECDSA_SIG_free(sig);
    } else {
        buf_tpm2b(&m->signature, bytes_of(raw, n));
    }
}

static struct tpm_quote_request made_request(const struct made *m, EVP_PKEY *ak)
{
    return (struct tpm_quote_request){ .quote = buf_bytes(&m->quote),
                                       .signature = buf_bytes(&m->signature),
                                       .ak = ak,
                                       .banks = &m->pcrs,
                                       .bank_count = 1,
                                       .extra_data_asked = true,
                                       .extra_data = bytes_str("nonce") };
}

static void schemes(void **state)
{
    (void)state;
    AUTO(pkey_drop) EVP_PKEY *rsa = made_rsa_key();
    AUTO(pkey_drop) EVP_PKEY *p256 = made_ec_key("P-256");
    AUTO(pkey_drop) EVP_PKEY *p384 = made_ec_key("P-384");
    AUTO(pkey_drop) EVP_PKEY *p521 = made_ec_key("P-521");
    AUTO(pkey_drop) EVP_PKEY *k1 = made_ec_key("secp256k1");
    const struct {
        EVP_PKEY *key;
        uint16_t scheme, hash;
        bool want;
    } rows[] = { { rsa, TPM_SCHEME_RSASSA, ALG_SHA256, true }, { rsa, TPM_SCHEME_RSAPSS, ALG_SHA256, true },
                 { rsa, TPM_SCHEME_RSASSA, ALG_SHA384, true }, { rsa, TPM_SCHEME_RSAPSS, ALG_SHA384, true },
                 { p256, TPM_SCHEME_ECDSA, ALG_SHA256, true }, { p384, TPM_SCHEME_ECDSA, ALG_SHA384, true },
                 { p256, TPM_SCHEME_ECDSA, ALG_SHA384, true }, { rsa, TPM_SCHEME_RSASSA, ALG_SHA512, true },
                 { rsa, TPM_SCHEME_RSASSA, ALG_SHA1, false },  { rsa, TPM_SCHEME_RSAPSS, ALG_SHA1, false },
                 { p256, TPM_SCHEME_ECDSA, ALG_SHA1, false },  { p521, TPM_SCHEME_ECDSA, ALG_SHA512, false },
                 { k1, TPM_SCHEME_ECDSA, ALG_SHA256, false } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(made_done) struct made m;
        struct tpm_quote_verdict v;
        make_quote(&m, TPM_ATTEST_QUOTE, 5, rows[i].hash);
        sign(&m, rows[i].key, rows[i].scheme, rows[i].hash);
        struct tpm_quote_request rq = made_request(&m, rows[i].key);
        if (holds(&rq, &v) != rows[i].want || v.authentic != rows[i].want)
            fail_msg("row %zu: %s", i, checks_find(&checks, "tpm.quote_signature")->detail);
        /* of another key, of the same kind and of another */
        rq.ak = rows[i].key == p256 ? p384 : p256;
        assert_false(holds(&rq, &v));
        assert_false(v.authentic);
    }
}

static void bare_signatures(void **state)
{
    (void)state;
    AUTO(pkey_drop) EVP_PKEY *rsa = made_rsa_key();
    AUTO(made_done) struct made m;
    struct tpm_quote_verdict v;
    make_quote(&m, TPM_ATTEST_QUOTE, 5, ALG_SHA256);
    sign(&m, rsa, TPM_SCHEME_RSASSA, ALG_SHA256);
    struct tpm_quote_request rq = made_request(&m, rsa);
    rq.signature = bytes_of(m.signature.p + 6, 256);
    assert_true(holds(&rq, &v));
    rq.signature.n = 255;
    assert_false(holds(&rq, &v));
    /* its hash is not a matter of choice */
    AUTO(made_done) struct made other;
    make_quote(&other, TPM_ATTEST_QUOTE, 5, ALG_SHA384);
    sign(&other, rsa, TPM_SCHEME_RSASSA, ALG_SHA384);
    rq = made_request(&other, rsa);
    rq.signature = bytes_of(other.signature.p + 6, 256);
    assert_false(holds(&rq, &v));
}

static void quotes_that_prove_nothing(void **state)
{
    (void)state;
    AUTO(pkey_drop) EVP_PKEY *key = made_ec_key("P-256");
    const struct {
        uint16_t type, pcr_hash;
        uint32_t mask;
        const char *failed;
    } rows[] = { { TPM_ATTEST_QUOTE, ALG_SHA256, 5, NULL },
                 { TPM_ATTEST_CERTIFY, ALG_SHA256, 5, "tpm.quote_format" },
                 { TPM_ATTEST_QUOTE, ALG_SHA1, 5,
                   "tpm.pcr_digest" }, /* digest by another hash than the scheme's */
                 { TPM_ATTEST_QUOTE, ALG_SHA384, 5, "tpm.pcr_digest" },
                 { TPM_ATTEST_QUOTE, ALG_SHA256, 0, "tpm.pcr_digest" },
                 { TPM_ATTEST_QUOTE, ALG_SHA256, 1, NULL } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(made_done) struct made m;
        struct tpm_quote_verdict v;
        make_quote(&m, rows[i].type, rows[i].mask, rows[i].pcr_hash);
        sign(&m, key, TPM_SCHEME_ECDSA, ALG_SHA256);
        const struct tpm_quote_request rq = made_request(&m, key);
        assert_int_equal(holds(&rq, &v), rows[i].failed == NULL);
        if (rows[i].failed)
            assert_int_equal(result(rows[i].failed), CHECK_FAILED);
    }
    assert_int_equal(checks.warnings_n, 1); /* the last one: PCR 2 has a value, the quote is over PCR 0 */
}

/* A public area of the key; attributes and scheme as given. */
static struct buf make_public(EVP_PKEY *key, uint32_t attributes, uint16_t scheme)
{
    struct buf out = buf_new(1024);
    uint8_t point[65];
    size_t n = 0;
    assert_int_equal(EVP_PKEY_get_octet_string_param(key, "pub", point, sizeof(point), &n), 1);
    buf_u16be(&out, TPM_KEY_ECC);
    buf_u16be(&out, ALG_SHA256);
    buf_u32be(&out, attributes);
    buf_tpm2b(&out, bytes_of(NULL, 0));
    buf_u16be(&out, 0x10);
    buf_u16be(&out, scheme);
    if (scheme != TPM_SCHEME_NULL)
        buf_u16be(&out, ALG_SHA256);
    buf_u16be(&out, TPM_CURVE_P256);
    buf_u16be(&out, 0x10);
    buf_tpm2b(&out, bytes_of(point + 1, 32));
    buf_tpm2b(&out, bytes_of(point + 33, 32));
    return out;
}

static void attributes(void **state)
{
    (void)state;
    AUTO(pkey_drop) EVP_PKEY *key = made_ec_key("P-256");
    AUTO(pkey_drop) EVP_PKEY *other = made_ec_key("P-256");
    AUTO(made_done) struct made m;
    make_quote(&m, TPM_ATTEST_QUOTE, 5, ALG_SHA256);
    sign(&m, key, TPM_SCHEME_ECDSA, ALG_SHA256);
    const struct {
        EVP_PKEY *key;
        uint32_t attributes;
        uint16_t scheme;
        bool want;
    } rows[] = { { key, 0x00050072, TPM_SCHEME_ECDSA, true },
                 { key, 0x00040072, TPM_SCHEME_ECDSA, false }, /* not restricted: signs anything */
                 { key, 0x00010072, TPM_SCHEME_ECDSA, false }, /* does not sign */
                 { key, 0x00070072, TPM_SCHEME_ECDSA, false }, /* decrypts */
                 { key, 0x00050070, TPM_SCHEME_ECDSA, false }, /* not fixedTPM */
                 { key, 0x00050072, TPM_SCHEME_NULL, false },
                 { other, 0x00050072, TPM_SCHEME_ECDSA, false } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(buf_done) struct buf area = make_public(rows[i].key, rows[i].attributes, rows[i].scheme);
        struct tpm_public pub;
        struct tpm_quote_verdict v;
        assert_int_equal(tpm_public_parse(buf_bytes(&area), &pub, &(struct err){ 0 }), 0);
        struct tpm_quote_request rq = made_request(&m, key);
        rq.ak_public = &pub;
        if (holds(&rq, &v) != rows[i].want)
            fail_msg("row %zu", i);
        assert_true(v.authentic);
        assert_int_equal(result("tpm.ak_attributes"), rows[i].want ? CHECK_OK : CHECK_FAILED);
    }
}

/* ---- logs ---- */

static void logs(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(recorded_done) struct recorded r = { .ak = NULL };
    AUTO(sample_done) struct sample raw = sample_load(COS "eventlog.bin");
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    struct tpm_replay replay;
    struct tpm_log_verdict v;
    struct err err = { 0 };
    load_cos(&r, "sha256");
    assert_int_equal(tpm_eventlog_parse(sample_bytes(&raw), EVENTLOG_TPM, &log, &err), 0);
    assert_int_equal(tpm_eventlog_replay(&log, &replay, &err), 0);
    uint32_t in_log = tpm_replay_bank(&replay, ALG_SHA256)->mask;
    for (unsigned i = 0; i <= TPM_PCRS; i++) {
        struct tpm_pcrs values = r.pcrs;
        uint32_t bit = i < TPM_PCRS ? 1u << i : 0;
        if (bit)
            values.pcr[i].b[5] ^= 1;
        memset(&checks, 0, sizeof(checks));
        tpm_log_verify(&log, &replay, &values, 0xFFFFFF, &checks, &v);
        bool want = !(bit & (in_log & 0x3FF)) && !(bit & 0xFF);
        assert_int_equal(result("tpm.eventlog_replay"), want ? CHECK_OK : CHECK_FAILED);
        assert_int_equal(v.explained, want ? in_log & ~bit : 0);
        assert_int_equal(v.extended, want ? in_log & bit : 0);
    }
    const struct {
        uint16_t bank;
        uint32_t covered;
    } nothing[] = { { ALG_SHA256, 0 }, { ALG_SHA512, 0xFFFFFF }, { ALG_SHA256, 1u << 23 } };
    for (size_t i = 0; i < ARRAY_SIZE(nothing); i++) {
        struct tpm_pcrs values = r.pcrs;
        values.alg = nothing[i].bank;
        memset(&checks, 0, sizeof(checks));
        tpm_log_verify(&log, &replay, &values, nothing[i].covered, &checks, &v);
        assert_int_equal(result("tpm.eventlog_replay"), CHECK_FAILED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_quotes),
        cmocka_unit_test(every_bit_and_cut),
        cmocka_unit_test(every_pcr_counts),
        cmocka_unit_test(what_is_missing),
        cmocka_unit_test(schemes),
        cmocka_unit_test(bare_signatures),
        cmocka_unit_test(quotes_that_prove_nothing),
        cmocka_unit_test(attributes),
        cmocka_unit_test(logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
