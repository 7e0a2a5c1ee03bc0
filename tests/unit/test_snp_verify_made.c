/* tee/snp_verify.h over reports and certificates of a vendor of our own, wrong in one place. */
#include "evidence.h"
#include "made_snp.h"
#include "snp_checks.h"

#include "base/auto.h"
#include "base/chain.h"
#include "policy/trust.h"
#include "tee/snp_verify.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

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
    X509 *pool[] = { good.ask, good.ark };
    made_snp_report(report);
    assert_true(made_holds(&good, report, &v)); /* to whom trusts this root */
    for (size_t i = 0; i < TRUST_ROWS; i++) {
        AUTO(x509_drop) X509 *anchor = NULL;
        AUTO(snp_vek_drop) struct snp_vek *vek = NULL;
        assert_int_equal(x509_parse(trust_pem(i), &anchor, &(struct err){ 0 }), 0);
        const struct snp_vek_request rq = {
            .vek = good.vek, .pool = pool, .pool_n = 2, .anchors = &anchor, .anchors_n = 1
        };
        assert_int_equal(snp_vek_new(&rq, &vek, &(struct err){ 0 }), 0);
        assert_false(holds(bytes_of(report, sizeof(report)), vek, MADE_NOW, &v));
        assert_false(v.authentic);
        assert_true(checks_hold(&checks, "snp.report_signature"));
        expect_failed((const char *const[]){ "snp.vek_chain", "snp.vek_tcb", "snp.debug", NULL });
    }
}

/* A path to the trusted ARK exists each time: what was given beside it must not be another one. */
static void a_given_root_is_the_anchor(void **state)
{
    (void)state;
    AUTO(made_snp_done) struct made_snp impostor = made_snp(&(struct made_snp_spec){ 0 });
    AUTO(x509_drop) X509 *damaged = NULL;
    for (size_t bit = 8 * 300; !damaged; bit++) /* in the key or what follows */
        damaged = made_bit_changed(good.ark, bit);
    const struct {
        X509 *pool[3];
        size_t n, given;
        bool want;
    } rows[] = {
        { { good.ask }, 1, 1, true },
        { { good.ask, good.ark }, 2, 2, true },
        { { good.ark, good.ask }, 2, 2, true },
        { { good.ask, impostor.ark }, 2, 2, false },
        { { good.ask, damaged }, 2, 2, false },
        { { good.ask, impostor.ark, good.ark }, 3, 3, true }, /* a bundle for several products */
        { { good.ask, impostor.ark }, 2, 1, true },           /* of the verifier's own folder */
    };
    uint8_t report[MADE_SNP_SIZE];
    made_snp_report(report);
    made_snp_sign(&good, report);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(snp_vek_drop) struct snp_vek *vek = NULL;
        struct snp_verdict v;
        const struct snp_vek_request rq = { .vek = good.vek,
                                            .pool = rows[i].pool,
                                            .pool_n = rows[i].n,
                                            .given = rows[i].given,
                                            .anchors = &good.ark,
                                            .anchors_n = 1 };
        assert_int_equal(snp_vek_new(&rq, &vek, &(struct err){ 0 }), 0);
        assert_int_equal(holds(bytes_of(report, sizeof(report)), vek, MADE_NOW, &v), rows[i].want);
        if (!rows[i].want)
            expect_failed((const char *const[]){ "snp.vek_chain", NULL });
    }
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

struct job {
    const struct snp_vek *vek;
    const uint8_t *report;
    unsigned held;
};

static void *one_thread(void *arg)
{
    struct job *job = arg;
    struct checks *own = calloc(1, sizeof(*own));
    struct snp_verdict v;
    for (int i = 0; own && i < 20; i++) {
        memset(own, 0, sizeof(*own));
        snp_verify(bytes_of(job->report, MADE_SNP_SIZE), job->vek, MADE_NOW, own, &v);
        job->held += checks_all_hold(own);
    }
    free(own);
    return NULL;
}

static void one_vek_for_many_threads(void **state)
{
    (void)state;
    uint8_t report[MADE_SNP_SIZE];
    struct job jobs[8];
    pthread_t threads[ARRAY_SIZE(jobs)];
    AUTO(snp_vek_drop) struct snp_vek *vek = judge_vek(&good, good.ark, NULL);
    made_snp_report(report);
    made_snp_sign(&good, report);
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        jobs[i] = (struct job){ vek, report, 0 };
        assert_int_equal(pthread_create(&threads[i], NULL, one_thread, &jobs[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_SIZE(jobs); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(jobs[i].held, 20);
    }
}

static int set_up(void **state)
{
    (void)state;
    good = made_snp(&(struct made_snp_spec){ .vlek = false });
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    made_snp_done(&good);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_root_of_ones_own_is_no_anchor),
        cmocka_unit_test(a_given_root_is_the_anchor),
        cmocka_unit_test(chains_that_do_not_fit),
        cmocka_unit_test(vlek),
        cmocka_unit_test(what_the_report_says),
        cmocka_unit_test(reports_of_the_host_and_masked_ones),
        cmocka_unit_test(dates_and_keys),
        cmocka_unit_test(revocation),
        cmocka_unit_test(one_vek_for_many_threads),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
