/** agent/registry_auth.h: credentials of registries: the file that auth_info_file_path names, as podman and
 * docker write it (containers-auth.json(5)): {"auths":{"HOST":{"auth":base64 of "user:password"}}}, or
 * {"user_name","password"} for every registry, as older policies have it inline. Pure. */
#ifndef CVM_AGENT_REGISTRY_AUTH_H
#define CVM_AGENT_REGISTRY_AUTH_H

#include "workload/engine.h"

#include <stdbool.h>

#define REGISTRY_AUTH_MAX (256u << 10)

struct registry_auth;

/** @param file      empty: none
 *  @param user, password  of the policy itself, or NULL
 *  @return 0, or -1 with ERR_INPUT: malformed, never with a secret in the text */
MUST_USE int registry_auth_new(struct bytes file, const char *user, const char *password,
                               struct registry_auth **out, struct err *err);

/** Wipes. NULL is fine. */
void registry_auth_free(struct registry_auth *a);

static inline void registry_auth_drop(struct registry_auth **a)
{
    registry_auth_free(*a);
}

/** A runner_auth_fn; ctx is a struct registry_auth. */
bool registry_auth_find(void *ctx, const char *host, struct engine_auth *out);

#endif
