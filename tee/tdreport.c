#include "tee/tdreport.h"

#include "base/auto.h"
#include "base/digest.h"
#include "tee/json_fields.h"

static bool take_mac_struct(struct reader *r, struct tdreport *t)
{
    return rd_u8(r, &t->report_type) && rd_u8(r, &t->subtype) && rd_u8(r, &t->version) && rd_skip(r, 13)
           && rd_take(r, 16, &t->cpu_svn) && rd_take(r, 48, &t->tee_tcb_info_hash)
           && rd_take(r, 48, &t->tdinfo_hash) && rd_take(r, 64, &t->body.report_data) && rd_skip(r, 32)
           && rd_take(r, 32, &t->mac);
}

static bool take_tcb_info(struct bytes info, struct tdreport *t)
{
    struct reader r = reader_of(info);
    return rd_take(&r, 8, &t->valid) && rd_take(&r, 16, &t->body.tee_tcb_svn)
           && rd_take(&r, 48, &t->body.mr_seam) && rd_take(&r, 48, &t->body.mr_signer_seam)
           && rd_take(&r, 8, &t->body.seam_attributes) && rd_take(&r, 16, &t->body.tee_tcb_svn_2);
}

static bool take_tdinfo(struct bytes info, struct tdreport *t)
{
    struct reader r = reader_of(info);
    struct tdx_body *b = &t->body;
    return rd_take(&r, 8, &b->td_attributes) && rd_take(&r, 8, &b->xfam) && rd_take(&r, 48, &b->mr_td)
           && rd_take(&r, 48, &b->mr_config_id) && rd_take(&r, 48, &b->mr_owner)
           && rd_take(&r, 48, &b->mr_owner_config) && rd_take(&r, 48, &b->rtmr[0])
           && rd_take(&r, 48, &b->rtmr[1]) && rd_take(&r, 48, &b->rtmr[2]) && rd_take(&r, 48, &b->rtmr[3])
           && rd_take(&r, 48, &b->mr_service_td);
}

int tdreport_parse(struct bytes raw, struct tdreport *out, struct err *err)
{
    struct reader r = reader_of(raw);
    struct tdreport t = { .raw = raw };
    if (raw.n != TDREPORT_SIZE)
        return err_set(err, ERR_INPUT, 0, "a TDREPORT has %d bytes, not %zu", TDREPORT_SIZE, raw.n);
    if (!take_mac_struct(&r, &t) || !rd_take(&r, TDREPORT_TCB_INFO_SIZE, &t.tee_tcb_info)
        || !rd_skip(&r, TDREPORT_OFF_TDINFO - TDREPORT_OFF_TCB_INFO - TDREPORT_TCB_INFO_SIZE)
        || !rd_take(&r, TDREPORT_TDINFO_SIZE, &t.tdinfo) || !take_tcb_info(t.tee_tcb_info, &t)
        || !take_tdinfo(t.tdinfo, &t))
        return err_set(err, ERR_INPUT, 0, "TDREPORT cut short at offset %zu", r.off);
    t.is_tdx = t.report_type == TDREPORT_TYPE_TDX && t.subtype == 0 && t.version <= TDREPORT_VERSION_MAX;
    *out = t;
    return 0;
}

bool tdreport_consistent(const struct tdreport *report)
{
    uint8_t tcb[48], td[48];
    sha384(report->tee_tcb_info, tcb);
    sha384(report->tdinfo, td);
    return bytes_equal(bytes_of(tcb, sizeof(tcb)), report->tee_tcb_info_hash)
           && bytes_equal(bytes_of(td, sizeof(td)), report->tdinfo_hash);
}

#define AT(member) offsetof(struct tdreport, member)

static const struct json_field fields[] = {
    { "report_type", JSON_FIELD_U8, AT(report_type) },
    { "report_subtype", JSON_FIELD_U8, AT(subtype) },
    { "version", JSON_FIELD_U8, AT(version) },
    { "is_tdx", JSON_FIELD_BOOL, AT(is_tdx) },
    { "cpu_svn", JSON_FIELD_BYTES, AT(cpu_svn) },
    { "tee_tcb_info_hash", JSON_FIELD_BYTES, AT(tee_tcb_info_hash) },
    { "tee_info_hash", JSON_FIELD_BYTES, AT(tdinfo_hash) },
    { "mac", JSON_FIELD_BYTES, AT(mac) },
    { "valid", JSON_FIELD_BYTES, AT(valid) },
};

int tdreport_json(const struct tdreport *report, json_t **out, struct err *err)
{
    json_t *o = json_object();
    bool done = json_set(o, "type", json_string("tdreport"))
                && json_set_fields(o, fields, ARRAY_SIZE(fields), report) && tdx_body_json(o, &report->body)
                && json_set(o, "servtd_hash", json_hex(report->body.mr_service_td))
                && json_set(o, "hashes_consistent", json_boolean(tdreport_consistent(report)))
                && json_set(o, "tdreport_len", json_integer((json_int_t)report->raw.n));
    return json_finish(o, done, out, err);
}
