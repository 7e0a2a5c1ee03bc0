/** workload/runner_wait.h: waits for services: health, completion, that one stays up. Internal to workload/.
 */
#ifndef CVM_WORKLOAD_RUNNER_WAIT_H
#define CVM_WORKLOAD_RUNNER_WAIT_H

#include "workload/compose.h"
#include "workload/runner.h"

/** @return 0, or -1 with ERR_UNAVAILABLE: the engine's cancel is set */
MUST_USE int runner_pause(const struct runner *r, unsigned ms, struct err *err);

/** How long a container may take to become healthy, in milliseconds: what the settings of its check give a
 * start, 60 s or more; r->health_ms instead if it is set. */
uint64_t runner_health_limit(const struct runner *r, const struct engine_state *state);

/** Until the service's check passes, at most runner_health_limit().
 *  @param name  of its container
 *  @return 0, or -1: ERR_INPUT (it has no check), ERR_UNAVAILABLE (it ended, or was not healthy in time) */
MUST_USE int runner_wait_healthy(const struct runner *r, const struct compose_service *s, const char *name,
                                 struct err *err);

/** Until the service ended with 0, however long that takes. A try that failed is no end while the engine has
 * tries left.
 *  @return 0, or -1 with ERR_UNAVAILABLE: it failed, or cancel is set */
MUST_USE int runner_wait_completed(const struct runner *r, const struct compose_service *s, const char *name,
                                   struct err *err);

/** At the end of a start: a service with a check must be healthy, unless it was kept; any other must run, or
 * have ended with 0. One that the engine starts again after a failure must then stay up for r->settle_ms,
 * within 60 s.
 *  @return 0, or -1 with ERR_UNAVAILABLE */
MUST_USE int runner_wait_running(const struct runner *r, const struct compose_service *s, const char *name,
                                 bool kept, struct err *err);

#endif
