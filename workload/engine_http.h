/** workload/engine_http.h: one HTTP/1.1 request over a connected descriptor: what the container engine
 * speaks. The client of base/http.h makes its own connections, and cannot be given one. Source: RFC 9112.
 * Internal to workload/.
 */
#ifndef CVM_WORKLOAD_ENGINE_HTTP_H
#define CVM_WORKLOAD_ENGINE_HTTP_H

#include "base/buf.h"

#include <stdatomic.h>
#include <sys/types.h>

struct engine_request {
    const char *method;
    const char *target; /* path and query, already percent-encoded */
    const char *type;   /* Content-Type */
    const char *header; /* one more line without its end, or NULL */
    struct bytes body;
    /** Where the body comes from instead of body, source_size bytes; NULL: body. @return bytes read, 0 or -1:
     * no more, which fails */
    ssize_t (*source)(void *arg, void *out, size_t n);
    uint64_t source_size;
    /** Where the body of a 2xx answer goes as it comes; NULL: into the answer. @return false to end, which is
     * success */
    bool (*sink)(void *arg, struct bytes data);
    void *arg;
    unsigned deadline_ms;      /* for all of it */
    const atomic_bool *cancel; /* NULL: never */
    size_t max_body;
};

/** Sends the request and reads the answer; the descriptor is of no more use afterwards, and stays the
 * caller's.
 *  @param status  200 to 599
 *  @param body    appended to
 *  @return 0, or -1: ERR_UNAVAILABLE (deadline, cancelled, the peer is gone), ERR_TOO_LARGE, ERR_INPUT (no
 *  HTTP/1.1 answer, or the source has too few bytes) */
MUST_USE int engine_exchange(int fd, const struct engine_request *q, unsigned *status, struct buf *body,
                             struct err *err);

#endif
