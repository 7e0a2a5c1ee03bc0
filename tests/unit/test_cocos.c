/* policy/cocos.h: each field of a policy holds for a machine, or does not. */
#include "cocos_rig.h"

#include <string.h>

struct change {
    const char *path, *value, *field; /* field NULL: still accepted */
};

static const struct change snp_changes[] = {
    { "policy/minimum_guest_svn", "4", "policy.minimum_guest_svn" },
    { "policy/minimum_guest_svn", "2", NULL },
    { "policy/policy", "196608", NULL },             /* ABI 0.0 */
    { "policy/policy", "196640", "policy.policy" },  /* 0x30020: ABI 0.32 */
    { "policy/policy", "131103", "policy.policy" },  /* 0x2001f: SMT not permitted */
    { "policy/policy", "1245215", "policy.policy" }, /* SINGLE_SOCKET demanded */
    { "policy/policy", "4390943", "policy.policy" }, /* MEM_AES_256_XTS demanded */
    { "policy/policy", "\"2818079\"", NULL },        /* DEBUG and CXL permitted, and not there */
    { "policy/family_id", B64_16_00, "policy.family_id" },
    { "policy/family_id", "\"\"", NULL },
    { "policy/family_id", "null", NULL },
    { "policy/family_id", NULL, NULL },
    { "policy/image_id", B64_16_00, "policy.image_id" },
    { "policy/report_data", B64_64_00, "policy.report_data" },
    { "policy/host_data", B64_32_00, "policy.host_data" },
    { "policy/measurement", B64_48_00, "policy.measurement" }, /* zero is a value */
    { "policy/report_id", B64_32_00, "policy.report_id" },
    { "policy/report_id_ma", B64_32_00, "policy.report_id_ma" },
    { "policy/chip_id", B64_64_00, "policy.chip_id" },
    { "policy/minimum_tcb", "15352208179752599555", NULL },
    { "policy/minimum_tcb", "15352208179752599556", "policy.minimum_tcb" },
    { "policy/minimum_tcb", "15424265773790527491", "policy.minimum_tcb" }, /* microcode 214 */
    { "policy/minimum_tcb", "\"4194304\"", "policy.minimum_tcb" }, /* a smaller number, one greater byte */
    { "policy/minimum_launch_tcb", "15279869110737960963", "policy.minimum_launch_tcb" },
    { "policy/minimum_build", "22", "policy.minimum_build" },
    { "policy/minimum_version", "\"1.56\"", "policy.minimum_version" },
    { "policy/minimum_version", "\"1.9\"", NULL },
    { "policy/minimum_version", "\"2.0\"", "policy.minimum_version" },
    { "policy/platform_info", "37", NULL },
    { "policy/platform_info", "36", "policy.platform_info" }, /* SMT_EN not permitted */
    { "policy/platform_info", "45", "policy.platform_info" }, /* RAPL_DIS demanded */
    { "policy/platform_info", "0", "policy.platform_info" },
    { "policy/trusted_author_key_hashes", "[" B64_48_00 "]", "policy.trusted_author_key_hashes" },
    { "policy/require_author_key", "false", NULL },
    { "policy/trusted_id_key_hashes", "[]", NULL }, /* the author key will do */
    { "policy/vmpl", "0", "policy.vmpl" },
    { "policy/vmpl", "null", NULL },
    { "policy/product", "{\"name\":\"SEV_PRODUCT_MILAN\"}", NULL },
    { "policy/product", "{\"name\":1,\"machineStepping\":0}", "policy.product.machine_stepping" },
    { "policy/product", "{}", NULL },
    { "pcr_values/sha256", "{\"0\":\"" PCR_0C "\"}", "pcr_values.sha256.0" },
    { "pcr_values/sha256", "{\"1\":\"" PCR_0C "\"}", "pcr_values.sha256.1" },
    { "pcr_values/sha384", "{\"0\":\"" PCR_384 "\"}", "pcr_values.sha384.0" },
    { "pcr_values/sha1", "{}", NULL },
    { "policy/something", "{\"new\":1}", NULL },
};

static const struct change tdx_changes[] = {
    { "policy/headerPolicy/qeVendorId", B64_16_00, "policy.headerPolicy.qeVendorId" },
    { "policy/headerPolicy/minimumPceSvn", "6", "policy.headerPolicy.minimumPceSvn" },
    { "policy/headerPolicy/minimumPceSvn", "\"5\"", NULL },
    { "policy/headerPolicy/minimumQeSvn", "7", "policy.headerPolicy.minimumQeSvn" },
    { "policy/tdQuoteBodyPolicy/minimumTeeTcbSvn", "\"BQECAAAAAAAAAAAAAAAAAA==\"", NULL },
    { "policy/tdQuoteBodyPolicy/minimumTeeTcbSvn", "\"BAICAAAAAAAAAAAAAAAAAA==\"",
      "policy.tdQuoteBodyPolicy.minimumTeeTcbSvn" },
    { "policy/tdQuoteBodyPolicy/mrSeam", B64_48_00, "policy.tdQuoteBodyPolicy.mrSeam" },
    { "policy/tdQuoteBodyPolicy/tdAttributes", B64_8_00, "policy.tdQuoteBodyPolicy.tdAttributes" },
    { "policy/tdQuoteBodyPolicy/xfam", B64_8_00, "policy.tdQuoteBodyPolicy.xfam" },
    { "policy/tdQuoteBodyPolicy/mrTd", B64_48_00, "policy.tdQuoteBodyPolicy.mrTd" },
    { "policy/tdQuoteBodyPolicy/mrConfigId", B64_48_00, "policy.tdQuoteBodyPolicy.mrConfigId" },
    { "policy/tdQuoteBodyPolicy/mrOwner", B64_48_00, "policy.tdQuoteBodyPolicy.mrOwner" },
    { "policy/tdQuoteBodyPolicy/mrOwnerConfig", B64_48_00, "policy.tdQuoteBodyPolicy.mrOwnerConfig" },
    { "policy/tdQuoteBodyPolicy/reportData", B64_64_00, "policy.tdQuoteBodyPolicy.reportData" },
    { "policy/tdQuoteBodyPolicy/anyMrTd", "[" B64_48_00 "]", "policy.tdQuoteBodyPolicy.anyMrTd" },
    { "policy/tdQuoteBodyPolicy/anyMrTd", "[]", NULL },
    { "policy/tdQuoteBodyPolicy/rtmrs", "[\"\",\"\",\"\"," B64_48_00 "]",
      "policy.tdQuoteBodyPolicy.rtmrs[3]" },
    { "policy/tdQuoteBodyPolicy/rtmrs", "[\"\",\"\",\"\",\"\"]", NULL },
    { "policy/tdQuoteBodyPolicy/rtmrs", "[]", NULL },
    { "policy/headerPolicy", "null", NULL },
};

static void try_changes(json_t *(*make)(void), const char *claims, const struct change *c, size_t n)
{
    AUTO(json_drop) json_t *whole = make();
    char field[64];
    size_t failed = failures_of(whole, claims, field);
    if (failed)
        fail_msg("the policy itself: %zu fail, first %s", failed, field);
    for (size_t i = 0; i < n; i++) {
        AUTO(json_drop) json_t *p = make();
        set(p, c[i].path, c[i].value);
        failed = failures_of(p, claims, field);
        if (c[i].field ? failed == 0 || strcmp(field, c[i].field) != 0 : failed != 0)
            fail_msg("%s = %s: %zu fail, first %s", c[i].path, c[i].value, failed, field);
    }
}

static void snp_fields_hold_or_not(void **state)
{
    (void)state;
    try_changes(snp_policy, snp_claims, snp_changes, ARRAY_SIZE(snp_changes));
}

static void tdx_fields_hold_or_not(void **state)
{
    (void)state;
    try_changes(tdx_policy, tdx_claims, tdx_changes, ARRAY_SIZE(tdx_changes));
}

/* The machine's side: one claim changed, one value fails. */
static void changed_claims_fail(void **state)
{
    static const struct {
        bool tdx;
        struct change change;
    } cases[] = {
        { false, { "sevsnp/sevsnp_committed_tcb", "\"0xd50e000000000004\"", "committed_tcb" } },
        { false, { "sevsnp/sevsnp_vek_tcb", "\"0xd50e000000000002\"", "reported_tcb" } },
        { false, { "sevsnp/sevsnp_current_tcb", "\"0xd60e000000000002\"", "committed_tcb" } },
        { false, { "sevsnp/sevsnp_committed_build", "20", "committed_build" } },
        { false, { "sevsnp/sevsnp_committed_version", "310", "committed_version" } },
        { false, { "sevsnp/sevsnp_policy", "\"0x7001f\"", "policy.policy" } },  /* MIGRATE_MA */
        { false, { "sevsnp/sevsnp_policy", "\"0xb001f\"", "policy.policy" } },  /* DEBUG */
        { false, { "sevsnp/sevsnp_policy", "\"0x23001f\"", "policy.policy" } }, /* CXL_ALLOW */
        { false, { "sevsnp/sevsnp_policy", "\"0x1001f\"", "policy.policy" } },  /* bit 17 */
        { false, { "sevsnp/sevsnp_policy", "\"0x403001f\"", "policy.policy" } },
        { false, { "sevsnp/sevsnp_platform_info", "\"0x65\"", "policy.platform_info" } },
        { false, { "sevsnp/sevsnp_platform_info", "\"0x27\"", "policy.platform_info" } }, /* TSME */
        { false, { "sevsnp/sevsnp_author_key_en", "false", "policy.require_author_key" } },
        { false, { "sevsnp/sevsnp_authorkeydigest", "\"" KEY_99 "\"", "policy.trusted_author_key_hashes" } },
        { false, { "sevsnp/sevsnp_crl_checked", "false", "root_of_trust.check_crl" } },
        { false, { "sevsnp/sevsnp_product", "\"Genoa\"", "policy.product.name" } },
        { false, { "sevsnp/sevsnp_vek_tcb", NULL, "certificate's TCB" } },
        { false, { "sevsnp/sevsnp_launchmeasurement", NULL, "policy.measurement" } },
        { false, { "tpm", "{}", "pcr_values.sha256.0" } },
        { false, { "tpm/pcrs", "[{\"alg\":\"SHA-512\",\"index\":0,\"digest\":\"00\"}]", "pcr_values" } },
        { false, { "sevsnp", NULL, "policy" } },
        { true,
          { "tdx/tdx_td_attributes", "\"0100001000000000\"", "policy.tdQuoteBodyPolicy.tdAttributes" } },
        { true, { "tdx/tdx_td_attributes", "\"0000003000000000\"", "td_attributes" } }, /* MIGRATABLE */
        { true, { "tdx/tdx_xfam", "\"0000000000000000\"", "xfam" } },
        { true, { "tdx/tdx_crl_checked", "false", "rootOfTrust.checkCrl" } },
        { true, { "tdx/tdx_tee_tcb_svn", NULL, "policy.tdQuoteBodyPolicy.minimumTeeTcbSvn" } },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(json_drop) json_t *p = cases[i].tdx ? tdx_policy() : snp_policy();
        AUTO(json_drop) json_t *claims = NULL;
        AUTO(buf_done) struct buf text = buf_new(1 << 20);
        struct err err = { 0 };
        char field[64];
        assert_int_equal(json_parse(bytes_str(cases[i].tdx ? tdx_claims : snp_claims), 1 << 20, &claims,
                                    &err),
                         0);
        set(claims, cases[i].change.path, cases[i].change.value);
        json_put(&text, claims, false);
        AUTO(free_str) char *changed = buf_take_str(&text);
        size_t n = failures_of(p, changed, field);
        if (n == 0 || strcmp(field, cases[i].change.field) != 0)
            fail_msg("case %zu, %s: %zu fail, first %s", i, cases[i].change.path, n, field);
    }
}

static void provisional_firmware(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *p = snp_policy();
    AUTO(json_drop) json_t *claims = NULL;
    AUTO(buf_done) struct buf text = buf_new(1 << 20);
    struct err err = { 0 };
    char field[64];
    assert_int_equal(json_parse(bytes_str(snp_claims), 1 << 20, &claims, &err), 0);
    set(claims, "sevsnp/sevsnp_committed_tcb", "\"0xd50e000000000003\"");
    set(claims, "sevsnp/sevsnp_committed_build", "20");
    set(claims, "sevsnp/sevsnp_committed_version", "310");
    json_put(&text, claims, false);
    AUTO(free_str) char *changed = buf_take_str(&text);
    assert_int_equal(failures_of(p, changed, field), 3);
    set(p, "policy/permit_provisional_firmware", "true");
    assert_int_equal(failures_of(p, changed, field), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snp_fields_hold_or_not),
        cmocka_unit_test(tdx_fields_hold_or_not),
        cmocka_unit_test(changed_claims_fail),
        cmocka_unit_test(provisional_firmware),
    };
    return cmocka_run_group_tests(tests, load_claims, drop_claims);
}
