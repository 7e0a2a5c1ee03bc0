/* NVIDIA GPU attestation report: the SPDM GET_MEASUREMENTS request and the MEASUREMENTS response to it.
 * Source: DMTF DSP0274 1.1, sections 10.11.1 and 10.11.2; the opaque data as NVIDIA's public SDK reads it. */
#include "evidence/inspect_types.h"

#include "base/auto.h"

#define SPDM_VERSION_11     0x11
#define SPDM_GET_MEASURE    0xE0
#define SPDM_MEASUREMENTS   0x60
#define NVIDIA_REQUEST_SIZE 37
#define SPDM_NONCE_SIZE     32
#define NVIDIA_SIG_SIZE     96 /* P-384, r and s big-endian */
#define NVIDIA_OPAQUE_MAX   256
#define DMTF_MEASUREMENT    1

bool looks_nvidia_report(struct bytes data)
{
    return data.n >= 2 && data.p[0] == SPDM_VERSION_11 && data.p[1] == SPDM_GET_MEASURE;
}

static int short_at(const struct reader *r, const char *what, struct err *err)
{
    return err_set(err, ERR_INPUT, 0, "NVIDIA report cut short at offset %zu: no whole %s", r->off, what);
}

static int put_request(struct reader *r, json_t *out, struct err *err)
{
    struct bytes nonce;
    uint8_t version, code, param1, param2, slot;
    if (!rd_u8(r, &version) || !rd_u8(r, &code) || !rd_u8(r, &param1) || !rd_u8(r, &param2)
        || !rd_take(r, SPDM_NONCE_SIZE, &nonce) || !rd_u8(r, &slot))
        return short_at(r, "request", err);
    if (version != SPDM_VERSION_11 || code != SPDM_GET_MEASURE)
        return err_set(err, ERR_INPUT, 0, "no SPDM 1.1 GET_MEASUREMENTS request at offset 0");
    json_t *request = json_object();
    put(out, "nonce", json_hex(nonce)); /* what the requester asked to bind */
    put(request, "spdm_version", json_integer(version));
    put(request, "code", json_integer(code));
    put(request, "param1", json_integer(param1));
    put(request, "param2", json_integer(param2));
    put(request, "nonce", json_hex(nonce));
    put(request, "slot_id", json_integer(slot));
    put(out, "request", request);
    return 0;
}

/* One measurement block: index, specification 1 (DMTF), size, then value type, size and value. */
static int put_block(struct reader *r, json_t *list, struct err *err)
{
    uint8_t index, specification, value_type;
    uint16_t size, value_size;
    struct bytes block, value;
    if (!rd_u8(r, &index) || !rd_u8(r, &specification) || !rd_u16le(r, &size) || !rd_take(r, size, &block))
        return short_at(r, "measurement block", err);
    struct reader b = { block, r->off - block.n };
    if (specification != DMTF_MEASUREMENT || !rd_u8(&b, &value_type) || !rd_u16le(&b, &value_size)
        || !rd_take(&b, value_size, &value) || b.rest.n)
        return err_set(err, ERR_INPUT, 0, "no DMTF measurement in the block that ends at offset %zu", r->off);
    json_t *row = json_object();
    put(row, "index", json_integer(index));
    put(row, "value_type", json_integer(value_type));
    put(row, "value", json_hex(value));
    json_array_append_new(list, row);
    return 0;
}

static bool is_text(struct bytes b)
{
    size_t n = b.n;
    while (n && b.p[n - 1] == '\0')
        n--;
    for (size_t i = 0; i < n; i++)
        if (b.p[i] < 0x20 || b.p[i] > 0x7E)
            return false;
    return n > 0;
}

/* Opaque data: type u16, size u16, value, little-endian. */
static int put_opaque(struct bytes opaque, size_t offset, json_t *out, struct err *err)
{
    static const char *const names[] = {
        [1] = "cert_issuer_name",
        [2] = "cert_authority_key_identifier",
        [3] = "driver_version",
        [4] = "gpu_info",
        [5] = "sku",
        [6] = "vbios_version",
        [7] = "manufacturer_id",
        [8] = "tamper_detection",
        [9] = "smc",
        [10] = "vpr",
        [11] = "nvdec0_status",
        [12] = "msrscnt",
        [13] = "cprinfo",
        [14] = "board_id",
        [15] = "chip_sku",
        [16] = "chip_sku_mod",
        [17] = "project",
        [18] = "project_sku",
        [19] = "project_sku_mod",
        [20] = "fwid",
        [21] = "protected_pcie_status",
        [22] = "switch_pdi",
        [34] = "version",
        [36] = "feature_flag",
    };
    struct reader r = { opaque, offset };
    json_t *list = json_array();
    put(out, "opaque_data", list);
    for (unsigned count = 0; r.rest.n; count++) {
        uint16_t type, size;
        struct bytes value;
        if (count == NVIDIA_OPAQUE_MAX)
            return err_set(err, ERR_TOO_LARGE, 0, "more than %d opaque fields, at offset %zu",
                           NVIDIA_OPAQUE_MAX, r.off);
        if (!rd_u16le(&r, &type) || !rd_u16le(&r, &size) || !rd_take(&r, size, &value))
            return short_at(&r, "opaque field", err);
        json_t *row = json_object();
        put(row, "opaque_type", json_integer(type));
        if (type < ARRAY_SIZE(names) && names[type])
            put(row, "name", json_string(names[type]));
        put(row, "value", json_hex(value));
        if (is_text(value))
            put(row, "text", json_text(bytes_of(value.p, strnlen((const char *)value.p, value.n))));
        json_array_append_new(list, row);
    }
    return 0;
}

static int put_response(struct reader *r, json_t *out, struct err *err)
{
    uint8_t version, code, param1, param2, blocks, length[3];
    uint16_t opaque_size;
    struct bytes record, nonce, opaque;
    if (!rd_u8(r, &version) || !rd_u8(r, &code) || !rd_u8(r, &param1) || !rd_u8(r, &param2)
        || !rd_u8(r, &blocks) || !rd_copy(r, length, sizeof(length)))
        return short_at(r, "response header", err);
    if (version != SPDM_VERSION_11 || code != SPDM_MEASUREMENTS)
        return err_set(err, ERR_INPUT, 0, "no SPDM 1.1 MEASUREMENTS response at offset %d",
                       NVIDIA_REQUEST_SIZE);
    if (!rd_take(r, (size_t)le_uint(length, sizeof(length)), &record))
        return short_at(r, "measurement record", err);
    struct reader m = { record, r->off - record.n };
    json_t *list = json_array();
    put(out, "measurements", list);
    for (unsigned i = 0; i < blocks; i++)
        if (put_block(&m, list, err) < 0)
            return -1;
    if (m.rest.n)
        return err_set(err, ERR_INPUT, 0, "%zu bytes after the last measurement at offset %zu", m.rest.n,
                       m.off);
    if (!rd_take(r, SPDM_NONCE_SIZE, &nonce) || !rd_u16le(r, &opaque_size)
        || !rd_take(r, opaque_size, &opaque))
        return short_at(r, "opaque data", err);
    put(out, "responder_nonce", json_hex(nonce));
    put(out, "slot_id", json_integer(param2 & 0x0F));
    return put_opaque(opaque, r->off - opaque.n, out, err);
}

int inspect_nvidia_report(struct bytes data, json_t *out, struct err *err)
{
    struct reader r = reader_of(data);
    struct bytes signature;
    if (put_request(&r, out, err) < 0 || put_response(&r, out, err) < 0)
        return -1;
    if (!rd_take(&r, NVIDIA_SIG_SIZE, &signature))
        return short_at(&r, "signature", err);
    put(out, "signature", json_hex(signature));
    /* Some collectors hand the report out as a C string, with its NUL. */
    if (!bytes_zero(r.rest))
        return err_set(err, ERR_INPUT, 0, "%zu bytes after the signature at offset %zu", r.rest.n, r.off);
    put(out, "trailing_bytes", json_integer((json_int_t)r.rest.n));
    return 0;
}
