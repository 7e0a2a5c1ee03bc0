/* tee/tdx_tcb.h: which level a platform, a module and an enclave meet. */
#include "tdx_tcb_rig.h"

/* Which level a platform meets: each component, PCESVN, and the indices that a module version takes out. */
static void levels_are_found(void **state)
{
    static const struct {
        struct platform p;
        struct expected want;
    } rows[] = {
        { { 5, 13, { 5, 0, 7 }, { 0 }, false, 6 }, { UP, UP, TDX_TCB_UNKNOWN, UP, "" } },
        { { 9, 99, { 9, 0, 9 }, { 0 }, false, 9 }, { UP, UP, TDX_TCB_UNKNOWN, UP, "" } },
        { { 5, 12, { 5, 0, 7 }, { 0 }, false, 6 }, { CONF, CONF, TDX_TCB_UNKNOWN, UP, "SA-1 SA-2" } },
        { { 5, 13, { 4, 0, 7 }, { 0 }, false, 6 }, { CONF, CONF, TDX_TCB_UNKNOWN, UP, "SA-1 SA-2" } },
        { { 5, 13, { 5, 0, 6 }, { 0 }, false, 6 }, { CONF, CONF, TDX_TCB_UNKNOWN, UP, "SA-1 SA-2" } },
        { { 4, 13, { 5, 0, 7 }, { 0 }, false, 6 }, { OOD, OOD, TDX_TCB_UNKNOWN, UP, "SA-1 SA-3" } },
        { { 2, 13, { 5, 0, 7 }, { 0 }, false, 6 }, { NONE, NONE, TDX_TCB_UNKNOWN, UP, "" } },
        { { 5, 13, { 0, 0, 7 }, { 0 }, false, 6 }, { NONE, NONE, TDX_TCB_UNKNOWN, UP, "" } },
        { { 5, 4, { 5, 0, 7 }, { 0 }, false, 6 }, { NONE, NONE, TDX_TCB_UNKNOWN, UP, "" } },
        /* module version 1: component 0 is judged by TDX_01 */
        { { 5, 13, { 5, 1, 7 }, { 0 }, false, 6 }, { UP, UP, UP, UP, "" } },
        { { 5, 13, { 2, 1, 7 }, { 0 }, false, 6 }, { OOD, UP, OOD, UP, "SA-M" } },
        { { 5, 13, { 2, 1, 5 }, { 0 }, false, 6 }, { OODC, CONF, OOD, UP, "SA-1 SA-2 SA-M" } },
        { { 5, 13, { 1, 1, 7 }, { 0 }, false, 6 }, { NONE, UP, NONE, UP, "" } },
        { { 5, 13, { 3, 3, 7 }, { 0 }, false, 6 }, { UP, UP, UP, UP, "" } },
        { { 5, 13, { 2, 3, 7 }, { 0 }, false, 6 }, { NONE, UP, NONE, UP, "" } },
        { { 2, 13, { 2, 1, 7 }, { 0 }, false, 6 }, { NONE, NONE, OOD, UP, "" } },
        /* the quoting enclave */
        { { 5, 13, { 5, 1, 7 }, { 0 }, false, 5 }, { OOD, UP, UP, OOD, "SA-Q SA-1" } },
        { { 5, 13, { 5, 1, 5 }, { 0 }, false, 5 }, { OODC, CONF, UP, OOD, "SA-1 SA-2 SA-Q" } },
        { { 5, 13, { 5, 1, 7 }, { 0 }, false, 3 }, { NONE, UP, UP, NONE, "" } },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        expect(two_levels, 3, two_modules, 3, "OutOfDate", &rows[i].p, &rows[i].want);
    expect(two_levels, 0, two_modules, 3, "OutOfDate", &rows[0].p,
           &(struct expected){ NONE, NONE, TDX_TCB_UNKNOWN, UP, "" });
}

/* Platform and module, platform and quoting enclave: Intel's two tables. */
static void statuses_converge(void **state)
{
    static const struct {
        const char *platform, *part;
        enum tdx_tcb_status want;
    } rows[] = {
        { "UpToDate", "UpToDate", UP },
        { "UpToDate", "OutOfDate", OOD },
        { "SWHardeningNeeded", "UpToDate", TDX_TCB_SW_HARDENING_NEEDED },
        { "SWHardeningNeeded", "OutOfDate", OOD },
        { "ConfigurationNeeded", "OutOfDate", OODC },
        { "ConfigurationAndSWHardeningNeeded", "OutOfDate", OODC },
        { "ConfigurationAndSWHardeningNeeded", "UpToDate", TDX_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED },
        { "OutOfDate", "OutOfDate", OOD },
        { "OutOfDate", "UpToDate", OOD },
        { "OutOfDateConfigurationNeeded", "OutOfDate", OODC },
        { "OutOfDateConfigurationNeeded", "UpToDate", OODC },
        { "Revoked", "UpToDate", TDX_TCB_REVOKED },
        { "Revoked", "OutOfDate", TDX_TCB_REVOKED },
        { "UpToDate", "Revoked", TDX_TCB_REVOKED },
        { "OutOfDateConfigurationNeeded", "Revoked", TDX_TCB_REVOKED },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (int qe = 0; qe < 2; qe++) {
            AUTO(buf_done) struct buf info = buf_new(1u << 20), identity = buf_new(1u << 16);
            const struct level level = { 5, 13, { 5, 0, 7 }, rows[i].platform, NULL };
            const struct isv module = { 1, 5, qe ? "UpToDate" : rows[i].part, NULL };
            const struct isv enclave = { 0, 6, qe ? rows[i].part : "UpToDate", NULL };
            const struct platform p = { 5, 13, { 5, 1, 7 }, { 0 }, false, 6 };
            struct tdx_tcb_result got;
            put_info(&info, &level, 1, &module, 1);
            put_identity(&identity, &enclave, 1);
            evaluate(&info, &identity, &p, &got);
            assert_int_equal(got.status, rows[i].want);
            assert_string_equal(got.date, "2024-03-13T00:00:00Z");
        }
    }
}

/* TD 1.5: only the start of the TD is outdated. */
static void relaunch_is_advised(void **state)
{
    static const enum tdx_tcb_status advised = TDX_TCB_TD_RELAUNCH_ADVISED;
    static const enum tdx_tcb_status advised_conf = TDX_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED;
    static const struct {
        struct platform p;
        enum tdx_tcb_status want;
    } rows[] = {
        { { 5, 13, { 2, 1, 7 }, { 5, 1, 7 }, true, 6 }, advised },
        { { 5, 13, { 2, 1, 7 }, { 3, 3, 7 }, true, 6 }, advised },
        { { 5, 13, { 2, 1, 7 }, { 5, 0, 7 }, true, 6 }, advised },
        { { 5, 13, { 2, 1, 5 }, { 5, 1, 7 }, true, 6 }, advised_conf }, /* the platform's level is CONF */
        { { 5, 13, { 2, 1, 7 }, { 4, 1, 7 }, true, 6 }, OOD },          /* module not new enough */
        { { 5, 13, { 2, 1, 7 }, { 4, 0, 7 }, true, 6 }, OOD },
        { { 5, 13, { 2, 1, 7 }, { 5, 1, 6 }, true, 6 }, OOD }, /* microcode not */
        { { 5, 13, { 2, 1, 7 }, { 5, 1, 7 }, false, 6 }, OOD },
        { { 5, 13, { 2, 1, 7 }, { 5, 1, 7 }, true, 5 }, OOD },  /* the enclave is outdated too */
        { { 4, 13, { 2, 1, 7 }, { 5, 1, 7 }, true, 6 }, OOD },  /* the SGX part is */
        { { 5, 13, { 2, 1, 7 }, { 5, 9, 7 }, true, 6 }, NONE }, /* a module that nobody knows */
        { { 5, 13, { 5, 1, 7 }, { 5, 1, 7 }, true, 6 }, UP },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(buf_done) struct buf info = buf_new(1u << 20), qe = buf_new(1u << 16);
        const struct isv enclave[] = { { 0, 6, "UpToDate", NULL }, { 0, 4, "OutOfDate", NULL } };
        struct tdx_tcb_result got;
        put_info(&info, two_levels, 3, two_modules, 3);
        put_identity(&qe, enclave, 2);
        evaluate(&info, &qe, &rows[i].p, &got);
        if (got.status != rows[i].want)
            fail_msg("row %zu: %s", i, tdx_tcb_status_name(got.status));
    }
}

static void modules_and_enclaves_are_identified(void **state)
{
    AUTO(buf_done) struct buf text = buf_new(1u << 20), identity = buf_new(1u << 16);
    uint8_t svn[16] = { 5, 2 }, signer[48] = { 0 }, attributes[8] = { 0 }, raw[TDX_QE_REPORT_SIZE] = { 0 };
    uint8_t qe_signer[32], qe_attributes[16] = { 0x15, 0, 0, 0, 0, 0, 0, 0, 0xE7 };
    const struct isv enclave = { 0, 6, "UpToDate", NULL };
    struct tdx_tcb_info info;
    struct tdx_qe_identity qe;
    struct tdx_body body = { .tee_tcb_svn = bytes_of(svn, 16),
                             .mr_signer_seam = bytes_of(signer, 48),
                             .seam_attributes = bytes_of(attributes, 8) };
    const struct tdx_module *found;
    struct err err = { 0 };
    (void)state;
    put_info(&text, two_levels, 3, two_modules, 3);
    put_identity(&identity, &enclave, 1);
    assert_int_equal(tdx_tcb_info_parse(buf_bytes(&text), &info, &err), 0);
    assert_int_equal(tdx_qe_identity_parse(buf_bytes(&identity), &qe, &err), 0);
    assert_int_equal(tdx_module_identity_check(&info, &body, &found, &err), -1);
    assert_non_null(strstr(err.cause, "TDX_02"));
    svn[1] = 1;
    assert_int_equal(tdx_module_identity_check(&info, &body, &found, &err), 0);
    assert_int_equal(found->levels.n, 2);
    signer[47] = 1;
    assert_int_equal(tdx_module_identity_check(&info, &body, &found, &err), -1);
    signer[47] = 0;
    attributes[0] = 0x80;
    assert_int_equal(tdx_module_identity_check(&info, &body, &found, &err), -1);
    attributes[0] = svn[1] = 0;
    assert_int_equal(tdx_module_identity_check(&info, &body, &found, &err), 0);
    assert_null(found);

    memcpy(qe_signer, qe.mr_signer, 32);
    struct tdx_qe_report report = { .raw = bytes_of(raw, sizeof(raw)),
                                    .attributes = bytes_of(qe_attributes, 16),
                                    .mr_signer = bytes_of(qe_signer, 32),
                                    .isv_prod_id = 2 };
    assert_int_equal(tdx_qe_identity_check(&qe, &report, &err), 0);
    uint8_t *const places[] = { &qe_attributes[0], &qe_attributes[7], &qe_signer[31],
                                &raw[TDX_QE_OFF_MISC_SELECT] };
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        *places[i] ^= 2;
        assert_int_equal(tdx_qe_identity_check(&qe, &report, &err), -1);
        *places[i] ^= 2;
    }
    report.isv_prod_id = 1;
    assert_int_equal(tdx_qe_identity_check(&qe, &report, &err), -1);
    tdx_tcb_info_done(&info);
    tdx_qe_identity_done(&qe);
}

/* ---- parsing ---- */

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_are_found),
        cmocka_unit_test(statuses_converge),
        cmocka_unit_test(relaunch_is_advised),
        cmocka_unit_test(modules_and_enclaves_are_identified),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
