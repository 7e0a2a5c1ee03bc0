#include "base/enc.h"

#include <stdlib.h>

static const char hex_digits[] = "0123456789abcdef";
static const char b64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b64url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void hex_write(char *out, struct bytes data)
{
    for (size_t i = 0; i < data.n; i++) {
        out[2 * i] = hex_digits[data.p[i] >> 4];
        out[2 * i + 1] = hex_digits[data.p[i] & 15];
    }
}

void hex_put(struct buf *out, struct bytes data)
{
    uint8_t *at = data.n ? buf_room(out, data.n * 2) : NULL;
    if (at)
        hex_write((char *)at, data);
}

char *hex_to(char *out, struct bytes data)
{
    hex_write(out, data);
    out[2 * data.n] = '\0';
    return out;
}

char *hex_str(struct bytes data)
{
    char *s = malloc(2 * data.n + 1);
    return s ? hex_to(s, data) : NULL;
}

static struct bytes without_0x(struct bytes text)
{
    if (text.n >= 2 && text.p[0] == '0' && (text.p[1] == 'x' || text.p[1] == 'X'))
        return bytes_of(text.p + 2, text.n - 2);
    return text;
}

static int decode_digits(struct bytes text, uint8_t *out, struct err *err)
{
    for (size_t i = 0; i < text.n; i += 2) {
        int hi = hex_value(text.p[i]), lo = hex_value(text.p[i + 1]);
        if (hi < 0 || lo < 0)
            return err_set(err, ERR_INPUT, 0, "not a hex digit at offset %zu", hi < 0 ? i : i + 1);
        out[i / 2] = (uint8_t)(hi << 4 | lo);
    }
    return 0;
}

int hex_decode_fixed(struct bytes text, uint8_t *out, size_t n, struct err *err)
{
    struct bytes digits = without_0x(text);
    if (digits.n != 2 * n)
        return err_set(err, ERR_INPUT, 0, "%zu hex digits where %zu are needed", digits.n, 2 * n);
    for (size_t i = 0; i < digits.n; i++)
        if (hex_value(digits.p[i]) < 0)
            return err_set(err, ERR_INPUT, 0, "not a hex digit at offset %zu", i);
    return decode_digits(digits, out, err);
}

int hex_decode(struct bytes text, struct buf *out, struct err *err)
{
    struct bytes digits = without_0x(text);
    if (digits.n % 2)
        return err_set(err, ERR_INPUT, 0, "an odd number of hex digits (%zu)", digits.n);
    size_t before = out->n;
    uint8_t *at = digits.n ? buf_room(out, digits.n / 2) : NULL;
    if (digits.n && !at)
        return buf_check(out, "hex value", err);
    if (decode_digits(digits, at, err) < 0) {
        out->n = before;
        return -1;
    }
    return 0;
}

static void b64_write(struct buf *out, struct bytes data, const char *alphabet, bool pad)
{
    if (data.n > SIZE_MAX / 4 * 3 - 3) {
        out->failed = true;
        return;
    }
    size_t rest = data.n % 3, n = data.n / 3 * 4 + (rest ? (pad ? 4 : rest + 1) : 0), i = 0;
    uint8_t *at = n ? buf_room(out, n) : NULL;
    if (!at)
        return;
    for (; i + 3 <= data.n; i += 3) {
        uint32_t v = (uint32_t)data.p[i] << 16 | (uint32_t)data.p[i + 1] << 8 | data.p[i + 2];
        *at++ = (uint8_t)alphabet[v >> 18];
        *at++ = (uint8_t)alphabet[v >> 12 & 63];
        *at++ = (uint8_t)alphabet[v >> 6 & 63];
        *at++ = (uint8_t)alphabet[v & 63];
    }
    if (rest) {
        uint32_t v = (uint32_t)data.p[i] << 16 | (rest == 2 ? (uint32_t)data.p[i + 1] << 8 : 0);
        *at++ = (uint8_t)alphabet[v >> 18];
        *at++ = (uint8_t)alphabet[v >> 12 & 63];
        if (rest == 2)
            *at++ = (uint8_t)alphabet[v >> 6 & 63];
        for (size_t k = rest; pad && k < 3; k++)
            *at++ = '=';
    }
}

void b64_put(struct buf *out, struct bytes data)
{
    b64_write(out, data, b64_alphabet, true);
}

void b64url_put(struct buf *out, struct bytes data)
{
    b64_write(out, data, b64url_alphabet, false);
}

char *b64_str(struct bytes data)
{
    struct buf b = buf_new(SIZE_MAX / 2);
    b64_put(&b, data);
    char *s = buf_take_str(&b);
    buf_done(&b);
    return s;
}

/* Value plus one; 0: not of the alphabets. Documents are base64 for the most part. */
#define B64_ROW(c, v) [c] = (v) + 1, [(c) + 1] = (v) + 2, [(c) + 2] = (v) + 3, [(c) + 3] = (v) + 4
static const uint8_t b64_table[256] = {
    B64_ROW('A', 0),  B64_ROW('E', 4),  B64_ROW('I', 8),  B64_ROW('M', 12), B64_ROW('Q', 16),
    B64_ROW('U', 20), ['Y'] = 25,       ['Z'] = 26,       B64_ROW('a', 26), B64_ROW('e', 30),
    B64_ROW('i', 34), B64_ROW('m', 38), B64_ROW('q', 42), B64_ROW('u', 46), ['y'] = 51,
    ['z'] = 52,       B64_ROW('0', 52), B64_ROW('4', 56), ['8'] = 61,       ['9'] = 62,
    ['+'] = 63,       ['-'] = 63,       ['/'] = 64,       ['_'] = 64,
};

static int b64_value(uint8_t c)
{
    return b64_table[c] - 1;
}

/* Whole groups of four, as far as all are of the alphabet. @return characters taken */
static size_t b64_groups(const uint8_t *text, size_t n, uint8_t *out)
{
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        int a = b64_value(text[i]), b = b64_value(text[i + 1]), c = b64_value(text[i + 2]),
            d = b64_value(text[i + 3]);
        if ((a | b | c | d) < 0)
            break;
        *out++ = (uint8_t)(a << 2 | b >> 4);
        *out++ = (uint8_t)(b << 4 | c >> 2);
        *out++ = (uint8_t)(c << 6 | d);
    }
    return i;
}

static int b64_refuse(struct buf *out, size_t before, struct err *err, size_t at, const char *why)
{
    out->n = before;
    return err_set(err, ERR_INPUT, 0, "not base64 at offset %zu: %s", at, why);
}

int b64_decode(struct bytes text, struct buf *out, struct err *err)
{
    size_t n = text.n, before = out->n;
    if (n && n % 4 == 0 && text.p[n - 1] == '=')
        n -= text.p[n - 2] == '=' ? 2 : 1;
    if (n % 4 == 1)
        return b64_refuse(out, before, err, text.n, "a lone character at the end");
    uint8_t *at = n ? buf_room(out, n / 4 * 3 + (n % 4 ? n % 4 - 1 : 0)) : NULL;
    if (n && !at)
        return buf_check(out, "base64 value", err);
    uint32_t v = 0;
    size_t whole = n ? b64_groups(text.p, n, at) : 0;
    for (size_t i = whole; i < n; i++) { /* less than a group, or something that is not of the alphabet */
        int d = b64_value(text.p[i]);
        if (d < 0)
            return b64_refuse(out, before, err, i, "not of the alphabet");
        v = v << 6 | (uint32_t)d;
    }
    at = n ? at + whole / 4 * 3 : at;
    if (n % 4 == 2) {
        if (v & 15)
            return b64_refuse(out, before, err, n - 1, "bits after the last byte are not zero");
        *at = (uint8_t)(v >> 4);
    } else if (n % 4 == 3) {
        if (v & 3)
            return b64_refuse(out, before, err, n - 1, "bits after the last byte are not zero");
        at[0] = (uint8_t)(v >> 10);
        at[1] = (uint8_t)(v >> 2);
    }
    return 0;
}

int percent_decode(struct bytes text, struct buf *out, struct err *err)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '%') {
            buf_u8(out, text.p[i]);
            continue;
        }
        int hi = i + 1 < text.n ? hex_value(text.p[i + 1]) : -1;
        int lo = i + 2 < text.n ? hex_value(text.p[i + 2]) : -1;
        if (hi < 0 || lo < 0)
            return err_set(err, ERR_INPUT, 0, "a bad %%-escape at offset %zu: write %%XX with two hex digits",
                           i);
        buf_u8(out, (uint8_t)(hi << 4 | lo));
        i += 2;
    }
    return buf_check(out, "percent-decoded text", err);
}
