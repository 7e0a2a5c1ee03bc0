#include "agent/side.h"

#include "agent/refusal.h"
#include "agent/server.h"
#include "agent/service_sockets.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Per connection: request head, and the head of the response, which must find room. */
#define CONNECTION_MEMORY (REQUEST_HEAD_MAX + (4u << 10))
#define EVENT_STACK       (256u << 10)
/* Above our own limits (struct limits and what is still being closed), which decide first. */
#define LIBRARY_CONNECTIONS 4096u
#define ACCEPT_BATCH        64

static const char tls_priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";

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
                    server_limits(side->server).head_seconds + (unsigned)(n / BODY_RATE), clock_ms());
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
            || !conns_busy(side->conns, fd_of(connection), clock_ms(), &r->who, &tag))
            return MHD_NO;
        r->port = (enum port)(tag & PORT_MASK);
        if (r->port == PORT_SERVICE)
            r->service = service_sockets_name(side->sockets, (unsigned)tag >> PORT_BITS);
        request_route(r, method, version);
        if (r->route)
            allow_body(side, r);
        if (!r->failed || !request_has_body(r))
            return MHD_YES;
        /* An answer given now leaves the body unread and closes the connection. */
        linger_hold(side->linger, fd_of(connection));
        return request_answer(r);
    }
    if (*size) {
        request_take(r, data, *size);
        *size = 0;
        return MHD_YES;
    }
    if (!r->begun)
        conns_allow(side->conns, fd_of(connection), CONN_BUSY_SECONDS, clock_ms());
    return run(r);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode how)
{
    struct side *side = cls;
    (void)how;
    request_free(*context);
    *context = NULL;
    conns_idle(side->conns, fd_of(connection), clock_ms());
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct side *side = cls;
    if (what == MHD_CONNECTION_NOTIFY_STARTED)
        *context = refusal_context(side->linger);
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

int side_start(struct side *side, const struct tls_identity *tls, struct err *err)
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

/* One accepted connection: admitted and handed over, or closed. */
static void admit(struct side *side, int fd, int tag, const struct address *who,
                  const struct sockaddr_storage *peer, socklen_t n)
{
    struct limits limits = server_limits(side->server);
    if (!conns_add(side->conns, fd, who, tag, &limits, clock_ms())) {
        close(fd);
        return;
    }
    /* The library closes the descriptor if it refuses, and looks at addresses of the Internet only. */
    if (MHD_add_connection(side->daemon, fd, (const struct sockaddr *)peer, n) != MHD_YES)
        conns_remove(side->conns, fd);
}

int side_accept(struct side *side, int listener, int tag, const struct address *who, struct err *err)
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

void side_allow(struct side *side, struct MHD_Connection *connection, unsigned seconds)
{
    conns_allow(side->conns, fd_of(connection), seconds, clock_ms());
}
