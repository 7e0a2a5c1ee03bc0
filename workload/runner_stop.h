/** workload/runner_stop.h: containers that go. Internal to workload/. */
#ifndef CVM_WORKLOAD_RUNNER_STOP_H
#define CVM_WORKLOAD_RUNNER_STOP_H

#include "workload/compose.h"
#include "workload/runner.h"

/** Of all containers that go together: who is asked later gets what is left. */
#define RUNNER_STOP_TOTAL_MS 300000

/** Stops and removes containers: at the same time those that do not depend on each other, and nobody before
 * those that depend on it. Each gets the time of its stop_grace_period, within RUNNER_STOP_TOTAL_MS for all.
 *  @param c    says who depends on whom; NULL: nobody on anybody
 *  @param all  services that c does not have go first
 *  @return 0, or -1 with the first failure, after all others have been asked */
MUST_USE int runner_take_away(const struct runner *r, const struct compose *c,
                              const struct engine_state *const *all, size_t n, struct err *err);

#endif
