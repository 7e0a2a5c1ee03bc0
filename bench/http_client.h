/** bench/http_client.h: the least HTTP client that measures a server and not itself: one keep-alive
 * connection over loopback, answers with Content-Length. */
#ifndef CVM_BENCH_HTTP_CLIENT_H
#define CVM_BENCH_HTTP_CLIENT_H

#include "base/bytes.h"

struct http_client {
    int fd;
    uint16_t port;
    char *room;
    size_t cap;
    struct bytes body; /* of the last answer; valid until the next request */
};

/** Connects to 127.0.0.1:port. */
MUST_USE int http_client_open(struct http_client *c, uint16_t port, struct err *err);
void http_client_close(struct http_client *c);

/** One GET. @param body_size  bytes of the body, may be NULL. @return the status, or -1 */
MUST_USE int http_client_get(struct http_client *c, const char *path, size_t *body_size, struct err *err);

/** One POST of JSON. @return the status, or -1 */
MUST_USE int http_client_post(struct http_client *c, const char *path, struct bytes body, struct err *err);

#endif
