/** agent/priv/engine_files.h: what an engine finds in its folder when it starts. */
#ifndef CVM_AGENT_PRIV_ENGINE_FILES_H
#define CVM_AGENT_PRIV_ENGINE_FILES_H

#include "agent/priv/verbs.h"

/** Makes the folder and writes podman's configuration and signature policy.
 *  @return 0, or -1: ERR_INPUT (the folder's name is too long), ERR_IO */
MUST_USE int podman_files(const struct priv_context *c, struct bytes policy, struct err *err);

/** Makes the folder, through which containers may pass, and writes docker's configuration.
 *  @param owner  whose subordinate ids containers get: a user of this machine
 *  @return 0, or -1: ERR_INPUT (no such user, with the remedy), ERR_IO */
MUST_USE int docker_files(const struct priv_context *c, const char *owner, struct err *err);

#endif
