/** agent/service_sockets.h: one Unix socket a service that asks for it (contract, sections 2 and 6):
 * DIR/SERVICE/agent.sock, whose folder the container sees as /run/cvm-agent, also after the agent was started
 * again. Who connects to a socket is that service: nothing that it sends says so. Sockets come and go with
 * the workload, from any thread; the main loop accepts. */
#ifndef CVM_AGENT_SERVICE_SOCKETS_H
#define CVM_AGENT_SERVICE_SOCKETS_H

#include "base/err.h"

struct service_sockets;
struct server;

#define SERVICE_SOCKETS_MAX 256 /* services that ever had one, while the agent runs */

/** @param dir  made with its parent, 0755; sockets of an earlier agent are removed
 *  @return 0, or -1 with ERR_IO */
MUST_USE int service_sockets_new(const char *dir, struct service_sockets **out, struct err *err);

/** Closes and removes all sockets; their folders stay. NULL is fine. */
void service_sockets_free(struct service_sockets *s);

/** From now on these services have a socket, and no others. On failure those that could be made stay.
 *  @param names  of compose services */
MUST_USE int service_sockets_set(struct service_sockets *s, const char *const *names, size_t n,
                                 struct err *err);

/** The folder: struct runner's socket_dir. */
const char *service_sockets_dir(const struct service_sockets *s);

/** Readable when somebody waits to be accepted. */
int service_sockets_fd(const struct service_sockets *s);

/** Accepts who waits; for the main loop. @return 0, or -1 with ERR_IO: no descriptors left, wait a moment */
MUST_USE int service_sockets_accept(struct service_sockets *s, struct server *server, struct err *err);

/** The name of the service that a connection's id (server_accept_service()) stands for; valid as long as s.
 */
const char *service_sockets_name(struct service_sockets *s, unsigned id);

#endif
