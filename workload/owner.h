/** workload/owner.h: the subordinate ids of the user that owns the containers
 * (container_api.container_owner). Source: subuid(5), subgid(5). */
#ifndef CVM_WORKLOAD_OWNER_H
#define CVM_WORKLOAD_OWNER_H

#include "base/err.h"

/** A container sees the ids 0 to 65535. */
#define OWNER_IDS 65536u

struct owner {
    uint32_t uid, gid; /* host ids of the container's root: the first of the ranges */
};

/** @param etc  folder with subuid and subgid: "/etc"
 *  @return 0, or -1 with ERR_NOT_FOUND: the user has no range of OWNER_IDS, with the remedy; ERR_INPUT: a
 *  range that holds the host's root or no number */
MUST_USE int owner_find(const char *etc, const char *name, struct owner *out, struct err *err);

#endif
