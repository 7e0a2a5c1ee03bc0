/* What Intel never signs: revoked platforms, SGX's documents, debug TDs, wrong certificates. The hierarchy is
 * our own, and trusted here, so that everything before the point in question holds. */
#include "intel_lab.h"

#include "base/auto.h"
#include "policy/trust.h"

#include <stdlib.h>

#define CASE    "tdx/v4-20a06f-uptodate/"
#define CASE_AT "2025-09-17T07:22:55Z"
#define CASE_15 "tdx/v5-90c06f-alibaba-uptodate/"
#define AT_15   "2025-06-24T12:41:58Z"

#define BODY_V4 48 /* offset of the body in a quote */
#define BODY_V5 54

static struct checks *checks;
static struct tdx_verdict verdict;

/* Signs everything anew and judges it below the lab's root. */
static bool refuse_service_td;

static bool verify(struct lab *l)
{
    AUTO(tdx_collateral_drop) struct tdx_collateral *c = lab_collateral(l);
    AUTO(tdx_prepared_collateral_drop) struct tdx_prepared_collateral *prepared = NULL;
    AUTO(buf_done) struct buf quote = buf_new(1u << 16);
    struct err err = { 0 };
    lab_quote(l, &quote);
    const struct tdx_request rq = { .quote = buf_bytes(&quote),
                                    .anchors = { &l->cert[LAB_ROOT], 1 },
                                    .at = l->at,
                                    .accept = TDX_ACCEPT_DEFAULT,
                                    .refuse_service_td = refuse_service_td };
    assert_int_equal(tdx_prepare_collateral(c, &rq.anchors, &prepared, &err), 0);
    struct tdx_request with = rq;
    with.collateral = prepared;
    memset(checks, 0, sizeof(*checks));
    tdx_verify(&with, checks, &verdict);
    return checks_all_hold(checks);
}

/* Fails there, for that reason, and nowhere before. */
static void refuses(struct lab *l, const char *check, const char *why)
{
    assert_false(verify(l));
    const struct check *failed = checks_first_failed(checks);
    if (strcmp(failed->name, check) != 0 || !strstr(failed->detail, why))
        fail_msg("want %s: %s, got %s: %s", check, why, failed->name, failed->detail);
}

#define TEST_LAB(folder, at)                                                                                 \
    (void)state;                                                                                             \
    skip_without_evidence();                                                                                 \
    AUTO(lab_done) struct lab l;                                                                             \
    lab_init(&l, folder, at);                                                                                \
    assert_true(verify(&l))

static void documents_for_sgx(void **state)
{
    TEST_LAB(CASE, CASE_AT);
    lab_replace(&l.identity, "\"TD_QE\"", "\"QE\"");
    refuses(&l, "tdx.collateral_dates", "QE identity");
    assert_true(checks_hold(checks, "tdx.qe_identity_signature"));
    assert_non_null(strstr(checks_find(checks, "tdx.qe_identity")->detail, "SGX's"));
    assert_false(checks_hold(checks, "tdx.tcb_status"));
    lab_replace(&l.identity, "\"QE\"", "\"TD_QE\"");
    lab_replace(&l.info, "\"TDX\"", "\"SGX\"");
    refuses(&l, "tdx.collateral_dates", "TCB info");
    assert_non_null(strstr(checks_find(checks, "tdx.fmspc")->detail, "SGX's"));
    assert_int_equal(verdict.tcb.status, TDX_TCB_UNKNOWN);
}

static void revoked_certificates(void **state)
{
    TEST_LAB(CASE, CASE_AT);
    l.revoked_by_ca = l.cert[LAB_PCK];
    refuses(&l, "tdx.crl", "the PCK certificate is revoked");
    l.revoked_by_ca = l.cert[LAB_SIGNER]; /* another issuer's serial number */
    assert_true(verify(&l));
    l.revoked_by_root = l.cert[LAB_CA];
    refuses(&l, "tdx.crl", "issuer is revoked");
    l.revoked_by_root = l.cert[LAB_SIGNER];
    refuses(&l, "tdx.crl", "TCB signing certificate is revoked");
    assert_false(checks_hold(checks, "tdx.tcb_info_signature"));
    assert_int_equal(verdict.tcb.status, TDX_TCB_UNKNOWN);
    assert_false(checks_hold(checks, "tdx.qe_identity_signature"));
}

/* A key below the root that is allowed to say other things. */
static void certificates_of_other_roles(void **state)
{
    static const struct {
        enum lab_role role;
        const char *cn, *check;
    } rows[] = {
        { LAB_SIGNER, "Intel SGX PCK Certificate", "tdx.tcb_info_signature" },
        { LAB_SIGNER, "Intel SGX TCB Signing ", "tdx.tcb_info_signature" },
        { LAB_CA, "Intel SGX TCB Signing", "tdx.pck_chain" },
        { LAB_PCK, "Intel SGX TCB Signing", "tdx.pck_chain" },
    };
    TEST_LAB(CASE, CASE_AT);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *genuine = l.spec[rows[i].role].cn;
        l.spec[rows[i].role].cn = rows[i].cn;
        lab_certs(&l);
        refuses(&l, rows[i].check, "is not a");
        l.spec[rows[i].role].cn = genuine;
    }
    l.spec[LAB_CA].cn = "Intel SGX PCK Processor CA";
    lab_certs(&l);
    assert_true(verify(&l));
    l.spec[LAB_CA].ca = false;
    lab_certs(&l);
    refuses(&l, "tdx.pck_chain", "not a CA");
}

static void certificates_out_of_time(void **state)
{
    static const struct {
        enum lab_role role;
        const char *check;
    } rows[] = {
        { LAB_ROOT, "tdx.pck_chain" },
        { LAB_CA, "tdx.pck_chain" },
        { LAB_PCK, "tdx.pck_chain" },
        { LAB_SIGNER, "tdx.tcb_info_signature" },
    };
    TEST_LAB(CASE, CASE_AT);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct lab_cert *spec = &l.spec[rows[i].role], genuine = *spec;
        spec->to = l.at - 1;
        lab_certs(&l);
        refuses(&l, rows[i].check, "the clock says");
        *spec = genuine;
        spec->from = l.at + 1;
        lab_certs(&l);
        refuses(&l, rows[i].check, "the clock says");
        spec->from = spec->to = l.at;
        spec->to++;
        lab_certs(&l);
        assert_true(verify(&l));
        *spec = genuine;
    }
}

static void documents_out_of_time(void **state)
{
    TEST_LAB(CASE, CASE_AT);
    lab_replace(&l.info, "\"nextUpdate\":\"2025-10-02T07:41:59Z\"",
                "\"nextUpdate\":\"2025-09-17T07:22:54Z\"");
    refuses(&l, "tdx.collateral_dates", "TCB info: valid");
    lab_replace(&l.info, "2025-09-17T07:22:54Z", "2025-09-17T07:22:55Z");
    assert_true(verify(&l));
    lab_replace(&l.identity, "\"issueDate\":\"2025-09-02T07:10:03Z\"",
                "\"issueDate\":\"2025-09-17T07:22:56Z\"");
    refuses(&l, "tdx.collateral_dates", "QE identity: valid");
    assert_false(checks_hold(checks, "document.clock"));
    l.at++;
    lab_replace(&l.info, "2025-09-17T07:22:55Z", "2025-10-17T07:22:55Z");
    assert_true(verify(&l));
    assert_int_equal(verdict.latest_signed, l.at);
}

static void debug_tds(void **state)
{
    TEST_LAB(CASE, CASE_AT);
    uint8_t *attributes = l.body + BODY_V4 + TDX_OFF_TD_ATTRIBUTES;
    for (int bit = 0; bit < 8; bit++) {
        attributes[0] = (uint8_t)(1u << bit);
        refuses(&l, "tdx.debug", "under debug");
        assert_true(checks_hold(checks, "tdx.tcb_status"));
    }
    attributes[0] = 0;
    assert_true(verify(&l));
}

static void service_tds(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(lab_done) struct lab l;
    lab_init(&l, CASE_15, AT_15);
    assert_true(verify(&l));
    assert_int_equal(checks->warnings_n, 1);
    refuse_service_td = true;
    refuses(&l, "tdx.service_td", "MRSERVICETD");
    memset(l.body + BODY_V5 + TDX_OFF_MR_SERVICE_TD, 0, 48);
    assert_true(verify(&l));
    l.body[BODY_V5 + TDX_OFF_MR_SERVICE_TD + 47] = 1;
    refuses(&l, "tdx.service_td", "MRSERVICETD");
    refuse_service_td = false;
}

static void modules_and_enclaves(void **state)
{
    TEST_LAB(CASE, CASE_AT);
    uint8_t *body = l.body + BODY_V4;
    body[TDX_OFF_MR_SIGNER_SEAM] = 1;
    refuses(&l, "tdx.module_identity", "signer");
    assert_int_equal(verdict.tcb.status, TDX_TCB_UNKNOWN);
    body[TDX_OFF_MR_SIGNER_SEAM] = 0;
    body[TDX_OFF_SEAM_ATTRIBUTES + 7] = 0x80;
    refuses(&l, "tdx.module_identity", "attributes");
    body[TDX_OFF_SEAM_ATTRIBUTES + 7] = 0;
    uint8_t version = body[TDX_OFF_TEE_TCB_SVN + 1];
    body[TDX_OFF_TEE_TCB_SVN + 1] = 0x42;
    refuses(&l, "tdx.module_identity", "TDX_42");
    body[TDX_OFF_TEE_TCB_SVN + 1] = version;
    l.qe_report[TDX_QE_OFF_ATTRIBUTES] ^= 2;
    refuses(&l, "tdx.qe_identity", "debug");
    l.qe_report[TDX_QE_OFF_ATTRIBUTES] ^= 2;
    l.qe_report[TDX_QE_OFF_MR_SIGNER] ^= 1;
    refuses(&l, "tdx.qe_identity", "MRSIGNER");
    l.qe_report[TDX_QE_OFF_MR_SIGNER] ^= 1;
    l.qe_report[TDX_QE_OFF_ISV_SVN] = l.qe_report[TDX_QE_OFF_ISV_SVN + 1] = 0;
    refuses(&l, "tdx.tcb_status", "NoMatchingTcbLevel");
    assert_int_equal(verdict.tcb.qe, TDX_TCB_NO_MATCHING_LEVEL);
}

static void platforms_by_status(void **state)
{
    static const char *const refused[] = { "OutOfDate", "ConfigurationNeeded", "OutOfDateConfigurationNeeded",
                                           "ConfigurationAndSWHardeningNeeded", "Revoked" };
    TEST_LAB(CASE, CASE_AT);
    const char *levels = strstr(l.info, "\"tcbLevels\":[{\"tcb\":{\"sgx");
    assert_non_null(levels);
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        AUTO(free_str) char *genuine = strdup(l.info);
        /* the platform's own levels come last: change each UpToDate there */
        char *at = strstr(strstr(l.info, "\"tcbLevels\":[{\"tcb\":{\"sgx"), "\"UpToDate\"");
        AUTO(buf_done) struct buf text = buf_new(1u << 20);
        buf_put(&text, bytes_of(l.info, (size_t)(at - l.info)));
        buf_printf(&text, "\"%s\"%s", refused[i], at + strlen("\"UpToDate\""));
        free(l.info);
        l.info = buf_take_str(&text);
        refuses(&l, "tdx.tcb_status", refused[i]);
        assert_string_equal(tdx_tcb_status_name(verdict.tcb.platform), refused[i]);
        free(l.info);
        l.info = MOVE(genuine);
    }
}

/* Both roots trusted: collateral of the one must not speak for platforms of the other. */
static void roots_are_not_mixed(void **state)
{
    AUTO(x509_drop) X509 *intel = NULL;
    TEST_LAB(CASE, CASE_AT);
    AUTO(tdx_collateral_drop) struct tdx_collateral *c = lab_collateral(&l);
    AUTO(tdx_prepared_collateral_drop) struct tdx_prepared_collateral *prepared = NULL;
    AUTO(sample_done) struct sample genuine = sample_load(CASE "quote.bin");
    struct err err = { 0 };
    for (size_t i = 0; i < TRUST_ROWS; i++)
        if (trust_rows()[i].vendor == TRUST_INTEL)
            assert_int_equal(x509_parse(trust_pem(i), &intel, &err), 0);
    X509 *const both[] = { intel, l.cert[LAB_ROOT] };
    const struct tdx_anchors anchors = { both, 2 };
    assert_int_equal(tdx_prepare_collateral(c, &anchors, &prepared, &err), 0);
    const struct tdx_request rq = { sample_bytes(&genuine), prepared, NULL, anchors, l.at,
                                    TDX_ACCEPT_DEFAULT,     false,    false };
    memset(checks, 0, sizeof(*checks));
    tdx_verify(&rq, checks, &verdict);
    assert_true(verdict.authentic && verdict.anchor == 0);
    static const char *const fail[] = { "tdx.crl", "tdx.tcb_info_signature", "tdx.qe_identity_signature" };
    for (size_t i = 0; i < ARRAY_SIZE(fail); i++) {
        assert_int_equal(checks_find(checks, fail[i])->result, CHECK_FAILED);
        assert_non_null(strstr(checks_find(checks, fail[i])->detail, "another root"));
    }
    assert_int_equal(verdict.tcb.status, TDX_TCB_UNKNOWN);
}

static int setup(void **state)
{
    (void)state;
    checks = calloc(1, sizeof(*checks));
    return checks ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(checks);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_for_sgx),
        cmocka_unit_test(revoked_certificates),
        cmocka_unit_test(certificates_of_other_roles),
        cmocka_unit_test(certificates_out_of_time),
        cmocka_unit_test(documents_out_of_time),
        cmocka_unit_test(debug_tds),
        cmocka_unit_test(service_tds),
        cmocka_unit_test(modules_and_enclaves),
        cmocka_unit_test(platforms_by_status),
        cmocka_unit_test(roots_are_not_mixed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
