/* SNP policies: reading. Values: docs/policies.md, from check.proto of go-sev-guest. */
#include "base/auto.h"
#include "policy/cocos_internal.h"
#include "policy/cocos_snp_bits.h"

#include <stdlib.h>

const struct cocos_field cocos_snp_fields[COCOS_SNP_FIELDS] = {
    [SNP_FAMILY_ID] = { "family_id", "sevsnp_familyId", 16 },
    [SNP_IMAGE_ID] = { "image_id", "sevsnp_imageId", 16 },
    [SNP_REPORT_DATA] = { "report_data", "sevsnp_reportdata", 64 },
    [SNP_HOST_DATA] = { "host_data", "sevsnp_hostdata", 32 },
    [SNP_MEASUREMENT] = { "measurement", "sevsnp_launchmeasurement", 48 },
    [SNP_REPORT_ID] = { "report_id", "sevsnp_reportid", 32 },
    [SNP_REPORT_ID_MA] = { "report_id_ma", "sevsnp_reportid_ma", 32 },
    [SNP_CHIP_ID] = { "chip_id", "sevsnp_chipid", 64 },
};

static const struct {
    const char *line, *enum_name;
} products[] = {
    { NULL, "SEV_PRODUCT_UNKNOWN" },
    { "Milan", "SEV_PRODUCT_MILAN" },
    { "Genoa", "SEV_PRODUCT_GENOA" },
    { "Turin", "SEV_PRODUCT_TURIN" },
};

/* "1.55"; each part 0..255. */
static int read_version(const struct cocos_object *o, uint32_t *out, struct err *err)
{
    const char *text, *at;
    uint32_t part[2];
    if (cocos_text(o, "minimum_version", &text, err) < 0)
        return -1;
    if (!text)
        return 0;
    at = text;
    for (int i = 0; i < 2; i++) {
        size_t n = strspn(at, "0123456789");
        part[i] = n && n <= 3 ? (uint32_t)strtoul(at, NULL, 10) : 256;
        at += n;
        if (part[i] > 255 || *at != (i ? '\0' : '.'))
            return cocos_bad(err, o, "minimum_version",
                             "want MAJOR.MINOR with each from 0 to 255, like \"1.55\"");
        at++;
    }
    *out = part[0] << 8 | part[1];
    return 0;
}

static int read_numbers(const struct cocos_object *o, struct cocos_snp *out, struct err *err)
{
    uint64_t vmpl = 0;
    if (cocos_number(o, "policy", UINT64_MAX, &out->policy, NULL, err) < 0
        || cocos_number(o, "minimum_tcb", UINT64_MAX, &out->minimum_tcb, NULL, err) < 0
        || cocos_number(o, "minimum_launch_tcb", UINT64_MAX, &out->minimum_launch_tcb, NULL, err) < 0
        || cocos_number32(o, "minimum_guest_svn", UINT32_MAX, &out->minimum_guest_svn, err) < 0
        || cocos_number32(o, "minimum_build", 255, &out->minimum_build, err) < 0
        || cocos_number(o, "platform_info", UINT64_MAX, &out->platform_info, &out->has_platform_info, err) < 0
        || cocos_number(o, "vmpl", 3, &vmpl, &out->has_vmpl, err) < 0
        || read_version(o, &out->minimum_version, err) < 0)
        return -1;
    out->vmpl = (uint32_t)vmpl;
    const char *why = snp_policy_malformed(out->policy);
    if (why)
        return cocos_bad(err, o, "policy", "%#" PRIx64 " is no guest policy: %s", out->policy, why);
    why = out->has_platform_info ? snp_platform_malformed(out->platform_info) : NULL;
    return why ? cocos_bad(err, o, "platform_info", "%#" PRIx64 ": %s", out->platform_info, why) : 0;
}

static int read_keys(const struct cocos_object *o, struct cocos_snp *out, struct err *err)
{
    if (cocos_bool(o, "require_author_key", &out->require_author_key, err) < 0
        || cocos_bool(o, "require_id_block", &out->require_id_block, err) < 0
        || cocos_hexes(o, "trusted_author_key_hashes", 48, &out->author_keys, err) < 0
        || cocos_hexes(o, "trusted_id_key_hashes", 48, &out->id_keys, err) < 0
        || cocos_amd_keys(o, "trusted_author_keys", &out->author_keys, err) < 0)
        return -1;
    return cocos_amd_keys(o, "trusted_id_keys", &out->id_keys, err);
}

static int read_line(const struct cocos_object *trust, const char *name, const char **out, struct err *err)
{
    const char *text;
    if (cocos_text(trust, name, &text, err) < 0)
        return -1;
    if (!text)
        return 0;
    for (size_t i = 1; i < ARRAY_SIZE(products); i++) {
        if (strcmp(products[i].line, text) != 0)
            continue;
        if (*out && strcmp(*out, text) != 0)
            return cocos_bad(err, trust, name, "product and product_line disagree");
        *out = products[i].line;
        return 0;
    }
    return cocos_bad(err, trust, name, "want Milan, Genoa or Turin");
}

/* By number or name; 0 says nothing. */
static int read_product_name(const struct cocos_object *o, const char **out, struct err *err)
{
    const json_t *v;
    uint64_t number = 0;
    if (cocos_member(o, "name", &v, err) < 0)
        return -1;
    for (size_t i = 0; json_is_string(v) && i < ARRAY_SIZE(products); i++) {
        if (!strcmp(products[i].enum_name, json_string_value(v))) {
            *out = products[i].line;
            return 0;
        }
    }
    if (cocos_number(o, "name", ARRAY_SIZE(products) - 1, &number, NULL, err) < 0)
        return cocos_bad(err, o, "name", "want a product by number (1 Milan, 2 Genoa, 3 Turin) or name");
    *out = products[number].line;
    return 0;
}

static int read_product(const struct cocos_object *policy, const struct cocos_object *trust,
                        struct cocos_snp *out, struct err *err)
{
    struct cocos_object o;
    const char *line = NULL;
    uint64_t stepping = 0, old = 0;
    if (cocos_inner(policy, "product", "policy.product", &o, err) < 0
        || read_product_name(&o, &out->product, err) < 0
        || cocos_number(&o, "machine_stepping", 15, &stepping, &out->has_stepping, err) < 0
        || cocos_number(&o, "stepping", UINT32_MAX, &old, NULL, err) < 0
        || read_line(trust, "product", &line, err) < 0 || read_line(trust, "product_line", &line, err) < 0)
        return -1;
    out->stepping = (uint32_t)stepping;
    if (!out->product)
        out->product = line;
    else if (line && strcmp(line, out->product) != 0)
        return cocos_bad(err, trust, "product_line", "%s, and policy.product is %s", line, out->product);
    return 0;
}

int cocos_snp_parse(const json_t *root, const struct cocos_files *files, struct cocos_policy *out,
                    struct err *err)
{
    const struct cocos_object whole = { root, "" };
    struct cocos_object policy, trust;
    struct cocos_snp *s = &out->snp;
    bool no_network;
    if (cocos_inner(&whole, "policy", "policy", &policy, err) < 0
        || cocos_inner(&whole, "root_of_trust", "root_of_trust", &trust, err) < 0
        || read_numbers(&policy, s, err) < 0)
        return -1;
    for (size_t i = 0; i < COCOS_SNP_FIELDS; i++)
        if (cocos_hex(&policy, cocos_snp_fields[i].name, cocos_snp_fields[i].size, &s->field[i], err) < 0)
            return -1;
    if (cocos_bool(&policy, "permit_provisional_firmware", &s->permit_provisional_firmware, err) < 0
        || read_keys(&policy, s, err) < 0 || read_product(&policy, &trust, s, err) < 0
        || cocos_bool(&trust, "check_crl", &s->check_crl, err) < 0
        || cocos_bool(&trust, "disallow_network", &no_network, err) < 0
        || cocos_roots_parse(&trust, files, &out->roots, err) < 0)
        return -1;
    return cocos_pcrs_parse(root, out->bank, err);
}
