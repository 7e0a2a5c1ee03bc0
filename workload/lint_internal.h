/** workload/lint_internal.h: what the files of lint share. Internal to workload/. */
#ifndef CVM_WORKLOAD_LINT_INTERNAL_H
#define CVM_WORKLOAD_LINT_INTERNAL_H

#include "workload/lint.h"

struct linter {
    const struct compose *c;
    const struct workload_policy *p;
    const struct lint_tree *tree;
    struct lint out;
    bool no_memory;
};

#define LINT_WHOLE_FILE ((struct compose_at){ 0, 0 })

__attribute__((format(printf, 5, 6))) void lint_add(struct linter *l, enum lint_level level, const char *file,
                                                    struct compose_at at, const char *fmt, ...);

#define ERROR(l, at, ...)   lint_add(l, LINT_ERROR, COMPOSE_FILE, at, __VA_ARGS__)
#define WARNING(l, at, ...) lint_add(l, LINT_WARNING, COMPOSE_FILE, at, __VA_ARGS__)

/** What the machine lacks: ids of the owner, programs. machine may be NULL. */
void lint_on_machine(struct linter *l, const struct lint_machine *machine);

#endif
