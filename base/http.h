/** base/http.h: one HTTP request with a deadline, behind an interface that tests and the emulator replace. */
#ifndef CVM_BASE_HTTP_H
#define CVM_BASE_HTTP_H

#include "base/buf.h"

#include <stdatomic.h>

#define HTTP_HEADERS_MAX 8
#define HTTP_WANTED_MAX  4
#define HTTP_HEADER_VALUE_MAX                                                                                \
    32768 /* of a wanted header; a chain of certificates, percent-encoded, has 6000 */

struct http_request {
    const char *method;                    /* "GET", "POST" */
    const char *url;                       /* absolute, http or https */
    const char *headers[HTTP_HEADERS_MAX]; /* "Name: value", then NULL */
    struct bytes body;                     /* empty unless POST */
    unsigned deadline_ms;                  /* for the whole request; 0 is refused */
    size_t max_body;                       /* a longer answer is ERR_TOO_LARGE */
    const char *unix_socket;               /* connect here instead of to the URL's host; NULL: not */
    const char *pin_sha256;    /* hex SHA-256 of the peer's SPKI; NULL: certificate chain is checked */
    bool insecure;             /* https without any check of the peer */
    const atomic_bool *cancel; /* set by another thread: give up within a second or so; NULL: never */
    /** Where the body of a 2xx answer goes as it comes, instead of into the response; NULL: there.
     *  @return false to end the transfer, which is success */
    bool (*sink)(void *arg, struct bytes data);
    /** How much of the body has been sent; NULL: nobody asks. */
    void (*progress)(void *arg, uint64_t sent, uint64_t total);
    void *arg;                           /* of sink and progress */
    const char *wanted[HTTP_WANTED_MAX]; /* names of response headers to keep, any case, then NULL */
};

struct http_response {
    unsigned status;              /* as the server said, any of 100..599 */
    unsigned retry_after_s;       /* Retry-After in seconds, 0 if absent */
    struct buf body;              /* owned by the caller: buf_done() */
    uint8_t peer_spki_sha256[32]; /* of the TLS peer, zero over plain HTTP */
    uint8_t peer_spki_sha384[48];
    char *header[HTTP_WANTED_MAX]; /* values of the request's wanted headers, raw; NULL: not sent. Owned */
};

/** An HTTP client: stateless for the caller, callable from any thread. */
struct http {
    /** Performs the request. Any status is success here; failing to get one is not.
     *  @return 0, or -1: ERR_UNAVAILABLE (no connection, deadline), ERR_TOO_LARGE (body or wanted header),
     * ERR_INPUT (bad URL), ERR_DENIED (pin) */
    int (*perform)(void *ctx, const struct http_request *request, struct http_response *out, struct err *err);
    void *ctx;
};

/** The client over libcurl: HTTP/1.1, no redirects, no proxies, no cookies, no files; only http and https. */
struct http http_curl(void);

/** Calls http->perform. */
MUST_USE int http_perform(const struct http *http, const struct http_request *request,
                          struct http_response *out, struct err *err);

/** For AUTO(http_response_done). */
void http_response_done(struct http_response *r);

#endif
