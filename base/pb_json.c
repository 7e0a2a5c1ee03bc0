#include "base/pb_json.h"

#include "base/auto.h"
#include "base/enc.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#define NAME_SIZE 64

static const enum pb_wire wire_of[] = {
    [PB_KIND_BYTES] = PB_BYTES,       [PB_KIND_STRING] = PB_BYTES,  [PB_KIND_U32] = PB_VARINT,
    [PB_KIND_U64] = PB_VARINT,        [PB_KIND_ENUM] = PB_VARINT,   [PB_KIND_MESSAGE] = PB_BYTES,
    [PB_KIND_WRAPPED_U32] = PB_BYTES, [PB_KIND_MAP_U32] = PB_BYTES, [PB_KIND_MAP_STRING] = PB_BYTES,
};

/* The nested messages that protobuf makes for maps and wrapped numbers. */
static const struct pb_member map_u32_members[] = { { 1, PB_KIND_U32, "key", false, NULL, NULL },
                                                    { 2, PB_KIND_BYTES, "value", false, NULL, NULL } };
static const struct pb_member map_string_members[] = { { 1, PB_KIND_STRING, "key", false, NULL, NULL },
                                                       { 2, PB_KIND_BYTES, "value", false, NULL, NULL } };
static const struct pb_member wrapped_members[] = { { 1, PB_KIND_U32, "value", false, NULL, NULL } };
static const struct pb_message map_u32 = { "map entry", map_u32_members, ARRAY_SIZE(map_u32_members) };
static const struct pb_message map_string = { "map entry", map_string_members,
                                              ARRAY_SIZE(map_string_members) };
static const struct pb_message wrapped = { "UInt32Value", wrapped_members, ARRAY_SIZE(wrapped_members) };

static const struct pb_message *nested(const struct pb_member *m)
{
    switch (m->kind) {
    case PB_KIND_MESSAGE:
        return m->message;
    case PB_KIND_MAP_U32:
        return &map_u32;
    case PB_KIND_MAP_STRING:
        return &map_string;
    case PB_KIND_WRAPPED_U32:
        return &wrapped;
    default:
        return NULL;
    }
}

static bool many(const struct pb_member *m)
{
    return m->repeated || m->kind == PB_KIND_MAP_U32 || m->kind == PB_KIND_MAP_STRING;
}

static const struct pb_member *member_of(const struct pb_message *type, uint32_t number)
{
    for (size_t i = 0; i < type->count; i++)
        if (type->members[i].number == number)
            return &type->members[i];
    return NULL;
}

int pb_check(const struct pb_message *type, struct reader r, struct err *err)
{
    struct pb_field f;
    uint64_t seen = 0; /* by place in the table: at most 64 members */
    int rc;
    while ((rc = pb_next(&r, &f, err)) > 0) {
        const struct pb_member *m = member_of(type, f.number);
        if (!m)
            continue;
        uint64_t bit = UINT64_C(1) << (m - type->members);
        if (f.wire != wire_of[m->kind])
            return err_set(err, ERR_INPUT, 0, "%s: \"%s\" before offset %zu has wire type %u, want %u",
                           type->name, m->name, r.off, (unsigned)f.wire, (unsigned)wire_of[m->kind]);
        if (!many(m) && (seen & bit))
            return err_set(err, ERR_INPUT, 0, "%s: \"%s\" before offset %zu comes twice", type->name, m->name,
                           r.off);
        if ((m->kind == PB_KIND_U32 || m->kind == PB_KIND_ENUM) && f.value > UINT32_MAX)
            return err_set(err, ERR_INPUT, 0, "%s: \"%s\" before offset %zu does not fit 32 bits", type->name,
                           m->name, r.off);
        if (nested(m) && pb_check(nested(m), pb_inside(&r, &f), err) < 0)
            return -1;
        seen |= bit;
    }
    return rc;
}

bool pb_find(struct bytes message, uint32_t number, struct pb_field *out)
{
    struct reader r = reader_of(message);
    struct pb_field f;
    struct err ignored;
    while (pb_next(&r, &f, &ignored) > 0) {
        if (f.number == number) {
            *out = f;
            return true;
        }
    }
    return false;
}

struct bytes pb_get_bytes(struct bytes message, uint32_t number)
{
    struct pb_field f;
    return pb_find(message, number, &f) ? f.data : bytes_of(NULL, 0);
}

uint64_t pb_get_uint(struct bytes message, uint32_t number)
{
    struct pb_field f;
    return pb_find(message, number, &f) ? f.value : 0;
}

/* vcek_cert becomes vcekCert. */
static const char *camel(const char *snake, char out[static NAME_SIZE])
{
    size_t n = 0;
    for (const char *p = snake; *p && n < NAME_SIZE - 1; p++) {
        if (*p == '_' && p[1])
            out[n++] = (char)toupper((unsigned char)*++p);
        else
            out[n++] = *p;
    }
    out[n] = '\0';
    return out;
}

static json_t *enum_json(const struct pb_member *m, uint64_t value)
{
    for (const struct pb_enum_name *e = m->values; e && e->name; e++)
        if (e->value == value)
            return json_string(e->name);
    return json_integer((json_int_t)value);
}

static json_t *u64_json(uint64_t v, enum pb_spelling spelling)
{
    char text[24];
    if (spelling == PB_READABLE)
        return json_hex_u64(v);
    snprintf(text, sizeof(text), "%" PRIu64, v);
    return json_string(text);
}

static json_t *message_json(const struct pb_message *type, struct bytes message, enum pb_spelling spelling);

static json_t *value_json(const struct pb_member *m, const struct pb_field *f, enum pb_spelling spelling)
{
    switch (m->kind) {
    case PB_KIND_STRING:
        return json_text(f->data);
    case PB_KIND_U32:
        return json_integer((json_int_t)f->value);
    case PB_KIND_U64:
        return u64_json(f->value, spelling);
    case PB_KIND_ENUM:
        return enum_json(m, f->value);
    case PB_KIND_MESSAGE:
        return message_json(m->message, f->data, spelling);
    case PB_KIND_WRAPPED_U32:
        return json_integer((json_int_t)pb_get_uint(f->data, 1));
    case PB_KIND_MAP_U32:
    case PB_KIND_MAP_STRING: /* the value; the caller has the key */
        return spelling == PB_PROTOJSON ? json_b64(pb_get_bytes(f->data, 2))
                                        : json_hex(pb_get_bytes(f->data, 2));
    default:
        return spelling == PB_PROTOJSON ? json_b64(f->data) : json_hex(f->data);
    }
}

static void add_entry(json_t *map, const struct pb_member *m, const struct pb_field *f, json_t *value)
{
    char key[24];
    if (m->kind == PB_KIND_MAP_STRING) {
        AUTO(json_drop) json_t *text = json_text(pb_get_bytes(f->data, 1));
        json_object_set_new(map, text ? json_string_value(text) : "", value);
        return;
    }
    snprintf(key, sizeof(key), "%" PRIu64, pb_get_uint(f->data, 1));
    json_object_set_new(map, key, value);
}

static json_t *message_json(const struct pb_message *type, struct bytes message, enum pb_spelling spelling)
{
    json_t *object = json_object();
    struct reader r = reader_of(message);
    struct pb_field f;
    struct err ignored;
    while (pb_next(&r, &f, &ignored) > 0) {
        const struct pb_member *m = member_of(type, f.number);
        char name[NAME_SIZE];
        if (!m)
            continue;
        const char *key = spelling == PB_PROTOJSON ? camel(m->name, name) : m->name;
        json_t *value = value_json(m, &f, spelling), *list = json_object_get(object, key);
        if (many(m) && !list) {
            list = m->repeated ? json_array() : json_object();
            json_object_set_new(object, key, list);
        }
        if (m->repeated)
            json_array_append_new(list, value);
        else if (list)
            add_entry(list, m, &f, value);
        else
            json_object_set_new(object, key, value);
    }
    return object;
}

int pb_to_json(const struct pb_message *type, struct bytes message, enum pb_spelling spelling, json_t **out,
               struct err *err)
{
    if (pb_check(type, reader_of(message), err) < 0)
        return -1;
    json_t *object = message_json(type, message, spelling);
    if (!object)
        return err_set(err, ERR_IO, 0, "no memory for a %s", type->name);
    *out = object;
    return 0;
}

static int wrong(const struct pb_member *m, const char *want, struct err *err)
{
    return err_set(err, ERR_INPUT, 0, "\"%s\" is not %s", m->name, want);
}

static int number_of(const struct pb_member *m, const json_t *v, uint64_t *out, struct err *err)
{
    uint64_t max = m->kind == PB_KIND_U64 ? UINT64_MAX : UINT32_MAX;
    if (json_is_integer(v)) {
        if (json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > max)
            return wrong(m, "a number in range", err);
        *out = (uint64_t)json_integer_value(v);
        return 0;
    }
    const char *text = json_string_value(v);
    char *end = NULL;
    errno = 0;
    if (text && isdigit((unsigned char)*text))
        *out = strtoull(text, &end, 10);
    if (!end || *end || errno || *out > max)
        return wrong(m, "a number in range", err);
    return 0;
}

static int enum_of(const struct pb_member *m, const json_t *v, uint64_t *out, struct err *err)
{
    if (!json_is_string(v))
        return number_of(m, v, out, err);
    for (const struct pb_enum_name *e = m->values; e && e->name; e++) {
        if (strcmp(e->name, json_string_value(v)) == 0) {
            *out = e->value;
            return 0;
        }
    }
    return wrong(m, "a name that this message knows", err);
}

static int bytes_of_json(const struct pb_member *m, const json_t *v, struct buf *out, struct err *err)
{
    struct err why = { 0 };
    if (!json_is_string(v))
        return wrong(m, "a string", err);
    struct bytes text = bytes_of(json_string_value(v), json_string_length(v));
    if (m->kind == PB_KIND_STRING)
        buf_put(out, text);
    else if (b64_decode(text, out, &why) < 0)
        return err_set(err, ERR_INPUT, 0, "\"%s\": %s", m->name, why.cause);
    return buf_check(out, m->name, err);
}

static int put_value(const struct pb_member *m, const json_t *v, struct buf *out, struct err *err)
{
    AUTO(buf_done) struct buf inner = buf_new(out->max);
    uint64_t number = 0;
    switch (m->kind) {
    case PB_KIND_U32:
    case PB_KIND_U64:
    case PB_KIND_ENUM:
        if ((m->kind == PB_KIND_ENUM ? enum_of : number_of)(m, v, &number, err) < 0)
            return -1;
        pb_put_uint(out, m->number, number);
        return 0;
    case PB_KIND_WRAPPED_U32:
        if (number_of(m, v, &number, err) < 0)
            return -1;
        pb_put_uint(&inner, 1, number);
        break;
    case PB_KIND_MESSAGE:
        if (pb_from_json(m->message, v, &inner, err) < 0)
            return -1;
        break;
    default:
        if (bytes_of_json(m, v, &inner, err) < 0)
            return -1;
    }
    pb_put_bytes(out, m->number, buf_bytes(&inner));
    return 0;
}

static int put_map(const struct pb_member *m, const json_t *v, struct buf *out, struct err *err)
{
    static const struct pb_member key_number = { 1, PB_KIND_U32, "map key", false, NULL, NULL };
    const char *key;
    json_t *value;
    if (!json_is_object(v))
        return wrong(m, "an object", err);
    json_object_foreach((json_t *)(uintptr_t)v, key, value)
    {
        AUTO(buf_done) struct buf data = buf_new(out->max);
        AUTO(buf_done) struct buf entry = buf_new(out->max);
        AUTO(json_drop) json_t *text = json_string(key);
        uint64_t number = 0;
        if (m->kind == PB_KIND_MAP_STRING) {
            pb_put_bytes(&entry, 1, bytes_str(key));
        } else {
            if (number_of(&key_number, text, &number, err) < 0)
                return -1;
            pb_put_uint(&entry, 1, number);
        }
        if (bytes_of_json(m, value, &data, err) < 0)
            return -1;
        pb_put_bytes(&entry, 2, buf_bytes(&data));
        pb_put_bytes(out, m->number, buf_bytes(&entry));
    }
    return 0;
}

static int put_member(const struct pb_member *m, const json_t *v, struct buf *out, struct err *err)
{
    if (m->kind == PB_KIND_MAP_U32 || m->kind == PB_KIND_MAP_STRING)
        return put_map(m, v, out, err);
    if (!m->repeated)
        return put_value(m, v, out, err);
    if (!json_is_array(v))
        return wrong(m, "a list", err);
    for (size_t i = 0; i < json_array_size(v); i++)
        if (put_value(m, json_array_get(v, i), out, err) < 0)
            return -1;
    return 0;
}

int pb_from_json(const struct pb_message *type, const json_t *json, struct buf *out, struct err *err)
{
    if (!json_is_object(json))
        return err_set(err, ERR_INPUT, 0, "%s is not a JSON object", type->name);
    for (size_t i = 0; i < type->count; i++) {
        const struct pb_member *m = &type->members[i];
        char name[NAME_SIZE];
        const json_t *snake = json_object_get(json, m->name), *v = snake;
        if (strcmp(camel(m->name, name), m->name) != 0) {
            const json_t *other = json_object_get(json, name);
            if (snake && other)
                return err_set(err, ERR_INPUT, 0, "\"%s\" is there in two spellings", m->name);
            v = snake ? snake : other;
        }
        if (!v || json_is_null(v))
            continue;
        if (put_member(m, v, out, err) < 0)
            return -1;
    }
    return buf_check(out, type->name, err);
}
