/** agent/refusal.h: what the HTTP library refuses before a request reaches us (no HTTP, a head without room,
 * a broken length or chunk) is answered as every other error is, with {"error":"..."}. The library has no
 * option for that. But it queues its own answers as its users do, through MHD_queue_response() and the
 * dynamic linker, and so through the function of that name in refusal.c; ours go through refusal_not(). A
 * library that were linked statically would answer with its own HTML again:
 * tests/integration/test_http_errors.py. */
#ifndef CVM_AGENT_REFUSAL_H
#define CVM_AGENT_REFUSAL_H

#include "agent/linger.h"

#include <microhttpd.h>

/** Finds the library's function; before any daemon is started. */
MUST_USE int refusal_init(struct err *err);

/** To be the socket context of each connection (MHD_OPTION_NOTIFY_CONNECTION): who holds the sockets of the
 * refused, whose requests are not read to their end. */
static inline void *refusal_context(struct lingerer *linger)
{
    return linger;
}

/** MHD_queue_response() for an answer of ours. */
enum MHD_Result refusal_not(struct MHD_Connection *connection, unsigned status,
                            struct MHD_Response *response);

/** A request head, with what the library writes down about it. */
#define REQUEST_HEAD_MAX (16u << 10)

/** Refuses a head that is longer: an answer through the library might find no room beside it.
 *  @return whether it was refused; the caller lets the library close the connection */
bool refusal_of_head(struct MHD_Connection *connection);

#endif
