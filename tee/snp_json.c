#include "base/auto.h"
#include "tee/json_fields.h"
#include "tee/snp_report.h"

#include <stdio.h>

json_t *snp_tcb_json(const struct snp_tcb *tcb)
{
    AUTO(json_drop) json_t *o = json_object();
    if (!json_set(o, "bootloader", json_integer(tcb->bootloader))
        || !json_set(o, "tee", json_integer(tcb->tee)) || !json_set(o, "snp", json_integer(tcb->snp))
        || !json_set(o, "microcode", json_integer(tcb->microcode))
        || (tcb->has_fmc && !json_set(o, "fmc", json_integer(tcb->fmc))))
        return NULL;
    return MOVE(o);
}

json_t *snp_policy_json(uint64_t policy)
{
    static const struct json_bit bits[] = {
        { "smt", SNP_POLICY_SMT },
        { "reserved_one", SNP_POLICY_RESERVED_ONE },
        { "migrate_ma", SNP_POLICY_MIGRATE_MA },
        { "debug", SNP_POLICY_DEBUG },
        { "single_socket", SNP_POLICY_SINGLE_SOCKET },
        { "cxl_allow", SNP_POLICY_CXL_ALLOW },
        { "mem_aes_256_xts", SNP_POLICY_MEM_AES_256_XTS },
        { "rapl_dis", SNP_POLICY_RAPL_DIS },
        { "ciphertext_hiding_dram", SNP_POLICY_CIPHERTEXT_HIDING_DRAM },
        { "page_swap_disable", SNP_POLICY_PAGE_SWAP_DISABLE },
    };
    AUTO(json_drop) json_t *o = json_object();
    if (!json_set(o, "abi_major", json_integer((uint8_t)(policy >> 8)))
        || !json_set(o, "abi_minor", json_integer((uint8_t)policy))
        || !json_set_bits(o, bits, ARRAY_SIZE(bits), policy))
        return NULL;
    return MOVE(o);
}

json_t *snp_platform_info_json(uint64_t platform_info)
{
    static const struct json_bit bits[] = {
        { "smt_en", SNP_PLATFORM_SMT_EN },
        { "tsme_en", SNP_PLATFORM_TSME_EN },
        { "ecc_en", SNP_PLATFORM_ECC_EN },
        { "rapl_dis", SNP_PLATFORM_RAPL_DIS },
        { "ciphertext_hiding_dram_en", SNP_PLATFORM_CIPHERTEXT_HIDING_DRAM_EN },
        { "alias_check_complete", SNP_PLATFORM_ALIAS_CHECK_COMPLETE },
        { "tio_en", SNP_PLATFORM_TIO_EN },
    };
    AUTO(json_drop) json_t *o = json_object();
    return json_set_bits(o, bits, ARRAY_SIZE(bits), platform_info) ? MOVE(o) : NULL;
}

#define AT(member) offsetof(struct snp_report, member)

/* In the order of the vendor's table, around the members that are not plain fields. */
static const struct json_field head_fields[] = {
    { "version", JSON_FIELD_U32, AT(version) },
    { "guest_svn", JSON_FIELD_U32, AT(guest_svn) },
    { "policy", JSON_FIELD_U64_HEX, AT(policy) },
    { "family_id", JSON_FIELD_BYTES, AT(family_id) },
    { "image_id", JSON_FIELD_BYTES, AT(image_id) },
    { "vmpl", JSON_FIELD_U32, AT(vmpl) },
    { "signature_algo", JSON_FIELD_U32, AT(signature_algo) },
    { "platform_info", JSON_FIELD_U64_HEX, AT(platform_info) },
    { "flags", JSON_FIELD_U32, AT(flags) },
    { "author_key_en", JSON_FIELD_BOOL, AT(author_key_en) },
    { "mask_chip_key", JSON_FIELD_BOOL, AT(mask_chip_key) },
    { "report_data", JSON_FIELD_BYTES, AT(report_data) },
    { "measurement", JSON_FIELD_BYTES, AT(measurement) },
    { "host_data", JSON_FIELD_BYTES, AT(host_data) },
    { "id_key_digest", JSON_FIELD_BYTES, AT(id_key_digest) },
    { "author_key_digest", JSON_FIELD_BYTES, AT(author_key_digest) },
    { "report_id", JSON_FIELD_BYTES, AT(report_id) },
    { "report_id_ma", JSON_FIELD_BYTES, AT(report_id_ma) },
    { "chip_id", JSON_FIELD_BYTES, AT(chip_id) },
};

static const struct json_field cpuid_fields[] = {
    { "cpuid_fam_id", JSON_FIELD_U8, AT(cpuid_fam_id) },
    { "cpuid_mod_id", JSON_FIELD_U8, AT(cpuid_mod_id) },
    { "cpuid_step", JSON_FIELD_U8, AT(cpuid_step) },
}, cpuid_fms_fields[] = {
    { "family", JSON_FIELD_U8, AT(cpuid_fam_id) },
    { "model", JSON_FIELD_U8, AT(cpuid_mod_id) },
    { "stepping", JSON_FIELD_U8, AT(cpuid_step) },
};

static const struct json_field version_fields[] = {
    { "current_build", JSON_FIELD_U8, AT(current.build) },
    { "current_minor", JSON_FIELD_U8, AT(current.minor) },
    { "current_major", JSON_FIELD_U8, AT(current.major) },
    { "committed_build", JSON_FIELD_U8, AT(committed.build) },
    { "committed_minor", JSON_FIELD_U8, AT(committed.minor) },
    { "committed_major", JSON_FIELD_U8, AT(committed.major) },
};

static const struct json_field mit_fields[] = {
    { "launch_mit_vector", JSON_FIELD_U64_HEX, AT(launch_mit_vector) },
    { "current_mit_vector", JSON_FIELD_U64_HEX, AT(current_mit_vector) },
};

static const struct json_field tail_fields[] = {
    { "signature_r", JSON_FIELD_BYTES, AT(signature_r) },
    { "signature_s", JSON_FIELD_BYTES, AT(signature_s) },
    { "reserved_zero", JSON_FIELD_BOOL, AT(reserved_zero) },
};

static const struct {
    const char *name, *raw_name;
    size_t at;
} tcbs[] = {
    { "current_tcb", "current_tcb_raw", AT(current_tcb) },
    { "reported_tcb", "reported_tcb_raw", AT(reported_tcb) },
    { "committed_tcb", "committed_tcb_raw", AT(committed_tcb) },
    { "launch_tcb", "launch_tcb_raw", AT(launch_tcb) },
};

static bool set_tcbs(json_t *o, const struct snp_report *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(tcbs); i++) {
        const struct bytes *raw = (const void *)((const char *)r + tcbs[i].at);
        struct snp_tcb tcb = snp_tcb_decode(r->product, *raw);
        if (!json_set(o, tcbs[i].name, snp_tcb_json(&tcb)) || !json_set(o, tcbs[i].raw_name, json_hex(*raw)))
            return false;
    }
    return true;
}

static json_t *version_text(struct snp_version v)
{
    char text[16];
    snprintf(text, sizeof(text), "%u.%u.%u", v.major, v.minor, v.build);
    return json_string(text);
}

static json_t *big_endian(struct bytes scalar)
{
    uint8_t turned[SNP_SCALAR_SIZE];
    for (size_t i = 0; i < sizeof(turned); i++)
        turned[i] = scalar.p[sizeof(turned) - 1 - i];
    return json_hex(bytes_of(turned, sizeof(turned)));
}

static bool set_cpuid(json_t *o, const struct snp_report *r)
{
    AUTO(json_drop) json_t *fms = json_object();
    if (!r->has_cpuid)
        return true;
    return json_set_fields(o, cpuid_fields, ARRAY_SIZE(cpuid_fields), r)
           && json_set_fields(fms, cpuid_fms_fields, ARRAY_SIZE(cpuid_fms_fields), r)
           && json_set(o, "cpuid_fms", MOVE(fms));
}

static bool set_signature(json_t *o, const struct snp_report *r)
{
    AUTO(json_drop) json_t *sig = json_object();
    return json_set_fields(o, tail_fields, ARRAY_SIZE(tail_fields), r)
           && json_set(sig, "r", big_endian(r->signature_r)) && json_set(sig, "s", big_endian(r->signature_s))
           && json_set(o, "signature", MOVE(sig));
}

int snp_report_json(const struct snp_report *r, json_t **out, struct err *err)
{
    json_t *o = json_object();
    bool done = json_set(o, "type", json_string("snp_report"))
                && json_set_fields(o, head_fields, ARRAY_SIZE(head_fields), r)
                && json_set(o, "sig_algo", json_integer(r->signature_algo))
                && json_set(o, "key_info", json_hex_u64(r->flags))
                && json_set(o, "signing_key", json_string(snp_signing_key_name(r->signing_key)))
                && set_tcbs(o, r) && set_cpuid(o, r)
                && json_set_fields(o, version_fields, ARRAY_SIZE(version_fields), r)
                && json_set(o, "current_version", version_text(r->current))
                && json_set(o, "committed_version", version_text(r->committed))
                && (!r->has_mit_vectors || json_set_fields(o, mit_fields, ARRAY_SIZE(mit_fields), r))
                && set_signature(o, r) && json_set(o, "product", json_string(snp_product_name(r->product)))
                && json_set(o, "policy_decoded", snp_policy_json(r->policy))
                && json_set(o, "platform_info_decoded", snp_platform_info_json(r->platform_info));
    return json_finish(o, done, out, err);
}
