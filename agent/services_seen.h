/** agent/services_seen.h: what the watch saw of the services last: for /metrics and the log. From any thread.
 */
#ifndef CVM_AGENT_SERVICES_SEEN_H
#define CVM_AGENT_SERVICES_SEEN_H

#include "workload/compose.h"
#include "workload/runner.h"

struct services_seen;

struct services_seen *services_seen_new(void); /* NULL when memory is short */
void services_seen_free(struct services_seen *s);

/** These are the services from now on; what is known of those that stay is kept. */
void services_seen_set(struct services_seen *s, const struct compose *c);

/** For runner_watch_start(): arg is a struct services_seen. Logs the change. */
void services_seen_changed(void *arg, const struct runner_status *status);

/** Appends the families cvm_agent_service_*. */
void services_seen_metrics(struct services_seen *s, struct buf *out);

#endif
