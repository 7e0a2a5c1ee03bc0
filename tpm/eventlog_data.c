/* What the data of events say, as JSON: one function a kind of data, one row a type. */
#include "tpm/eventlog_formats.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"

#include <ctype.h>
#include <stdio.h>

/* Entries listed of one table (GPT partitions, boot order); the data itself is in the output anyway. */
#define LISTED_MAX 128

static json_t *text_json(struct buf *text)
{
    return text->failed ? NULL : json_text(buf_bytes(text));
}

static json_t *utf16_json(struct bytes data)
{
    AUTO(buf_done) struct buf out = buf_new(2 * data.n);
    eventlog_put_utf16(&out, data);
    return text_json(&out);
}

static json_t *guid_json(struct bytes guid)
{
    AUTO(buf_done) struct buf out = buf_new(40);
    eventlog_put_guid(&out, guid);
    return text_json(&out);
}

static json_t *path_json(struct bytes path)
{
    AUTO(buf_done) struct buf out = buf_new(16 * path.n + 16);
    return eventlog_put_path(&out, path) ? text_json(&out) : json_null();
}

/* Without the terminators that firmwares count in or not. */
static struct bytes without_nul(struct bytes data)
{
    while (data.n && data.p[data.n - 1] == 0)
        data.n--;
    return bytes_of(data.p, data.n);
}

static bool is_text(struct bytes data)
{
    bool letters = false;
    for (size_t i = 0; i < data.n; i++) {
        if (data.p[i] < 0x20 && !isspace(data.p[i]))
            return false;
        letters |= data.p[i] > 0x20 && data.p[i] < 0x7F;
    }
    return letters;
}

/* Latin text in UTF-16: every second byte is zero, the others are not. */
static bool is_utf16(struct bytes data)
{
    size_t n = data.n;
    while (n >= 2 && data.p[n - 1] == 0 && data.p[n - 2] == 0)
        n -= 2;
    for (size_t i = 0; i + 1 < n; i += 2)
        if (data.p[i] < 0x20 || data.p[i + 1] != 0)
            return false;
    return n >= 2 && data.n % 2 == 0;
}

/* Text in either encoding, or NULL. */
static json_t *any_text_json(struct bytes data)
{
    if (is_utf16(data))
        return utf16_json(data);
    struct bytes text = without_nul(data);
    return is_text(text) ? json_text(text) : NULL;
}

static json_t *decode_text(struct bytes data)
{
    json_t *text = any_text_json(data);
    return text ? json_pack("{s:o}", "text", text) : NULL;
}

static json_t *decode_separator(struct bytes data)
{
    if (data.n != 4)
        return NULL;
    return json_pack("{s:o, s:b}", "separator", json_hex(data), "error", le_uint(data.p, 4) == 1);
}

static json_t *decode_version(struct bytes data)
{
    if (data.n == 16 && !is_utf16(data))
        return json_pack("{s:o}", "guid", guid_json(data));
    return decode_text(data);
}

static json_t *boot_order_json(struct bytes value)
{
    struct reader r = reader_of(value);
    json_t *list = json_array();
    uint16_t number;
    char text[8];
    for (int i = 0; i < LISTED_MAX && rd_u16le(&r, &number); i++) {
        snprintf(text, sizeof(text), "%04X", number);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

/* EFI_LOAD_OPTION (UEFI 2.10, 3.1.3) */
static json_t *load_option_json(struct bytes value)
{
    struct reader r = reader_of(value);
    uint32_t attributes;
    uint16_t path_size, unit = 1;
    struct bytes path;
    if (!rd_u32le(&r, &attributes) || !rd_u16le(&r, &path_size))
        return NULL;
    const struct bytes description = r.rest;
    while (unit)
        if (!rd_u16le(&r, &unit))
            return NULL;
    if (!rd_take(&r, path_size, &path))
        return NULL;
    return json_pack("{s:I, s:o, s:o}", "attributes", (json_int_t)attributes, "description",
                     utf16_json(description), "path", path_json(path));
}

static bool is_boot_number(const char *name)
{
    if (strlen(name) != 8 || strncmp(name, "Boot", 4) != 0)
        return false;
    for (int i = 4; i < 8; i++)
        if (!isxdigit((unsigned char)name[i]))
            return false;
    return true;
}

static json_t *decode_variable(struct bytes data)
{
    struct efi_variable v;
    if (!eventlog_variable(data, &v))
        return NULL;
    AUTO(json_drop)
    json_t *out = json_pack("{s:o, s:o, s:I}", "guid", guid_json(v.guid), "name", utf16_json(v.name),
                            "value_size", (json_int_t)v.value.n);
    const char *name = json_string_value(json_object_get(out, "name"));
    if (!name)
        return NULL;
    if (strcmp(name, "SecureBoot") == 0 && v.value.n == 1)
        json_object_set_new(out, "secure_boot", json_boolean(v.value.p[0] == 1));
    else if (strcmp(name, "BootOrder") == 0)
        json_object_set_new(out, "boot_order", boot_order_json(v.value));
    else if (is_boot_number(name))
        json_object_set_new(out, "load_option", load_option_json(v.value) ?: json_null());
    else if (is_text(v.value))
        json_object_set_new(out, "text", json_text(v.value));
    return MOVE(out);
}

/* UEFI_IMAGE_LOAD_EVENT */
static json_t *decode_image(struct bytes data)
{
    struct reader r = reader_of(data);
    uint64_t location, length, link, path_size;
    if (!rd_u64le(&r, &location) || !rd_u64le(&r, &length) || !rd_u64le(&r, &link)
        || !rd_u64le(&r, &path_size) || path_size != r.rest.n)
        return NULL;
    return json_pack("{s:o, s:o, s:o}", "image_location", json_hex_u64(location), "image_length",
                     length <= INT64_MAX ? json_integer((json_int_t)length) : json_hex_u64(length),
                     "device_path", path_json(r.rest));
}

static json_t *partition_json(struct reader *r)
{
    struct bytes type, unique, name;
    uint64_t first, last;
    if (!rd_take(r, 16, &type) || !rd_take(r, 16, &unique) || !rd_u64le(r, &first) || !rd_u64le(r, &last)
        || !rd_skip(r, 8) || !rd_take(r, 72, &name))
        return NULL;
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "type_guid", guid_json(type), "guid", guid_json(unique),
                     "first_lba", json_hex_u64(first), "last_lba", json_hex_u64(last), "name",
                     utf16_json(name));
}

/* UEFI_GPT_DATA: the GPT header of 92 bytes (UEFI 2.10, 5.3.2), a count, and so many entries of 128 bytes. */
static json_t *decode_gpt(struct bytes data)
{
    struct reader r = reader_of(data);
    struct bytes disk;
    uint64_t n;
    if (!rd_skip(&r, 56) || !rd_take(&r, 16, &disk) || !rd_skip(&r, 20) || !rd_u64le(&r, &n)
        || n > LISTED_MAX)
        return NULL;
    AUTO(json_drop) json_t *list = json_array();
    for (uint64_t i = 0; i < n; i++)
        if (json_array_append_new(list, partition_json(&r)) < 0)
            return NULL;
    return json_pack("{s:o, s:O}", "disk_guid", guid_json(disk), "partitions", list);
}

/* PFP tagged events; Linux, systemd and confidential-containers each have their ids. */
static json_t *decode_tag(struct bytes data)
{
    struct reader r = reader_of(data);
    uint32_t id, size;
    struct bytes content;
    if (!rd_u32le(&r, &id) || !rd_u32le(&r, &size) || !rd_take(&r, size, &content) || r.rest.n)
        return decode_text(data); /* older Linux: the text alone */
    char tag[12];
    snprintf(tag, sizeof(tag), "0x%08" PRIx32, id);
    json_t *text = any_text_json(content);
    return json_pack("{s:s, s:o}", "tag", tag, "text", text ?: json_null());
}

static json_t *decode_ipl(struct bytes data)
{
    struct bytes prefix, text;
    if (eventlog_grub_text(data, &prefix, &text))
        return json_pack("{s:o, s:o}", "grub", json_text(prefix), "text", json_text(without_nul(text)));
    AUTO(json_drop) json_t *out = decode_text(data);
    const char *name = json_string_value(json_object_get(out, "text"));
    if (name && name[0] == '.' && !strchr(name, '/')) /* systemd-stub: the name of a section of the image */
        json_object_set_new(out, "uki_section", json_string(name));
    return MOVE(out);
}

/* UEFI_PLATFORM_FIRMWARE_BLOB; EV_POST_CODE has it too, or text. */
static json_t *decode_blob(struct bytes data)
{
    struct reader r = reader_of(data);
    uint64_t base, length;
    if (data.n != 16 || !rd_u64le(&r, &base) || !rd_u64le(&r, &length))
        return decode_text(data);
    return json_pack("{s:o, s:o}", "base", json_hex_u64(base), "length", json_hex_u64(length));
}

/* UEFI_PLATFORM_FIRMWARE_BLOB2 and UEFI_HANDOFF_TABLE_POINTERS2 begin with a description of u8 size. */
static json_t *decode_described(struct bytes data)
{
    struct reader r = reader_of(data);
    uint8_t n;
    struct bytes text;
    if (!rd_u8(&r, &n) || !rd_take(&r, n, &text))
        return NULL;
    return json_pack("{s:o}", "description", json_text(without_nul(text)));
}

static json_t *sp800_155_json(struct reader r)
{
    struct bytes guid, maker, model;
    uint32_t vendor;
    uint8_t n;
    if (!rd_skip(&r, 16) || !rd_u32le(&r, &vendor) || !rd_take(&r, 16, &guid) || !rd_u8(&r, &n)
        || !rd_take(&r, n, &maker) || !rd_u8(&r, &n) || !rd_take(&r, n, &model))
        return NULL;
    return json_pack("{s:I, s:o, s:o, s:o}", "vendor_id", (json_int_t)vendor, "reference_manifest_guid",
                     guid_json(guid), "platform_manufacturer", json_text(without_nul(maker)),
                     "platform_model", json_text(without_nul(model)));
}

static json_t *spec_id_json(struct reader r)
{
    uint32_t class, n;
    uint8_t minor, major, errata, uintn;
    char version[16];
    if (!rd_skip(&r, 16) || !rd_u32le(&r, &class) || !rd_u8(&r, &minor) || !rd_u8(&r, &major)
        || !rd_u8(&r, &errata) || !rd_u8(&r, &uintn) || !rd_u32le(&r, &n) || n > EVENTLOG_ALGS_MAX)
        return NULL;
    json_t *algs = json_array();
    uint16_t alg, size;
    for (uint32_t i = 0; i < n && rd_u16le(&r, &alg) && rd_u16le(&r, &size); i++)
        json_array_append_new(algs, json_pack("{s:i, s:s?, s:i}", "alg", alg, "name", digest_name(alg),
                                              "size", size));
    snprintf(version, sizeof(version), "%u.%u", major, minor);
    return json_pack("{s:I, s:s, s:i, s:i, s:o}", "platform_class", (json_int_t) class, "spec_version",
                     version, "spec_errata", errata, "uintn_size", uintn, "algorithms", algs);
}

/* EV_NO_ACTION: 16 bytes say what it is. */
static json_t *decode_no_action(struct bytes data)
{
    struct bytes signature = bytes_of(data.p, data.n < 16 ? data.n : 16);
    if (data.n < 16 || !is_text(without_nul(signature)))
        return NULL;
    AUTO(json_drop) json_t *out = json_pack("{s:o}", "signature", json_text(without_nul(signature)));
    const char *name = json_string_value(json_object_get(out, "signature"));
    json_t *more = NULL;
    if (!name)
        return NULL;
    if (strcmp(name, "Spec ID Event03") == 0)
        more = spec_id_json(reader_of(data));
    else if (strcmp(name, "StartupLocality") == 0 && data.n == 17)
        more = json_pack("{s:i}", "startup_locality", data.p[16]);
    else if (strncmp(name, "SP800-155 Event", 15) == 0)
        more = sp800_155_json(reader_of(data));
    if (more && json_object_update_new(out, more) < 0)
        return NULL;
    return MOVE(out);
}

static const struct {
    uint32_t type;
    json_t *(*decode)(struct bytes data);
} decoders[] = {
    { 0x00000001, decode_blob }, /* EV_POST_CODE */
    { EV_NO_ACTION, decode_no_action },
    { EV_SEPARATOR, decode_separator },
    { EV_EVENT_TAG, decode_tag },
    { EV_S_CRTM_VERSION, decode_version },
    { EV_IPL, decode_ipl },
    { EV_EFI_VARIABLE_DRIVER_CONFIG, decode_variable },
    { EV_EFI_VARIABLE_BOOT, decode_variable },
    { EV_EFI_VARIABLE_BOOT2, decode_variable },
    { EV_EFI_VARIABLE_AUTHORITY, decode_variable },
    { EV_EFI_BOOT_APPLICATION, decode_image },
    { 0x80000004, decode_image }, /* boot services driver */
    { 0x80000005, decode_image }, /* runtime services driver */
    { EV_EFI_GPT_EVENT, decode_gpt },
    { 0x80000008, decode_blob },      /* EV_EFI_PLATFORM_FIRMWARE_BLOB */
    { 0x8000000A, decode_described }, /* EV_EFI_PLATFORM_FIRMWARE_BLOB2 */
    { 0x8000000B, decode_described }, /* EV_EFI_HANDOFF_TABLES2 */
};

json_t *tpm_event_decode(const struct tpm_event *event)
{
    json_t *(*decode)(struct bytes) = decode_text;
    for (size_t i = 0; i < ARRAY_SIZE(decoders); i++)
        if (decoders[i].type == event->type)
            decode = decoders[i].decode;
    return decode(event->data) ?: json_null();
}
