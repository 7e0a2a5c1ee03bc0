/** agent/priv/filter.h: which system calls cvm-agent-priv may make once it takes messages. */
#ifndef CVM_AGENT_PRIV_FILTER_H
#define CVM_AGENT_PRIV_FILTER_H

#include "base/err.h"

/** Confines this thread, and every program that it will start (nft), to the list in filter.c; for good.
 * Another call answers EPERM, or ENOSYS where the C library then takes an older one; a call of another
 * architecture ends the process. Needs PR_SET_NO_NEW_PRIVS. Source:
 * Documentation/userspace-api/seccomp_filter.rst of Linux.
 *  @return 0, or -1 with ERR_UNAVAILABLE: the kernel has no filters */
MUST_USE int filter_install(struct err *err);

#endif
