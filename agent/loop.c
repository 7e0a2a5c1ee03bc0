#include "agent/loop.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <systemd/sd-daemon.h>
#include <time.h>

/* Deadlines are looked at this often, while there are connections. */
#define TICK_MS 250
/* Pause of accepting when descriptors have run out. */
#define PAUSE_MS 100

enum { WAIT_SIGNAL, WAIT_INTERNAL, WAIT_EXTERNAL, WAIT_SOCKET, WAIT_SERVICES, WAITS };

static sigset_t handled(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    return set;
}

void loop_block_signals(void)
{
    sigset_t set = handled();
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static void reload(const struct loop *l)
{
    sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_us());
    l->reload(l->arg);
    sd_notify(0, "READY=1");
}

/* The privileged child has ended: its verbs answer "nobody there" from now on. */
static void reap(void)
{
    for (int status; waitpid(-1, &status, WNOHANG) > 0;)
        log_event(LOG_LEVEL_ERROR, "priv", "error", "cvm-agent-priv has ended: restart the agent", NULL);
}

/* @return the name of a signal that ends the loop, or NULL */
static const char *take_signal(const struct loop *l, int fd)
{
    struct signalfd_siginfo info;
    if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return NULL;
    switch (info.ssi_signo) {
    case SIGTERM:
        return "SIGTERM";
    case SIGINT:
        return "SIGINT";
    case SIGHUP:
        reload(l);
        return NULL;
    default:
        reap();
        return NULL;
    }
}

/* @return how long accepting has to pause */
static int accept_all(const struct loop *l, const struct pollfd *wait)
{
    static const enum port ports[WAITS] = {
        [WAIT_INTERNAL] = PORT_INTERNAL, [WAIT_EXTERNAL] = PORT_EXTERNAL, [WAIT_SOCKET] = PORT_SOCKET
    };
    int pause_ms = 0;
    for (int i = WAIT_INTERNAL; i < WAITS; i++) {
        struct err err = { 0 };
        if (!(wait[i].revents & POLLIN))
            continue;
        if ((i == WAIT_SERVICES ? service_sockets_accept(l->services, l->server, &err)
                                : server_accept(l->server, wait[i].fd, ports[i], &err))
            < 0) {
            log_err(LOG_LEVEL_WARNING, "accept", &err);
            pause_ms = PAUSE_MS;
        }
    }
    return pause_ms;
}

static int timeout_ms(unsigned open, uint64_t watchdog_us)
{
    if (open)
        return TICK_MS;
    return watchdog_us ? (int)(watchdog_us / 2000) : -1;
}

const char *loop_run(const struct loop *l)
{
    sigset_t set = handled();
    AUTO(close_fd) int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    struct pollfd wait[WAITS] = { { signals, POLLIN, 0 },
                                  { l->listeners->internal, POLLIN, 0 },
                                  { l->listeners->external, POLLIN, 0 },
                                  { l->listeners->socket, POLLIN, 0 },
                                  { l->services ? service_sockets_fd(l->services) : -1, POLLIN, 0 } };
    uint64_t watchdog_us = 0;
    const char *why = NULL;
    sd_watchdog_enabled(0, &watchdog_us);
    for (int pause_ms = 0; !why;) {
        unsigned open = server_expire(l->server);
        int n = poll(wait, pause_ms ? 1 : WAITS, pause_ms ? pause_ms : timeout_ms(open, watchdog_us));
        if (watchdog_us)
            sd_notify(0, "WATCHDOG=1");
        if (n > 0 && wait[WAIT_SIGNAL].revents)
            why = take_signal(l, signals);
        pause_ms = n > 0 && !pause_ms && !why ? accept_all(l, wait) : 0;
    }
    return why;
}
