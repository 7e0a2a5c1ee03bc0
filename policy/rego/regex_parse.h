/** policy/rego/regex_parse.h: the tree of a regular expression. */
#ifndef CVM_POLICY_REGO_REGEX_PARSE_H
#define CVM_POLICY_REGO_REGEX_PARSE_H

#include "policy/rego/arena.h"

enum regex_kind { R_EMPTY, R_SET, R_CAT, R_ALT, R_REPEAT, R_ASSERT };
enum regex_assert { AT_LINE_START, AT_LINE_END, AT_TEXT_START, AT_TEXT_END, AT_WORD, NOT_AT_WORD };

struct regex_range {
    uint32_t from, to;
};

struct regex_node {
    uint8_t kind, what; /* what: enum regex_assert */
    int min, max;       /* repeat; max -1: no bound */
    uint32_t n, cap;
    union {
        struct regex_node **item;  /* R_CAT, R_ALT, R_REPEAT (one) */
        struct regex_range *range; /* R_SET: n of them, any order */
    };
};

/** NULL when the pattern is not valid; constructs that are not supported fail through arena_fail(). */
struct regex_node *regex_parse(struct arena *a, struct bytes pattern);

#endif
