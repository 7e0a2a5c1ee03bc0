/** agent/attestation_policy.h: POST and GET /attestation/policy: keeps attestation policies for whoever
 * verifies this machine, each upload as a new version, in STATE/attestation-policy. Nothing here acts on
 * them. */
#ifndef CVM_AGENT_ATTESTATION_POLICY_H
#define CVM_AGENT_ATTESTATION_POLICY_H

#include "agent/request.h"

#define ATTESTATION_POLICY_MAX  (1u << 20)
#define ATTESTATION_POLICY_KEPT 100 /* versions; older ones are dropped */

int attestation_policy_put_begin(struct request *r, struct err *err);
int attestation_policy_get_prepare(struct request *r, struct err *err);
int attestation_policy_get_begin(struct request *r, struct err *err);

#endif
