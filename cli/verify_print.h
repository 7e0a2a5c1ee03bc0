/** cli/verify_print.h: the answer of a verify command as text or JSON (contract, section 5), the clock that
 * it judges by, and its exit status. */
#ifndef CVM_CLI_VERIFY_PRINT_H
#define CVM_CLI_VERIFY_PRINT_H

#include "base/checks.h"

#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

/** For AUTO(checks_drop) struct checks *c = calloc(1, sizeof(*c)). */
static inline void checks_drop(struct checks **c)
{
    free(*c);
}

/** Everything that a verify command found out. Verified is: at least one check made, and none false. */
struct verify_answer {
    const char *where;           /* what was judged: the path of the evidence, for the message */
    const struct checks *checks; /* in the order done */
    json_t *facts;               /* borrowed object or NULL: further members of the answer ("tcb_status",
                                    "claims", ...), put after "checks" in this order */
    bool malformed;              /* an input did not parse: the exit status is 3 and not 1 */
};

/** Prints the answer to standard output. Text: a line a check ("ok", "FAILED", "-" for null), then one a
 * warning and one a scalar fact, those of an object inside too. JSON:
 * {"success":bool,"error"?:text,"checks":[...],<facts>,"warnings":[...]}. An answer that is no also gets its
 * line on standard error, with the first check that is false.
 *  @return the exit status: 0 verified, 1 not, 3 malformed, 4 if it could not be printed */
int verify_print(const struct verify_answer *answer, bool json);

/** The clock to judge by: the value of --at, RFC 3339, or now if at is NULL.
 *  @return 0, or STATUS_USAGE with the message printed */
int verify_clock(const char *at, time_t *out);

#endif
