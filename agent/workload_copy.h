/** agent/workload_copy.h: the private copy of the workload, made once a boot from a disk that nobody trusts,
 * and what it says itself. */
#ifndef CVM_AGENT_WORKLOAD_COPY_H
#define CVM_AGENT_WORKLOAD_COPY_H

#include "workload/policy.h"
#include "workload/tree.h"

/** In the folder of private copies: the one that counts, and what says of which boot it is, once it is whole.
 */
#define WORKLOAD_CURRENT "current"
#define WORKLOAD_MARKER  "boot"

/** What cvm-agent-priv keeps in the folder of the copies; it stays when they go. */
#define WORKLOAD_ENGINE "engine"

/** Whether this boot has made its copy already: the folder's marker names the boot. */
MUST_USE int workload_copy_is_whole(const char *folder, const char *boot_id, bool *out, struct err *err);

/** Removes copies of earlier boots, or cut short, and makes one anew.
 *  @param out  the caller frees it */
MUST_USE int workload_copy_make(const char *directory, const char *folder, const char *boot_id,
                                struct workload_tree **out, struct err *err);

/** Reads the policy, if there is one, and owner.pub (empty: none) of a copy.
 *  @param out  as workload_policy_defaults() left it; the caller frees it, also after a failure */
MUST_USE int workload_copy_policy(const struct workload_tree *tree, struct workload_policy *out,
                                  struct buf *owner, struct err *err);

/** What was read from the disk before has chosen the machine, and was not measured: the copy's must say the
 * same.
 *  @param config  whether --config named another file
 *  @param emulate  the emulated shape, or NULL
 *  @return 0, or -1 with ERR_DENIED */
MUST_USE int workload_copy_check(const struct workload_policy *p, const struct workload_policy *before,
                                 bool config, const char *emulate, struct err *err);

#endif
