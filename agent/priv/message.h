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

enum priv_status {
    PRIV_OK = 0,
    PRIV_MALFORMED = 1,
    PRIV_UNKNOWN_VERB = 2,
    PRIV_NOT_SUPPORTED = 3,
    PRIV_FAILED = 4,  /* flags: errno or 0; payload: a sentence */
    PRIV_REFUSED = 5, /* the machine does not allow it; payload: a sentence */
    PRIV_BUSY = 6     /* an update is being stored, or mended after one that was cut short: ask again */
};

/** PRIV_FIREWALL: the payload is any number of records of PRIV_PORT_SIZE bytes: u8 protocol (6 or 17), u8 0,
 * u16 first port, u16 last port, u16 0. They replace what was open before. */
#define PRIV_PORT_SIZE 8u
#define PRIV_PORTS_MAX 500u

/** PRIV_LIVEPATCH, flags of the request. LOAD comes with a descriptor: a sealed memfd with the module. */
enum priv_livepatch { PRIV_LIVEPATCH_ASK = 0, PRIV_LIVEPATCH_LOAD = 1 };

/** PRIV_ENGINE, flags of the request: the engine, and on the disk the workload that it runs.
 * START: payload u16 kind and, for docker, 1 to PRIV_OWNER_MAX bytes: the user whose subordinate ids
 * containers get (podman is told with each container); and a descriptor: a sealed memfd with the signature
 * policy that the engine shall use; the reply comes when the engine answers. CONNECT: the reply comes with a
 * descriptor. STAGE, EXCHANGE, DISCARD begin, one at a time; STORED says how that went: PRIV_BUSY, or its
 * end. STAGE writes the folder that a descriptor stands for beside the workload, EXCHANGE puts it in the
 * workload's place and removes the old one, DISCARD removes it. Payload: u64 id of the order, chosen by who
 * gives it, not 0; STORED names the one that it asks about, or 0 for whatever was done last, the mending at
 * the start too. STAGE and EXCHANGE also have u64 device, u64 inode of the workload folder that is there now.
 */
enum priv_engine {
    PRIV_ENGINE_CONNECT = 0,
    PRIV_ENGINE_START = 1,
    PRIV_ENGINE_STOP = 2,
    PRIV_ENGINE_STAGE = 3,
    PRIV_ENGINE_EXCHANGE = 4,
    PRIV_ENGINE_DISCARD = 5,
    PRIV_ENGINE_STORED = 6
};
enum priv_engine_kind { PRIV_PODMAN = 1, PRIV_DOCKER = 2 };
#define PRIV_POLICY_MAX (256u << 10)
#define PRIV_OWNER_MAX  32u

#define PRIV_ORDER_SIZE        8u
#define PRIV_STORE_SIZE        24u
#define PRIV_STORE_NEXT        ".workload.next" /* beside the workload: one that is not yet in its place */
#define PRIV_STORE_ENTRIES_MAX 16384u           /* files and folders, as workload/tree.h */
#define PRIV_STORE_BYTES_MAX   (16ull << 30)

/** PRIV_MAINTENANCE: the payload is the 32 bytes of a container's id and u16 signal number. */
#define PRIV_MAINTENANCE_SIZE 34u

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

/** A request of PRIV_ENGINE that is about storing. */
struct priv_order {
    enum priv_engine what;  /* STAGE to STORED */
    uint64_t id;            /* 0: STORED, of whatever was done last */
    uint64_t device, inode; /* of the workload that the caller knows; 0 where none is given */
};

/** @return 0, or -1 with ERR_INPUT: flags of something else, a payload of another size, an order
 *  without an id */
MUST_USE int priv_order_decode(const struct priv_message *m, struct priv_order *out, struct err *err);

#endif
