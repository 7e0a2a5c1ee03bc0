#include "tee/hcl_report.h"

#include "base/auto.h"
#include "base/digest.h"
#include "tee/snp_report.h"
#include "tee/tdreport.h"

#define HCL_DATA_VERSION_MAX 2

static const struct {
    const char *name;
    size_t hw; /* bytes of the report inside the area */
} report_types[] = {
    [HCL_VBS] = { "VBS", HCL_HW_REPORT_SIZE },
    [HCL_SNP] = { "SNP", SNP_REPORT_SIZE },
    [HCL_TVM] = { "TVM", HCL_HW_REPORT_SIZE },
    [HCL_TDX] = { "TDX", TDREPORT_SIZE },
};

static const uint16_t hash_types[] = {
    [HCL_SHA256] = ALG_SHA256, [HCL_SHA384] = ALG_SHA384, [HCL_SHA512] = ALG_SHA512
};

const char *hcl_report_type_name(uint32_t report_type)
{
    return report_type < ARRAY_SIZE(report_types) && report_types[report_type].name
               ? report_types[report_type].name
               : "";
}

const char *hcl_hash_type_name(uint32_t hash_type)
{
    const char *name = hash_type < ARRAY_SIZE(hash_types) ? digest_name(hash_types[hash_type]) : NULL;
    return name ? name : "";
}

static int take_header(struct reader *r, struct hcl_report *h, struct err *err)
{
    struct bytes signature;
    if (!rd_take(r, 4, &signature) || !rd_u32le(r, &h->version) || !rd_u32le(r, &h->report_size)
        || !rd_u32le(r, &h->request_type) || !rd_u32le(r, &h->status) || !rd_skip(r, 12))
        return err_set(err, ERR_INPUT, 0, "HCL report cut short: %zu bytes", r->off + r->rest.n);
    if (!bytes_equal(signature, bytes_str(HCL_SIGNATURE)))
        return err_set(err, ERR_INPUT, 0, "no HCL report: no \"" HCL_SIGNATURE "\" at offset 0");
    if (h->version < 1 || h->version > 2)
        return err_set(err, ERR_INPUT, 0, "HCL report version %" PRIu32 " at offset 4: want 1 or 2",
                       h->version);
    if (h->status != 0)
        return err_set(err, ERR_INPUT, h->status, "HCL report with status %" PRIu32 " at offset 16",
                       h->status);
    return 0;
}

/* The header of the runtime data; its version 2 has the host's requests behind it. */
static int take_runtime(struct reader *r, struct hcl_report *h, struct err *err)
{
    uint32_t var_size, header = HCL_RUNTIME_HEADER;
    if (!rd_u32le(r, &h->data_size) || !rd_u32le(r, &h->data_version) || !rd_u32le(r, &h->report_type)
        || !rd_u32le(r, &h->hash_type) || !rd_u32le(r, &var_size))
        return err_set(err, ERR_INPUT, 0, "HCL report cut short at offset %zu, in the runtime data", r->off);
    if (h->data_version < 1 || h->data_version > HCL_DATA_VERSION_MAX)
        return err_set(err, ERR_INPUT, 0, "HCL runtime data version %" PRIu32 " at offset %zu: want 1 or 2",
                       h->data_version, r->off - 16);
    h->has_host_requests = h->data_version >= 2;
    if (h->has_host_requests) {
        if (!rd_u32le(r, &h->host_requests))
            return err_set(err, ERR_INPUT, 0, "HCL report cut short at offset %zu", r->off);
        header += 4;
    }
    if (!*hcl_report_type_name(h->report_type) || !*hcl_hash_type_name(h->hash_type))
        return err_set(err, ERR_INPUT, 0,
                       "HCL report type %" PRIu32 " with hash type %" PRIu32
                       " before offset %zu is not known",
                       h->report_type, h->hash_type, r->off);
    if (!rd_take(r, var_size, &h->var_data))
        return err_set(err, ERR_INPUT, 0,
                       "HCL runtime claims of %" PRIu32 " bytes at offset %zu: %zu are there", var_size,
                       r->off, r->rest.n);
    if (h->data_size - header != var_size || h->report_size != r->off)
        return err_set(err, ERR_INPUT, 0,
                       "HCL report sizes disagree: report %" PRIu32 ", runtime data %" PRIu32
                       ", claims %" PRIu32 " that end at offset %zu",
                       h->report_size, h->data_size, var_size, r->off);
    return 0;
}

int hcl_report_parse(struct bytes raw, struct hcl_report *out, struct err *err)
{
    struct reader r = reader_of(raw);
    struct hcl_report h = { .total_len = raw.n };
    struct bytes area;
    if (raw.n > HCL_REPORT_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "HCL report of %zu bytes, at most %u are read", raw.n,
                       HCL_REPORT_MAX);
    if (take_header(&r, &h, err) < 0)
        return -1;
    if (!rd_take(&r, HCL_HW_REPORT_SIZE, &area))
        return err_set(err, ERR_INPUT, 0, "HCL report cut short at offset %zu of %zu", r.off, raw.n);
    if (take_runtime(&r, &h, err) < 0)
        return -1;
    struct reader in = reader_of(area);
    if (!rd_take(&in, report_types[h.report_type].hw, &h.hw) || !bytes_zero(in.rest) || !bytes_zero(r.rest))
        return err_set(err, ERR_INPUT, 0,
                       "HCL report is not zero behind the %s report (to offset %d) or from offset %zu",
                       hcl_report_type_name(h.report_type), HCL_HEADER_SIZE + HCL_HW_REPORT_SIZE, r.off);
    *out = h;
    return 0;
}

struct bytes hcl_report_hw(const struct hcl_report *report)
{
    return report->hw;
}

struct bytes hcl_var_data(const struct hcl_report *report)
{
    return report->var_data;
}

int hcl_expected_report_data(const struct hcl_report *report, uint8_t out[static 64], struct err *err)
{
    struct digest d;
    if (digest_of(hash_types[report->hash_type], report->var_data, &d, err) < 0)
        return -1;
    memset(out, 0, 64);
    memcpy(out, d.b, d.n);
    return 0;
}
