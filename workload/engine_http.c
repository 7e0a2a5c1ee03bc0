#include "workload/engine_http.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#define CHUNK       (64u << 10)
#define LINE_MAX_   8192 /* of a head; the engine's are short */
#define HEADERS_MAX 64
#define SLICE_MS    500 /* between looks at cancel */

struct stream {
    int fd;
    const struct engine_request *q;
    struct err *err;
    int64_t until;
    size_t at, n; /* of data: what has been received and not been taken */
    uint8_t data[CHUNK];
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* @return the events that are there, or -1 */
static int await(struct stream *s, short events)
{
    for (;;) {
        int64_t left = s->until - now_ms();
        struct pollfd p = { .fd = s->fd, .events = events };
        if (s->q->cancel && atomic_load(s->q->cancel))
            return err_set(s->err, ERR_UNAVAILABLE, 0, "given up: stopping");
        if (left <= 0)
            return err_set(s->err, ERR_UNAVAILABLE, ETIMEDOUT, "no answer within %u ms", s->q->deadline_ms);
        int ready = poll(&p, 1, left < SLICE_MS ? (int)left : SLICE_MS);
        if (ready > 0)
            return p.revents;
        if (ready < 0 && errno != EINTR)
            return err_set(s->err, ERR_UNAVAILABLE, (uint32_t)errno, "poll: %s", strerror(errno));
    }
}

/* @return 1: sent, 0: the peer answers already or takes no more, -1 */
static int send_all(struct stream *s, struct bytes data)
{
    while (data.n > 0) {
        int ready = await(s, POLLIN | POLLOUT);
        if (ready < 0)
            return -1;
        if (ready & POLLIN)
            return 0;
        ssize_t n = send(s->fd, data.p, data.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return 0;
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return err_set(s->err, ERR_UNAVAILABLE, (uint32_t)errno, "the connection broke: %s",
                           strerror(errno));
        if (n > 0)
            data = bytes_of(data.p + n, data.n - (size_t)n);
    }
    return 1;
}

static int send_source(struct stream *s)
{
    uint64_t left = s->q->source_size;
    while (left > 0) {
        ssize_t n = s->q->source(s->q->arg, s->data, left < CHUNK ? (size_t)left : CHUNK);
        if (n <= 0)
            return err_set(s->err, ERR_INPUT, 0, "the file ended %" PRIu64 " bytes early", left);
        int rc = send_all(s, bytes_of(s->data, (size_t)n));
        if (rc <= 0)
            return rc;
        left -= (uint64_t)n;
    }
    return 1;
}

static int send_request(struct stream *s)
{
    const struct engine_request *q = s->q;
    uint64_t size = q->source ? q->source_size : q->body.n;
    struct buf head = buf_new(LINE_MAX_ + 16384);
    buf_printf(&head, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", q->method, q->target);
    if (size > 0 || !strcmp(q->method, "POST"))
        buf_printf(&head, "Content-Type: %s\r\nContent-Length: %" PRIu64 "\r\n", q->type, size);
    if (q->header)
        buf_printf(&head, "%s\r\n", q->header);
    buf_str(&head, "\r\n");
    int rc = buf_check(&head, "request", s->err) < 0 ? -1 : send_all(s, buf_bytes(&head));
    buf_wipe(&head); /* it may hold credentials */
    if (rc > 0)
        rc = q->source ? send_source(s) : send_all(s, q->body);
    return rc < 0 ? -1 : 0;
}

/* @return bytes that are there, 0 at the end, -1 */
static ssize_t fill(struct stream *s)
{
    if (s->at < s->n)
        return (ssize_t)(s->n - s->at);
    for (;;) {
        if (await(s, POLLIN) < 0)
            return -1;
        ssize_t n = recv(s->fd, s->data, sizeof(s->data), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n < 0)
            return err_set(s->err, ERR_UNAVAILABLE, (uint32_t)errno, "the connection broke: %s",
                           strerror(errno));
        s->at = 0;
        s->n = (size_t)n;
        return n;
    }
}

static int cut_short(struct stream *s)
{
    return err_set(s->err, ERR_UNAVAILABLE, 0, "the connection ended in the middle of an answer");
}

static int malformed(struct stream *s, const char *what)
{
    return err_set(s->err, ERR_INPUT, 0, "no HTTP/1.1 answer: %s", what);
}

/* A line without its end. */
static int read_line(struct stream *s, char out[static LINE_MAX_])
{
    size_t n = 0;
    for (;;) {
        ssize_t there = fill(s);
        if (there <= 0)
            return there < 0 ? -1 : cut_short(s);
        char c = (char)s->data[s->at++];
        if (c == '\n')
            break;
        if (n + 1 >= LINE_MAX_ || c == '\0')
            return malformed(s, "a line that is too long or has a NUL");
        out[n++] = c;
    }
    if (n > 0 && out[n - 1] == '\r')
        n--;
    out[n] = '\0';
    return 0;
}

struct head {
    unsigned status;
    bool chunked, has_length;
    uint64_t length;
};

static int parse_number(const char *text, int base, uint64_t *out)
{
    uint64_t v = 0;
    size_t digits = 0;
    for (; *text && *text != ';' && *text != ' ' && *text != '\t'; text++, digits++) {
        const char *set = "0123456789abcdef";
        char low = *text >= 'A' && *text <= 'F' ? (char)(*text + 32) : *text;
        const char *at = memchr(set, low, (size_t)base);
        if (!at || v > (UINT64_MAX >> 5))
            return -1;
        v = v * (unsigned)base + (uint64_t)(at - set);
    }
    *out = v;
    return digits ? 0 : -1;
}

static int take_header(struct stream *s, char *line, struct head *h)
{
    char *value = strchr(line, ':');
    uint64_t length;
    if (!value)
        return malformed(s, "a header without a colon");
    *value++ = '\0';
    value += strspn(value, " \t");
    if (!strcasecmp(line, "Transfer-Encoding")) {
        if (strcasecmp(value, "chunked") != 0)
            return malformed(s, "a transfer encoding that is not chunked");
        h->chunked = true;
    } else if (!strcasecmp(line, "Content-Length")) {
        if (parse_number(value, 10, &length) < 0 || (h->has_length && h->length != length))
            return malformed(s, "a content length that is none");
        h->has_length = true;
        h->length = length;
    }
    return 0;
}

static int read_head(struct stream *s, struct head *h)
{
    char line[LINE_MAX_];
    if (read_line(s, line) < 0)
        return -1;
    *h = (struct head){ 0 };
    if (strncmp(line, "HTTP/1.1 ", 9) != 0 || strspn(line + 9, "0123456789") != 3
        || (line[12] && line[12] != ' ') || line[9] < '1' || line[9] > '5')
        return malformed(s, "no status line");
    h->status =
        (unsigned)(line[9] - '0') * 100 + (unsigned)(line[10] - '0') * 10 + (unsigned)(line[11] - '0');
    for (unsigned i = 0; i < HEADERS_MAX; i++) {
        if (read_line(s, line) < 0)
            return -1;
        if (!*line)
            return h->chunked && h->has_length ? malformed(s, "two lengths") : 0;
        if (take_header(s, line, h) < 0)
            return -1;
    }
    return malformed(s, "too many headers");
}

struct body {
    struct buf *out;
    bool to_sink, stopped;
};

static int give(struct stream *s, struct body *b, size_t n)
{
    struct bytes data = bytes_of(s->data + s->at, n);
    s->at += n;
    if (b->to_sink) {
        b->stopped = !s->q->sink(s->q->arg, data);
        return 0;
    }
    buf_put(b->out, data);
    return b->out->failed
               ? err_set(s->err, ERR_TOO_LARGE, 0, "an answer of more than %zu bytes", s->q->max_body)
               : 0;
}

/* Exactly n bytes; UINT64_MAX: to the end of the connection. */
static int read_bytes(struct stream *s, struct body *b, uint64_t n)
{
    bool open_end = n == UINT64_MAX;
    while (n > 0 && !b->stopped) {
        ssize_t there = fill(s);
        if (there < 0)
            return -1;
        if (there == 0)
            return open_end ? 0 : cut_short(s);
        uint64_t take = (uint64_t)there < n ? (uint64_t)there : n;
        if (give(s, b, (size_t)take) < 0)
            return -1;
        n -= open_end ? 0 : take;
    }
    return 0;
}

static int read_chunks(struct stream *s, struct body *b)
{
    char line[LINE_MAX_];
    uint64_t n;
    while (!b->stopped) {
        if (read_line(s, line) < 0)
            return -1;
        if (parse_number(line, 16, &n) < 0)
            return malformed(s, "a chunk without a size");
        if (n == 0)
            return 0; /* the connection is closed: trailers do not matter */
        if (read_bytes(s, b, n) < 0)
            return -1;
        if (!b->stopped && (read_line(s, line) < 0 || *line))
            return s->err && s->err->kind != ERR_NONE ? -1 : malformed(s, "a chunk without an end");
    }
    return 0;
}

int engine_exchange(int fd, const struct engine_request *q, unsigned *status, struct buf *body,
                    struct err *err)
{
    struct err own = { 0 };
    struct stream *s = malloc(sizeof(*s));
    struct head h;
    if (!s)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a request");
    *s = (struct stream){ .fd = fd, .q = q, .err = &own, .until = now_ms() + q->deadline_ms };
    int rc = send_request(s);
    do
        rc = rc < 0 ? -1 : read_head(s, &h);
    while (rc == 0 && h.status < 200);
    if (rc == 0) {
        struct body b = { .out = body, .to_sink = q->sink && h.status / 100 == 2 };
        bool none = h.status == 204 || h.status == 304;
        rc = none        ? 0
             : h.chunked ? read_chunks(s, &b)
                         : read_bytes(s, &b, h.has_length ? h.length : UINT64_MAX);
    }
    free(s);
    if (rc == 0)
        *status = h.status;
    else if (err)
        *err = own;
    return rc;
}
