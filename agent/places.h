/** agent/places.h: the folders below which an agent keeps what lasts as long as the boot. Normally that of
 * its socket, /run/cvm-agent; an emulated machine without a socket of its own has a folder named
 * after its state folder, so that several of them get along: /run/cvm-agent.HASH as root, else STATE/run. */
#ifndef CVM_AGENT_PLACES_H
#define CVM_AGENT_PLACES_H

#include "agent/options.h"

#include <limits.h>

struct places {
    char run[PATH_MAX];      /* "/run/cvm-agent" */
    char sockets[PATH_MAX];  /* RUN/services: a folder with a socket for each service that has one */
    char workload[PATH_MAX]; /* RUN/workload: private copies */
};

/** Where they are; makes nothing. @return 0, or -1 with ERR_TOO_LARGE */
MUST_USE int places_name(const struct options *o, struct places *out, struct err *err);

/** Makes RUN and RUN/workload, which will belong to the agent's user; before root is given up.
 *  @return 0, or -1 with ERR_IO, ERR_TOO_LARGE */
MUST_USE int places_make(const struct options *o, struct places *out, struct err *err);

#endif
