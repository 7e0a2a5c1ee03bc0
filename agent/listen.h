/** agent/listen.h: the listening sockets: made here, or handed over by systemd (sd_listen_fds(3)) under the
 * names "internal", "external" and "agent.sock". */
#ifndef CVM_AGENT_LISTEN_H
#define CVM_AGENT_LISTEN_H

#include "agent/options.h"

struct listeners {
    int internal, external, socket;                                  /* -1: none */
    char internal_text[ENDPOINT_TEXT], external_text[ENDPOINT_TEXT]; /* as bound, port 0 resolved */
    char socket_path[108];                                           /* sun_path; empty: none */
    bool socket_made; /* by us, so that we remove it at the end */
};

/** Takes the sockets that systemd hands over and makes the others.
 *  @param socket_optional  a Unix socket that cannot be made is no error: *why_no_socket says why
 *  @return 0, or -1 with ERR_IO (or ERR_BUSY: taken) and the address */
MUST_USE int listeners_open(const struct options *o, bool socket_optional, struct listeners *out,
                            struct err *why_no_socket, struct err *err);

/** Stops listening and removes the Unix socket. For AUTO(). */
void listeners_close(struct listeners *l);

#endif
