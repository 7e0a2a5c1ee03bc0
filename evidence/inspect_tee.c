/* What processors and paravisors make, and the vendors' certificate extensions. */
#include "evidence/inspect_types.h"

#include "base/auto.h"
#include "base/x509.h"
#include "tee/cert_table.h"
#include "tee/gcp_instance.h"
#include "tee/hcl_report.h"
#include "tee/pck_cert.h"
#include "tee/snp_report.h"
#include "tee/tdreport.h"
#include "tee/tdx_quote.h"
#include "tee/vek_cert.h"

#define ACPI_CCEL_SIZE 56

/* The report's version, or the ioctl's response: status 0, size of the report, 24 reserved zeros, version. */
bool looks_snp_report(struct bytes data)
{
    struct reader r = reader_of(data);
    uint32_t version, size;
    struct bytes reserved;
    if (!rd_u32le(&r, &version))
        return false;
    if (version == 0
        && !(rd_u32le(&r, &size) && size == SNP_REPORT_SIZE && rd_take(&r, 24, &reserved)
             && bytes_zero(reserved) && rd_u32le(&r, &version)))
        return false;
    return version >= SNP_VERSION_MIN && version <= SNP_VERSION_MAX;
}

/* By the first entry: a GUID that we know. */
bool looks_cert_table(struct bytes data)
{
    for (int kind = CERT_UNKNOWN + 1; kind < CERT_KINDS; kind++) {
        const uint8_t *guid = cert_kind_guid((enum cert_kind)kind);
        if (guid && data.n >= 16 && memcmp(data.p, guid, 16) == 0)
            return true;
    }
    return false;
}

bool looks_tdx_quote(struct bytes data)
{
    struct reader r = reader_of(data);
    uint16_t version, key_type;
    uint32_t tee;
    return rd_u16le(&r, &version) && rd_u16le(&r, &key_type) && rd_u32le(&r, &tee)
           && (version == 4 || version == 5) && tee == TDX_TEE_TYPE;
}

/* REPORTTYPE: type 0x81, subtype 0, version 0 or 1, reserved 0. Recorded reports without it are told by the
 * two hashes inside. */
bool looks_tdreport(struct bytes data)
{
    struct tdreport report;
    struct err ignored;
    if (data.n >= 16 && data.p[0] == TDREPORT_TYPE_TDX && data.p[1] == 0 && data.p[2] <= 1
        && bytes_zero(bytes_of(data.p + 3, 13)))
        return true;
    return tdreport_parse(data, &report, &ignored) == 0 && tdreport_consistent(&report);
}

/* Nothing but its size and its many reserved bytes tells a TDREPORT whose type field is not the module's. */
bool looks_tdreport_by_size(struct bytes data)
{
    size_t zeros = 0;
    for (size_t i = 0; i < data.n; i++)
        zeros += data.p[i] == 0;
    return data.n == TDREPORT_SIZE && zeros >= TDREPORT_SIZE / 4;
}

bool looks_hcl_report(struct bytes data)
{
    return data.n >= 4 && memcmp(data.p, HCL_SIGNATURE, 4) == 0;
}

bool looks_ccel_table(struct bytes data)
{
    return data.n >= 4 && memcmp(data.p, "CCEL", 4) == 0;
}

int inspect_snp_report(struct bytes data, json_t *out, struct err *err)
{
    struct snp_report report;
    json_t *json = NULL;
    if (snp_report_parse(data, &report, err) < 0 || snp_report_json(&report, &json, err) < 0)
        return -1;
    put_all(out, json);
    return 0;
}

/* What the host put into an entry, as far as it is a certificate. */
static void put_entry(json_t *row, const struct cert_entry *entry)
{
    struct err ignored;
    const char *type = looks_certificate(entry->data) ? "certificate" : looks_crl(entry->data) ? "crl" : NULL;
    if (!type || put_nested(row, type, type, entry->data, &ignored) < 0)
        put(row, "data", json_hex(entry->data));
}

int inspect_cert_table(struct bytes data, json_t *out, struct err *err)
{
    struct cert_table table;
    json_t *json = NULL;
    if (cert_table_parse(data, &table, err) < 0 || cert_table_json(&table, &json, err) < 0)
        return -1;
    put_all(out, json);
    for (size_t i = 0; i < table.n; i++)
        put_entry(json_array_get(json_object_get(out, "entries"), i), &table.entry[i]);
    return 0;
}

int inspect_tdx_quote(struct bytes data, json_t *out, struct err *err)
{
    struct tdx_quote quote;
    json_t *json = NULL;
    if (tdx_quote_parse(data, &quote, err) < 0 || tdx_quote_json(&quote, &json, err) < 0)
        return -1;
    put_all(out, json);
    return 0;
}

int inspect_tdreport(struct bytes data, json_t *out, struct err *err)
{
    struct tdreport report;
    json_t *json = NULL;
    if (tdreport_parse(data, &report, err) < 0 || tdreport_json(&report, &json, err) < 0)
        return -1;
    put_all(out, json);
    return 0;
}

int inspect_hcl_report(struct bytes data, json_t *out, struct err *err)
{
    struct hcl_report report;
    json_t *json = NULL;
    if (hcl_report_parse(data, &report, err) < 0 || hcl_report_json(&report, &json, err) < 0)
        return -1;
    put_all(out, json);
    return 0;
}

/* ACPI 6.5, section 5.2.6 (header); UEFI 2.10, section 38.4.1 (CCEL table). */
int inspect_ccel_table(struct bytes data, json_t *out, struct err *err)
{
    struct reader r = reader_of(data);
    struct bytes signature, oem_id, oem_table_id, creator_id;
    uint32_t length, oem_revision, creator_revision;
    uint16_t reserved;
    uint64_t area_size, area_start;
    uint8_t revision, checksum, cc_type, cc_subtype, sum = 0;
    if (!rd_take(&r, 4, &signature) || !rd_u32le(&r, &length) || !rd_u8(&r, &revision)
        || !rd_u8(&r, &checksum) || !rd_take(&r, 6, &oem_id) || !rd_take(&r, 8, &oem_table_id)
        || !rd_u32le(&r, &oem_revision) || !rd_take(&r, 4, &creator_id) || !rd_u32le(&r, &creator_revision)
        || !rd_u8(&r, &cc_type) || !rd_u8(&r, &cc_subtype) || !rd_u16le(&r, &reserved)
        || !rd_u64le(&r, &area_size) || !rd_u64le(&r, &area_start))
        return err_set(err, ERR_INPUT, 0, "CCEL table cut short at offset %zu of %d", r.off, ACPI_CCEL_SIZE);
    if (memcmp(signature.p, "CCEL", 4) != 0 || length != data.n)
        return err_set(err, ERR_INPUT, 0,
                       "no CCEL table: no \"CCEL\" at offset 0, or a length of %" PRIu32
                       " at offset 4: %zu bytes are there",
                       length, data.n);
    for (size_t i = 0; i < data.n; i++)
        sum = (uint8_t)(sum + data.p[i]);
    put(out, "signature", json_text(signature));
    put(out, "length", json_integer(length));
    put(out, "revision", json_integer(revision));
    put(out, "checksum", json_integer(checksum));
    put(out, "checksum_ok", json_boolean(sum == 0));
    put(out, "oem_id", json_text(oem_id));
    put(out, "oem_table_id", json_text(oem_table_id));
    put(out, "oem_revision", json_integer(oem_revision));
    put(out, "creator_id", json_text(creator_id));
    put(out, "creator_revision", json_integer(creator_revision));
    put(out, "cc_type", json_integer(cc_type));
    put(out, "cc_subtype", json_integer(cc_subtype));
    put(out, "log_area_minimum_length", json_integer((json_int_t)area_size));
    put(out, "log_area_start_address", json_hex_u64(area_start));
    return 0;
}

static int put_amd(const X509 *cert, json_t *out, struct err *err)
{
    struct vek_cert vek;
    json_t *json = NULL;
    if (vek_cert_parse(cert, &vek, err) < 0 || vek_cert_json(&vek, &json, err) < 0)
        return -1;
    put(out, "amd", json);
    return 0;
}

static int put_intel(const X509 *cert, json_t *out, struct err *err)
{
    struct pck_cert pck;
    json_t *json = NULL;
    if (pck_cert_parse(cert, &pck, err) < 0 || pck_cert_json(&pck, cert, &json, err) < 0)
        return -1;
    put(out, "intel_sgx", json);
    return 0;
}

static int put_google(const X509 *cert, json_t *out, struct err *err)
{
    struct gcp_instance instance;
    json_t *json = NULL;
    if (gcp_instance_parse(cert, &instance, err) < 0 || gcp_instance_json(&instance, &json, err) < 0)
        return -1;
    put(out, "google", json);
    return 0;
}

int inspect_put_vendor(const X509 *cert, json_t *out, struct err *err)
{
    static const struct {
        const char *oid;
        int (*put_facts)(const X509 *cert, json_t *out, struct err *err);
    } vendors[] = {
        { VEK_OID_PREFIX "1", put_amd }, /* structVersion: on VCEK and VLEK */
        { PCK_OID_SGX, put_intel },
        { GCP_OID_INSTANCE, put_google },
    };
    struct bytes ignored;
    for (size_t i = 0; i < ARRAY_SIZE(vendors); i++)
        if (x509_extension(cert, vendors[i].oid, &ignored) && vendors[i].put_facts(cert, out, err) < 0)
            return -1;
    return 0;
}
