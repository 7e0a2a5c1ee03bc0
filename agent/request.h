/** agent/request.h: one HTTP request from its target to its answer, and the rows of the route table.
 *  A request runs on the server's event thread. What takes time runs elsewhere: the connection is suspended,
 * and the request resumed when the work is done, so no event thread ever waits for a device. */
#ifndef CVM_AGENT_REQUEST_H
#define CVM_AGENT_REQUEST_H

#include "agent/auth.h"
#include "agent/limits.h"
#include "agent/target.h"
#include "agent/upload.h"
#include "base/worker.h"
#include "evidence/collect.h"

#include <microhttpd.h>

/** Where a request came in; also a bit in a route's set of ports. */
enum port { PORT_INTERNAL = 1, PORT_SOCKET = 2, PORT_EXTERNAL = 4, PORT_SERVICE = 8 };
#define PORTS_INSIDE (PORT_INTERNAL | PORT_SOCKET)
#define PORTS_ALL    (PORTS_INSIDE | PORT_EXTERNAL)
/* of what a service's own socket serves too */
#define PORTS_INSIDE_SERVICE (PORTS_INSIDE | PORT_SERVICE)
#define PORTS_EVERY          (PORTS_ALL | PORT_SERVICE)

struct server;
struct request;
struct verify_job;
struct appraisal_job;
struct op;
struct logs;

/** Query parameters of a route end with NULL. */
#define ROUTE_PARAMETERS_MAX 4

/** What a body is. */
enum body_kind {
    BODY_TEXT,        /* at most body_max bytes, in memory */
    BODY_FORM,        /* a file in a form, streamed to disk */
    BODY_FORM_OR_FILE /* that, or the file itself */
};

/** A row of the route table. Functions return 0, or -1 with the error that is the answer. */
struct route {
    const char *method; /* GET answers HEAD too */
    const char *path;   /* "/name" or "/name/{segment}", as in openapi.json */
    unsigned ports;
    bool evidence;       /* takes a token from an outside address's bucket */
    bool auth;           /* from outside, the bearer token is wanted */
    bool opened;         /* outside only where the security policy opens appraisal */
    bool once;           /* a GET that changes something: HEAD is no GET here */
    size_t body_max;     /* a longer body is 413, unread */
    enum body_kind body; /* a file's maximum is limits.upload_mib, body_max is not looked at */
    const char *repeat;  /* the query parameter that may be given several times; NULL: none */
    const char *type;    /* Content-Type; NULL: application/json */
    unsigned made;       /* status of a good answer; 0: 200 */
    const char *parameters[ROUTE_PARAMETERS_MAX + 1];
    int (*prepare)(struct request *r, struct err *err); /* reads path segment and query; may be NULL */
    int (*begin)(struct request *r,
                 struct err *err); /* starts work that ends in request_resume(); may be NULL */
    int (*answer)(struct request *r, struct buf *out, struct err *err);
};

struct request {
    struct server *server;
    struct MHD_Connection *connection;
    const struct route *route; /* NULL until matched */
    const char *allow;         /* Allow header of a 405 */
    enum port port;
    const char *service; /* whose socket it is, with PORT_SERVICE */
    struct address who;  /* of an outside peer; of a service, its number */
    char *raw;           /* request target as received */
    const char *end;     /* of the target in the library's buffer; only compared */
    struct target target;
    struct bytes segment;
    struct query query;
    struct buf body;
    struct upload *upload; /* of a route that takes a file */
    uint64_t body_n, body_max;
    struct flush {
        struct job job;
        struct request *request;
    } flush;
    struct collect_request collect; /* views into nonce */
    struct buf nonce;
    uint8_t service_nonce[NONCE_MAX]; /* what is bound for a service */
    uint32_t pcrs;
    bool all_pcrs;
    struct collect_attestation attestation; /* of POST /attestation */
    bool to_json;
    const char *type; /* Content-Type of this answer; NULL: the route's */
    unsigned version; /* of GET /attestation/policy; 0: the newest */
    struct evidence *evidence;
    struct buf report;               /* of GET /measurements */
    struct appraisal_job *appraisal; /* of /appraisal and /certs */
    struct verify_job *verification; /* of POST /offchain-verify */
    struct logs *logs;               /* of GET /container-logs */
    struct MHD_Response *stream;     /* an answer that comes bit by bit, instead of a text */
    struct op *op;                   /* of a management route */
    struct auth_caller caller;       /* who, on routes with auth */
    bool routed, begun, failed, counted;
    unsigned status, retry_after_s;
    uint64_t began_us;
    struct err err;
};

/** Largest answer: a document with the largest logs. */
#define ANSWER_MAX (64u << 20)

/** Begins a request when its first line has come in. @return NULL when memory is short */
struct request *request_new(struct server *s, struct MHD_Connection *connection, const char *raw_target);

/** Frees a request and what it holds. NULL is fine. */
void request_free(struct request *r);

/** Finds the route and checks everything that needs no body; failures are kept for request_answer().
 *  @param version  the library's text after the target, in the same buffer */
void request_route(struct request *r, const char *method, const char *version);

/** The value of a request header, or NULL; in the library's memory, valid while the request is. */
const char *request_header(const struct request *r, const char *name);

/** Takes a piece of the body; nothing more is taken after a failure, which request_answer() tells. May
 * suspend the connection. */
void request_take(struct request *r, const char *data, size_t n);

/** True if the head announces a body. */
bool request_has_body(const struct request *r);

/** Continues a suspended request, from any thread; the last use of r there. */
void request_resume(struct request *r);

/** Makes and queues the answer: what the route's answer function gives, or the error as
 * {"error":"..."} with its status. */
enum MHD_Result request_answer(struct request *r);

/** The status of an error kind: the only place where errors become HTTP. */
unsigned status_of(enum err_kind kind);

#endif
