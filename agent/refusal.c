#include "agent/refusal.h"

#include "base/log.h"

#include <dlfcn.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

typedef enum MHD_Result queue_fn(struct MHD_Connection *connection, unsigned status,
                                 struct MHD_Response *response);
static queue_fn *library_queue; /* set once, before there are threads */

int refusal_init(struct err *err)
{
    void *found = dlsym(RTLD_NEXT, "MHD_queue_response");
    if (!found)
        return err_set(err, ERR_IO, 0, "the HTTP library has no MHD_queue_response");
    memcpy(&library_queue, &found, sizeof(library_queue)); /* no cast from data to function in C */
    return 0;
}

enum MHD_Result refusal_not(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
    return library_queue(connection, status, response);
}

static const struct sentence {
    unsigned status;
    const char *reason, *sentence;
} sentences[] = {
    { 400, "Bad Request", "the request is malformed: check its first line, headers, length and chunks" },
    { 413, "Content Too Large", "the body or one of its chunks is too long: send less" },
    { 414, "URI Too Long", "the request target is too long: a head may have 16 KiB" },
    { 431, "Request Header Fields Too Large", "the headers are too long: a head may have 16 KiB" },
    { 505, "HTTP Version Not Supported", "this version of HTTP is not served: use HTTP/1.1" },
    { 500, "Internal Server Error", "the request could not be read: try again" }, /* and all others */
};

static size_t write_answer(unsigned status, char *out, size_t size)
{
    const struct sentence *s = sentences;
    while (s->status != status && s->status != 500)
        s++;
    int length = snprintf(NULL, 0, "{\"error\":\"%s\"}\n", s->sentence);
    int n = snprintf(out, size,
                     "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n"
                     "X-Content-Type-Options: nosniff\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
                     "{\"error\":\"%s\"}\n",
                     s->status, s->reason, length, s->sentence);
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

/* Nothing else waits to be written: the answer before, if any, is on its way. What the socket does not take
 * at once is lost, and so is the answer. */
static void send_answer(struct MHD_Connection *connection, int fd, const char *text, size_t n)
{
    const union MHD_ConnectionInfo *tls =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    if (tls && tls->tls_session) {
        if (gnutls_record_send(tls->tls_session, text, n) == (ssize_t)n)
            gnutls_bye(tls->tls_session, GNUTLS_SHUT_WR);
    } else {
        (void)!send(fd, text, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    shutdown(fd, SHUT_WR);
}

static void refuse(struct MHD_Connection *connection, unsigned status)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *context =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    char text[512];
    size_t n = write_answer(status, text, sizeof(text));
    if (!info || !context || !context->socket_context || !n)
        return;
    linger_hold(context->socket_context, info->connect_fd);
    send_answer(connection, info->connect_fd, text, n);
    log_event(LOG_LEVEL_DEBUG, "refused", "answer", strstr(text, "\r\n\r\n") + 4, NULL);
}

/* Bytes of the head, cookies a second time, and a record for each part. */
bool refusal_of_head(struct MHD_Connection *connection)
{
    const size_t record = 96;
    const union MHD_ConnectionInfo *head =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    const char *cookie = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_COOKIE);
    int parts =
        MHD_get_connection_values(connection, MHD_HEADER_KIND | MHD_COOKIE_KIND | MHD_GET_ARGUMENT_KIND, NULL,
                                  NULL);
    size_t n = (head ? head->header_size : 0) + (cookie ? strlen(cookie) : 0) + (size_t)parts * record;
    if (n > REQUEST_HEAD_MAX)
        refuse(connection, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE);
    return n > REQUEST_HEAD_MAX;
}

/* The library's own answer is HTML, and after a broken Content-Length has a second head in front of it. Ours
 * is written first, and nothing can be written after it: the library finds that out when it sends, and closes
 * the connection. It is not told here, since it goes on where it has closed one already. */
__attribute__((visibility("default"))) enum MHD_Result MHD_queue_response(struct MHD_Connection *connection,
                                                                          unsigned status,
                                                                          struct MHD_Response *response)
{
    refuse(connection, status);
    return library_queue(connection, status, response);
}
