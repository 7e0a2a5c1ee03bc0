/** base/checks.h: what a verification did, check by check: the answer that a relying party reads. A check
 * that could not be made is never a pass. */
#ifndef CVM_BASE_CHECKS_H
#define CVM_BASE_CHECKS_H

#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>

enum check_result { CHECK_FAILED = 0, CHECK_OK = 1, CHECK_NOT_APPLICABLE = -1 };

#define CHECKS_MAX 96
/* Detail of a check that another platform's evidence would have. */
#define CHECK_OTHER_PLATFORM "of another platform"
#define CHECK_NAME_MAX       64
#define CHECK_DETAIL_MAX     320
#define WARNINGS_MAX         32

struct check {
    char name[CHECK_NAME_MAX];
    enum check_result result;
    char detail[CHECK_DETAIL_MAX];
};

/** The checks in the order done, and warnings beside them. Large: keep it on the heap. */
struct checks {
    size_t n, warnings_n;
    bool overflow; /* more than CHECKS_MAX: counts as failed */
    struct check list[CHECKS_MAX];
    char warnings[WARNINGS_MAX][CHECK_DETAIL_MAX];
};

/** Records a check. A name that is there already keeps the worse result: failed before ok before not
 * applicable. */
__attribute__((format(printf, 4, 5))) void checks_add(struct checks *c, const char *name,
                                                      enum check_result result, const char *fmt, ...);

/** checks_add() from a return value: 0 is ok with the given detail, -1 failed with the error's text. */
void checks_add_rc(struct checks *c, const char *name, int rc, const char *detail, const struct err *err);

/** Records a warning; one that is there already is not repeated. */
__attribute__((format(printf, 2, 3))) void checks_warn(struct checks *c, const char *fmt, ...);

/** The check of that name, or NULL if it was not made. */
const struct check *checks_find(const struct checks *c, const char *name);

/** True if the check was made and holds. */
bool checks_hold(const struct checks *c, const char *name);

/** True if at least one check was made, none failed, and none was lost. */
bool checks_all_hold(const struct checks *c);

/** The first failed check, or NULL. */
const struct check *checks_first_failed(const struct checks *c);

/** New array [{"check","ok","detail"}], ok true, false or null. NULL when memory is short. */
json_t *checks_json(const struct checks *c);

/** New array of texts. NULL when memory is short. */
json_t *checks_warnings_json(const struct checks *c);

#endif
