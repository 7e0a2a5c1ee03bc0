/** agent/priv/filter.h: which system calls the parts of cvm-agent-priv may make once they take messages. */
#ifndef CVM_AGENT_PRIV_FILTER_H
#define CVM_AGENT_PRIV_FILTER_H

#include "base/err.h"

enum filter_part {
    FILTER_VERBS, /* takes the agent's messages, starts nft */
    FILTER_STORE  /* takes the orders of the former; neither it nor its children start programs */
};

/** Confines this thread, and every process that it will start, to the part's list in filter.c; for good.
 * Another call answers EPERM, or ENOSYS where the C library then takes an older one; a call of another
 * architecture ends the process. Needs PR_SET_NO_NEW_PRIVS. Source:
 * Documentation/userspace-api/seccomp_filter.rst of Linux.
 *  @return 0, or -1 with ERR_UNAVAILABLE: the kernel has no filters */
MUST_USE int filter_install(enum filter_part part, struct err *err);

/** The same in a program that is what users run; in one built with a sanitizer, whose own calls are on no
 * list, nothing. */
MUST_USE int filter_confine(enum filter_part part, struct err *err);

#endif
