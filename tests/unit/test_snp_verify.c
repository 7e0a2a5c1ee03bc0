/* tee/snp_verify.h over AMD's recorded reports. */
#include "evidence.h"
#include "snp_checks.h"

#include "base/auto.h"
#include "base/chain.h"
#include "policy/trust.h"
#include "tee/snp_verify.h"

#include <stdlib.h>
#include <string.h>

static X509 *amd[TRUST_ROWS];
static size_t amd_n;
static const struct trust_row *amd_row[TRUST_ROWS];

static void load_amd(void)
{
    for (size_t i = 0; i < TRUST_ROWS; i++) {
        if (trust_rows()[i].vendor != TRUST_AMD)
            continue;
        assert_int_equal(x509_parse(trust_pem(i), &amd[amd_n], &(struct err){ 0 }), 0);
        amd_row[amd_n++] = &trust_rows()[i];
    }
}

/* Anchors or the others, of one product or (NULL) of all. */
static size_t pick(bool anchor, const char *product, X509 *out[static TRUST_ROWS])
{
    size_t n = 0;
    for (size_t i = 0; i < amd_n; i++)
        if (amd_row[i]->anchor == anchor && (!product || strcmp(amd_row[i]->product, product) == 0))
            out[n++] = amd[i];
    return n;
}

struct recorded {
    const char *folder, *vek, *product, *at;
};

static const struct recorded recorded[] = {
    { "snp/milan-v3-oak", "vcek.der", "Milan", "2025-01-16T21:21:54Z" },
    { "snp/milan-v2-vlek-aws", "vlek.der", "Milan", "2024-05-06T21:45:26Z" },
    { "snp/genoa-v5-model-a0", "vcek.der", "Genoa", "2026-02-20T23:50:30Z" },
    { "snp/turin-v5-oak", "vcek.der", "Turin", "2025-07-18T17:04:46Z" },
};

static struct sample load(const struct recorded *r, const char *file)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", r->folder, file);
    return sample_load(path);
}

static time_t clock_of(const struct recorded *r)
{
    time_t at = 0;
    assert_int_equal(rfc3339_parse(r->at, &at, &(struct err){ 0 }), 0);
    return at;
}

/* The VEK below the ARKs of one product, or of all. */
static struct snp_vek *vek_of(const struct recorded *r, const char *product)
{
    AUTO(sample_done) struct sample der = load(r, r->vek);
    AUTO(x509_drop) X509 *cert = NULL;
    X509 *anchors[TRUST_ROWS], *pool[TRUST_ROWS];
    struct snp_vek *vek = NULL;
    assert_int_equal(x509_parse(sample_bytes(&der), &cert, &(struct err){ 0 }), 0);
    const struct snp_vek_request rq = { .vek = cert,
                                        .anchors = anchors,
                                        .anchors_n = pick(true, product, anchors),
                                        .pool = pool,
                                        .pool_n = pick(false, product, pool) };
    assert_int_equal(snp_vek_new(&rq, &vek, &(struct err){ 0 }), 0);
    return vek;
}

static void recorded_reports_hold(void **state)
{
    (void)state;
    skip_without_evidence();
    for (size_t i = 0; i < ARRAY_SIZE(recorded); i++) {
        AUTO(sample_done) struct sample report = load(&recorded[i], "report.bin");
        AUTO(snp_vek_drop) struct snp_vek *vek = vek_of(&recorded[i], NULL);
        struct snp_verdict v;
        assert_true(holds(sample_bytes(&report), vek, clock_of(&recorded[i]), &v));
        assert_true(v.authentic && v.parsed);
        assert_string_equal(snp_product_name(v.product), recorded[i].product);
        assert_int_equal(v.csp_id[0] != 0, strcmp(recorded[i].vek, "vlek.der") == 0);
        assert_int_equal(checks_find(&checks, "snp.vek_chip_id")->result,
                         v.csp_id[0] ? CHECK_NOT_APPLICABLE : CHECK_OK);
        assert_int_equal(checks_find(&checks, "snp.crl")->result, CHECK_NOT_APPLICABLE);
    }
}

/* Bytes 0 to 0x29F are signed, the signature's and the zeros behind it are checked. */
static void every_bit_counts(void **state)
{
    (void)state;
    skip_without_evidence();
    for (size_t i = 0; i < ARRAY_SIZE(recorded); i++) {
        AUTO(sample_done) struct sample report = load(&recorded[i], "report.bin");
        AUTO(snp_vek_drop) struct snp_vek *vek = vek_of(&recorded[i], NULL);
        time_t at = clock_of(&recorded[i]);
        struct snp_verdict v;
        for (size_t bit = 0; bit < report.n * 8; bit += i == 0 ? 1 : 29) {
            report.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (holds(sample_bytes(&report), vek, at, &v) || v.authentic)
                fail_msg("%s: bit %zu", recorded[i].folder, bit);
            report.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_true(holds(sample_bytes(&report), vek, at, &v));
    }
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample report = load(&recorded[0], "report.bin");
    AUTO(snp_vek_drop) struct snp_vek *vek = vek_of(&recorded[0], NULL);
    struct snp_verdict v;
    for (size_t n = 0; n < report.n; n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(report.p, n);
        assert_false(holds(bytes_of(cut, n), vek, clock_of(&recorded[0]), &v));
        assert_false(v.parsed);
        expect_failed((const char *const[]){ "snp.format", "snp.report_signature", "snp.vek_chain",
                                             "snp.vek_validity", "snp.vek_tcb", "snp.vek_chip_id",
                                             "snp.debug", NULL });
    }
}

static void other_certificates(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample report = load(&recorded[0], "report.bin");
    struct snp_verdict v;
    time_t at = clock_of(&recorded[0]);
    /* another product's ARK and ASK only; another machine's VCEK; a VLEK; none at all */
    AUTO(snp_vek_drop) struct snp_vek *genoa = vek_of(&recorded[0], "Genoa");
    assert_false(holds(sample_bytes(&report), genoa, at, &v));
    assert_true(checks_hold(&checks, "snp.report_signature"));
    assert_false(v.authentic);
    expect_failed(
        (const char *const[]){ "snp.vek_chain", "snp.vek_validity", "snp.vek_tcb", "snp.debug", NULL });
    for (size_t i = 1; i < ARRAY_SIZE(recorded); i++) {
        AUTO(snp_vek_drop) struct snp_vek *other = vek_of(&recorded[i], NULL);
        assert_false(holds(sample_bytes(&report), other, at, &v));
        assert_false(v.authentic);
        expect_failed(
            (const char *const[]){ "snp.report_signature", "snp.vek_tcb", "snp.vek_chip_id", NULL });
    }
    assert_false(holds(sample_bytes(&report), NULL, at, &v));
    expect_failed((const char *const[]){ "snp.report_signature", "snp.vek_chain", "snp.debug", NULL });
    assert_true(checks_hold(&checks, "snp.format"));
}

static void clocks(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample report = load(&recorded[0], "report.bin");
    AUTO(snp_vek_drop) struct snp_vek *vek = vek_of(&recorded[0], NULL);
    struct snp_verdict v;
    const time_t far[] = { 0, 1577836800 /* 2020 */, 2524608000 /* 2050 */ };
    for (size_t i = 0; i < ARRAY_SIZE(far); i++) {
        assert_false(holds(sample_bytes(&report), vek, far[i], &v));
        ONLY_FAILED("snp.vek_validity");
    }
}

static int set_up(void **state)
{
    (void)state;
    load_amd();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    while (amd_n > 0)
        X509_free(amd[--amd_n]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_reports_hold),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(other_certificates),
        cmocka_unit_test(clocks),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
