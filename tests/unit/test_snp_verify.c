/* tee/snp_verify.h over AMD's recorded reports and over reports of a vendor of our own, wrong in one place.
 */
#include "evidence.h"
#include "made_snp.h"

#include "base/auto.h"
#include "base/chain.h"
#include "policy/trust.h"
#include "tee/snp_verify.h"

#include <stdlib.h>
#include <string.h>

static struct checks checks;

/* ---- AMD's ---- */

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

static bool holds(struct bytes report, const struct snp_vek *vek, time_t at, struct snp_verdict *out)
{
    memset(&checks, 0, sizeof(checks));
    snp_verify(report, vek, at, &checks, out);
    return checks_all_hold(&checks);
}

static void expect_failed(const char *const *names)
{
    for (; *names; names++) {
        const struct check *c = checks_find(&checks, *names);
        if (!c || c->result != CHECK_FAILED)
            fail_msg("%s is %s", *names, c ? "not false" : "missing");
    }
}

/* Exactly these checks are false. */
#define ONLY_FAILED(...)                                                                                     \
    do {                                                                                                     \
        const char *const names_[] = { __VA_ARGS__, NULL };                                                  \
        size_t false_n_ = 0;                                                                                 \
        for (size_t i_ = 0; i_ < checks.n; i_++)                                                             \
            false_n_ += checks.list[i_].result == CHECK_FAILED;                                              \
        expect_failed(names_);                                                                               \
        assert_int_equal(false_n_, ARRAY_SIZE(names_) - 1);                                                  \
    } while (0)

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

/* ---- our own ---- */

static struct made_snp good; /* whose keys all others use again */

/* The chain below its own ARK; crl may be NULL. */
static struct snp_vek *judge_vek(const struct made_snp *m, X509 *anchor, X509_CRL *crl)
{
    struct snp_vek *vek = NULL;
    const struct snp_vek_request rq = {
        .vek = m->vek, .pool = &m->ask, .pool_n = 1, .anchors = &anchor, .anchors_n = 1, .crl = crl
    };
    assert_int_equal(snp_vek_new(&rq, &vek, &(struct err){ 0 }), 0);
    return vek;
}

static bool made_holds(const struct made_snp *m, uint8_t *report, struct snp_verdict *out)
{
    AUTO(snp_vek_drop) struct snp_vek *vek = judge_vek(m, m->ark, NULL);
    made_snp_sign(m, report);
    return holds(bytes_of(report, MADE_SNP_SIZE), vek, MADE_NOW, out);
}

static void a_root_of_ones_own_is_no_anchor(void **state)
{
    (void)state;
    uint8_t report[MADE_SNP_SIZE];
    struct snp_verdict v;
    X509 *anchors[TRUST_ROWS];
    made_snp_report(report);
    assert_true(made_holds(&good, report, &v)); /* to whom trusts this root */
    AUTO(snp_vek_drop) struct snp_vek *vek = NULL;
    X509 *pool[] = { good.ask, good.ark };
    const struct snp_vek_request rq = {
        .vek = good.vek, .pool = pool, .pool_n = 2, .anchors = anchors, .anchors_n = pick(true, NULL, anchors)
    };
    assert_int_equal(snp_vek_new(&rq, &vek, &(struct err){ 0 }), 0);
    assert_false(holds(bytes_of(report, sizeof(report)), vek, MADE_NOW, &v));
    assert_false(v.authentic);
    assert_true(checks_hold(&checks, "snp.report_signature"));
    expect_failed((const char *const[]){ "snp.vek_chain", "snp.vek_tcb", "snp.debug", NULL });
}

static void chains_that_do_not_fit(void **state)
{
    (void)state;
    const struct {
        struct made_snp_spec spec;
        uint8_t flags; /* of the report: 4 says VLEK */
    } rows[] = {
        { { .ark_cn = "ARK-Genoa" }, 0 },
        { { .ark_cn = "ARK-Genoa", .ask_cn = "SEV-Genoa", .product = "Genoa" }, 0 }, /* the CPU is a Milan */
        { { .ark_cn = "root" }, 0 },
        { { .ask_cn = "SEV-Genoa" }, 0 },
        { { .ask_cn = "SEV-VLEK-Milan" }, 0 }, /* a VCEK by the ASVK */
        { { .vlek = true, .ask_cn = "SEV-Milan" }, 4 },
        { { .vek_cn = "SEV-VLEK" }, 0 },
        { { .vek_cn = "server" }, 0 },
        { { .product = "Genoa" }, 0 },
        { { .product = "Nonesuch" }, 0 },
        { { .no_pss = true }, 0 },
        { { .vlek = true }, 0 }, /* the report says VCEK */
        { { .vlek = false }, 4 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct made_snp_spec spec = rows[i].spec;
        spec.keys = &good;
        AUTO(made_snp_done) struct made_snp m = made_snp(&spec);
        uint8_t report[MADE_SNP_SIZE];
        struct snp_verdict v;
        made_snp_report(report);
        report[0x48] |= rows[i].flags;
        if (made_holds(&m, report, &v) || v.authentic)
            fail_msg("row %zu holds", i);
        assert_true(checks_hold(&checks, "snp.report_signature"));
        expect_failed(
            (const char *const[]){ "snp.vek_chain", "snp.vek_tcb", "snp.vek_chip_id", "snp.debug", NULL });
    }
}

static void vlek(void **state)
{
    (void)state;
    uint8_t report[MADE_SNP_SIZE];
    struct snp_verdict v;
    AUTO(made_snp_done) struct made_snp m = made_snp(&(struct made_snp_spec){ .vlek = true, .keys = &good });
    made_snp_report(report);
    report[0x48] = 4;
    memset(report + 0x1A0, 0, 64);
    assert_true(made_holds(&m, report, &v));
    assert_string_equal(v.csp_id, "CN=test");
}

struct change {
    uint16_t at;
    uint8_t value;
    const char *failed; /* the check that must be false; NULL: none */
};

/* Signed reports that say something else in one byte. */
static void what_the_report_says(void **state)
{
    (void)state;
    static const struct change rows[] = {
        { 0x0A, 0x0B, "snp.debug" },
        { 0x0A, 0x07, NULL }, /* a migration agent is allowed: a warning */
        { 0x160, 0x00, "snp.migration" },
        { 0x0A, 0x01, "snp.format" }, /* policy without its one */
        { 0x0B, 0x80, NULL },         /* an unknown policy bit: a warning */
        { 0x30, 3, NULL },
        { 0x30, 4, "snp.format" },
        { 0x180, 4, "snp.vek_tcb" },
        { 0x181, 1, "snp.vek_tcb" },
        { 0x182, 1, "snp.vek_tcb" }, /* reserved */
        { 0x186, 23, "snp.vek_tcb" },
        { 0x187, 208, "snp.vek_tcb" },
        { 0x1A0, 0xC6, "snp.vek_chip_id" },
        { 0x1DF, 0, "snp.vek_chip_id" },
        { 0x49, 1, "snp.format" },
        { 0x4C, 1, "snp.format" },
        { 0x18B, 1, "snp.format" },
        { 0x1EB, 1, "snp.format" },
        { 0x1F8, 1, "snp.format" }, /* mitigation vector before version 5 */
        { 0x29F, 1, "snp.format" },
        { 0x330, 1, "snp.format" }, /* not signed */
        { 0x49F, 1, "snp.format" },
        { 0x34, 2, "snp.format" },
        { 0x00, 2, "snp.format" },              /* version 2 has no CPUID bytes */
        { 0x00, 6, "snp.report_signature" },    /* a version that nobody knows */
        { 0x48, 0x1C, "snp.report_signature" }, /* signed by no key */
        { 0x48, 0x08, "snp.report_signature" }, /* a reserved key */
        { 0x188, 0x1A, "snp.vek_chain" },       /* a Turin */
        { 0x189, 0x11, "snp.vek_chain" },       /* a Genoa */
        { 0x188, 0x20, NULL },                  /* a CPU that nobody knows: a warning */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        uint8_t report[MADE_SNP_SIZE];
        struct snp_verdict v;
        made_snp_report(report);
        report[rows[i].at] = rows[i].value;
        bool ok = made_holds(&good, report, &v);
        if (ok != !rows[i].failed || (!ok && checks_find(&checks, rows[i].failed)->result != CHECK_FAILED))
            fail_msg("byte %#x = %#x: %s", rows[i].at, rows[i].value,
                     ok ? "holds" : checks_first_failed(&checks)->name);
    }
}

static void reports_of_the_host_and_masked_ones(void **state)
{
    (void)state;
    uint8_t report[MADE_SNP_SIZE];
    struct snp_verdict v;
    made_snp_report(report);
    memset(report + 0x30, 0xFF, 4);
    assert_false(made_holds(&good, report, &v));
    assert_false(v.authentic);
    assert_true(checks_find(&checks, "snp.format")->result == CHECK_FAILED);
    made_snp_report(report);
    memset(report + 0x1A0, 0, 64);
    assert_true(made_holds(&good, report, &v)); /* masked chip id: not applicable, with a warning */
    assert_int_equal(checks_find(&checks, "snp.vek_chip_id")->result, CHECK_NOT_APPLICABLE);
    assert_int_equal(checks.warnings_n, 1);
    /* masked chip key: no signature at all */
    AUTO(snp_vek_drop) struct snp_vek *vek = judge_vek(&good, good.ark, NULL);
    made_snp_report(report);
    report[0x48] = 2;
    assert_false(holds(bytes_of(report, sizeof(report)), vek, MADE_NOW, &v));
    assert_non_null(strstr(checks_find(&checks, "snp.report_signature")->detail, "MASK_CHIP_KEY"));
}

static void dates_and_keys(void **state)
{
    (void)state;
    uint8_t report[MADE_SNP_SIZE];
    struct snp_verdict v;
    AUTO(made_snp_done)
    struct made_snp m = made_snp(
        &(struct made_snp_spec){ .keys = &good, .vek_from = MADE_NOW - 9, .vek_until = MADE_NOW - 1 });
    made_snp_report(report);
    assert_false(made_holds(&m, report, &v));
    ONLY_FAILED("snp.vek_validity");
    AUTO(pkey_drop) EVP_PKEY *p256 = made_ec_key("P-256");
    AUTO(x509_drop) X509 *cert = made_cert(&(struct made_spec){ .cn = "SEV-VCEK", .key = p256 });
    struct snp_vek *vek = NULL;
    struct err err = { 0 };
    assert_int_equal(snp_vek_new(&(struct snp_vek_request){ .vek = cert }, &vek, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
}

static void revocation(void **state)
{
    (void)state;
    AUTO(pkey_drop) EVP_PKEY *stranger = made_rsa_key();
    const struct {
        struct made_crl_spec spec;
        time_t at;
        bool want, clock;
    } rows[] = {
        { { .issuer = good.ark, .key = good.ark_key }, MADE_NOW, true, true },
        { { .issuer = good.ark, .key = good.ark_key, .revoked = good.ask }, MADE_NOW, false, true },
        { { .issuer = good.ark, .key = good.ark_key, .revoked = good.ark }, MADE_NOW, true, true },
        { { .issuer = good.ark, .key = stranger }, MADE_NOW, false, true },
        { { .issuer = good.ask, .key = good.ask_key }, MADE_NOW, false, true },
        { { .issuer = good.ark, .key = good.ark_key, .from = MADE_NOW - 9, .until = MADE_NOW - 1 },
          MADE_NOW,
          false,
          true },
        { { .issuer = good.ark, .key = good.ark_key, .from = MADE_NOW + 1 }, MADE_NOW, false, false },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct made_crl_spec spec = rows[i].spec;
        uint8_t report[MADE_SNP_SIZE];
        struct snp_verdict v;
        spec.md = EVP_sha384();
        spec.pss = true;
        AUTO(crl_drop) X509_CRL *crl = made_crl(&spec);
        AUTO(snp_vek_drop) struct snp_vek *vek = judge_vek(&good, good.ark, crl);
        made_snp_report(report);
        made_snp_sign(&good, report);
        if (holds(bytes_of(report, sizeof(report)), vek, rows[i].at, &v) != rows[i].want)
            fail_msg("row %zu", i);
        assert_true(v.authentic);
        assert_int_equal(checks_hold(&checks, "snp.crl"), rows[i].want);
        assert_int_equal(checks_find(&checks, "document.clock")->result == CHECK_FAILED, !rows[i].clock);
    }
}

static int set_up(void **state)
{
    (void)state;
    load_amd();
    good = made_snp(&(struct made_snp_spec){ .vlek = false });
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    made_snp_done(&good);
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
        cmocka_unit_test(a_root_of_ones_own_is_no_anchor),
        cmocka_unit_test(chains_that_do_not_fit),
        cmocka_unit_test(vlek),
        cmocka_unit_test(what_the_report_says),
        cmocka_unit_test(reports_of_the_host_and_masked_ones),
        cmocka_unit_test(dates_and_keys),
        cmocka_unit_test(revocation),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
