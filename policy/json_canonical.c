/* The canonical text that golden measurements are signed over: see golden_sign.h. */
#include "policy/golden_sign.h"

#include "base/auto.h"

#include <stdlib.h>
#include <string.h>

/* The code point at p, which jansson has checked to be UTF-8 (RFC 3629); its length through *n. */
static uint32_t code_point(const uint8_t *p, size_t *n)
{
    static const uint8_t mask[] = { 0x7F, 0, 0x1F, 0x0F, 0x07 };
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    uint32_t c = p[0] & mask[len == 1 ? 0 : len];
    for (size_t i = 1; i < len; i++)
        c = c << 6 | (p[i] & 0x3F);
    *n = len;
    return c;
}

static void put_char(struct buf *out, uint32_t c)
{
    static const char short_escapes[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; i + 1 < sizeof(short_escapes); i += 2)
        if (c == (uint8_t)short_escapes[i]) {
            buf_u8(out, '\\');
            buf_u8(out, (uint8_t)short_escapes[i + 1]);
            return;
        }
    if (c >= 0x20 && c < 0x7F)
        buf_u8(out, (uint8_t)c);
    else if (c < 0x10000)
        buf_printf(out, "\\u%04" PRIx32, c);
    else
        buf_printf(out, "\\u%04" PRIx32 "\\u%04" PRIx32, 0xD800 + ((c - 0x10000) >> 10),
                   0xDC00 + ((c - 0x10000) & 0x3FF));
}

static void put_text(struct buf *out, const char *text, size_t n)
{
    size_t len;
    buf_u8(out, '"');
    for (size_t i = 0; i < n; i += len)
        put_char(out, code_point((const uint8_t *)text + i, &len));
    buf_u8(out, '"');
}

/* UTF-8 sorts by bytes as Unicode does by code points. */
static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void drop_names(const char ***names)
{
    free(*names);
}

static int put_object(struct buf *out, const json_t *object, struct err *err)
{
    AUTO(drop_names) const char **names = calloc(json_object_size(object) + 1, sizeof(*names));
    const char *key;
    json_t *value;
    size_t n = 0;
    if (!names)
        return err_set(err, ERR_IO, 0, "no memory for %zu names", json_object_size(object));
    json_object_foreach((json_t *)(uintptr_t)object, key, value) names[n++] = key;
    qsort(names, n, sizeof(*names), by_name);
    buf_u8(out, '{');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_u8(out, ',');
        put_text(out, names[i], strlen(names[i]));
        buf_u8(out, ':');
        if (json_canonical_put(out, json_object_get(object, names[i]), err) < 0)
            return -1;
    }
    buf_u8(out, '}');
    return 0;
}

static int put_array(struct buf *out, const json_t *array, struct err *err)
{
    buf_u8(out, '[');
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i)
            buf_u8(out, ',');
        if (json_canonical_put(out, json_array_get(array, i), err) < 0)
            return -1;
    }
    buf_u8(out, ']');
    return 0;
}

int json_canonical_put(struct buf *out, const json_t *value, struct err *err)
{
    int rc = 0;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        rc = put_object(out, value, err);
        break;
    case JSON_ARRAY:
        rc = put_array(out, value, err);
        break;
    case JSON_STRING:
        put_text(out, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        return err_set(err, ERR_INPUT, 0,
                       "a number with a fraction or exponent cannot be signed: it has many "
                       "spellings");
    case JSON_TRUE:
        buf_str(out, "true");
        break;
    case JSON_FALSE:
        buf_str(out, "false");
        break;
    case JSON_NULL:
        buf_str(out, "null");
        break;
    }
    return rc < 0 ? rc : buf_check(out, "canonical text", err);
}
