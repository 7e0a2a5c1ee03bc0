/** agent/priv/verbs.h: the verbs of cvm-agent-priv. Each takes one request and fills one reply. */
#ifndef CVM_AGENT_PRIV_VERBS_H
#define CVM_AGENT_PRIV_VERBS_H

#include "agent/priv/message.h"

#include <sys/socket.h>
#include <sys/types.h>

#define PODMAN  "/usr/bin/podman"
#define DOCKERD "/usr/sbin/dockerd"

/** How an order to store went. */
struct priv_outcome {
    uint32_t failed, refused, code;
    char text[sizeof(((struct err *)0)->cause)];
};

/** The process that stores updates. */
struct priv_store {
    int socket;               /* to it; -1: none */
    bool busy;                /* an order, or its start, has no answer yet */
    uint64_t order;           /* the last one's id; 0: its start */
    struct priv_outcome last; /* of that, once it is not busy */
};

/** Where things are; set once at start. */
struct priv_context {
    const char *directory; /* of the engine, on the private medium: made by us, root's alone */
    const char *sys;       /* "/sys" */
    struct priv_store *store;
    int launcher; /* socket to the process that starts the engine; -1: none */
    bool limited; /* no CAP_SYS_RESOURCE: limits of containers cannot be raised */
};

struct priv_exchange {
    const struct priv_context *ctx;
    const struct priv_message *request;
    struct priv_message *reply;
    struct ucred peer; /* who sent the request */
    int fd;            /* that came with the request, -1: none; closed by the caller */
    int reply_fd;      /* to go with the reply, -1: none; closed by the caller */
};

/** Replaces the table `inet cvm_agent`: all else on the machine is left alone. */
enum priv_status verb_firewall(struct priv_exchange *x);
enum priv_status verb_livepatch(struct priv_exchange *x);
enum priv_status verb_engine(struct priv_exchange *x);
enum priv_status verb_maintenance(struct priv_exchange *x);

/** The part of verb_engine() that stores updates on the data partition. */
enum priv_status verb_store(struct priv_exchange *x);

/** Puts a sentence into the reply. Returns status. */
__attribute__((format(printf, 4, 5))) enum priv_status priv_say(struct priv_exchange *x,
                                                                enum priv_status status, uint32_t code,
                                                                const char *fmt, ...);

/** As priv_say() with PRIV_FAILED and what err says. */
enum priv_status priv_say_err(struct priv_exchange *x, const struct err *err);

/** Checks that a descriptor is a memfd that can no longer change, of 1 to max bytes.
 *  @return 0 with the size in *size, or -1 with ERR_INPUT */
MUST_USE int priv_sealed(int fd, size_t max, size_t *size, struct err *err);

/** Starts the launcher, which keeps all privileges and reads one byte at a time: 'p' and 'd' (start podman's
 * or docker's service), 'r' (the same again, if it has ended), '?' (does it run?), 'k' (end it), and answers
 * each with one byte, 0 or an errno. Call it before privileges go.
 *  @return its socket, or -1 */
int launcher_start(const char *directory);

/** Starts the process that stores updates: it can change mounts and write as root, and does so on our orders.
 * First it makes read-only again what one before it left writable. Call it before privileges go.
 *  @param workload  absolute: the folder whose place updates take
 *  @return its socket, or -1 */
int store_start(const char *workload);

/** Connects to the engine's socket below directory.
 *  @return a descriptor, or -1 with errno */
int engine_dial(const char *directory);

#endif
