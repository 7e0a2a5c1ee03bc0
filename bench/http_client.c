#include "http_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MAX (4u << 20)

int http_client_open(struct http_client *c, uint16_t port, struct err *err)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int one = 1;
    *c = (struct http_client){ .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .port = port };
    c->room = malloc(c->cap = ANSWER_MAX);
    if (c->fd < 0 || !c->room || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        int e = errno;
        http_client_close(c);
        return err_set(err, ERR_UNAVAILABLE, (uint32_t)e, "cannot connect to port %u: %s", port, strerror(e));
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return 0;
}

void http_client_close(struct http_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    free(c->room);
    *c = (struct http_client){ .fd = -1 };
}

static int content_length(const char *head)
{
    for (const char *line = head; (line = strstr(line, "\r\n")); line += 2)
        if (!strncasecmp(line + 2, "Content-Length:", 15))
            return atoi(line + 17);
    return -1;
}

static int send_all(struct http_client *c, struct bytes data, struct err *err)
{
    for (size_t sent = 0; sent < data.n;) {
        ssize_t n = send(c->fd, data.p + sent, data.n - sent, MSG_NOSIGNAL);
        if (n <= 0)
            return err_set(err, ERR_IO, (uint32_t)errno, "cannot send the request");
        sent += (size_t)n;
    }
    return 0;
}

static int receive(struct http_client *c, struct err *err)
{
    size_t used = 0, want = 0;
    while (!want || used < want) {
        ssize_t got = recv(c->fd, c->room + used, c->cap - 1 - used, 0);
        if (got <= 0)
            return err_set(err, ERR_IO, (uint32_t)errno, "the connection ended after %zu bytes", used);
        used += (size_t)got;
        c->room[used] = '\0';
        char *end = want ? NULL : strstr(c->room, "\r\n\r\n");
        if (end) {
            *end = '\0';
            int length = content_length(c->room);
            *end = '\r';
            if (length < 0 || (size_t)length > c->cap / 2)
                return err_set(err, ERR_IO, 0, "an answer without a length");
            c->body = bytes_of(end + 4, (size_t)length);
            want = (size_t)(end + 4 - c->room) + (size_t)length;
        }
    }
    return atoi(c->room + 9);
}

int http_client_get(struct http_client *c, const char *path, size_t *body_size, struct err *err)
{
    char request[512];
    int n = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path);
    if (n < 0 || (size_t)n >= sizeof(request))
        return err_set(err, ERR_INPUT, 0, "the path is too long");
    if (send_all(c, bytes_of(request, (size_t)n), err) < 0)
        return -1;
    int status = receive(c, err);
    if (status > 0 && body_size)
        *body_size = c->body.n;
    return status;
}

int http_client_post(struct http_client *c, const char *path, struct bytes body, struct err *err)
{
    char head[512];
    int n = snprintf(head, sizeof(head),
                     "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     path, body.n);
    if (n < 0 || (size_t)n >= sizeof(head))
        return err_set(err, ERR_INPUT, 0, "the path is too long");
    return send_all(c, bytes_of(head, (size_t)n), err) < 0 || send_all(c, body, err) < 0 ? -1
                                                                                         : receive(c, err);
}
