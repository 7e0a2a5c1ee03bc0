/** policy/rego/number.h: exact decimal numbers. Integers of 64 bits are computed with directly; all others
 * are decimal digits and a power of ten, so that 2^64 - 1, 0.1 and 1e400 are what they say. Sums, differences
 * and products are exact; quotients have the 64 bits of precision that OPA's have. */
#ifndef CVM_POLICY_REGO_NUMBER_H
#define CVM_POLICY_REGO_NUMBER_H

#include "policy/rego/value.h"

/** Digits of a number that is read or computed, and the largest power of ten. */
#define NUMBER_DIGITS_MAX 1024
#define NUMBER_EXP_MAX    30000

struct decimal { /* digit[0..n) as an integer, times ten to the power exp; no zeros at the ends; 0 has n = 0
                  */
    const char *text; /* as read, or NULL */
    const char *digit;
    uint32_t text_n, n;
    int32_t exp;
    bool neg;
};

/** The number that fills text as JSON writes it.
 *  @return NULL if it is none; a number that is out of range goes through arena_fail() */
const struct value *number_parse(struct arena *a, struct bytes text);

/** The length of the JSON number at the start of text, or 0. */
size_t number_length(struct bytes text);

int number_compare(const struct value *a, const struct value *b);
uint64_t number_hash(const struct decimal *d);

/** A number of digits computed elsewhere: zeros at the ends are removed. */
const struct value *number_make(struct arena *a, bool neg, const char *digit, size_t n, int64_t exp);

/** True if it has no fraction. */
bool number_is_int(const struct value *v);

const struct value *number_add(struct arena *a, const struct value *x, const struct value *y);
const struct value *number_sub(struct arena *a, const struct value *x, const struct value *y);
const struct value *number_mul(struct arena *a, const struct value *x, const struct value *y);

/** NULL when y is zero. */
const struct value *number_div(struct arena *a, const struct value *x, const struct value *y);

/** The remainder with the sign of x; NULL when y is zero or one has a fraction. */
const struct value *number_rem(struct arena *a, const struct value *x, const struct value *y);

/** Rounding: down, up, to nearest with halves away from zero. */
enum round { ROUND_FLOOR, ROUND_CEIL, ROUND_NEAREST };
const struct value *number_round(struct arena *a, const struct value *v, enum round how);
const struct value *number_abs(struct arena *a, const struct value *v);

long double number_float(const struct value *v);

/** The shortest digits that give f again; NULL when it is not finite. */
const struct value *number_from_float(struct arena *a, long double f);

/** Appends it as it was read, or in the shortest form. */
void number_put(struct buf *out, const struct value *v);

#endif
