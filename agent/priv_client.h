/** agent/priv_client.h: the agent's side of cvm-agent-priv. Calls may come from any thread: they are made one
 * after the other. A reply that comes after its deadline is thrown away by the next call. A helper that has
 * ended is connected to again by the next call, and told to start the engine that the one before ran; a call
 * that it ended under fails, for nobody knows how far it came. */
#ifndef CVM_AGENT_PRIV_CLIENT_H
#define CVM_AGENT_PRIV_CLIENT_H

#include "agent/priv/message.h"

#include <pthread.h>
#include <sys/stat.h>

struct priv_client {
    int fd;           /* -1: nobody there */
    const char *path; /* of its socket; NULL: it is a child, and has none */
    uint32_t sequence;
    struct priv_engine_order {
        enum priv_engine_kind kind;
        char owner[PRIV_OWNER_MAX + 1];
        int policy; /* -1: no engine shall run */
    } engine;
    pthread_mutex_t lock;
};

#define PRIV_CLIENT_NONE                                                                                     \
    {                                                                                                        \
        .fd = -1, .engine = { .policy = -1 }, .lock = PTHREAD_MUTEX_INITIALIZER                              \
    }

/** Connects to a socket of cvm-agent-priv; out must be PRIV_CLIENT_NONE before.
 *  @param path  of the socket; must outlive out
 *  @return 0, or -1 with ERR_NOT_FOUND (no such socket) or ERR_UNAVAILABLE */
MUST_USE int priv_connect(const char *path, struct priv_client *out, struct err *err);

/** Closes the connection: nothing is called any more. */
void priv_disconnect(struct priv_client *c);

struct priv_request {
    enum priv_verb verb;
    uint32_t flags;
    struct bytes payload; /* at most PRIV_PAYLOAD_MAX bytes */
    int fd;               /* given along; -1: none. Stays the caller's */
    bool wants_fd;        /* the reply must bring one */
    unsigned deadline_ms;
};

/** One request and its reply.
 *  @param reply_fd  where the descriptor of the reply goes if one is wanted; the caller's to close
 *  @return 0 when the verb was done, or -1: ERR_UNAVAILABLE (nobody there, no answer, not in this build,
 * refused by the machine), ERR_BUSY, ERR_IO (it failed) or ERR_INPUT (a reply that is none) */
MUST_USE int priv_do(struct priv_client *c, const struct priv_request *request, struct priv_message *reply,
                     int *reply_fd, struct err *err);

/** As priv_do() without flags and descriptors. */
MUST_USE int priv_call(struct priv_client *c, enum priv_verb verb, struct bytes payload, unsigned deadline_ms,
                       struct priv_message *reply, struct err *err);

/** Ports that others may connect to; both ends included. */
struct priv_port {
    bool udp;
    uint16_t first, last;
};

/** Replaces the firewall's rules by these ports (the external port of the agent is not added by itself), in
 * one transaction, read back and compared.
 *  @return 0, or -1: ERR_INPUT (over PRIV_PORTS_MAX, a port 0, an empty range), else as priv_do() */
MUST_USE int priv_firewall(struct priv_client *c, const struct priv_port *ports, size_t n, struct err *err);

/** Whether a livepatch could be loaded.
 *  @return 0, or -1 with ERR_UNAVAILABLE: the kernel does not enforce module signatures, or has no livepatch
 */
MUST_USE int priv_livepatch_ready(struct priv_client *c, struct err *err);

/** Unloads the patches that are loaded, then loads this one.
 *  @param module  a .ko with its signature; copied
 *  @return 0, or -1: as priv_livepatch_ready(), ERR_IO with the kernel's errno in code */
MUST_USE int priv_livepatch(struct priv_client *c, struct bytes module, struct err *err);

/** Starts the container engine under a signature policy (workload/signature_policy.h), which docker does not
 * read; an engine that runs already is stopped first, its containers go on.
 *  @param owner  whose subordinate ids the containers get: docker has one range for all
 *  @return 0 when the engine answers, or -1 */
MUST_USE int priv_engine_start(struct priv_client *c, enum priv_engine_kind kind, const char *owner,
                               struct bytes policy, struct err *err);
MUST_USE int priv_engine_stop(struct priv_client *c, struct err *err);

/** Stores a workload on the data partition (enum priv_engine has what act means), and waits for that; others
 * may call meanwhile. When it has returned nothing is being stored, also where nobody could say how it went.
 *  @param act   PRIV_ENGINE_STAGE, PRIV_ENGINE_EXCHANGE or PRIV_ENGINE_DISCARD
 *  @param from  for STAGE: descriptor of the folder to be stored; else -1. Stays the caller's
 *  @param now   for STAGE and EXCHANGE: the workload folder that is there
 *  @return 0, or -1: ERR_UNAVAILABLE (nobody there, the helper ended meanwhile, the partition cannot be
 *  written or is full), ERR_IO */
MUST_USE int priv_store(struct priv_client *c, enum priv_engine act, int from, const struct stat *now,
                        struct err *err);

/** Waits until nothing is being stored, whoever began it; at once where nobody stores anything.
 *  @return 0, or -1 with ERR_UNAVAILABLE: it takes too long */
MUST_USE int priv_store_idle(struct priv_client *c, struct err *err);

/** For struct engine_dial (workload/engine.h): ctx is a struct priv_client.
 *  @return a connected socket, or -1 */
int priv_engine_connect(void *ctx, struct err *err);

/** Sends a signal to the main process of a container.
 *  @param id  64 hex digits */
MUST_USE int priv_maintenance(struct priv_client *c, const char *id, int signal, struct err *err);

#endif
