/** workload/spec_range.h: a prefix and the addresses from its first to its last. Internal to workload/. */
#ifndef CVM_WORKLOAD_SPEC_RANGE_H
#define CVM_WORKLOAD_SPEC_RANGE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

#define SPEC_ADDRESS_SIZE 46 /* INET6_ADDRSTRLEN */

/** "10.1.2.0/25" to 10.1.2.1 and 10.1.2.127: the first of a prefix is the network's own.
 *  @return 0, or -1: no prefix */
MUST_USE int spec_range_read(const char *cidr, char first[static SPEC_ADDRESS_SIZE],
                             char last[static SPEC_ADDRESS_SIZE]);

/** The way back.
 *  @return 0, or -1: no two addresses of one kind */
MUST_USE int spec_range_write(const char *first, const char *last, char out[static SPEC_ADDRESS_SIZE + 4]);

#endif
