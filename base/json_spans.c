#include "base/json_spans.h"

#include "base/auto.h"

#include <errno.h>
#include <stdio.h>

/* The name of span n is U+0001 and the number. A text that spells U+0001 itself is read the slow way. */
#define MARK      1
#define MARK_JSON "\\u0001"

/* The closing quote of the string that begins behind an opening one, or NULL; *escaped if there is a
 * backslash. */
static const uint8_t *string_end(const uint8_t *p, const uint8_t *end, bool *escaped)
{
    *escaped = false;
    while (p < end) {
        const uint8_t *quote = memchr(p, '"', (size_t)(end - p));
        const uint8_t *slash = quote ? memchr(p, '\\', (size_t)(quote - p)) : NULL;
        if (!slash)
            return quote;
        *escaped = true;
        p = slash + 1 < end ? slash + 2 : end;
    }
    return NULL;
}

static bool plain(const uint8_t *p, const uint8_t *end)
{
    uint8_t any = 0;
    for (; p < end; p++)
        any |= *p < 0x20 || *p >= 0x80;
    return !any;
}

/* Copies text with long strings named. @return false: not possible, read it as it is */
static bool shorten(struct bytes text, struct buf *out, struct json_spans *s)
{
    const uint8_t *p = text.p, *end = text.p + text.n;
    if (memmem(text.p, text.n, MARK_JSON, strlen(MARK_JSON)))
        return false;
    while (p < end) {
        const uint8_t *open = memchr(p, '"', (size_t)(end - p));
        bool escaped;
        if (!open)
            break;
        const uint8_t *close = string_end(open + 1, end, &escaped);
        if (!close)
            return false;
        size_t n = (size_t)(close - open - 1);
        buf_put(out, bytes_of(p, (size_t)(open + 1 - p)));
        if (n >= JSON_SPAN_MIN && s->n < JSON_SPANS_MAX && plain(open + 1, close)) {
            buf_printf(out, MARK_JSON "%zu", s->n);
            s->span[s->n++] = bytes_of(open + 1, n);
        } else {
            buf_put(out, bytes_of(open + 1, n));
        }
        buf_u8(out, '"');
        p = close + 1;
    }
    buf_put(out, bytes_of(p, (size_t)(end - p)));
    return !out->failed && s->n > 0;
}

int json_spans_parse(struct bytes text, size_t max, struct json_spans *out, struct err *err)
{
    AUTO(buf_done) struct buf shorter = buf_new(max < text.n ? max : text.n);
    struct err ignored;
    out->n = 0;
    if (text.n <= max && shorten(text, &shorter, out)
        && json_parse(buf_bytes(&shorter), max, &out->root, &ignored) == 0)
        return 0;
    out->n = 0; /* messages must name the place in the text itself */
    return json_parse(text, max, &out->root, err);
}

void json_spans_done(struct json_spans *s)
{
    json_decref(s->root);
    s->root = NULL;
    s->n = 0;
}

static const struct bytes *span_of(const struct json_spans *s, const json_t *string)
{
    const char *text = json_string_value(string);
    size_t i = 0;
    if (!s->n || !text || text[0] != MARK)
        return NULL;
    for (text++; *text; text++)
        i = i * 10 + (size_t)(*text - '0');
    return i < s->n ? &s->span[i] : NULL;
}

struct bytes json_spans_raw(const struct json_spans *s, const json_t *string)
{
    const struct bytes *span = span_of(s, string);
    return span ? *span : bytes_of(json_string_value(string), json_string_length(string));
}

/* A string with escapes is read by jansson after all. */
static int unescape(struct bytes raw, json_t **out, struct err *err)
{
    AUTO(buf_done) struct buf quoted = buf_new(raw.n + 4);
    json_error_t why;
    buf_str(&quoted, "\"");
    buf_put(&quoted, raw);
    buf_str(&quoted, "\"");
    if (buf_check(&quoted, "JSON string", err) < 0)
        return -1;
    *out = json_loadb((const char *)quoted.p, quoted.n, JSON_DECODE_ANY, &why);
    return *out ? 0 : err_set(err, ERR_INPUT, 0, "not JSON: a string of %zu bytes: %.100s", raw.n, why.text);
}

/* The escapes that JSON writers use in JSON inside text; another one goes the long way. */
static bool unescape_simple(struct bytes raw, struct buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const uint8_t *p = raw.p, *end = raw.p + raw.n;
    while (p < end) {
        const uint8_t *slash = memchr(p, '\\', (size_t)(end - p));
        buf_put(out, bytes_of(p, (size_t)((slash ? slash : end) - p)));
        if (!slash)
            break;
        const char *which = slash + 1 < end && slash[1] ? strchr(from, slash[1]) : NULL;
        if (!which)
            return false;
        buf_u8(out, (uint8_t)to[which - from]);
        p = slash + 2;
    }
    return true;
}

int json_spans_text(const struct json_spans *s, const json_t *string, struct buf *out, struct err *err)
{
    AUTO(json_drop) json_t *whole = NULL;
    const struct bytes *span = span_of(s, string);
    size_t before = out->n;
    if (!span) {
        buf_put(out, bytes_of(json_string_value(string), json_string_length(string)));
    } else if (!unescape_simple(*span, out)) {
        out->n = before;
        if (unescape(*span, &whole, err) < 0)
            return -1;
        buf_put(out, bytes_of(json_string_value(whole), json_string_length(whole)));
    }
    return buf_check(out, "JSON string", err);
}

int json_spans_whole(const struct json_spans *s, json_t *value, json_t **out, struct err *err)
{
    const struct bytes *span = json_is_string(value) ? span_of(s, value) : NULL;
    if (span)
        return unescape(*span, out, err);
    if (!s->n || (!json_is_object(value) && !json_is_array(value))) {
        *out = json_incref(value);
        return 0;
    }
    AUTO(json_drop) json_t *copy = json_is_object(value) ? json_object() : json_array();
    const char *key;
    json_t *child, *whole;
    size_t i;
    int rc = 0;
    json_object_foreach(value, key, child)
    {
        if (json_spans_whole(s, child, &whole, err) < 0)
            return -1;
        rc |= json_object_set_new_nocheck(copy, key, whole);
    }
    if (json_is_array(value))
        json_array_foreach(value, i, child)
        {
            if (json_spans_whole(s, child, &whole, err) < 0)
                return -1;
            rc |= json_array_append_new(copy, whole);
        }
    if (rc < 0)
        return err_set(err, ERR_IO, ENOMEM, "no memory for JSON");
    *out = MOVE(copy);
    return 0;
}
