/* Arithmetic on exact decimals. */
#include "policy/rego/number.h"

#include <stdio.h>

/* An operand as digits, least significant first, of a common power of ten. */
struct operand {
    uint8_t *d;
    size_t n;
    bool neg;
};

static struct decimal decimal_of(struct arena *a, const struct value *v)
{
    char text[24];
    if (!v->small)
        return *v->dec;
    int n = snprintf(text, sizeof(text), "%" PRId64, v->i);
    bool neg = text[0] == '-';
    return (struct decimal){ .neg = neg,
                             .digit = arena_copy(a, text + neg, (size_t)(n - neg)),
                             .n = (uint32_t)(n - neg) };
}

static struct operand operand_of(struct arena *a, const struct decimal *d, int32_t exp)
{
    size_t zeros = d->n ? (size_t)(d->exp - exp) : 0;
    if (d->n + zeros > NUMBER_DIGITS_MAX)
        arena_fail(a, ERR_TOO_LARGE, "a number of more than %d digits in a calculation", NUMBER_DIGITS_MAX);
    struct operand o = { arena_zero(a, d->n + zeros + 1, 1), d->n + zeros, d->neg };
    for (size_t i = 0; i < d->n; i++)
        o.d[zeros + i] = (uint8_t)(d->digit[d->n - 1 - i] - '0');
    return o;
}

static const struct value *finish(struct arena *a, bool neg, const uint8_t *d, size_t n, int64_t exp)
{
    char *text = arena_alloc(a, n + 1);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)('0' + d[n - 1 - i]);
    return number_make(a, neg, text, n, exp);
}

static int compare_operands(const struct operand *x, const struct operand *y)
{
    size_t n = x->n > y->n ? x->n : y->n;
    for (size_t i = n; i-- > 0;) {
        int dx = i < x->n ? x->d[i] : 0, dy = i < y->n ? y->d[i] : 0;
        if (dx != dy)
            return dx - dy;
    }
    return 0;
}

static void subtract(struct operand *x, const struct operand *y)
{
    int borrow = 0;
    for (size_t i = 0; i < x->n; i++) {
        int d = x->d[i] - borrow - (i < y->n ? y->d[i] : 0);
        borrow = d < 0;
        x->d[i] = (uint8_t)(borrow ? d + 10 : d);
    }
}

static const struct value *sum(struct arena *a, const struct value *vx, const struct value *vy, bool minus)
{
    struct decimal dx = decimal_of(a, vx), dy = decimal_of(a, vy);
    int32_t exp = dx.n == 0 ? dy.exp : dy.n == 0 || dx.exp < dy.exp ? dx.exp : dy.exp;
    struct operand x = operand_of(a, &dx, exp), y = operand_of(a, &dy, exp);
    y.neg ^= minus;
    if (x.neg != y.neg) {
        bool swap = compare_operands(&x, &y) < 0;
        struct operand *big = swap ? &y : &x;
        subtract(big, swap ? &x : &y);
        return finish(a, big->neg, big->d, big->n, exp);
    }
    size_t n = (x.n > y.n ? x.n : y.n) + 1;
    uint8_t *out = arena_zero(a, n, 1);
    unsigned carry = 0;
    for (size_t i = 0; i < n; i++) {
        carry += (i < x.n ? x.d[i] : 0u) + (i < y.n ? y.d[i] : 0u);
        out[i] = (uint8_t)(carry % 10);
        carry /= 10;
    }
    return finish(a, x.neg, out, n, exp);
}

const struct value *number_add(struct arena *a, const struct value *x, const struct value *y)
{
    int64_t i;
    if (x->small && y->small && !__builtin_add_overflow(x->i, y->i, &i))
        return value_int(a, i);
    return sum(a, x, y, false);
}

const struct value *number_sub(struct arena *a, const struct value *x, const struct value *y)
{
    int64_t i;
    if (x->small && y->small && !__builtin_sub_overflow(x->i, y->i, &i))
        return value_int(a, i);
    return sum(a, x, y, true);
}

const struct value *number_mul(struct arena *a, const struct value *vx, const struct value *vy)
{
    int64_t small;
    if (vx->small && vy->small && !__builtin_mul_overflow(vx->i, vy->i, &small))
        return value_int(a, small);
    struct decimal dx = decimal_of(a, vx), dy = decimal_of(a, vy);
    if (dx.n + dy.n > NUMBER_DIGITS_MAX)
        arena_fail(a, ERR_TOO_LARGE, "a number of more than %d digits in a calculation", NUMBER_DIGITS_MAX);
    struct operand x = operand_of(a, &dx, dx.exp), y = operand_of(a, &dy, dy.exp);
    uint8_t *out = arena_zero(a, x.n + y.n + 1, 1);
    for (size_t i = 0; i < x.n; i++) {
        unsigned carry = 0;
        for (size_t k = 0; k < y.n || carry; k++) {
            carry += out[i + k] + (k < y.n ? (unsigned)x.d[i] * y.d[k] : 0u);
            out[i + k] = (uint8_t)(carry % 10);
            carry /= 10;
        }
    }
    return finish(a, x.neg != y.neg, out, x.n + y.n, (int64_t)dx.exp + dy.exp);
}

static bool is_zero(const struct value *v)
{
    return v->small && v->i == 0;
}

const struct value *number_div(struct arena *a, const struct value *x, const struct value *y)
{
    if (is_zero(y))
        return NULL;
    if (x->small && y->small && y->i != -1 && x->i % y->i == 0)
        return value_int(a, x->i / y->i);
    const struct value *q = number_from_float(a, number_float(x) / number_float(y));
    if (!q)
        arena_fail(a, ERR_TOO_LARGE, "the quotient of two numbers is out of range");
    return q;
}

/* Long division digit by digit: the remainder of x by y. */
static const struct value *long_rem(struct arena *a, const struct value *vx, const struct value *vy)
{
    struct decimal dx = decimal_of(a, vx), dy = decimal_of(a, vy);
    struct operand x = operand_of(a, &dx, 0), y = operand_of(a, &dy, 0);
    struct operand rest = { arena_zero(a, y.n + 2, 1), y.n + 1, false };
    for (size_t i = x.n; i-- > 0;) {
        memmove(rest.d + 1, rest.d, rest.n - 1);
        rest.d[0] = x.d[i];
        while (compare_operands(&rest, &y) >= 0)
            subtract(&rest, &y);
    }
    return finish(a, x.neg, rest.d, rest.n, 0);
}

const struct value *number_rem(struct arena *a, const struct value *x, const struct value *y)
{
    if (is_zero(y) || !number_is_int(x) || !number_is_int(y))
        return NULL;
    if (x->small && y->small)
        return value_int(a, y->i == -1 ? 0 : x->i % y->i);
    return long_rem(a, x, y);
}

const struct value *number_abs(struct arena *a, const struct value *v)
{
    if (v->small ? v->i >= 0 : !v->dec->neg)
        return v;
    return number_sub(a, value_int(a, 0), v);
}

const struct value *number_round(struct arena *a, const struct value *v, enum round how)
{
    if (number_is_int(v))
        return v;
    const struct decimal *d = v->dec;
    int64_t whole = (int64_t)d->n + d->exp; /* digits before the dot, below zero: zeros after it */
    size_t keep = whole > 0 ? (size_t)whole : 0;
    bool away = how == ROUND_NEAREST ? whole >= 0 && d->digit[keep] >= '5' : (how == ROUND_FLOOR) == d->neg;
    const struct value *cut = number_make(a, d->neg, d->digit, keep, 0);
    return away ? number_add(a, cut, value_int(a, d->neg ? -1 : 1)) : cut;
}
