/** agent/process.h: what the process gives up, and its privileged child. */
#ifndef CVM_AGENT_PROCESS_H
#define CVM_AGENT_PROCESS_H

#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

/** The user that the agent runs as when it was started by root. */
#define AGENT_USER "cvm-agent"

/** No core dumps, no debugger of the same user, no new privileges through exec, few malloc arenas, SIGPIPE
 * ignored, and descriptors enough for the connections. */
void process_harden(void);

/** As root: becomes AGENT_USER (with group tss, which has the TPM), without capabilities.
 *  @param dropped  false when we are not root, or when there is no such user
 *  @return 0, or -1 with ERR_IO: there is such a user but becoming it failed */
MUST_USE int process_drop_root(bool *dropped, struct err *err);

/** Starts cvm-agent-priv, which lies beside this program, with one end of a socket pair.
 *  @param engine_dir  absolute: where it keeps the container engine's files; NULL: its default
 *  @param workload    absolute: the folder whose place updates take; NULL: its default
 *  @param fd  our end
 *  @return 0, or -1 with ERR_NOT_FOUND (no such program) or ERR_IO */
MUST_USE int process_start_priv(const char *engine_dir, const char *workload, pid_t *pid, int *fd,
                                struct err *err);

/** From now on the process ends within so many milliseconds, with status 0, even if a thread hangs in a
 * device: what is on disk is whole at every moment. */
void process_exit_within(unsigned ms);

#endif
