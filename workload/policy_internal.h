/** workload/policy_internal.h: shared by the policy's reader and its explainer. */
#ifndef CVM_WORKLOAD_POLICY_INTERNAL_H
#define CVM_WORKLOAD_POLICY_INTERNAL_H

#include "workload/policy.h"

/** Where policy-lint collects problems. */
struct policy_problems {
    size_t n;
    struct buf lines;
};

/** Notes an error and lets the reader go on, or, where nobody collects, gives it back as the failure. */
MUST_USE int policy_problem(struct policy_problems *problems, struct err *err);

/** Refuses unknown keys and wrong types in p->root, and notes older names and settings without effect as
 * warnings.
 * @param problems  NULL: the first one is the failure */
MUST_USE int policy_check_keys(struct workload_policy *p, struct policy_problems *problems, struct err *err);

/** Adds a warning unless it is there already; beyond POLICY_WARNINGS_MAX it is dropped. */
__attribute__((format(printf, 2, 3))) void policy_warn(struct workload_policy *p, const char *fmt, ...);

/** The value at a path of object members with dots between them, or NULL. */
json_t *policy_at(const json_t *root, const char *path);

/** The value under its current or its older name (NULL: it has none). Both are fine only if they say the
 * same: a reader of one of them must not be misled. *out is NULL if neither is there. */
MUST_USE int policy_pick(const json_t *root, const char *now, const char *old, json_t **out, struct err *err);

/** As policy_pick(); *value stays if neither is there. */
MUST_USE int policy_pick_bool(const json_t *root, const char *now, const char *old, bool *value,
                              struct err *err);

/** Parts of workload_config. */
MUST_USE int policy_read_services(struct workload_policy *p, struct err *err);
MUST_USE int policy_read_update_switch(struct workload_policy *p, struct err *err);
MUST_USE int policy_read_signatures(struct workload_policy *p, struct err *err);

#endif
