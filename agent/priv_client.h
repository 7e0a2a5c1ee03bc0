/** agent/priv_client.h: the agent's side of cvm-agent-priv. */
#ifndef CVM_AGENT_PRIV_CLIENT_H
#define CVM_AGENT_PRIV_CLIENT_H

#include "agent/priv/message.h"

struct priv_client {
    int fd; /* -1: nobody there */
    uint32_t sequence;
};

/** Connects to a socket of cvm-agent-priv.
 *  @return 0, or -1 with ERR_NOT_FOUND (no such socket) or ERR_UNAVAILABLE */
MUST_USE int priv_connect(const char *path, struct priv_client *out, struct err *err);

/** One request and its reply; waits at most deadline_ms. From one thread at a time.
 *  @return 0 when the verb was done, or -1: ERR_UNAVAILABLE (nobody there, no answer, not in this build) or
 *  ERR_INPUT (a reply that is none) */
MUST_USE int priv_call(struct priv_client *c, enum priv_verb verb, struct bytes payload, unsigned deadline_ms,
                       struct priv_message *reply, struct err *err);

#endif
