/** agent/firewall.h: which ports others may connect to: those of the policy, the agent's own, and while
 * maintenance is on that one. */
#ifndef CVM_AGENT_FIREWALL_H
#define CVM_AGENT_FIREWALL_H

#include "agent/priv_client.h"
#include "workload/policy.h"

/** Replaces the firewall's rules.
 *  @param external  port of the agent's HTTPS server
 *  @return 0, or -1 as priv_firewall() */
MUST_USE int firewall_apply(struct priv_client *c, const struct workload_policy *p, uint16_t external,
                            bool maintenance, struct err *err);

#endif
