/** policy/rego/sprintf.h: the formats of OPA's sprintf, which are Go's. */
#ifndef CVM_POLICY_REGO_SPRINTF_H
#define CVM_POLICY_REGO_SPRINTF_H

#include "policy/rego/value.h"

/** Verbs v d s x X o b c q f F e E g G t and %, with flags, width and precision; what does not fit is said in
 * the text as Go does: %!d(string=a). Widths and arguments by number fail through arena_fail().
 * @param scratch  heap memory that whoever owns the arena frees
 * @param args     an array */
const struct value *rego_sprintf(struct arena *a, struct buf *scratch, struct bytes format,
                                 const struct value *args);

#endif
