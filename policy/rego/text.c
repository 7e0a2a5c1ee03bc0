#include "policy/rego/text.h"

void text_place(struct bytes text, size_t at, uint32_t *line, uint32_t *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < at && i < text.n; i++) {
        if (text.p[i] == '\n') {
            ++*line;
            *column = 1;
        } else if ((text.p[i] & 0xC0) != 0x80) {
            ++*column;
        }
    }
}

size_t text_utf8_length(const uint8_t *p, size_t n)
{
    uint8_t lead = p[0];
    if (lead < 0x80)
        return 1;
    size_t len = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    if (len == 0 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    if ((lead == 0xE0 && p[1] < 0xA0) || (lead == 0xED && p[1] > 0x9F) || (lead == 0xF0 && p[1] < 0x90)
        || (lead == 0xF4 && p[1] > 0x8F))
        return 0;
    return len;
}

size_t text_utf8_check(struct bytes text)
{
    size_t at = 0;
    while (at < text.n) {
        if (text.p[at] && text.p[at] < 0x80) {
            at++;
            continue;
        }
        size_t len = text.p[at] ? text_utf8_length(text.p + at, text.n - at) : 0;
        if (len == 0)
            return at;
        at += len;
    }
    return at;
}

size_t text_utf8_put(uint32_t c, char *out)
{
    uint8_t *p = (uint8_t *)out;
    if (c < 0x80) {
        p[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        p[0] = (uint8_t)(0xC0 | c >> 6);
        p[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        p[0] = (uint8_t)(0xE0 | c >> 12);
        p[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        p[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    p[0] = (uint8_t)(0xF0 | c >> 18);
    p[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    p[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    p[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

size_t text_utf8_get(const char *text, size_t n, uint32_t *c)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t len = n ? text_utf8_length(p, n) : 0;
    if (len <= 1) {
        *c = n ? p[0] : 0;
        return n ? 1 : 0;
    }
    *c = p[0] & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++)
        *c = *c << 6 | (p[i] & 0x3F);
    return len;
}

/* A byte that belongs to no well-formed sequence counts as one, as in Go. */
size_t text_utf8_count(struct bytes text)
{
    size_t n = 0, len;
    for (size_t i = 0; i < text.n; i += len, n++) {
        len = text.p[i] < 0x80 ? 1 : text_utf8_length(text.p + i, text.n - i);
        if (len == 0)
            len = 1;
    }
    return n;
}

size_t text_string_end(struct bytes text, size_t at)
{
    while (at < text.n && text.p[at] != '"' && text.p[at] >= 0x20) {
        if (text.p[at] == '\\' && at + 1 < text.n && text.p[at + 1] >= 0x20)
            at++;
        at++;
    }
    return at;
}

static bool hex4(const uint8_t *p, size_t n, uint32_t *out)
{
    *out = 0;
    if (n < 4)
        return false;
    for (size_t i = 0; i < 4; i++) {
        uint8_t c = p[i];
        unsigned d = c >= '0' && c <= '9'   ? c - 0x30u
                     : c >= 'a' && c <= 'f' ? c - 87u
                     : c >= 'A' && c <= 'F' ? c - 55u
                                            : 16u;
        if (d > 15)
            return false;
        *out = *out << 4 | d;
    }
    return true;
}

/* \uXXXX at p[0], with its second half if there is one; returns the bytes taken, 0 if malformed. */
static size_t read_u(const uint8_t *p, size_t n, uint32_t *c)
{
    uint32_t low;
    if (!hex4(p + 2, n - 2, c))
        return 0;
    if (*c < 0xD800 || *c > 0xDFFF)
        return 6;
    if (*c < 0xDC00 && n >= 12 && p[6] == '\\' && p[7] == 'u' && hex4(p + 8, n - 8, &low) && low >= 0xDC00
        && low <= 0xDFFF) {
        *c = 0x10000 + ((*c - 0xD800) << 10) + (low - 0xDC00);
        return 12;
    }
    *c = 0xFFFD;
    return 6;
}

bool text_unescape(struct bytes raw, char *out, size_t *n, const char **why, size_t *at)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    size_t used = 0;
    for (size_t i = 0; i < raw.n;) {
        if (raw.p[i] != '\\') {
            out[used++] = (char)raw.p[i++];
            continue;
        }
        const char *simple = i + 1 < raw.n && raw.p[i + 1] ? strchr(from, raw.p[i + 1]) : NULL;
        uint32_t c;
        size_t taken = i + 1 < raw.n && raw.p[i + 1] == 'u' ? read_u(raw.p + i, raw.n - i, &c) : 0;
        if (simple) {
            out[used++] = to[simple - from];
            i += 2;
        } else if (taken) {
            used += text_utf8_put(c, out + used);
            i += taken;
        } else {
            *why = "not an escape of JSON";
            *at = i;
            return false;
        }
    }
    *n = used;
    return true;
}
