/** agent/update_rules.h: what an update may change (contract, section 8): the differences between what runs
 * and what shall run, and the policy's verdict on them. Pure. */
#ifndef CVM_AGENT_UPDATE_RULES_H
#define CVM_AGENT_UPDATE_RULES_H

#include "agent/workload.h"

#include <jansson.h>

/** One service, as far as the rules see it. */
struct rule_service {
    const char *name;
    const char *config; /* stands for its settings, image, files and dependencies */
};

/** {"added":[],"removed":[],"changed":[],"unchanged":[]}, names in order.
 *  @return a new reference, or NULL when memory is short */
json_t *update_diff(const struct rule_service *now, size_t n, const struct rule_service *next, size_t next_n);

/** Appends a sentence for each thing that the policy that runs does not allow.
 *  @param diff     of update_diff()
 *  @param refused  array
 *  @return 0, or -1 with ERR_IO: no memory */
MUST_USE int update_judge(const struct prepared *now, const struct prepared *next, const json_t *diff,
                          json_t *refused, struct err *err);

#endif
