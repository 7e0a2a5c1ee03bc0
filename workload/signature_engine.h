/** workload/signature_engine.h: what of a signature policy the engine is told: less than the policy says, for
 * signatures are checked here. Internal to workload/. */
#ifndef CVM_WORKLOAD_SIGNATURE_ENGINE_H
#define CVM_WORKLOAD_SIGNATURE_ENGINE_H

#include "base/json.h"

/** Whether a list of requirements has one of that type. */
bool signature_rules_have(const json_t *list, const char *type);

/** The engine's policy from one that was checked. What has signatures passes there, because whoever judges it
 * has done so before; what the policy does not name is rejected.
 *  @return a new reference, or NULL: no memory */
json_t *signature_engine_policy(const json_t *rules);

/** Lets the images of one repository pass in a policy for the engine, whatever its scopes say.
 *  @param name  full, "host/repository:tag" or "@digest" */
void signature_engine_let_image(json_t *policy, const char *name);

/** Lets archives pass in a policy for the engine. */
void signature_engine_let_archives(json_t *policy);

#endif
