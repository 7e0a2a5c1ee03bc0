#include "base/json.h"

#include "base/auto.h"
#include "base/enc.h"

#include <stdlib.h>

/* jansson recurses; look at the brackets first. Strings are skipped as JSON defines them. */
static int check_depth(struct bytes text, struct err *err)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > JSON_DEPTH_MAX)
                return err_set(err, ERR_INPUT, 0, "JSON nested deeper than %d levels at offset %zu",
                               JSON_DEPTH_MAX, i);
        } else if ((c == ']' || c == '}') && depth) {
            depth--;
        }
    }
    return 0;
}

int json_count_check(struct bytes text, size_t max, struct err *err)
{
    size_t n = 1;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t c = text.p[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == ',' || c == '[' || c == '{') && ++n > max)
            return err_set(err, ERR_INPUT, 0,
                           "not JSON that is read here: more than %zu values, at offset %zu", max, i);
    }
    return 0;
}

int json_parse(struct bytes text, size_t max, json_t **out, struct err *err)
{
    json_error_t why;
    if (text.n > max)
        return err_set(err, ERR_TOO_LARGE, 0, "JSON of %zu bytes, at most %zu are read", text.n, max);
    if (check_depth(text, err) < 0)
        return -1;
    json_t *v = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (!v)
        return err_set(err, ERR_INPUT, 0, "not JSON: line %d, column %d: %s", why.line, why.column, why.text);
    *out = v;
    return 0;
}

json_t *json_hex(struct bytes data)
{
    AUTO(free_str) char *s = hex_str(data);
    return s ? json_stringn(s, 2 * data.n) : NULL;
}

json_t *json_b64(struct bytes data)
{
    AUTO(free_str) char *s = b64_str(data);
    return s ? json_string(s) : NULL;
}

json_t *json_hex_u64(uint64_t v)
{
    char text[24];
    snprintf(text, sizeof(text), "0x%" PRIx64, v);
    return json_string(text);
}

/* Length of the well-formed UTF-8 sequence at p (RFC 3629), 0 if there is none. */
static size_t utf8_len(const uint8_t *p, size_t n)
{
    static const struct {
        uint8_t from, to, len, second_from, second_to;
    } lead[] = {
        { 0xC2, 0xDF, 2, 0x80, 0xBF }, { 0xE0, 0xE0, 3, 0xA0, 0xBF }, { 0xE1, 0xEC, 3, 0x80, 0xBF },
        { 0xED, 0xED, 3, 0x80, 0x9F }, { 0xEE, 0xEF, 3, 0x80, 0xBF }, { 0xF0, 0xF0, 4, 0x90, 0xBF },
        { 0xF1, 0xF3, 4, 0x80, 0xBF }, { 0xF4, 0xF4, 4, 0x80, 0x8F },
    };
    if (p[0] < 0x80)
        return 1;
    for (size_t i = 0; i < ARRAY_SIZE(lead); i++) {
        if (p[0] < lead[i].from || p[0] > lead[i].to)
            continue;
        if (n < lead[i].len || p[1] < lead[i].second_from || p[1] > lead[i].second_to)
            return 0;
        for (size_t k = 2; k < lead[i].len; k++)
            if ((p[k] & 0xC0) != 0x80)
                return 0;
        return lead[i].len;
    }
    return 0;
}

static void put_utf8(struct buf *out, struct bytes data, bool escape)
{
    for (size_t i = 0; i < data.n;) {
        size_t len = utf8_len(data.p + i, data.n - i);
        uint8_t c = data.p[i];
        if (len == 0 || (c == 0 && !escape))
            buf_put(out, bytes_of("\xEF\xBF\xBD", 3));
        else if (escape && (c == '"' || c == '\\'))
            buf_put(out, bytes_of((uint8_t[]){ '\\', c }, 2));
        else if (escape && c < 0x20)
            buf_printf(out, "\\u%04x", c);
        else
            buf_put(out, bytes_of(data.p + i, len));
        i += len ? len : 1;
    }
}

json_t *json_text(struct bytes data)
{
    AUTO(buf_done) struct buf b = buf_new(SIZE_MAX / 2);
    put_utf8(&b, data, false);
    return b.failed ? NULL : json_stringn((const char *)buf_bytes(&b).p, b.n);
}

int json_get_b64(const json_t *object, const char *key, struct buf *out, struct err *err)
{
    const json_t *v = json_object_get(object, key);
    if (!json_is_string(v))
        return err_set(err, ERR_INPUT, 0, "\"%s\" is not there as a base64 string", key);
    struct err inner = { 0 };
    if (b64_decode(bytes_of(json_string_value(v), json_string_length(v)), out, &inner) < 0)
        return err_set(err, inner.kind, 0, "\"%s\": %s", key, inner.cause);
    return 0;
}

static int dump_to_buf(const char *text, size_t n, void *out)
{
    buf_put(out, bytes_of(text, n));
    return 0;
}

void json_put(struct buf *out, const json_t *value, bool indent)
{
    size_t flags = JSON_ENCODE_ANY | (indent ? JSON_INDENT(2) : JSON_COMPACT);
    if (!value || json_dump_callback(value, dump_to_buf, out, flags) < 0)
        out->failed = true;
}

void json_put_string(struct buf *out, struct bytes text)
{
    buf_u8(out, '"');
    put_utf8(out, text, true);
    buf_u8(out, '"');
}

void json_put_key(struct buf *out, const char *key)
{
    if (out->n && out->p[out->n - 1] != '{' && out->p[out->n - 1] != '[')
        buf_u8(out, ',');
    json_put_string(out, bytes_str(key));
    buf_u8(out, ':');
}

void json_put_b64(struct buf *out, const char *key, struct bytes data)
{
    json_put_key(out, key);
    buf_u8(out, '"');
    b64_put(out, data);
    buf_u8(out, '"');
}
