/** agent/linger.h: lingering close. A request that is refused is answered at once, with its body unread. Were
 * the connection then closed, the kernel would reset it, and a client that sends everything before it reads
 * would lose the answer. So the socket is held a little longer, and what still comes is thrown away. Source:
 * RFC 9112, section 9.6. */
#ifndef CVM_AGENT_LINGER_H
#define CVM_AGENT_LINGER_H

#include "base/err.h"

#include <stdbool.h>

#define LINGER_SOCKETS 32         /* at once; beyond, connections are reset */
#define LINGER_MAX     (8u << 20) /* bytes thrown away for one */
#define LINGER_MS      2000       /* without a byte, and */
#define LINGER_ALL_MS  10000      /* at all */

struct lingerer;

/** Starts nothing yet: the thread comes with the first socket. */
MUST_USE int linger_new(struct lingerer **out, struct err *err);

/** Closes what is held. NULL is fine. */
void linger_free(struct lingerer *l);

/** Holds a duplicate of a connected socket, which the caller goes on to answer and close. From any thread. */
void linger_hold(struct lingerer *l, int fd);

#endif
