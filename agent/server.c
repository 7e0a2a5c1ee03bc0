#include "agent/server.h"

#include "agent/conns.h"
#include "agent/linger.h"
#include "agent/metrics.h"
#include "agent/operate.h"
#include "agent/refusal.h"
#include "agent/service_sockets.h"
#include "agent/workload_start.h"
#include "base/auto.h"
#include "base/enc.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

/* Per connection: request head, and the head of the response, which must find room. */
#define CONNECTION_MEMORY (REQUEST_HEAD_MAX + (4u << 10))
#define EVENT_STACK       (256u << 10)
/* Above our own limits (struct limits and what is still being closed), which decide first. */
#define LIBRARY_CONNECTIONS 4096u
#define ACCEPT_BATCH        64
#define DRAIN_STEP_MS       10
#define JOURNAL_TEXT_MAX    (16u << 20)
/* The tag of a connection: its port, and above that the number of the service. */
#define PORT_BITS 8
#define PORT_MASK ((1 << PORT_BITS) - 1)

static const char tls_priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

/* One HTTP library instance with its event thread, and the connections it has. */
struct side {
    struct server *server;
    struct MHD_Daemon *daemon;
    struct conns *conns;
};

struct server {
    struct side inside, outside;
    struct side services; /* its event thread is started with the first connection of a service */
    struct rates *rates;
    struct metrics *metrics;
    pthread_rwlock_t lock; /* collector and limits */
    struct collector *collector;
    struct limits limits;
    struct journal *journal;
    struct measurements *measurements;
    struct verifier *verifier;
    struct appraiser *appraiser;
    struct collateral_service *collateral;
    struct operate *operate;
    struct service_sockets *sockets;
    struct workload_boot *workload;
    struct lingerer *linger;
    atomic_bool draining;
    bool emulated;
    enum cloud_type cloud;
    char spki_sha256[65];
};

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

static struct limits limits_of(struct server *s)
{
    pthread_rwlock_rdlock(&s->lock);
    struct limits limits = s->limits;
    pthread_rwlock_unlock(&s->lock);
    return limits;
}

static int fd_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info ? info->connect_fd : -1;
}

/* The first line of a request has come in. */
static void *on_target(void *cls, const char *target, struct MHD_Connection *connection)
{
    struct side *side = cls;
    return request_new(side->server, connection, target);
}

/* Nothing is decoded by the library: targets are split raw (agent/target.h). */
static size_t keep_escapes(void *cls, struct MHD_Connection *connection, char *text)
{
    (void)cls, (void)connection;
    return strlen(text);
}

static enum MHD_Result run(struct request *r)
{
    struct err err = { 0 };
    if (r->failed || r->begun || !r->route->begin)
        return request_answer(r);
    r->begun = true;
    MHD_suspend_connection(r->connection); /* first: the work may be done before begin() returns */
    if (r->route->begin(r, &err) < 0) {
        r->err = err;
        r->failed = true;
        request_resume(r);
    }
    return MHD_YES;
}

/* A body may be slow, but not as slow as its sender likes: so many bytes a second, beside the time of a head.
 */
#define BODY_RATE (64u << 10)

static void allow_body(struct side *side, struct request *r)
{
    const char *length = request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
    uint64_t n = length ? strtoull(length, NULL, 10) : r->body_max;
    if (r->route->body == BODY_TEXT && request_has_body(r))
        conns_allow(side->conns, fd_of(r->connection),
                    limits_of(side->server).head_seconds + (unsigned)(n / BODY_RATE), now_ms());
}

/* Called with the whole head, then with pieces of the body, then without data, and again after a resume. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data, size_t *size,
                                  void **context)
{
    struct side *side = cls;
    struct request *r = *context;
    int tag = 0;
    (void)url;
    if (!r)
        return MHD_NO;
    if (!r->routed) {
        if (refusal_of_head(connection)
            || !conns_busy(side->conns, fd_of(connection), now_ms(), &r->who, &tag))
            return MHD_NO;
        r->port = (enum port)(tag & PORT_MASK);
        if (r->port == PORT_SERVICE)
            r->service = service_sockets_name(side->server->sockets, (unsigned)tag >> PORT_BITS);
        request_route(r, method, version);
        if (r->route)
            allow_body(side, r);
        if (!r->failed || !request_has_body(r))
            return MHD_YES;
        /* An answer given now leaves the body unread and closes the connection. */
        linger_hold(side->server->linger, fd_of(connection));
        return request_answer(r);
    }
    if (*size) {
        request_take(r, data, *size);
        *size = 0;
        return MHD_YES;
    }
    if (!r->begun)
        conns_allow(side->conns, fd_of(connection), CONN_BUSY_SECONDS, now_ms());
    return run(r);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode how)
{
    struct side *side = cls;
    (void)how;
    request_free(*context);
    *context = NULL;
    conns_idle(side->conns, fd_of(connection), now_ms());
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct side *side = cls;
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        *context = refusal_context(side->server->linger);
    else
        conns_remove(side->conns, fd_of(connection));
}

__attribute__((format(printf, 2, 0))) static void on_library_message(void *cls, const char *fmt, va_list ap)
{
    char text[256];
    (void)cls;
    vsnprintf(text, sizeof(text), fmt, ap);
    text[strcspn(text, "\n")] = '\0';
    log_event(LOG_LEVEL_DEBUG, "http", "message", text, NULL);
}

static int start_side(struct side *side, const struct tls_identity *tls, struct err *err)
{
    struct MHD_OptionItem tls_options[] = {
        { MHD_OPTION_HTTPS_MEM_KEY, 0, tls ? tls->key_pem : NULL },
        { MHD_OPTION_HTTPS_MEM_CERT, 0, tls ? tls->cert_pem : NULL },
        { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)tls_priorities },
        { MHD_OPTION_END, 0, NULL },
    };
    struct MHD_OptionItem none[] = { { MHD_OPTION_END, 0, NULL } };
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET
                     | MHD_USE_ERROR_LOG | (tls ? MHD_USE_TLS : 0);
    side->daemon =
        MHD_start_daemon(flags, 0, NULL, NULL, on_request, side, MHD_OPTION_EXTERNAL_LOGGER,
                         on_library_message, NULL, MHD_OPTION_URI_LOG_CALLBACK, on_target, side,
                         MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, side, MHD_OPTION_NOTIFY_COMPLETED,
                         on_completed, side, MHD_OPTION_NOTIFY_CONNECTION, on_connection, side,
                         MHD_OPTION_CONNECTION_LIMIT, LIBRARY_CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                         (size_t)CONNECTION_MEMORY, MHD_OPTION_THREAD_STACK_SIZE, (size_t)EVENT_STACK,
                         MHD_OPTION_ARRAY, tls ? tls_options : none, MHD_OPTION_END);
    if (!side->daemon)
        return err_set(err, ERR_IO, (uint32_t)errno,
                       "cannot start the HTTP server%s: see the log at level debug", tls ? " with TLS" : "");
    return 0;
}

int server_new(const struct server_options *options, struct server **out, struct err *err)
{
    struct server *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the server");
    pthread_rwlock_init(&s->lock, NULL);
    s->collector = options->collector;
    s->journal = options->journal;
    s->measurements = options->measurements;
    s->verifier = options->verifier;
    s->appraiser = options->appraiser;
    s->collateral = options->collateral;
    s->operate = options->operate;
    s->sockets = options->services;
    s->workload = options->workload;
    s->limits = options->limits;
    s->emulated = options->emulated;
    s->cloud = collector_cloud(options->collector);
    s->inside = (struct side){ s, NULL, conns_new(false) };
    s->outside = (struct side){ s, NULL, conns_new(true) };
    s->services = (struct side){ s, NULL, conns_new(true) };
    s->rates = rates_new();
    s->metrics = metrics_new();
    hex_to(s->spki_sha256, bytes_of(options->tls->spki_sha256, 32));
    if (!s->inside.conns || !s->outside.conns || !s->services.conns || !s->rates || !s->metrics) {
        server_free(s);
        return err_set(err, ERR_IO, ENOMEM, "no memory for the server");
    }
    if (refusal_init(err) < 0 || linger_new(&s->linger, err) < 0 || start_side(&s->inside, NULL, err) < 0
        || start_side(&s->outside, options->tls, err) < 0) {
        server_free(s);
        return -1;
    }
    *out = s;
    return 0;
}

/* One accepted connection: admitted and handed over, or closed. */
static void admit(struct side *side, int fd, int tag, const struct address *who,
                  const struct sockaddr_storage *peer, socklen_t n)
{
    struct limits limits = limits_of(side->server);
    if (!conns_add(side->conns, fd, who, tag, &limits, now_ms())) {
        close(fd);
        return;
    }
    /* The library closes the descriptor if it refuses, and looks at addresses of the Internet only. */
    if (MHD_add_connection(side->daemon, fd, (const struct sockaddr *)peer, n) != MHD_YES)
        conns_remove(side->conns, fd);
}

/* @param who  NULL: the peer's address */
static int accept_all(struct side *side, int listener, int tag, const struct address *who, struct err *err)
{
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage peer = { 0 };
        socklen_t n = sizeof(peer);
        int fd = accept4(listener, (struct sockaddr *)&peer, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct address from = address_of(&peer);
        if (fd >= 0)
            admit(side, fd, tag, who ? who : &from, &peer, n);
        else if (errno == EAGAIN)
            return 0;
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            return err_set(err, ERR_IO, (uint32_t)errno, "cannot accept a connection: %s", strerror(errno));
    }
    return 0;
}

int server_accept(struct server *s, int listener, enum port port, struct err *err)
{
    return accept_all(port == PORT_EXTERNAL ? &s->outside : &s->inside, listener, (int)port, NULL, err);
}

int server_accept_service(struct server *s, int listener, unsigned id, struct err *err)
{
    /* An address that no peer has: ff00::/8 is multicast. */
    const struct address who = { { 0xFF, (uint8_t)(id >> 8), (uint8_t)id } };
    if (!s->services.daemon && start_side(&s->services, NULL, err) < 0)
        return -1;
    return accept_all(&s->services, listener, (int)(PORT_SERVICE | id << PORT_BITS), &who, err);
}

unsigned server_expire(struct server *s)
{
    struct limits limits = limits_of(s);
    uint64_t now = now_ms();
    if (s->operate)
        operate_tick(s->operate, now);
    return conns_expire(s->inside.conns, &limits, now) + conns_expire(s->outside.conns, &limits, now)
           + conns_expire(s->services.conns, &limits, now);
}

void server_set_limits(struct server *s, const struct limits *limits)
{
    pthread_rwlock_wrlock(&s->lock);
    s->limits = *limits;
    pthread_rwlock_unlock(&s->lock);
}

static unsigned busy(struct server *s)
{
    struct conns_stats inside, outside, services;
    conns_stats_get(s->inside.conns, &inside);
    conns_stats_get(s->outside.conns, &outside);
    conns_stats_get(s->services.conns, &services);
    return inside.busy + outside.busy + services.busy;
}

void server_drain(struct server *s, unsigned max_ms)
{
    const struct timespec step = { 0, DRAIN_STEP_MS * 1000000L };
    atomic_store(&s->draining, true);
    for (uint64_t until = now_ms() + max_ms; busy(s) && now_ms() < until;)
        nanosleep(&step, NULL);
    pthread_rwlock_wrlock(&s->lock);
    s->collector = NULL;
    pthread_rwlock_unlock(&s->lock);
}

void server_free(struct server *s)
{
    if (!s)
        return;
    if (s->inside.daemon)
        MHD_stop_daemon(s->inside.daemon);
    if (s->outside.daemon)
        MHD_stop_daemon(s->outside.daemon);
    if (s->services.daemon)
        MHD_stop_daemon(s->services.daemon);
    linger_free(s->linger);
    conns_free(s->inside.conns);
    conns_free(s->outside.conns);
    conns_free(s->services.conns);
    rates_free(s->rates);
    metrics_free(s->metrics);
    pthread_rwlock_destroy(&s->lock);
    free(s);
}

struct collector *server_collector_get(struct server *s)
{
    pthread_rwlock_rdlock(&s->lock);
    struct collector *c = s->collector;
    if (!c)
        pthread_rwlock_unlock(&s->lock);
    return c;
}

void server_collector_put(struct server *s)
{
    pthread_rwlock_unlock(&s->lock);
}

char *server_journal(struct server *s, size_t mark)
{
    AUTO(buf_done) struct buf text = buf_new(JOURNAL_TEXT_MAX);
    if (!s->journal || mark == LOG_MARK_NONE || !journal_put(s->journal, mark, &text))
        return NULL;
    return buf_take_str(&text);
}

char *server_workload_log(struct server *s, size_t mark)
{
    AUTO(buf_done) struct buf text = buf_new(JOURNAL_TEXT_MAX);
    if (!s->measurements || mark == LOG_MARK_NONE)
        return NULL;
    measurements_put(s->measurements, mark, &text);
    return buf_take_str(&text);
}

struct measurements *server_measurements(const struct server *s)
{
    return s->measurements;
}

bool server_rate_take(struct server *s, const struct address *who, unsigned *retry_after_s)
{
    struct limits limits = limits_of(s);
    return rates_take(s->rates, who, &limits, now_ms(), retry_after_s);
}

void server_allow(struct server *s, const struct request *r, unsigned seconds)
{
    struct side *side = r->port == PORT_EXTERNAL ? &s->outside : &s->inside;
    conns_allow(side->conns, fd_of(r->connection), seconds, now_ms());
}

uint64_t server_upload_max(struct server *s)
{
    return (uint64_t)limits_of(s).upload_mib << 20;
}

bool server_is_draining(struct server *s)
{
    return atomic_load(&s->draining);
}

struct appraiser *server_appraiser(const struct server *s)
{
    return s->appraiser;
}

struct verifier *server_verifier(const struct server *s)
{
    return s->verifier;
}

struct operate *server_operate(const struct server *s)
{
    return s->operate;
}

bool server_emulated(const struct server *s)
{
    return s->emulated;
}

enum cloud_type server_cloud(const struct server *s)
{
    return s->cloud;
}

const char *server_spki_sha256(const struct server *s)
{
    return s->spki_sha256;
}

void server_count(struct server *s, const struct request *r, uint64_t took_us)
{
    metrics_count(s->metrics, r->route, r->status, took_us);
}

void server_metrics_put(struct server *s, struct buf *out)
{
    struct collector_stats collected = { 0 };
    struct conns_stats inside, outside, services;
    struct collector *c = server_collector_get(s);
    if (c) {
        collector_stats_get(c, &collected);
        server_collector_put(s);
    }
    conns_stats_get(s->inside.conns, &inside);
    conns_stats_get(s->outside.conns, &outside);
    conns_stats_get(s->services.conns, &services);
    metrics_put_requests(s->metrics, out);
    metrics_put_connections("inside", &inside, out);
    metrics_put_connections("outside", &outside, out);
    metrics_put_connections("services", &services, out);
    metrics_put_collector(&collected, out);
    if (s->collateral)
        metrics_put_collateral(s->collateral, out);
    if (s->workload)
        workload_boot_metrics(s->workload, out);
    metrics_put_process(out);
}
