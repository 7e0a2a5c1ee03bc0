/** tests/support/http_server.h: a small scripted HTTP server on loopback. */
#ifndef CVM_TESTS_HTTP_SERVER_H
#define CVM_TESTS_HTTP_SERVER_H

#include "base/http.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_SERVER_BODY_MAX 65536

/** One scripted answer. The first rule whose path is the start of the request's path and query, and whose
 * answers are not used up, is taken; no rule: 404. */
struct http_rule {
    const char *path;
    unsigned status;
    const char *retry_after; /* header value, or NULL */
    struct bytes body;
    unsigned delay_ms;
    unsigned times; /* answers in the rule; 0: without end */
    atomic_uint hits;
    const char *header, *header_value; /* one more header of the answer, or NULL */
};

struct http_server;

/** Starts on a free port; fails the test if it cannot. The rules are the caller's and outlive the server. */
struct http_server *http_server_start(struct http_rule *rules, size_t n);

/** "http://127.0.0.1:PORT" */
const char *http_server_url(const struct http_server *s);

/** What the last request with a body sent, and its path with query; valid until the next request. */
struct bytes http_server_posted(const struct http_server *s);
const char *http_server_path(const struct http_server *s);

/** True if every request so far carried "Metadata: true". */
bool http_server_saw_metadata_header(const struct http_server *s);

/** For struct http: asks this server (ctx) for the path, whatever machine the address names. */
int http_server_perform(void *ctx, const struct http_request *request, struct http_response *out,
                        struct err *err);

void http_server_stop(struct http_server *s);

#endif
