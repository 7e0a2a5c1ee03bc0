#include "policy/rego/sprintf.h"

#include "policy/rego/number.h"
#include "policy/rego/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct out {
    struct arena_text text;
    struct buf *scratch;
};

static void put(struct out *o, const char *p, size_t n)
{
    arena_text_put(&o->text, p, n);
}

static void put_str(struct out *o, const char *s)
{
    put(o, s, strlen(s));
}

/* One %...: flags, width, precision. */
struct spec {
    bool minus, plus, sharp, space, zero;
    int width, precision; /* -1: none */
    char verb;
};

/* What an argument is to Go: an int, a float64 or a string. */
struct item {
    enum { INT, FLOAT, STRING } type;
    struct bytes text; /* STRING; INT: decimal digits with sign */
    double f;
};

#define WIDTH_MAX 1000

static void pad(struct out *o, const struct spec *s, const char *text, size_t n)
{
    size_t runes = text_utf8_count(bytes_of(text, n)), width = s->width > 0 ? (size_t)s->width : 0;
    size_t fill = width > runes ? width - runes : 0;
    bool sign = n && (text[0] == '-' || text[0] == '+');
    bool zeros = s->zero && !s->minus;
    if (zeros && sign && fill)
        put(o, text, 1);
    for (size_t i = 0; i < fill && !s->minus; i++)
        put(o, zeros ? "0" : " ", 1);
    if (zeros && sign && fill)
        put(o, text + 1, n - 1);
    else
        put(o, text, n);
    for (size_t i = 0; i < fill && s->minus; i++)
        put(o, " ", 1);
}

/* As Rego writes it. */
static struct bytes rego_text(struct out *o, const struct value *v)
{
    buf_done(o->scratch);
    *o->scratch = buf_new((size_t)16 << 20);
    value_put_rego(o->scratch, v);
    if (o->scratch->failed)
        arena_fail(o->text.arena, ERR_TOO_LARGE, "a text that sprintf made is too long");
    return bytes_of(arena_copy(o->text.arena, buf_bytes(o->scratch).p, o->scratch->n), o->scratch->n);
}

/* A number that Go reads as an integer. */
static bool is_go_int(const struct value *v)
{
    const struct decimal *d = v->dec;
    return number_is_int(v) && !(d && d->text && strcspn(d->text, ".eE") < d->text_n);
}

static struct item item_of(struct out *o, const struct value *v)
{
    struct item i = { .type = STRING };
    if (v->type == V_STRING) {
        i.text = value_bytes(v);
    } else if (v->type == V_NUMBER && is_go_int(v)) {
        i.type = INT;
        i.text = rego_text(o, v);
    } else if (v->type == V_NUMBER) {
        i.f = (double)number_float(v);
        i.type = isfinite(i.f) ? FLOAT : STRING;
        i.text = i.type == STRING ? rego_text(o, v) : bytes_of(NULL, 0);
    } else {
        i.text = rego_text(o, v);
    }
    return i;
}

/* Go's %v of a float64: the shortest digits, with a power from 1e21 on. */
static void float_text(double f, char out[static 64])
{
    char e[40];
    int digits = 1;
    for (; digits < 17; digits++) {
        snprintf(e, sizeof(e), "%.*e", digits - 1, f);
        if (strtod(e, NULL) == f)
            break;
    }
    snprintf(e, sizeof(e), "%.*e", digits - 1, f);
    int power = atoi(strchr(e, 'e') + 1);
    if (power < -4 || power >= 21)
        snprintf(out, 64, "%s", e);
    else
        snprintf(out, 64, "%.*f", digits - 1 - power > 0 ? digits - 1 - power : 0, f);
}

static void bad(struct out *o, char verb, const struct item *i)
{
    char f[64];
    char head[] = { '%', '!', verb, '(', 0 };
    put_str(o, head);
    put_str(o, i->type == INT ? "int=" : i->type == FLOAT ? "float64=" : "string=");
    if (i->type == FLOAT) {
        float_text(i->f, f);
        put_str(o, f);
    } else {
        put(o, (const char *)i->text.p, i->text.n);
    }
    put_str(o, ")");
}

static void put_float(struct out *o, struct spec s, double f)
{
    char text[400], format[] = "%.*f";
    char shortest[64];
    if (s.verb == 'v' || (s.verb == 'g' && s.precision < 0)) {
        float_text(f, shortest);
        snprintf(text, sizeof(text), "%s%s", s.plus && f >= 0 ? "+" : "", shortest);
    } else {
        format[3] = s.verb == 'F' ? 'f' : s.verb;
        int n = s.plus && f >= 0 ? 1 : 0;
        text[0] = '+';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(text + n, sizeof(text) - (size_t)n, format,
                 s.precision < 0     ? 6
                 : s.precision > 100 ? 100
                                     : s.precision,
                 f);
#pragma GCC diagnostic pop
    }
    pad(o, &s, text, strlen(text));
}

/* An integer in another base; false if 64 bits do not hold it. */
static bool put_base(struct out *o, struct spec s, struct bytes digits, unsigned base)
{
    char text[80], number[24];
    size_t at = sizeof(text);
    if (digits.n >= sizeof(number))
        return false;
    memcpy(number, digits.p, digits.n);
    number[digits.n] = 0;
    bool neg = number[0] == '-';
    unsigned long long u = strtoull(number + neg, NULL, 10);
    if (digits.n > 19 + (size_t)neg)
        return false;
    do
        text[--at] = (s.verb == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[u % base];
    while (u /= base);
    if (s.sharp && base == 16) {
        text[--at] = s.verb;
        text[--at] = '0';
    } else if (s.sharp && base == 8) {
        text[--at] = '0';
    }
    if (neg || s.plus)
        text[--at] = neg ? '-' : '+';
    pad(o, &s, text + at, sizeof(text) - at);
    return true;
}

static void put_quoted(struct out *o, struct spec s, struct bytes text)
{
    struct out quoted = { .text.arena = o->text.arena };
    const struct value v = { .type = V_STRING, .text = (const char *)text.p, .n = (uint32_t)text.n };
    struct bytes q = rego_text(o, &v);
    put(&quoted, (const char *)q.p, q.n);
    pad(o, &s, quoted.text.p, quoted.text.n);
}

static void put_hex_string(struct out *o, struct spec s, struct bytes text)
{
    char *hex = arena_alloc(o->text.arena, 2 * text.n + 1);
    for (size_t i = 0; i < text.n; i++) {
        const char *digits = s.verb == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
        hex[2 * i] = digits[text.p[i] >> 4];
        hex[2 * i + 1] = digits[text.p[i] & 15];
    }
    pad(o, &s, hex, 2 * text.n);
}

static void put_plain(struct out *o, struct spec s, struct bytes text)
{
    size_t n = text.n;
    if (s.precision >= 0) {
        uint32_t r;
        n = 0;
        for (int i = 0; i < s.precision && n < text.n; i++)
            n += text_utf8_get((const char *)text.p + n, text.n - n, &r);
    }
    pad(o, &s, (const char *)text.p, n);
}

static void put_int(struct out *o, struct spec s, const struct item *i)
{
    struct out text = { .text.arena = o->text.arena };
    unsigned base = s.verb == 'x' || s.verb == 'X' ? 16 : s.verb == 'o' ? 8 : s.verb == 'b' ? 2 : 0;
    char rune[4];
    if (base && put_base(o, s, i->text, base))
        return;
    if (s.verb == 'c' && i->text.n < 8 && i->text.p[0] != '-') {
        char number[8] = "";
        memcpy(number, i->text.p, i->text.n);
        uint32_t code = (uint32_t)strtoul(number, NULL, 10);
        pad(o, &s, rune, text_utf8_put(code > 0x10FFFF ? 0xFFFD : code, rune));
        return;
    }
    if (s.verb != 'd' && s.verb != 'v'
        && !(s.verb == 's' && i->text.n > 19)) { /* beyond 64 bits Go has no int */
        bad(o, s.verb, i);
        return;
    }
    if ((s.plus || s.space) && i->text.p[0] != '-')
        put(&text, s.plus ? "+" : " ", 1);
    put(&text, (const char *)i->text.p, i->text.n);
    pad(o, &s, text.text.p, text.text.n);
}

static void put_item(struct out *o, struct spec s, const struct item *i)
{
    if (i->type == INT) {
        put_int(o, s, i);
    } else if (i->type == FLOAT) {
        if (strchr("vfFeEgG", s.verb))
            put_float(o, s, i->f);
        else
            bad(o, s.verb, i);
    } else if (s.verb == 'v' || s.verb == 's') {
        s.zero = false;
        put_plain(o, s, i->text);
    } else if (s.verb == 'q') {
        put_quoted(o, s, i->text);
    } else if (s.verb == 'x' || s.verb == 'X') {
        put_hex_string(o, s, i->text);
    } else {
        bad(o, s.verb, i);
    }
}

static int read_number(struct bytes f, size_t *at)
{
    int n = -1;
    for (; *at < f.n && f.p[*at] >= '0' && f.p[*at] <= '9'; ++*at)
        n = n > WIDTH_MAX ? n : (n < 0 ? 0 : 10 * n) + (f.p[*at] - '0');
    return n > WIDTH_MAX ? WIDTH_MAX : n;
}

static struct spec read_spec(struct bytes f, size_t *at)
{
    struct spec s = { .width = -1, .precision = -1 };
    for (bool flag = true; flag && *at < f.n; *at += flag) {
        bool *of = NULL;
        switch (f.p[*at]) {
        case '-':
            of = &s.minus;
            break;
        case '+':
            of = &s.plus;
            break;
        case '#':
            of = &s.sharp;
            break;
        case ' ':
            of = &s.space;
            break;
        case '0':
            of = &s.zero;
            break;
        default:
            break;
        }
        flag = of != NULL;
        if (of)
            *of = true;
    }
    s.width = read_number(f, at);
    if (*at < f.n && f.p[*at] == '.') {
        ++*at;
        s.precision = read_number(f, at);
        if (s.precision < 0)
            s.precision = 0;
    }
    s.verb = *at < f.n ? (char)f.p[(*at)++] : 0;
    return s;
}

static void put_extra(struct out *o, const struct value *args, uint32_t from)
{
    put_str(o, "%!(EXTRA ");
    for (uint32_t i = from; i < args->n; i++) {
        struct item each = item_of(o, args->item[i]);
        struct spec v = { .width = -1, .precision = -1, .verb = 'v' };
        if (i > from)
            put_str(o, ", ");
        put_str(o, each.type == INT ? "int=" : each.type == FLOAT ? "float64=" : "string=");
        put_item(o, v, &each);
    }
    put_str(o, ")");
}

const struct value *rego_sprintf(struct arena *a, struct buf *scratch, struct bytes f,
                                 const struct value *args)
{
    struct out o = { .text.arena = a, .scratch = scratch };
    uint32_t next = 0;
    for (size_t at = 0; at < f.n;) {
        const uint8_t *percent = memchr(f.p + at, '%', f.n - at);
        size_t plain = percent ? (size_t)(percent - f.p) - at : f.n - at;
        put(&o, (const char *)f.p + at, plain);
        at += plain;
        if (at == f.n)
            break;
        at++;
        struct spec s = read_spec(f, &at);
        if (!s.verb) {
            put_str(&o, "%!(NOVERB)");
        } else if (s.verb == '%') {
            put_str(&o, "%");
        } else if (s.verb == '*' || s.verb == '[') {
            arena_fail(a, ERR_INPUT, "sprintf: widths and arguments by number are not supported");
        } else if (next >= args->n) {
            put_str(&o, "%!");
            put(&o, &s.verb, 1);
            put_str(&o, "(MISSING)");
        } else {
            struct item i = item_of(&o, args->item[next++]);
            put_item(&o, s, &i);
        }
    }
    if (next < args->n)
        put_extra(&o, args, next);
    return value_text(a, o.text.n ? o.text.p : "", o.text.n);
}
