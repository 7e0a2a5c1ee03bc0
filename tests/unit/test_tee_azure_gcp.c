/* HCL reports, their claims, and Google's instance extension: every cut, every bit, every limit. */
#include "evidence.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "base/json.h"
#include "tee/gcp_instance.h"
#include "tee/hcl_report.h"
#include "tee/snp_report.h"
#include "tee/tdreport.h"

#include <stdlib.h>

#define HCL_OLD "azure-snp/milan-v2-hcl-only-no-vcek/hcl_report.bin"
#define HCL_V2  "azure-snp/genoa-v3-report-vtpm/hcl_report.bin"
#define HCL_TD  "azure-tdx/hcl-only/hcl_report.bin"

static int parse(struct bytes raw, struct hcl_report *out)
{
    struct err err = { 0 };
    int rc = hcl_report_parse(raw, out, &err);
    assert_true(rc == 0 || ((err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE) && err.cause[0]));
    return rc;
}

static void hcl_every_cut(void **state)
{
    static const char *const files[] = { HCL_OLD, HCL_V2, HCL_TD };
    (void)state;
    skip_without_evidence();
    for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
        AUTO(sample_done) struct sample s = sample_load(files[f]);
        struct hcl_report h, whole;
        assert_int_equal(parse(sample_bytes(&s), &whole), 0);
        for (size_t n = 0; n < s.n; n++) {
            AUTO(free_u8) uint8_t *cut = heap_copy(s.p, n);
            assert_int_equal(parse(bytes_of(cut, n), &h), n < whole.report_size ? -1 : 0);
        }
    }
}

/* A turned bit is refused, or it is in the hardware report or in the claims; then the binding is broken. */
static void hcl_every_bit(void **state)
{
    static const char *const files[] = { HCL_V2, HCL_TD };
    static const size_t data_at[] = { [HCL_SNP] = SNP_OFF_REPORT_DATA, [HCL_TDX] = TDREPORT_OFF_REPORT_DATA };
    (void)state;
    skip_without_evidence();
    for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
        AUTO(sample_done) struct sample s = sample_load(files[f]);
        struct hcl_report h;
        uint8_t want[64];
        for (size_t bit = 0; bit < s.n * 8; bit++) {
            size_t at = bit / 8;
            s.p[at] ^= (uint8_t)(1u << bit % 8);
            if (parse(sample_bytes(&s), &h) == 0) {
                bool free_field = (at >= 12 && at < 16) || (at >= 20 && at < 32); /* request type, reserved */
                bool in_hw = at >= HCL_HEADER_SIZE && at < HCL_HEADER_SIZE + h.hw.n;
                bool in_claims = s.p + at >= h.var_data.p && s.p + at < h.var_data.p + h.var_data.n;
                bool hash_type = at >= 0x4CC && at < 0x4D0;
                assert_true(free_field || in_hw || in_claims || hash_type || at == 4 /* version 2 and 1 */
                            || (at >= 0x4C8 && at < 0x4CC));
                assert_int_equal(hcl_expected_report_data(&h, want, &(struct err){ 0 }), 0);
                if (in_claims || hash_type)
                    assert_memory_not_equal(want, h.hw.p + data_at[h.report_type], sizeof(want));
            }
            s.p[at] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

static void put_hcl(struct buf *b, uint32_t data_version, uint32_t hash_type, const char *claims)
{
    uint32_t n = (uint32_t)strlen(claims), header = data_version >= 2 ? 24 : 20;
    buf_str(b, HCL_SIGNATURE);
    buf_u32le(b, 2);
    buf_u32le(b, HCL_OFF_RUNTIME + header + n);
    buf_u32le(b, HCL_AK_CERTIFICATE);
    buf_fill(b, 0, 4 + 12 + HCL_HW_REPORT_SIZE);
    buf_u32le(b, header + n);
    buf_u32le(b, data_version);
    buf_u32le(b, HCL_VBS);
    buf_u32le(b, hash_type);
    buf_u32le(b, n);
    if (data_version >= 2)
        buf_u32le(b, 0xA5);
    buf_str(b, claims);
}

static void hcl_runtime_version_2_and_hashes(void **state)
{
    static const struct {
        uint32_t type;
        uint16_t alg;
    } hashes[] = { { HCL_SHA256, ALG_SHA256 }, { HCL_SHA384, ALG_SHA384 }, { HCL_SHA512, ALG_SHA512 } };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(hashes); i++) {
        for (uint32_t version = 1; version <= 2; version++) {
            AUTO(buf_done) struct buf b = buf_new(4096);
            AUTO(json_drop) json_t *json = NULL;
            struct hcl_report h;
            struct digest d;
            uint8_t want[64];
            put_hcl(&b, version, hashes[i].type, "{\"keys\":[]}");
            buf_fill(&b, 0, 100);
            assert_int_equal(parse(buf_bytes(&b), &h), 0);
            assert_true(bytes_equal(hcl_var_data(&h), bytes_str("{\"keys\":[]}")));
            assert_int_equal(h.has_host_requests, version == 2);
            assert_int_equal(h.host_requests, version == 2 ? 0xA5 : 0);
            assert_int_equal(digest_of(hashes[i].alg, h.var_data, &d, &(struct err){ 0 }), 0);
            assert_int_equal(hcl_expected_report_data(&h, want, &(struct err){ 0 }), 0);
            assert_memory_equal(want, d.b, d.n);
            assert_true(bytes_zero(bytes_of(want + d.n, sizeof(want) - d.n)));
            assert_int_equal(hcl_report_json(&h, &json, &(struct err){ 0 }), 0);
            assert_string_equal(json_string_value(json_object_get(json, "report_type_name")), "VBS");
            b.p[b.n - 1] = 1; /* padding that is none */
            assert_int_equal(parse(buf_bytes(&b), &h), -1);
        }
    }
    AUTO(buf_done) struct buf b = buf_new(4096);
    struct hcl_report h;
    put_hcl(&b, 3, HCL_SHA256, "{}");
    assert_int_equal(parse(buf_bytes(&b), &h), -1);
}

static void hcl_has_a_maximum(void **state)
{
    AUTO(buf_done) struct buf b = buf_new(HCL_REPORT_MAX + 1);
    struct hcl_report h;
    struct err err = { 0 };
    (void)state;
    put_hcl(&b, 1, HCL_SHA256, "{\"keys\":[]}");
    buf_fill(&b, 0, HCL_REPORT_MAX - b.n);
    assert_int_equal(parse(buf_bytes(&b), &h), 0);
    buf_u8(&b, 0);
    assert_int_equal(hcl_report_parse(buf_bytes(&b), &h, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
}

#define N2048                                                                                                \
    "mUK7fQAAxMMhSiP_"                                                                                       \
    "xj269XWom2ERwLxLMUwqtfY9qmfxXiFuh6QAExUl8Me7ofieF46xKlyUn8kZu7e4VkhvIgt1qTJwHya6ZAFFtrbrEmEEH9"         \
    "JdRSfQLbDqLjLAEoEvDxkGZFH5lE4Z_mgX3BH3WLtI9GzHYM-GUp7qRzQ2Epih5XGCQ11lpawlYZt6oEMJZJ7HqaDmplW4kmF1h9_"  \
    "Jap26Meh"                                                                                               \
    "EyLv741TLzB9oxHigovNtq7jqyaZqToZoICcFPnHcAzQNoHId7wvDZkHKlKFodGnRtFaCraRGuHqFnquGQbE-9zGw3N1wW_"        \
    "iDrZl24oRhTZa"                                                                                          \
    "PWa4hnIG8snUpKQ"
#define KEY(kty, n, e)                                                                                       \
    "{\"keys\":[{\"kid\":\"HCLAkPub\",\"kty\":\"" kty "\",\"n\":\"" n "\",\"e\":\"" e "\"}]}"

static void claims_are_read_strictly(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[1]}",
        "{\"keys\":[{}]}",
        "{\"keys\":[{\"kid\":\"a\"},{\"kid\":\"a\"}]}",
        "{\"keys\":[],\"keys\":[]}",
        "{\"keys\":[]}x",
        "{\"keys\":[],\"vm-configuration\":[]}",
        "{\"keys\":[],\"user-data\":\"00\"}",
        "{\"keys\":[],\"user-data\":7}",
    };
    struct hcl_claims c = { 0 };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err err = { 0 };
        if (hcl_claims_parse(bytes_str(bad[i]), &c, &err) == 0)
            fail_msg("accepted %s", bad[i]);
        assert_int_equal(err.kind, ERR_INPUT);
        assert_null(c.root);
    }
}

static void claims_have_a_maximum_of_keys(void **state)
{
    (void)state;
    for (size_t n = HCL_KEYS_MAX; n <= HCL_KEYS_MAX + 1; n++) {
        AUTO(hcl_claims_done) struct hcl_claims c = { 0 };
        AUTO(buf_done) struct buf b = buf_new(4096);
        buf_str(&b, "{\"keys\":[");
        for (size_t i = 0; i < n; i++)
            buf_printf(&b, "%s{\"kid\":\"k%zu\"}", i ? "," : "", i);
        buf_str(&b, "]}");
        assert_int_equal(hcl_claims_parse(buf_bytes(&b), &c, &(struct err){ 0 }), n == HCL_KEYS_MAX ? 0 : -1);
    }
}

static void keys_that_are_none(void **state)
{
    static const struct {
        const char *claims;
        enum err_kind kind;
    } cases[] = {
        { KEY("RSA", N2048, "AQAB"), ERR_NONE },
        { "{\"keys\":[{\"kid\":\"HCLEkPub\"}]}", ERR_NOT_FOUND },
        { KEY("EC", N2048, "AQAB"), ERR_INPUT },
        { KEY("RSA", "mUK7", "AQAB"), ERR_INPUT },    /* short */
        { KEY("RSA", "A" N2048, "AQAB"), ERR_INPUT }, /* length no base64 */
        { KEY("RSA", N2048, "AQAA"), ERR_INPUT },     /* even */
        { KEY("RSA", N2048, "AQ"), ERR_INPUT },       /* 1 */
        { KEY("RSA", N2048, ""), ERR_INPUT },
        { KEY("RSA", N2048, "AQAAAAAB"), ERR_TOO_LARGE }, /* six bytes */
        { KEY("RSA", N2048, "A?AB"), ERR_INPUT },
        { "{\"keys\":[{\"kid\":\"HCLAkPub\",\"kty\":\"RSA\"}]}", ERR_INPUT },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(hcl_claims_done) struct hcl_claims c = { 0 };
        AUTO(buf_done) struct buf spki = buf_new(4096);
        struct err err = { 0 };
        assert_int_equal(hcl_claims_parse(bytes_str(cases[i].claims), &c, &err), 0);
        int rc = hcl_key_spki(&c, HCL_KEY_AK, &spki, &err);
        if (rc != (cases[i].kind == ERR_NONE ? 0 : -1) || err.kind != cases[i].kind)
            fail_msg("%s: %d, %s", cases[i].claims, rc, err.cause);
        assert_int_equal(spki.n != 0, rc == 0);
    }
}

static void old_claims_have_no_user_data(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load(HCL_OLD);
    AUTO(hcl_claims_done) struct hcl_claims c = { 0 };
    struct hcl_report h;
    struct err err = { 0 };
    uint8_t data[HCL_USER_DATA];
    assert_int_equal(parse(sample_bytes(&s), &h), 0);
    assert_int_equal(hcl_claims_parse(h.var_data, &c, &err), 0);
    assert_int_equal(hcl_user_data(&c, data, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
}

/* ---- Google's instance extension ---- */

/* From the manifest: gcp-snp/vtpm-33-byte-nonce, gce_instance_extension_der. */
static struct sample gce_extension(void)
{
    json_t *manifest = NULL, *c;
    struct sample out = { 0 };
    size_t i;
    AUTO(sample_done) struct sample text = sample_load("manifest.json");
    AUTO(buf_done) struct buf der = buf_new(4096);
    assert_int_equal(json_parse(sample_bytes(&text), 1u << 20, &manifest, &(struct err){ 0 }), 0);
    json_array_foreach(json_object_get(manifest, "cases"), i, c)
    {
        const char *hex =
            json_string_value(json_object_get(json_object_get(c, "facts"), "gce_instance_extension_der"));
        if (hex)
            assert_int_equal(hex_decode(bytes_str(hex), &der, &(struct err){ 0 }), 0);
    }
    json_decref(manifest);
    assert_true(der.n > 100);
    out.p = heap_copy(der.p, der.n);
    out.n = der.n;
    return out;
}

/* Values read off the DER by openssl asn1parse. */
static void gcp_reads_both_certificates(void **state)
{
    static const struct {
        const char *file, *name;
        uint64_t id;
    } certs[] = {
        { "gcp-snp/vtpm-33-byte-nonce/ak_cert.der", "onchain-snp-test", UINT64_C(0x3C634D44B600DB4E) },
        { "gcp-tdx/ak-cert-chain/ak_cert.der", "chenye-tdx-agent-test", UINT64_C(3982509497748166191) },
    };
    (void)state;
    skip_without_evidence();
    for (size_t i = 0; i < ARRAY_SIZE(certs); i++) {
        AUTO(sample_done) struct sample s = sample_load(certs[i].file);
        AUTO(x509_drop) X509 *cert = NULL;
        AUTO(json_drop) json_t *json = NULL;
        struct gcp_instance g;
        assert_int_equal(x509_parse(sample_bytes(&s), &cert, &(struct err){ 0 }), 0);
        assert_int_equal(gcp_instance_parse(cert, &g, &(struct err){ 0 }), 0);
        assert_string_equal(g.zone, "asia-southeast1-b");
        assert_true(g.project_number == UINT64_C(0x3498CAAC51));
        assert_string_equal(g.project_id, "exh-pom-sdk-test-428906");
        assert_true(g.instance_id == certs[i].id);
        assert_string_equal(g.instance_name, certs[i].name);
        assert_true(g.has_security && g.security_version == 0 && g.is_production
                    && g.tpm_data_always_encrypted);
        assert_true(!g.suspend_resume_always_disabled && !g.vmtd_always_disabled && !g.always_in_yarn);
        assert_int_equal(gcp_instance_json(&g, &json, &(struct err){ 0 }), 0);
        assert_string_equal(json_string_value(json_object_get(json, "project_number")), "225901718609");
    }
    AUTO(sample_done) struct sample ca = sample_load("gcp-tdx/ak-cert-chain/ak_root.der");
    AUTO(x509_drop) X509 *cert = NULL;
    struct gcp_instance g;
    struct err err = { 0 };
    assert_int_equal(x509_parse(sample_bytes(&ca), &cert, &err), 0);
    assert_int_equal(gcp_instance_parse(cert, &g, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
}

static void gcp_every_cut_and_bit(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = gce_extension();
    struct gcp_instance good = { 0 }, g;
    assert_int_equal(gcp_extension_parse(sample_bytes(&s), &good, &(struct err){ 0 }), 0);
    for (size_t n = 0; n < s.n; n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(s.p, n);
        assert_int_equal(gcp_extension_parse(bytes_of(cut, n), &g, &(struct err){ 0 }), -1);
    }
    for (size_t bit = 0; bit < s.n * 8; bit++) {
        s.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        memset(&g, 0, sizeof(g));
        if (gcp_extension_parse(sample_bytes(&s), &g, &(struct err){ 0 }) == 0)
            assert_memory_not_equal(&g, &good, sizeof(g));
        s.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void gcp_shapes(void **state)
{
#define FIVE                                                                                                 \
    "0c017a"                                                                                                 \
    "020101"                                                                                                 \
    "0c0170"                                                                                                 \
    "020102"                                                                                                 \
    "0c016e"
    static const struct {
        const char *hex;
        int rc;
    } cases[] = {
        { "300f" FIVE, 0 },                      /* no security properties */
        { "3013" FIVE "a0023000", 0 },           /* none of them set */
        { "3018" FIVE "a0073005a1030101ff", 0 }, /* one of them */
        { "3011" FIVE "a000", -1 },              /* an empty tag */
        { "3018" FIVE "a0073005a1030101"
          "01",
          -1 },                                             /* a BOOLEAN that is not DER */
        { "3018" FIVE "a0073005a6030101ff", -1 },           /* a member that nobody knows */
        { "301d" FIVE "a00c300aa2030101ffa1030101ff", -1 }, /* out of order */
        { "300f"
          "16017a"
          "020101"
          "0c0170"
          "020102"
          "0c016e",
          -1 }, /* IA5String */
        { "300f"
          "0c017a"
          "0201ff"
          "0c0170"
          "020102"
          "0c016e",
          -1 }, /* negative */
        { "300f"
          "0c010a"
          "020101"
          "0c0170"
          "020102"
          "0c016e",
          -1 },                     /* a control character */
        { "300f" FIVE "00", -1 },   /* trailing byte */
        { "30810f" FIVE, -1 },      /* not the shortest length */
        { "3080" FIVE "0000", -1 }, /* indefinite length */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(buf_done) struct buf der = buf_new(256);
        struct gcp_instance g;
        assert_int_equal(hex_decode(bytes_str(cases[i].hex), &der, &(struct err){ 0 }), 0);
        if (gcp_extension_parse(buf_bytes(&der), &g, &(struct err){ 0 }) != cases[i].rc)
            fail_msg("%s: want %d", cases[i].hex, cases[i].rc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hcl_every_cut),
        cmocka_unit_test(hcl_every_bit),
        cmocka_unit_test(hcl_runtime_version_2_and_hashes),
        cmocka_unit_test(hcl_has_a_maximum),
        cmocka_unit_test(claims_are_read_strictly),
        cmocka_unit_test(claims_have_a_maximum_of_keys),
        cmocka_unit_test(keys_that_are_none),
        cmocka_unit_test(old_claims_have_no_user_data),
        cmocka_unit_test(gcp_reads_both_certificates),
        cmocka_unit_test(gcp_every_cut_and_bit),
        cmocka_unit_test(gcp_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
