/** agent/priv/rights.h: what a process of cvm-agent-priv gives up. */
#ifndef CVM_AGENT_PRIV_RIGHTS_H
#define CVM_AGENT_PRIV_RIGHTS_H

#include <stddef.h>
#include <sys/types.h>

/** Keeps these capabilities and no others, no new privileges, no core dumps. */
void rights_keep(const int *capabilities, size_t n);

/** In a new child: becomes a user without groups and capabilities, and ends with its parent. Ends the process
 * if that fails. */
void rights_become(uid_t uid, gid_t gid, pid_t parent);

#endif
