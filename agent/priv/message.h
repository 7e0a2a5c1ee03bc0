/** agent/priv/message.h: what cvm-agent and cvm-agent-priv say to each other: messages of one fixed size over
 * a SOCK_SEQPACKET Unix socket, a request and its reply with the same sequence number. Little-endian. */
#ifndef CVM_AGENT_PRIV_MESSAGE_H
#define CVM_AGENT_PRIV_MESSAGE_H

#include "base/bytes.h"

#define PRIV_MAGIC        0x5650434Du
#define PRIV_VERSION      1
#define PRIV_MESSAGE_SIZE 4096u
#define PRIV_HEADER_SIZE  24u
#define PRIV_PAYLOAD_MAX  (PRIV_MESSAGE_SIZE - PRIV_HEADER_SIZE)

/** The four privileged verbs, and one that asks whether somebody is there. */
enum priv_verb {
    PRIV_PING = 0,
    PRIV_FIREWALL = 1,
    PRIV_LIVEPATCH = 2,
    PRIV_ENGINE = 3,
    PRIV_MAINTENANCE = 4
};

enum priv_status { PRIV_OK = 0, PRIV_MALFORMED = 1, PRIV_UNKNOWN_VERB = 2, PRIV_NOT_SUPPORTED = 3 };

struct priv_message {
    uint16_t verb, status; /* status: in replies */
    uint32_t sequence, flags;
    uint32_t payload_size;
    uint8_t payload[PRIV_PAYLOAD_MAX]; /* zero behind payload_size */
};

/** Writes a message; payload_size must be at most PRIV_PAYLOAD_MAX. */
void priv_message_encode(const struct priv_message *m, uint8_t out[static PRIV_MESSAGE_SIZE]);

/** Reads a message.
 *  @return 0, or -1 with ERR_INPUT: another size, magic or version, or a payload size over the maximum */
MUST_USE int priv_message_decode(struct bytes raw, struct priv_message *out, struct err *err);

#endif
