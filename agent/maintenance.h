/** agent/maintenance.h: maintenance mode: the policy's signal to every container, and the firewall's port for
 * it, now or after a delay. */
#ifndef CVM_AGENT_MAINTENANCE_H
#define CVM_AGENT_MAINTENANCE_H

#include "agent/workload.h"

#include <jansson.h>

#define MAINTENANCE_DELAY_MAX 86400u /* s */

struct maintenance;

/** What is to be done, for whoever records it; owned by the maintenance while it waits. */
struct maintenance_order {
    bool enable;
    unsigned delay_s;
    /** Called once: after it was done, failed (failure), or another order took its place or the agent stops
     * (failure too). On any thread. */
    void (*done)(void *arg, bool enable, const struct err *failure);
    void *arg;
};

MUST_USE int maintenance_new(struct workload *w, struct maintenance **out, struct err *err);

/** Drops what waits and joins the thread. NULL is fine. */
void maintenance_free(struct maintenance *m);

/** Does it now: opens or closes the port, then signals. From one thread at a time.
 *  @param results  object: container name → what came of it
 *  @return 0, or -1: ERR_UNAVAILABLE (no helper, no engine), ERR_IO */
MUST_USE int maintenance_act(struct maintenance *m, bool enable, json_t *results, struct err *err);

/** Does it after order->delay_s; an order that waits is replaced. order->done is called in any case, unless
 * this fails. */
MUST_USE int maintenance_schedule(struct maintenance *m, const struct maintenance_order *order,
                                  struct err *err);

#endif
