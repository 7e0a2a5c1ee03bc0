/* Cocos and Cube policies over claims: every field accepted as it is and refused when changed, every
 * spelling, every way in which a policy is none. */
#include "evidence.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json_wide.h"
#include "base/x509.h"
#include "policy/cocos.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

/* What the verifier says of two machines; each field has bytes of its own. */
static char *snp_claims, *tdx_claims;

static char *load(const char *path)
{
    struct sample s = sample_load_path(path);
    char *text = strndup((const char *)s.p, s.n);
    sample_done(&s);
    return text;
}

static int load_claims(void **state)
{
    (void)state;
    snp_claims = load(CVM_TEST_DATA "/claims/snp.json");
    tdx_claims = load(CVM_TEST_DATA "/claims/tdx.json");
    return snp_claims && tdx_claims ? 0 : -1;
}

static int drop_claims(void **state)
{
    (void)state;
    free(snp_claims);
    free(tdx_claims);
    return 0;
}

/* The same byte n times, as hex. */
#define PCR_0B  "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
#define PCR_0C  "0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C0C"
#define PCR_384 PCR_0B "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
#define KEY_99                                                                                               \
    "999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999"

/* 'n' bytes of one value, in base64. */
static json_t *b64_of(uint8_t byte, size_t n)
{
    uint8_t raw[64];
    memset(raw, byte, sizeof(raw));
    return json_b64(bytes_of(raw, n));
}

/* A policy that wants everything. */
static json_t *snp_policy(void)
{
    json_t *p =
        json_pack("{s:{s:i,s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s,s:s,s:i,s:s,s:b,s:i,s:b,s:b,s:[o],s:[o],s:"
                  "i,s:{s:i,s:i}},"
                  "s:{s:s,s:s,s:b,s:b},s:{s:n,s:{s:s,s:s},s:n}}",
                  "policy", "policy", 0x3001f, "minimum_guest_svn", 3, "family_id", b64_of(1, 16), "image_id",
                  b64_of(2, 16), "report_data", b64_of(3, 64), "host_data", b64_of(4, 32), "measurement",
                  b64_of(5, 48), "report_id", b64_of(6, 32), "report_id_ma", b64_of(0xFF, 32), "chip_id",
                  b64_of(7, 64), "minimum_tcb", "15352208179752599555", "minimum_launch_tcb",
                  "15279869110737960962", "minimum_build", 21, "minimum_version", "1.55",
                  "permit_provisional_firmware", 0, "platform_info", 0x25, "require_author_key", 1,
                  "require_id_block", 1, "trusted_author_key_hashes", b64_of(8, 48), "trusted_id_key_hashes",
                  b64_of(9, 48), "vmpl", 2, "product", "name", 1, "machine_stepping", 1, "root_of_trust",
                  "product", "Milan", "product_line", "Milan", "check_crl", 1, "disallow_network", 0,
                  "pcr_values", "sha1", "sha256", "0", PCR_0B, "16", PCR_0C, "sha384");
    assert_non_null(p);
    return p;
}

static json_t *tdx_policy(void)
{
    json_t *p = json_pack(
        "{s:{s:{s:o,s:i,s:i},s:{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:[o,o,o,o],s:o,s:b,s:[o]}},s:{s:b,s:b}}",
        "policy", "headerPolicy", "qeVendorId", b64_of(1, 16), "minimumPceSvn", 5, "minimumQeSvn", 6,
        "tdQuoteBodyPolicy", "minimumTeeTcbSvn", b64_of(0, 16), "mrSeam", b64_of(2, 48), "tdAttributes",
        json_string("AAAAEAAAAAA="), "xfam", json_string("5wAGAAAAAAA="), "mrTd", b64_of(3, 48), "mrConfigId",
        b64_of(4, 48), "mrOwner", b64_of(5, 48), "mrOwnerConfig", b64_of(6, 48), "rtmrs", b64_of(7, 48),
        b64_of(8, 48), b64_of(9, 48), b64_of(10, 48), "reportData", b64_of(11, 64), "enableTdDebugCheck", 1,
        "anyMrTd", b64_of(3, 48), "rootOfTrust", "checkCrl", 1, "getCollateral", 1);
    assert_non_null(p);
    return p;
}

/* The member that a path names, with its holder: "policy/rtmrs/2". */
static json_t *holder_of(json_t *root, const char *path, const char **last)
{
    char part[64];
    for (;;) {
        size_t n = strcspn(path, "/");
        if (!path[n]) {
            *last = path;
            return root;
        }
        snprintf(part, sizeof(part), "%.*s", (int)n, path);
        root = json_object_get(root, part);
        assert_non_null(root);
        path += n + 1;
    }
}

static void set(json_t *root, const char *path, const char *text)
{
    const char *last;
    json_t *holder = holder_of(root, path, &last), *v = NULL;
    struct err err = { 0 };
    if (!text) {
        json_object_del(holder, last);
        return;
    }
    assert_int_equal(json_wide_parse(bytes_str(text), 1 << 20, &v, &err), 0);
    assert_int_equal(json_object_set_new(holder, last, v), 0);
}

static int parse(json_t *v, struct cocos_policy **out, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(4 << 20);
    json_wide_put(&text, v);
    assert_false(text.failed);
    return cocos_parse(buf_bytes(&text), NULL, out, err);
}

/* How many values fail; field: of the first. */
static size_t failures_of(json_t *policy, const char *claims_text, char field[static 64])
{
    AUTO(cocos_drop) struct cocos_policy *p = NULL;
    AUTO(json_drop) json_t *claims = NULL;
    AUTO(json_drop) json_t *failures = json_array();
    struct err err = { 0 };
    if (parse(policy, &p, &err) < 0)
        fail_msg("%s", err.cause);
    assert_int_equal(json_parse(bytes_str(claims_text), 1 << 20, &claims, &err), 0);
    assert_true(cocos_apply(p, claims, failures, &err) >= 0);
    const json_t *f = json_array_get(failures, 0);
    snprintf(field, 64, "%s", f ? json_string_value(json_object_get(f, "field")) : "");
    for (size_t i = 0; i < json_array_size(failures); i++) {
        f = json_array_get(failures, i);
        assert_true(json_string_length(json_object_get(f, "expected")) > 0);
        assert_true(json_string_length(json_object_get(f, "found")) > 0);
    }
    return json_array_size(failures);
}

struct change {
    const char *path, *value, *field; /* field NULL: still accepted */
};

#define B64_48_00 "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\""
#define B64_32_00 "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\""
#define B64_16_00 "\"AAAAAAAAAAAAAAAAAAAAAA==\""
#define B64_64_00                                                                                            \
    "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\""
#define B64_8_00 "\"AAAAAAAAAAA=\""

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

/* camelCase, numbers as text, enumerations by name: the same policy. */
static void the_other_spelling(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *p = snp_policy();
    AUTO(json_drop) json_t *pcrs = json_incref(json_object_get(p, "pcr_values"));
    AUTO(buf_done) struct buf text = buf_new(1 << 20), camel = buf_new(1 << 20);
    AUTO(json_drop) json_t *other = NULL;
    AUTO(cocos_drop) struct cocos_policy *parsed = NULL;
    struct err err = { 0 };
    char field[64];
    json_object_del(p, "pcr_values");
    set(p, "policy/policy", "\"196639\"");
    set(p, "policy/vmpl", "\"2\"");
    set(p, "policy/product/name", "\"SEV_PRODUCT_MILAN\"");
    json_put(&text, p, false);
    for (size_t i = 0; i < text.n; i++) { /* no value has an underscore but SEV_PRODUCT_MILAN */
        if (text.p[i] == '_' && text.p[i + 1] >= 'a' && text.p[i + 1] <= 'z')
            buf_u8(&camel, (uint8_t)(text.p[++i] - 32));
        else
            buf_u8(&camel, text.p[i]);
    }
    assert_int_equal(json_parse(buf_bytes(&camel), 1 << 20, &other, &err), 0);
    assert_non_null(json_object_get(json_object_get(other, "policy"), "minimumLaunchTcb"));
    json_object_set(other, "pcr_values", pcrs);
    assert_int_equal(failures_of(other, snp_claims, field), 0);
    set(other, "policy/minimum_tcb", "1"); /* both spellings */
    assert_int_equal(parse(other, &parsed, &err), -1);
    assert_non_null(strstr(err.cause, "policy.minimum_tcb"));
}

static void malformed_policies_name_the_place(void **state)
{
    static const struct {
        bool tdx;
        const char *path, *value, *says;
    } cases[] = {
        { false, "policy/policy", "0", "policy.policy" },
        { false, "policy/policy", NULL, "policy.policy" },
        { false, "policy/policy", "68719673344", "policy.policy" },
        { false, "policy/policy", "-1", "policy.policy" },
        { false, "policy/policy", "1.5", "policy.policy" },
        { false, "policy/policy", "\"18446744073709551616\"", "policy.policy" },
        { false, "policy/policy", "\"196608 \"", "policy.policy" },
        { false, "policy/policy", "true", "policy.policy" },
        { false, "policy/measurement", "\"AAAA\"", "3 bytes, want 48" },
        { false, "policy/measurement", "\"!!!\"", "policy.measurement" },
        { false, "policy/measurement", "15352208179752599555", "want base64" },
        { false, "policy/chip_id", "[1]", "policy.chip_id" },
        { false, "policy/minimum_build", "256", "policy.minimum_build" },
        { false, "policy/minimum_version", "\"1\"", "policy.minimum_version" },
        { false, "policy/minimum_version", "\"1.2.3\"", "policy.minimum_version" },
        { false, "policy/minimum_version", "\"1.256\"", "policy.minimum_version" },
        { false, "policy/minimum_version", "1.5", "policy.minimum_version" },
        { false, "policy/vmpl", "4", "policy.vmpl" },
        { false, "policy/platform_info", "64", "policy.platform_info" },
        { false, "policy/platform_info", "256", "policy.platform_info" },
        { false, "policy/require_author_key", "1", "policy.require_author_key" },
        { false, "policy/trusted_id_key_hashes", "[\"AAAA\"]", "element 0 has 3 bytes, want 48" },
        { false, "policy/trusted_id_keys", "[\"AAAA\"]", "policy.trusted_id_keys" },
        { false, "policy/product", "{\"name\":\"SEV_PRODUCT_ROME\"}", "policy.product.name" },
        { false, "policy/product", "{\"name\":4}", "policy.product.name" },
        { false, "policy/product", "{\"name\":2}", "product_line" },
        { false, "root_of_trust/product_line", "\"Rome\"", "root_of_trust.product_line" },
        { false, "root_of_trust/check_crl", "\"yes\"", "root_of_trust.check_crl" },
        { false, "root_of_trust/cabundle_paths", "[\"/etc/passwd\"]", "root_of_trust.cabundle_paths" },
        { false, "root_of_trust/cabundles", "[\"none\"]", "root_of_trust.cabundles" },
        { false, "pcr_values/sha256", "{\"24\":\"00\"}", "pcr_values.sha256" },
        { false, "pcr_values/sha256", "{\"01\":\"00\"}", "pcr_values.sha256" },
        { false, "pcr_values/sha256", "{\"1\":\"00\"}", "PCR 1" },
        { false, "pcr_values/sha256", "{\"1\":\"zz\"}", "PCR 1" },
        { false, "pcr_values/sha512", "{}", "pcr_values.sha512" },
        { false, "policy", "7", "policy: want an object" },
        { true, "policy/headerPolicy/qeVendorId", "\"AAAA\"", "policy.headerPolicy.qe_vendor_id" },
        { true, "policy/headerPolicy/minimumQeSvn", "65536", "minimum_qe_svn" },
        { true, "policy/headerPolicy/more", "1", "policy.headerPolicy.more" },
        { true, "policy/tdQuoteBodyPolicy/rtmrs", "[\"\"]", "1 registers, want 4" },
        { true, "policy/tdQuoteBodyPolicy/rtmrs", "[\"\",\"\",\"AAAA\",\"\"]", "element 2 has 3 bytes" },
        { true, "policy/tdQuoteBodyPolicy/minimumTeeTcbSvn", B64_48_00, "minimum_tee_tcb_svn" },
        { true, "policy/tdQuoteBodyPolicy/anyMrTd", "[\"\"]", "any_mr_td" },
        { true, "policy/tdQuoteBodyPolicy/mr_td", B64_48_00, "two spellings" },
        { true, "policy/tdQuoteBodyPolicy/mrtd", B64_48_00, "mrtd: no such member" },
        { true, "policy/extra", "{}", "policy.extra" },
        { true, "pcr_values", "{}", "pcr_values" },
        { true, "rootOfTrust/getCollateral", "false", "rootOfTrust.checkCrl" },
        { true, "rootOfTrust/productLine", "\"x\"", "rootOfTrust.productLine" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(json_drop) json_t *p = cases[i].tdx ? tdx_policy() : snp_policy();
        AUTO(cocos_drop) struct cocos_policy *parsed = NULL;
        struct err err = { 0 };
        set(p, cases[i].path, cases[i].value);
        assert_int_equal(parse(p, &parsed, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
        if (!strstr(err.cause, cases[i].says))
            fail_msg("%s = %s: %s", cases[i].path, cases[i].value, err.cause);
    }
}

static void texts_that_are_no_policies(void **state)
{
    static const char *const bad[] = { "",
                                       "{",
                                       "[]",
                                       "{}",
                                       "{\"a\":1}",
                                       "{\"policy\":{\"policy\":1e400}}",
                                       "{\"policy\":{\"policy\":196608},\"policy\":{}}",
                                       "{\"policy\":\"\xff\"}",
                                       "{\"policy\":{\"measurement\":\"\\u0000\"}}",
                                       "null" };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO(cocos_drop) struct cocos_policy *p = NULL;
        struct err err = { 0 };
        assert_int_equal(cocos_parse(bytes_str(bad[i]), NULL, &p, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
    AUTO(buf_done) struct buf deep = buf_new(1 << 20);
    AUTO(cocos_drop) struct cocos_policy *p = NULL;
    struct err err = { 0 };
    for (int i = 0; i < 10000; i++)
        buf_str(&deep, "{\"policy\":");
    assert_int_equal(cocos_parse(buf_bytes(&deep), NULL, &p, &err), -1);
    AUTO(buf_done) struct buf large = buf_new(4 << 20);
    buf_str(&large, "{\"policy\":{\"policy\":196608,\"measurement\":\"");
    buf_fill(&large, 'A', COCOS_SIZE_MAX);
    buf_str(&large, "\"}}");
    assert_int_equal(cocos_parse(buf_bytes(&large), NULL, &p, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
}

/* A certificate of an own key; its digest is not the one of the claims until they have it. */
static X509 *make_cert(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"signer", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha384()) > 0);
    return cert;
}

/* AMD's form, written here a second time: curve 2, x and y little-endian, 72 bytes each, 0x404 in all. */
static char *amd_digest(EVP_PKEY *key)
{
    uint8_t raw[0x404] = { 2 }, point[97], hash[48];
    size_t n = 0;
    assert_int_equal(EVP_PKEY_get_octet_string_param(key, "encoded-pub-key", point, sizeof(point), &n), 1);
    assert_int_equal(n, 97);
    for (int i = 0; i < 48; i++) {
        raw[4 + i] = point[1 + 47 - i];
        raw[4 + 72 + i] = point[1 + 48 + 47 - i];
    }
    assert_int_equal(EVP_Digest(raw, sizeof(raw), hash, NULL, EVP_sha384(), NULL), 1);
    return hex_str(bytes_of(hash, sizeof(hash)));
}

static void keys_in_certificates_and_bundles_of_roots(void **state)
{
    (void)state;
    AUTO(pkey_drop) EVP_PKEY *key = EVP_EC_gen("P-384");
    AUTO(x509_drop) X509 *cert = make_cert(key);
    AUTO(free_str) char *digest = amd_digest(key);
    AUTO(buf_done) struct buf der = buf_new(CERT_MAX), text = buf_new(1 << 20);
    AUTO(json_drop) json_t *claims = NULL;
    AUTO(json_drop) json_t *p = snp_policy();
    struct err err = { 0 };
    char field[64];
    assert_int_equal(x509_put_der(cert, &der, &err), 0);
    assert_int_equal(json_parse(bytes_str(snp_claims), 1 << 20, &claims, &err), 0);
    json_object_set_new(json_object_get(claims, "sevsnp"), "sevsnp_authorkeydigest", json_string(digest));
    json_put(&text, claims, false);
    AUTO(free_str) char *signed_by = buf_take_str(&text);
    assert_int_equal(failures_of(p, signed_by, field), 1);
    json_object_set_new(json_object_get(p, "policy"), "trusted_author_keys",
                        json_pack("[o]", json_b64(buf_bytes(&der))));
    assert_int_equal(failures_of(p, signed_by, field), 0);

    BIO *bio = BIO_new(BIO_s_mem());
    char *pem = NULL;
    PEM_write_bio_X509(bio, cert);
    long n = BIO_get_mem_data(bio, &pem);
    json_object_set_new(json_object_get(p, "root_of_trust"), "cabundles",
                        json_pack("[o]", json_stringn(pem, (size_t)n)));
    BIO_free(bio);
    assert_int_equal(failures_of(p, signed_by, field), 1);
    assert_string_equal(field, "root_of_trust.cabundles");
    uint8_t hash[32];
    assert_int_equal(EVP_Digest(der.p, der.n, hash, NULL, EVP_sha256(), NULL), 1);
    json_object_set_new(json_object_get(claims, "sevsnp"), "sevsnp_root_sha256",
                        json_hex(bytes_of(hash, 32)));
    AUTO(buf_done) struct buf again = buf_new(1 << 20);
    json_put(&again, claims, false);
    AUTO(free_str) char *rooted = buf_take_str(&again);
    assert_int_equal(failures_of(p, rooted, field), 0);
}

static void what_a_tdx_policy_pins(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *v = tdx_policy();
    AUTO(cocos_drop) struct cocos_policy *p = NULL;
    struct err err = { 0 };
    assert_int_equal(parse(v, &p, &err), 0);
    assert_int_equal(cocos_kind_of(p), COCOS_TDX);
    assert_false(cocos_uses_pcrs(p));
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(cocos_rtmr(p, i).n, 48);
        assert_int_equal(cocos_rtmr(p, i).p[0], 7 + i);
    }
    assert_int_equal(cocos_rtmr(p, 4).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snp_fields_hold_or_not),
        cmocka_unit_test(tdx_fields_hold_or_not),
        cmocka_unit_test(changed_claims_fail),
        cmocka_unit_test(provisional_firmware),
        cmocka_unit_test(the_other_spelling),
        cmocka_unit_test(malformed_policies_name_the_place),
        cmocka_unit_test(texts_that_are_no_policies),
        cmocka_unit_test(keys_in_certificates_and_bundles_of_roots),
        cmocka_unit_test(what_a_tdx_policy_pins),
    };
    return cmocka_run_group_tests(tests, load_claims, drop_claims);
}
