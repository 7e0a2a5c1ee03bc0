/* Numbers: reading, comparing, writing. */
#include "policy/rego/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct shape {
    size_t whole, fraction, length; /* digits before and after the dot, bytes in all */
    size_t at;                      /* of the first digit */
    int64_t exp;
    bool neg, point, power;
};

static size_t digits(struct bytes t, size_t at)
{
    size_t n = 0;
    while (at + n < t.n && t.p[at + n] >= '0' && t.p[at + n] <= '9')
        n++;
    return n;
}

static bool read_power(struct bytes t, struct shape *s)
{
    size_t at = s->length + 1;
    bool neg = at < t.n && t.p[at] == '-';
    if (at < t.n && (t.p[at] == '-' || t.p[at] == '+'))
        at++;
    size_t n = digits(t, at);
    for (size_t i = 0; i < n && s->exp < 1000000000; i++)
        s->exp = 10 * s->exp + (t.p[at + i] - '0');
    if (neg)
        s->exp = -s->exp;
    s->power = true;
    s->length = at + n;
    return n > 0;
}

static bool read_shape(struct bytes t, struct shape *s)
{
    *s = (struct shape){ .neg = t.n && t.p[0] == '-' };
    s->at = s->neg;
    s->whole = digits(t, s->at);
    if (!s->whole || (s->whole > 1 && t.p[s->at] == '0'))
        return false;
    s->length = s->at + s->whole;
    if (s->length < t.n && t.p[s->length] == '.') {
        s->point = true;
        s->fraction = digits(t, s->length + 1);
        s->length += 1 + s->fraction;
        if (!s->fraction)
            return false;
    }
    return s->length >= t.n || (t.p[s->length] != 'e' && t.p[s->length] != 'E') || read_power(t, s);
}

size_t number_length(struct bytes text)
{
    struct shape s;
    return read_shape(text, &s) ? s.length : 0;
}

/* An integer that 64 bits hold. */
static bool fits(bool neg, const char *digit, size_t n, int64_t exp, int64_t *out)
{
    __int128_t v = 0;
    if (exp < 0 || n + (uint64_t)exp > 19)
        return false;
    for (size_t i = 0; i < n; i++)
        v = 10 * v + (digit[i] - '0');
    while (exp-- > 0)
        v *= 10;
    if (neg)
        v = -v;
    *out = (int64_t)v;
    return v == *out;
}

static void check_range(struct arena *a, size_t n, int64_t exp)
{
    if (n > NUMBER_DIGITS_MAX)
        arena_fail(a, ERR_TOO_LARGE, "a number of more than %d digits", NUMBER_DIGITS_MAX);
    if (n && (exp > NUMBER_EXP_MAX || exp < -NUMBER_EXP_MAX))
        arena_fail(a, ERR_TOO_LARGE, "a number beyond ten to the power %d", NUMBER_EXP_MAX);
}

static struct value *make(struct arena *a, bool neg, const char *digit, size_t n, int64_t exp)
{
    struct value *v = arena_alloc(a, sizeof(*v));
    *v = (struct value){ .type = V_NUMBER };
    for (; n && digit[0] == '0'; digit++, n--)
        ;
    for (; n && digit[n - 1] == '0'; n--)
        exp++;
    check_range(a, n, exp);
    if (!n)
        exp = 0;
    if (fits(neg, digit, n, exp, &v->i)) {
        v->small = true;
        return v;
    }
    struct decimal *d = arena_alloc(a, sizeof(*d));
    *d = (struct decimal){
        .digit = arena_copy(a, digit, n), .n = (uint32_t)n, .exp = (int32_t)exp, .neg = neg
    };
    v->dec = d;
    v->weight = d->n * d->n / 512; /* what a product costs */
    return v;
}

const struct value *number_make(struct arena *a, bool neg, const char *digit, size_t n, int64_t exp)
{
    return make(a, neg, digit, n, exp);
}

static const struct value *keep_text(struct arena *a, struct value *v, struct bytes text, bool neg)
{
    struct decimal *d = arena_alloc(a, sizeof(*d));
    *d = v->dec ? *v->dec : (struct decimal){ .digit = "", .neg = neg };
    d->text = arena_copy(a, text.p, text.n);
    d->text_n = (uint32_t)text.n;
    v->dec = d;
    return v;
}

const struct value *number_parse(struct arena *a, struct bytes text)
{
    struct shape s;
    if (!read_shape(text, &s) || s.length != text.n)
        return NULL;
    const char *first = (const char *)text.p + s.at;
    if (!s.point && !s.power && s.whole <= 18 && !(s.neg && first[0] == '0')) {
        int64_t i = 0;
        for (size_t k = 0; k < s.whole; k++)
            i = 10 * i + (first[k] - '0');
        return value_int(a, s.neg ? -i : i);
    }
    check_range(a, s.whole + s.fraction, s.exp);
    char *all = arena_alloc(a, s.whole + s.fraction);
    memcpy(all, first, s.whole);
    if (s.fraction)
        memcpy(all + s.whole, first + s.whole + 1, s.fraction);
    struct value *v = make(a, s.neg, all, s.whole + s.fraction, s.exp - (int64_t)s.fraction);
    bool plain = !s.point && !s.power && !(v->small && v->i == 0);
    return plain && v->small ? v : keep_text(a, v, text, s.neg);
}

/* Any number as a decimal; room takes the digits of a small one. */
static struct decimal expand(const struct value *v, char room[static 24])
{
    if (!v->small)
        return *v->dec;
    uint64_t u = v->i < 0 ? 0 - (uint64_t)v->i : (uint64_t)v->i;
    struct decimal d = { .neg = v->i < 0, .digit = room + 24 };
    char *p = room + 24;
    for (; u && u % 10 == 0; u /= 10)
        d.exp++;
    for (; u; u /= 10, d.n++)
        *--p = (char)('0' + u % 10);
    d.digit = p;
    return d;
}

/* The absolute values. */
static int compare_size(const struct decimal *a, const struct decimal *b)
{
    int64_t top_a = (int64_t)a->n + a->exp, top_b = (int64_t)b->n + b->exp;
    if (a->n == 0 || b->n == 0)
        return (a->n > 0) - (b->n > 0);
    if (top_a != top_b)
        return top_a < top_b ? -1 : 1;
    int c = memcmp(a->digit, b->digit, a->n < b->n ? a->n : b->n);
    return c ? c : (a->n > b->n) - (a->n < b->n); /* no zeros at the ends: the longer one is larger */
}

int number_compare(const struct value *a, const struct value *b)
{
    char room_a[24], room_b[24];
    if (a->small && b->small)
        return (a->i > b->i) - (a->i < b->i);
    struct decimal x = expand(a, room_a), y = expand(b, room_b);
    bool neg_x = x.neg && x.n, neg_y = y.neg && y.n;
    if (neg_x != neg_y)
        return neg_x ? -1 : 1;
    int c = compare_size(&x, &y);
    return neg_x ? -c : c;
}

uint64_t number_hash(const struct decimal *d)
{
    uint64_t h = (uint64_t)d->exp * 31 + d->neg;
    for (uint32_t i = 0; i < d->n; i++)
        h = h * 0x100000001B3u + (uint8_t)d->digit[i];
    return h;
}

bool number_is_int(const struct value *v)
{
    return v->small || v->dec->exp >= 0;
}

/* d.dddde+XX, as Go writes floats of six digits and more or small ones. */
static void put_power(struct buf *out, const struct decimal *d)
{
    int power = (int)d->n + d->exp - 1;
    buf_u8(out, (uint8_t)d->digit[0]);
    if (d->n > 1)
        buf_printf(out, ".%.*s", (int)d->n - 1, d->digit + 1);
    buf_printf(out, "e%c%02d", power < 0 ? '-' : '+', power < 0 ? -power : power);
}

static void put_fraction(struct buf *out, const struct decimal *d)
{
    int whole = (int)d->n + d->exp;
    if (whole <= 0) {
        buf_str(out, "0.");
        buf_fill(out, '0', (size_t)-whole);
        buf_put(out, bytes_of(d->digit, d->n));
        return;
    }
    buf_put(out, bytes_of(d->digit, (size_t)whole));
    buf_u8(out, '.');
    buf_put(out, bytes_of(d->digit + whole, d->n - (size_t)whole));
}

void number_put(struct buf *out, const struct value *v)
{
    const struct decimal *d = v->dec;
    if (d && d->text) {
        buf_put(out, bytes_of(d->text, d->text_n));
    } else if (v->small) {
        buf_printf(out, "%" PRId64, v->i);
    } else {
        int64_t power = (int64_t)d->n + d->exp - 1;
        if (d->neg)
            buf_u8(out, '-');
        if (d->exp >= 0) {
            buf_put(out, bytes_of(d->digit, d->n));
            buf_fill(out, '0', (size_t)d->exp);
        } else if (power < -4 || power >= 6) {
            put_power(out, d);
        } else {
            put_fraction(out, d);
        }
    }
}

long double number_float(const struct value *v)
{
    char text[80];
    if (v->small)
        return (long double)v->i;
    /* 40 digits are more than 64 bits hold; a digit after them cannot matter but for halves, which 1 keeps */
    int n = v->dec->n > 40 ? 40 : (int)v->dec->n;
    snprintf(text, sizeof(text), "%s%.*s%se%d", v->dec->neg ? "-" : "", n, v->dec->digit,
             v->dec->n > 40 ? "1" : "", v->dec->exp + ((int)v->dec->n - n) - (v->dec->n > 40));
    return strtold(text, NULL);
}

const struct value *number_from_float(struct arena *a, long double f)
{
    char text[64];
    if (!isfinite(f))
        return NULL;
    for (int digits_n = 1; digits_n <= 21; digits_n++) {
        snprintf(text, sizeof(text), "%.*Le", digits_n - 1, f);
        if (strtold(text, NULL) == f)
            break;
    }
    char mantissa[32];
    size_t n = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9')
            mantissa[n++] = *p;
    return make(a, f < 0, mantissa, n, strtol(p + 1, NULL, 10) - (long)(n - 1));
}
