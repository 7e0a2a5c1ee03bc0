#include "cocos_rig.h"

#include <stdlib.h>
#include <string.h>

char *snp_claims, *tdx_claims;
static char *load(const char *path)
{
    struct sample s = sample_load_path(path);
    char *text = strndup((const char *)s.p, s.n);
    sample_done(&s);
    return text;
}

int load_claims(void **state)
{
    (void)state;
    snp_claims = load(CVM_TEST_DATA "/claims/snp.json");
    tdx_claims = load(CVM_TEST_DATA "/claims/tdx.json");
    return snp_claims && tdx_claims ? 0 : -1;
}

int drop_claims(void **state)
{
    (void)state;
    free(snp_claims);
    free(tdx_claims);
    return 0;
}

/* 'n' bytes of one value, in base64. */
static json_t *b64_of(uint8_t byte, size_t n)
{
    uint8_t raw[64];
    memset(raw, byte, sizeof(raw));
    return json_b64(bytes_of(raw, n));
}

json_t *snp_policy(void)
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

json_t *tdx_policy(void)
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

void set(json_t *root, const char *path, const char *text)
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

int parse(json_t *v, struct cocos_policy **out, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(4 << 20);
    json_wide_put(&text, v);
    assert_false(text.failed);
    return cocos_parse(buf_bytes(&text), NULL, out, err);
}

size_t failures_of(json_t *policy, const char *claims_text, char field[static 64])
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
