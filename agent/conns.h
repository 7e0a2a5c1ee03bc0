/** agent/conns.h: the open connections of one side (inside or outside), their limits and deadlines.
 *  A connection is idle while its next request head has not come in whole, busy while it is answered. When a
 * limit is reached, the connection that has been idle for longest makes room (of the same address, if it is
 * that address's limit), so that somebody who only holds connections open cannot keep a health check out; if
 * none is idle, the new one is refused. Ending a connection is shutdown(2): the HTTP library sees it and
 * closes. */
#ifndef CVM_AGENT_CONNS_H
#define CVM_AGENT_CONNS_H

#include "agent/limits.h"

/** Time that answering one request may take, sending the answer to a slow reader included. */
#define CONN_BUSY_SECONDS 120

struct conns;

/** @param per_address  whether connections_per_address applies (outside) */
struct conns *conns_new(bool per_address);
void conns_free(struct conns *c);

/** Admits a socket that accept(2) gave; tag is the caller's. @return false: over a limit, close it */
bool conns_add(struct conns *c, int fd, const struct address *who, int tag, const struct limits *limits,
               uint64_t now_ms);

/** The head of a request is whole: busy from now. Gives back what conns_add() was told. */
bool conns_busy(struct conns *c, int fd, uint64_t now_ms, struct address *who, int *tag);

/** The request being answered may take so many seconds from now, instead of CONN_BUSY_SECONDS in all. */
void conns_allow(struct conns *c, int fd, unsigned seconds, uint64_t now_ms);

/** The request is answered: idle from now. */
void conns_idle(struct conns *c, int fd, uint64_t now_ms);

/** The socket is about to be closed. */
void conns_remove(struct conns *c, int fd);

/** Ends connections over their deadline. @return how many connections are open */
unsigned conns_expire(struct conns *c, const struct limits *limits, uint64_t now_ms);

/** For metrics and draining. */
struct conns_stats {
    unsigned open, busy;
    uint64_t refused, evicted, expired;
};
void conns_stats_get(struct conns *c, struct conns_stats *out);

#endif
