/* Recorded quotes and collateral, damaged in every way: no bit that a signature covers may change unseen. */
#include "evidence.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "policy/trust.h"
#include "tee/tdx_verify.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define CASE    "tdx/v4-20a06f-uptodate/"
#define CASE_AT "2025-09-17T07:22:55Z"
#define CASE_15 "tdx/v5-90c06f-alibaba-uptodate/"
#define AT_15   "2025-06-24T12:41:58Z"

static const struct {
    const char *file;
    enum tdx_part part;
} files[] = {
    { "tcb_info.json", TDX_PART_TCB_INFO },
    { "tcb_signing_chain.pem", TDX_PART_TCB_INFO_CHAIN },
    { "tcb_signing_chain.pem", TDX_PART_QE_IDENTITY_CHAIN },
    { "qe_identity.json", TDX_PART_QE_IDENTITY },
    { "pck_crl.der", TDX_PART_PCK_CRL },
    { "pck_crl_issuer_chain.pem", TDX_PART_PCK_CRL_CHAIN },
    { "root_ca_crl.der", TDX_PART_ROOT_CA_CRL },
};

static X509 *root;
static struct tdx_anchors anchors = { &root, 1 };
static struct checks *checks; /* too large for the stack of every test */
static struct tdx_verdict verdict;

struct fixture {
    struct sample quote;
    struct tdx_prepared_collateral *collateral;
    struct tdx_prepared_signer *signer;
    time_t at;
};

static struct tdx_collateral *collateral_of(const char *folder)
{
    struct tdx_collateral *c = tdx_collateral_new();
    struct err err = { 0 };
    assert_non_null(c);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s%s", folder, files[i].file);
        AUTO(sample_done) struct sample data = sample_load(path);
        if (tdx_collateral_set(c, files[i].part, sample_bytes(&data), &err) < 0)
            fail_msg("%s: %s", path, err.cause);
    }
    return c;
}

static struct fixture fixture_of(const char *folder, const char *at)
{
    AUTO(tdx_collateral_drop) struct tdx_collateral *c = collateral_of(folder);
    struct fixture f = { 0 };
    char path[128];
    struct tdx_quote q;
    struct err err = { 0 };
    snprintf(path, sizeof(path), "%squote.bin", folder);
    f.quote = sample_load(path);
    assert_int_equal(rfc3339_parse(at, &f.at, &err), 0);
    assert_int_equal(tdx_quote_parse(sample_bytes(&f.quote), &q, &err), 0);
    assert_int_equal(tdx_prepare_collateral(c, &anchors, &f.collateral, &err), 0);
    assert_int_equal(tdx_prepare_signer(&q, &anchors, &f.signer, &err), 0);
    return f;
}

static void fixture_done(struct fixture *f)
{
    sample_done(&f->quote);
    tdx_prepared_collateral_free(f->collateral);
    tdx_prepared_signer_free(f->signer);
}

static bool verify(const struct fixture *f, struct bytes quote)
{
    const struct tdx_request rq = { quote, f->collateral,      f->signer, anchors,
                                    f->at, TDX_ACCEPT_DEFAULT, false,     false };
    memset(checks, 0, sizeof(*checks));
    tdx_verify(&rq, checks, &verdict);
    return checks_all_hold(checks);
}

static int setup(void **state)
{
    (void)state;
    checks = calloc(1, sizeof(*checks));
    for (size_t i = 0; i < TRUST_ROWS; i++)
        if (trust_rows()[i].vendor == TRUST_INTEL && x509_parse(trust_pem(i), &root, &(struct err){ 0 }) < 0)
            return -1;
    return checks && root ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    X509_free(root);
    free(checks);
    return 0;
}

/* ---- the quote ---- */

static void signed_bits_count(const char *folder, const char *at, size_t sample)
{
    AUTO(fixture_done) struct fixture f = fixture_of(folder, at);
    struct tdx_quote q;
    struct err err = { 0 };
    assert_true(verify(&f, sample_bytes(&f.quote)));
    assert_int_equal(tdx_quote_parse(sample_bytes(&f.quote), &q, &err), 0);
    const struct bytes regions[] = { q.signed_bytes,  q.signature,           q.attestation_key,
                                     q.qe_report.raw, q.qe_report_signature, q.qe_auth_data,
                                     q.pck_chain };
    for (size_t i = 0; i < ARRAY_SIZE(regions); i++) {
        size_t from = (size_t)(regions[i].p - f.quote.p), step = i == ARRAY_SIZE(regions) - 1 ? 61 : sample;
        for (size_t bit = 0; bit < regions[i].n * 8; bit += step) {
            f.quote.p[from + bit / 8] ^= (uint8_t)(1u << bit % 8);
            /* a PEM chain has bytes that mean nothing (line ends, the root's own copy): not in the body,
             * though */
            bool holds = verify(&f, sample_bytes(&f.quote));
            if (holds && i < ARRAY_SIZE(regions) - 1)
                fail_msg("region %zu, bit %zu", i, bit);
            if (holds)
                assert_true(checks_hold(checks, "tdx.pck_chain"));
            f.quote.p[from + bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    assert_true(verify(&f, sample_bytes(&f.quote)));
}

static void every_signed_bit_counts(void **state)
{
    (void)state;
    skip_without_evidence();
    signed_bits_count(CASE, CASE_AT, 1);
}

static void signed_bits_count_in_td15(void **state)
{
    (void)state;
    skip_without_evidence();
    signed_bits_count(CASE_15, AT_15, 5);
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(fixture_done) struct fixture f = fixture_of(CASE, CASE_AT);
    assert_true(verify(&f, sample_bytes(&f.quote)));
    size_t len = verdict.quote.quote_len;
    for (size_t n = 0; n < len; n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(f.quote.p, n);
        assert_false(verify(&f, bytes_of(cut, n)));
        assert_false(verdict.parsed || verdict.authentic);
        assert_int_equal(checks->n, 16);
    }
    AUTO(free_u8) uint8_t *whole = heap_copy(f.quote.p, len);
    assert_true(verify(&f, bytes_of(whole, len)));
}

/* A prepared signer is used for its own quotes, and for no other. */
static void prepared_signers_fit_their_quotes_only(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(fixture_done) struct fixture f = fixture_of(CASE, CASE_AT), g = fixture_of(CASE_15, AT_15);
    struct tdx_prepared_signer *own = f.signer;
    f.signer = g.signer;
    assert_true(verify(&f, sample_bytes(&f.quote)));
    f.signer = NULL;
    assert_true(verify(&f, sample_bytes(&f.quote)));
    f.signer = own;
    /* and the other platform's collateral is for the other platform */
    struct tdx_prepared_collateral *mine = f.collateral;
    f.collateral = g.collateral;
    assert_false(verify(&f, sample_bytes(&f.quote)));
    assert_true(checks_hold(checks, "tdx.tcb_info_signature") && !checks_hold(checks, "tdx.fmspc"));
    assert_int_equal(verdict.tcb.status, TDX_TCB_UNKNOWN);
    f.collateral = mine;
}

static void no_anchor_no_verdict(void **state)
{
    struct err err = { 0 };
    (void)state;
    skip_without_evidence();
    AUTO(fixture_done) struct fixture f = fixture_of(CASE, CASE_AT);
    AUTO(tdx_collateral_drop) struct tdx_collateral *c = collateral_of(CASE);
    const struct tdx_anchors none = { NULL, 0 };
    tdx_prepared_collateral_free(f.collateral);
    tdx_prepared_signer_free(MOVE(f.signer));
    assert_int_equal(tdx_prepare_collateral(c, &none, &f.collateral, &err), 0);
    const struct tdx_request rq = { sample_bytes(&f.quote), f.collateral, NULL, none, f.at,
                                    TDX_ACCEPT_DEFAULT,     false,        true };
    memset(checks, 0, sizeof(*checks));
    tdx_verify(&rq, checks, &verdict);
    static const char *const fail[] = { "tdx.pck_chain",
                                        "tdx.crl",
                                        "tdx.tcb_info_signature",
                                        "tdx.qe_identity_signature",
                                        "tdx.collateral_dates",
                                        "tdx.tcb_status",
                                        "tdx.debug" };
    for (size_t i = 0; i < ARRAY_SIZE(fail); i++)
        assert_int_equal(checks_find(checks, fail[i])->result, CHECK_FAILED);
    assert_int_equal(checks_find(checks, "document.clock")->result, CHECK_NOT_APPLICABLE);
}

/* ---- the collateral ---- */

/* Bits of the signed documents and of the CRLs. */
static void collateral_bits_count(void **state)
{
    static const struct {
        const char *file, *check;
        enum tdx_part part;
        size_t step;
    } rows[] = {
        { "tcb_info.json", "tdx.tcb_info_signature", TDX_PART_TCB_INFO, 37 },
        { "qe_identity.json", "tdx.qe_identity_signature", TDX_PART_QE_IDENTITY, 11 },
        { "pck_crl.der", "tdx.crl", TDX_PART_PCK_CRL, 29 },
        { "root_ca_crl.der", "tdx.crl", TDX_PART_ROOT_CA_CRL, 5 },
    };
    (void)state;
    skip_without_evidence();
    AUTO(fixture_done) struct fixture f = fixture_of(CASE, CASE_AT);
    struct tdx_prepared_collateral *good = f.collateral;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char path[128];
        snprintf(path, sizeof(path), CASE "%s", rows[i].file);
        AUTO(sample_done) struct sample data = sample_load(path);
        size_t judged = 0;
        for (size_t bit = 0; bit < data.n * 8; bit += rows[i].step) {
            AUTO(tdx_collateral_drop) struct tdx_collateral *c = tdx_collateral_new();
            AUTO(sample_done) struct sample issuer = sample_load(CASE "tcb_signing_chain.pem");
            AUTO(sample_done) struct sample ca = sample_load(CASE "pck_crl_issuer_chain.pem");
            struct err err = { 0 };
            if (i < 2 && bit / 8 > data.n - 131 && bit % 8 == 5)
                continue; /* the signature's hex digits, in upper or lower case */
            data.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            int rc = tdx_collateral_set(c, rows[i].part, sample_bytes(&data), &err);
            data.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (rc < 0) {
                assert_int_equal(err.kind, ERR_INPUT);
                continue;
            }
            assert_int_equal(tdx_collateral_set(c, TDX_PART_TCB_INFO_CHAIN, sample_bytes(&issuer), &err), 0);
            assert_int_equal(tdx_collateral_set(c, TDX_PART_QE_IDENTITY_CHAIN, sample_bytes(&issuer), &err),
                             0);
            assert_int_equal(tdx_collateral_set(c, TDX_PART_PCK_CRL_CHAIN, sample_bytes(&ca), &err), 0);
            assert_int_equal(tdx_prepare_collateral(c, &anchors, &f.collateral, &err), 0);
            assert_false(verify(&f, sample_bytes(&f.quote)));
            const struct check *check = checks_find(checks, rows[i].check);
            if (check->result != CHECK_FAILED)
                fail_msg("%s, bit %zu: %s", rows[i].file, bit, check->detail);
            tdx_prepared_collateral_free(f.collateral);
            judged++;
        }
        assert_true(judged > 50);
    }
    f.collateral = good;
}

static void parts_are_given_once(void **state)
{
    struct err err = { 0 };
    (void)state;
    skip_without_evidence();
    AUTO(tdx_collateral_drop) struct tdx_collateral *c = collateral_of(CASE);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        char path[128];
        snprintf(path, sizeof(path), CASE "%s", files[i].file);
        AUTO(sample_done) struct sample data = sample_load(path);
        assert_int_equal(tdx_collateral_set(c, files[i].part, sample_bytes(&data), &err), -1);
        assert_non_null(strstr(err.cause, "given twice"));
    }
}

static void parts_have_a_maximum(void **state)
{
    AUTO(tdx_collateral_drop) struct tdx_collateral *c = tdx_collateral_new();
    AUTO(free_u8) uint8_t *big = calloc(1, TDX_COLLATERAL_PART_MAX + 1);
    struct err err = { 0 };
    (void)state;
    memset(big, ' ', TDX_COLLATERAL_PART_MAX + 1);
    memcpy(big, "{}", 2);
    for (enum tdx_part part = 0; part < TDX_PARTS; part++) {
        assert_int_equal(tdx_collateral_set(c, part, bytes_of(big, TDX_COLLATERAL_PART_MAX + 1), &err), -1);
        assert_int_equal(err.kind, ERR_TOO_LARGE);
    }
    assert_int_equal(tdx_collateral_set(c, TDX_PART_TCB_INFO, bytes_of(big, TDX_COLLATERAL_PART_MAX), &err),
                     0);
}

/* ---- many at once ---- */

struct job {
    const struct fixture *f;
    unsigned good;
};

static void *verify_often(void *arg)
{
    struct job *job = arg;
    struct checks *own = calloc(1, sizeof(*own));
    struct tdx_verdict *v = calloc(1, sizeof(*v));
    for (int i = 0; own && v && i < 200; i++) {
        const struct tdx_request rq = { .quote = bytes_of(job->f->quote.p, job->f->quote.n),
                                        .collateral = job->f->collateral,
                                        .signer = job->f->signer,
                                        .anchors = anchors,
                                        .at = job->f->at,
                                        .accept = TDX_ACCEPT_DEFAULT };
        memset(own, 0, sizeof(*own));
        tdx_verify(&rq, own, v);
        job->good += checks_all_hold(own);
    }
    free(own);
    free(v);
    return NULL;
}

static void prepared_is_shared_by_threads(void **state)
{
    pthread_t threads[4];
    struct job jobs[ARRAY_SIZE(threads)];
    (void)state;
    skip_without_evidence();
    AUTO(fixture_done) struct fixture f = fixture_of(CASE, CASE_AT);
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
        jobs[i] = (struct job){ &f, 0 };
        assert_int_equal(pthread_create(&threads[i], NULL, verify_often, &jobs[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(jobs[i].good, 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_signed_bit_counts),
        cmocka_unit_test(signed_bits_count_in_td15),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(prepared_signers_fit_their_quotes_only),
        cmocka_unit_test(no_anchor_no_verdict),
        cmocka_unit_test(collateral_bits_count),
        cmocka_unit_test(parts_are_given_once),
        cmocka_unit_test(parts_have_a_maximum),
        cmocka_unit_test(prepared_is_shared_by_threads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
