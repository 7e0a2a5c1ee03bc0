/** policy/rego/regex.h: regular expressions in the syntax of Go's regexp, matched in time linear in the text:
 * all alternatives are followed side by side, nothing is tried twice. */
#ifndef CVM_POLICY_REGO_REGEX_H
#define CVM_POLICY_REGO_REGEX_H

#include "policy/rego/arena.h"

/** Operations of a compiled pattern; repetitions are written out. */
#define REGEX_OPS_MAX 8000

struct regex;

/** Compiles; a pattern with a construct that is not supported (\p{...}, named classes of Unicode, case
 * folding beyond ASCII) fails through arena_fail(), for no answer would be right.
 *  @return never NULL; regex_ok() tells whether the pattern is a valid one */
struct regex *regex_compile(struct arena *a, struct bytes pattern);
bool regex_ok(const struct regex *r);

/** Steps that a search in n bytes may take. */
uint64_t regex_cost(const struct regex *r, size_t n);

/** True if some part of the text matches. */
bool regex_find(const struct regex *r, struct bytes text, struct arena *a);

#endif
