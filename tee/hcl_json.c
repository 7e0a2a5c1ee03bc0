#include "base/auto.h"
#include "tee/hcl_report.h"
#include "tee/json_fields.h"
#include "tee/snp_report.h"
#include "tee/tdreport.h"

#define AT(member) offsetof(struct hcl_report, member)

static const struct json_field fields[] = {
    { "version", JSON_FIELD_U32, AT(version) },
    { "report_size", JSON_FIELD_U32, AT(report_size) },
    { "request_type", JSON_FIELD_U32, AT(request_type) },
    { "status", JSON_FIELD_U32, AT(status) },
    { "runtime_data_size", JSON_FIELD_U32, AT(data_size) },
    { "runtime_data_version", JSON_FIELD_U32, AT(data_version) },
    { "report_type", JSON_FIELD_U32, AT(report_type) },
    { "hash_type", JSON_FIELD_U32, AT(hash_type) },
};

static int snp_json(struct bytes hw, json_t **out, struct err *err)
{
    struct snp_report report;
    return snp_report_parse(hw, &report, err) < 0 ? -1 : snp_report_json(&report, out, err);
}

static int td_json(struct bytes hw, json_t **out, struct err *err)
{
    struct tdreport report;
    return tdreport_parse(hw, &report, err) < 0 ? -1 : tdreport_json(&report, out, err);
}

static const struct {
    const char *key;
    int (*decode)(struct bytes hw, json_t **out, struct err *err);
} hardware[] = { [HCL_SNP] = { "snp_report", snp_json }, [HCL_TDX] = { "tdreport", td_json } };

static bool set_hardware(json_t *o, const struct hcl_report *h)
{
    struct err why = { 0 };
    json_t *decoded = NULL;
    uint32_t t = h->report_type;
    if (t >= ARRAY_SIZE(hardware) || !hardware[t].decode)
        return json_set(o, "hw_report", json_hex(h->hw));
    if (hardware[t].decode(h->hw, &decoded, &why) == 0)
        return json_set(o, hardware[t].key, decoded);
    return json_set(o, hardware[t].key, json_null())
           && json_set(o, "hw_report_error", json_text(bytes_str(why.cause)));
}

static bool set_ak(json_t *o, const struct hcl_claims *c)
{
    AUTO(buf_done) struct buf spki = buf_new(HCL_REPORT_MAX);
    struct err ignored = { 0 };
    return json_set(o, "ak_pub",
                    hcl_key_spki(c, HCL_KEY_AK, &spki, &ignored) < 0 ? json_null()
                                                                     : json_hex(buf_bytes(&spki)));
}

static bool set_claims(json_t *o, const struct hcl_report *h)
{
    AUTO(hcl_claims_done) struct hcl_claims c = { 0 };
    struct err why = { 0 };
    if (hcl_claims_parse(h->var_data, &c, &why) < 0)
        return json_set(o, "runtime_data", json_null())
               && json_set(o, "runtime_data_error", json_text(bytes_str(why.cause)));
    return json_set(o, "runtime_data", json_incref(c.root))
           && json_set(o, "vm_configuration",
                       c.vm_configuration ? json_incref(c.vm_configuration) : json_null())
           && json_set(o, "user_data",
                       c.has_user_data ? json_hex(bytes_of(c.user_data, HCL_USER_DATA)) : json_null())
           && set_ak(o, &c);
}

int hcl_report_json(const struct hcl_report *h, json_t **out, struct err *err)
{
    json_t *o = json_object();
    bool done = json_set(o, "type", json_string("hcl_report"))
                && json_set_fields(o, fields, ARRAY_SIZE(fields), h)
                && json_set(o, "report_type_name", json_string(hcl_report_type_name(h->report_type)))
                && json_set(o, "hash_type_name", json_string(hcl_hash_type_name(h->hash_type)))
                && (!h->has_host_requests || json_set(o, "host_requests", json_integer(h->host_requests)))
                && json_set(o, "var_data_size", json_integer((json_int_t)h->var_data.n))
                && json_set(o, "total_len", json_integer((json_int_t)h->total_len)) && set_hardware(o, h)
                && set_claims(o, h);
    return json_finish(o, done, out, err);
}
