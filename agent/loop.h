/** agent/loop.h: the main thread's loop: accepting, deadlines, signals, the service manager's watchdog. */
#ifndef CVM_AGENT_LOOP_H
#define CVM_AGENT_LOOP_H

#include "agent/listen.h"
#include "agent/server.h"
#include "agent/service_sockets.h"

struct loop {
    struct server *server;
    const struct listeners *listeners;
    struct service_sockets *services; /* NULL: none */
    void (*reload)(void *arg);        /* at SIGHUP */
    void *arg;
};

/** Blocks the signals that the loop handles, in this thread and those it starts later. */
void loop_block_signals(void);

/** Runs until SIGTERM or SIGINT. @return the signal's name */
const char *loop_run(const struct loop *l);

#endif
