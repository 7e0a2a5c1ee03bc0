/** agent/limits.h: how much one caller may ask for: the settings, and the token buckets of outside addresses.
 */
#ifndef CVM_AGENT_LIMITS_H
#define CVM_AGENT_LIMITS_H

#include "base/err.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>

/** Outside addresses that are remembered; beyond, the one that asked longest ago is forgotten. */
#define RATES_MAX 1024

/** Settings of /etc/cvm-agent/agent.json; defaults from contract section 2. */
struct limits {
    unsigned evidence_per_second; /* per outside address */
    unsigned evidence_burst;
    unsigned connections;             /* per side, inside and outside */
    unsigned connections_per_address; /* outside */
    unsigned upload_mib;              /* of an uploaded file */
    unsigned head_seconds;            /* to send a request head, TLS handshake included */
};

#define LIMITS_DEFAULT                                                                                       \
    (struct limits)                                                                                          \
    {                                                                                                        \
        .evidence_per_second = 5, .evidence_burst = 20, .connections = 512, .connections_per_address = 64,   \
        .upload_mib = 512, .head_seconds = 10                                                                \
    }

/** Who asks, for counting: an IPv4 address as ::ffff:a.b.c.d; of an IPv6 address the first 64 bits, which is
 * what one caller has. */
struct address {
    uint8_t b[16];
};

/** The address of a peer; all zero for a Unix peer. */
struct address address_of(const struct sockaddr_storage *peer);

static inline bool address_equal(const struct address *a, const struct address *b)
{
    return __builtin_memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

struct rates;

/** An empty table of RATES_MAX addresses. @return NULL when memory is short */
struct rates *rates_new(void);
void rates_free(struct rates *r);

/** Takes one request from the address's bucket; callable from any thread.
 *  @param retry_after_s  written when the bucket is empty: seconds until it holds one again, at least 1
 *  @return true if the request may go on */
bool rates_take(struct rates *r, const struct address *who, const struct limits *limits, uint64_t now_ms,
                unsigned *retry_after_s);

#endif
