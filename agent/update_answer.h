/** agent/update_answer.h: what the caller of an update is told. */
#ifndef CVM_AGENT_UPDATE_ANSWER_H
#define CVM_AGENT_UPDATE_ANSWER_H

#include "agent/workload.h"

#include <jansson.h>

/** What would be: the plan's events and PCR 23, the services' diff, the policy's verdict.
 *  @param diff, refused  borrowed
 *  @param answer         a new reference
 *  @return 0, or -1 with ERR_IO: no memory */
MUST_USE int update_answer_dry(const struct measure_plan *plan, json_t *diff, json_t *refused,
                               json_t **answer, struct err *err);

/** What is now: as update_answer_dry() of the workload that runs, with the PCRs' values. */
MUST_USE int update_answer_done(const struct workload *w, json_t *diff, json_t **answer, struct err *err);

#endif
