#include "base/json_wide.h"

#include "base/auto.h"

/* U+0002 and the digits. (json_spans.c marks with U+0001.) */
#define MARK      2
#define MARK_JSON "\"\\u0002"
#define DIGITS    19 /* of 2^63; 20 of 2^64 - 1 */

static bool digits_u64(const char *text, size_t n, uint64_t *out)
{
    uint64_t v = 0;
    if (n == 0 || n > 20 || (*text == '0' && n > 1))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        unsigned d = (unsigned)(text[i] - '0');
        if (v > (UINT64_MAX - d) / 10)
            return false;
        v = v * 10 + d;
    }
    *out = v;
    return true;
}

/* Past the string whose opening quote is before p. */
static const uint8_t *skip_string(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p != '"')
        p += *p == '\\' && end - p > 1 ? 2 : 1;
    return p < end ? p + 1 : end;
}

static bool of_number(uint8_t c)
{
    return (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.' || c == 'e' || c == 'E';
}

/* The next token that is too wide for jansson, from p on. @return its start, or NULL; *n its length */
static const uint8_t *next_wide(const uint8_t *p, const uint8_t *end, size_t *n)
{
    uint64_t v;
    while (p < end) {
        if (*p == '"') {
            p = skip_string(p + 1, end);
        } else if (of_number(*p)) {
            const uint8_t *start = p;
            while (p < end && of_number(*p))
                p++;
            *n = (size_t)(p - start);
            if (*n >= DIGITS && digits_u64((const char *)start, *n, &v) && v > INT64_MAX)
                return start;
        } else {
            p++;
        }
    }
    return NULL;
}

int json_wide_mark(struct bytes text, struct buf *storage, struct bytes *out, struct err *err)
{
    const uint8_t *p = text.p, *end = text.p + text.n;
    size_t n = 0;
    const uint8_t *wide = next_wide(p, end, &n);
    if (!wide) {
        *out = text;
        return 0;
    }
    for (; wide; wide = next_wide(p, end, &n)) {
        buf_put(storage, bytes_of(p, (size_t)(wide - p)));
        buf_str(storage, MARK_JSON);
        buf_put(storage, bytes_of(wide, n));
        buf_u8(storage, '"');
        p = wide + n;
    }
    buf_put(storage, bytes_of(p, (size_t)(end - p)));
    *out = buf_bytes(storage);
    return buf_check(storage, "JSON", err);
}

int json_wide_parse(struct bytes text, size_t max, json_t **out, struct err *err)
{
    AUTO(buf_done) struct buf storage = buf_new(2 * max + 64);
    struct bytes marked;
    if (text.n > max)
        return err_set(err, ERR_TOO_LARGE, 0, "JSON of %zu bytes, at most %zu are read", text.n, max);
    if (json_wide_mark(text, &storage, &marked, err) < 0)
        return -1;
    return json_parse(marked, marked.n, out, err);
}

bool json_wide_is(const json_t *v)
{
    uint64_t ignored;
    return json_is_string(v) && json_wide_u64(v, &ignored);
}

bool json_wide_u64(const json_t *v, uint64_t *out)
{
    if (json_is_integer(v) && json_integer_value(v) >= 0) {
        *out = (uint64_t)json_integer_value(v);
        return true;
    }
    if (json_is_string(v)) {
        const char *text = json_string_value(v);
        return text[0] == MARK && digits_u64(text + 1, json_string_length(v) - 1, out);
    }
    double d = json_is_real(v) ? json_real_value(v) : -1;
    if (d < 0 || d >= 9007199254740992.0 || d != (double)(uint64_t)d) /* beyond 2^53 a double is not exact */
        return false;
    *out = (uint64_t)d;
    return true;
}

json_t *json_wide_number(uint64_t v)
{
    char text[24];
    if (v <= INT64_MAX)
        return json_integer((json_int_t)v);
    snprintf(text, sizeof(text), "%c%" PRIu64, MARK, v);
    return json_string(text);
}

/* json_parse() bounds the depth. */
static void put(struct buf *out, const json_t *value, unsigned level)
{
    bool object = json_is_object(value);
    size_t i = 0, n = object ? json_object_size(value) : json_array_size(value);
    const char *key;
    json_t *child;
    uint64_t number;
    if (json_is_string(value) && json_wide_u64(value, &number)) {
        buf_printf(out, "%" PRIu64, number);
        return;
    }
    if (n == 0) {
        json_put(out, value, false);
        return;
    }
    buf_u8(out, object ? '{' : '[');
    if (object) {
        json_object_foreach((json_t *)(uintptr_t)value, key, child)
        {
            buf_printf(out, "%s\n%*s", i++ ? "," : "", (int)(2 * level + 2), "");
            json_put_string(out, bytes_str(key));
            buf_str(out, ": ");
            put(out, child, level + 1);
        }
    } else {
        json_array_foreach(value, i, child)
        {
            buf_printf(out, "%s\n%*s", i ? "," : "", (int)(2 * level + 2), "");
            put(out, child, level + 1);
        }
    }
    buf_printf(out, "\n%*s%c", (int)(2 * level), "", object ? '}' : ']');
}

void json_wide_put(struct buf *out, const json_t *value)
{
    put(out, value, 0);
}
