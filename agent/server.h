/** agent/server.h: the HTTP servers: plain inside (loopback TCP and Unix socket), TLS outside, one event
 * thread each. The main thread accepts connections, so that limits and deadlines are ours, and hands them
 * over. */
#ifndef CVM_AGENT_SERVER_H
#define CVM_AGENT_SERVER_H

#include "agent/journal.h"
#include "agent/measurements.h"
#include "agent/request.h"
#include "agent/tls.h"

struct verifier;
struct service_sockets;
struct appraiser;
struct workload_boot;
struct operate;
struct collateral_service;

struct server_options {
    struct collector *collector;
    struct journal *journal;           /* NULL: none could be opened */
    struct measurements *measurements; /* NULL: none could be opened */
    const struct tls_identity *tls;    /* its key is read during server_new() only */
    struct verifier *verifier;         /* NULL: none; lives as long as requests may be answered */
    struct appraiser *appraiser;       /* NULL: none; as verifier */
    struct operate *operate;           /* NULL: none, no management; stopped before the collector is freed */
    struct collateral_service *collateral; /* for /metrics; NULL: none */
    struct service_sockets *services;      /* names of PORT_SERVICE; NULL: none */
    struct workload_boot *workload;        /* for /metrics; NULL: none; freed after the server */
    bool emulated;
    struct limits limits;
};

/** Starts the event threads; nothing is accepted yet. */
MUST_USE int server_new(const struct server_options *options, struct server **out, struct err *err);

/** Accepts what waits on a listening socket, within the limits. @return 0, or -1 with ERR_IO: no descriptors
 * left, wait a moment */
MUST_USE int server_accept(struct server *s, int listener, enum port port, struct err *err);

/** As server_accept() on the socket of one service: connections and evidence requests are limited as those of
 * one outside address are. id: that of service_sockets_name(). */
MUST_USE int server_accept_service(struct server *s, int listener, unsigned id, struct err *err);

/** Ends connections over their deadline. @return how many are open */
unsigned server_expire(struct server *s);

/** New limits, from the next connection and request on. */
void server_set_limits(struct server *s, const struct limits *limits);

/** Waits until no request is being answered, at most max_ms, then takes the collector away: requests that
 * still wait get 503. The caller frees the collector between this and server_free(). */
void server_drain(struct server *s, unsigned max_ms);

/** Stops the threads and closes all connections; no request may wait for the collector any more. NULL is
 * fine. */
void server_free(struct server *s);

/* ---- for requests ---- */

/** The collector, or NULL when it has been taken away. Unless NULL, server_collector_put() must follow soon.
 */
struct collector *server_collector_get(struct server *s);
void server_collector_put(struct server *s);

/** The events of the journal, and of the workload log, up to the marks of evidence, as JSON on the heap; NULL
 * when the log was not open then. */
char *server_journal(struct server *s, size_t mark);
char *server_workload_log(struct server *s, size_t mark);
struct measurements *server_measurements(const struct server *s); /* or NULL */

bool server_rate_take(struct server *s, const struct address *who, unsigned *retry_after_s);
struct limits server_limits(struct server *s);
/** From now on the request may take so many seconds until it is answered. */
void server_allow(struct server *s, const struct request *r, unsigned seconds);

/** Bytes of an uploaded file. */
uint64_t server_upload_max(struct server *s);

bool server_is_draining(struct server *s);
struct verifier *server_verifier(const struct server *s);
struct appraiser *server_appraiser(const struct server *s);
struct operate *server_operate(const struct server *s);
bool server_emulated(const struct server *s);
enum cloud_type server_cloud(const struct server *s);
const char *server_spki_sha256(const struct server *s); /* hex */

/** Counts an answered request for /metrics. */
void server_count(struct server *s, const struct request *r, uint64_t took_us);

/** Appends the text of /metrics. */
void server_metrics_put(struct server *s, struct buf *out);

#endif
