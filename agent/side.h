/** agent/side.h: one instance of the HTTP library with its event thread, and the connections it has. */
#ifndef CVM_AGENT_SIDE_H
#define CVM_AGENT_SIDE_H

#include "agent/conns.h"
#include "agent/linger.h"
#include "agent/tls.h"

#include <microhttpd.h>

struct server;
struct service_sockets;

/* The tag of a connection: its port, and above that the number of the service. */
#define PORT_BITS 8
#define PORT_MASK ((1 << PORT_BITS) - 1)

struct side {
    struct server *server; /* where requests are answered */
    struct lingerer *linger;
    struct service_sockets *sockets; /* names of PORT_SERVICE */
    struct conns *conns;
    struct MHD_Daemon *daemon; /* NULL: not started */
};

/** @param tls  NULL: plain HTTP; read during the call only */
MUST_USE int side_start(struct side *side, const struct tls_identity *tls, struct err *err);

/** Accepts what waits on a listening socket, within the limits.
 *  @param tag  the port, and above PORT_BITS the number of the service
 *  @param who  NULL: the peer's address
 *  @return 0, or -1 with ERR_IO: no descriptors left, wait a moment */
MUST_USE int side_accept(struct side *side, int listener, int tag, const struct address *who,
                         struct err *err);

/** From now on the request on that connection may take so many seconds until it is answered. */
void side_allow(struct side *side, struct MHD_Connection *connection, unsigned seconds);

#endif
