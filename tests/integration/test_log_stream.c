/* agent/log_stream: a container's log to a reader who is slower than it is written, over small sockets. */
#include "evidence.h"

#include "agent/log_stream.h"
#include "agent/refusal.h"
#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINE  1024u
#define LINES (6u << 10) /* 6 MiB: three times what the queue may ever hold */

static struct log_streams *streams;

static void put_line(char line[static LINE + 1], unsigned i)
{
    snprintf(line, LINE + 1, "%08u%*c\n", i, (int)LINE - 9, 'x');
}

/* ---- the engine: HTTP, then frames of podman's log stream, as fast as they are taken ---- */

static void *serve(void *arg)
{
    int fd = (int)(intptr_t)arg;
    static const char head[] = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
    uint8_t frame[8 + LINE + 1] = { 1, 0, 0, 0, 0, 0, LINE >> 8, LINE & 0xFF };
    char request[4096];
    bool more = read(fd, request, sizeof(request)) > 0 && write(fd, head, sizeof(head) - 1) > 0;
    for (unsigned i = 0; more && i < LINES; i++) {
        put_line((char *)frame + 8, i);
        for (size_t done = 0; more && done < 8 + LINE;) {
            ssize_t n = send(fd, frame + done, 8 + LINE - done, MSG_NOSIGNAL);
            more = n > 0;
            done += more ? (size_t)n : 0;
        }
    }
    close(fd);
    return NULL;
}

static int dial(void *ctx, struct err *err)
{
    pthread_t thread;
    int pair[2];
    (void)ctx;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0
        || pthread_create(&thread, NULL, serve, (void *)(intptr_t)pair[1]) != 0)
        return err_set(err, ERR_IO, 0, "no engine");
    pthread_detach(thread);
    return pair[0];
}

/* ---- the server, and its reader ---- */

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **state)
{
    static int seen;
    char web[] = "web", *names[] = { web };
    const struct engine engine = { .dial = { dial, NULL }, .kind = ENGINE_PODMAN };
    const struct engine_log_options options = { .tail = -1, .follow = true };
    struct MHD_Response *response = NULL;
    struct err err = { 0 };
    (void)cls, (void)url, (void)method, (void)version, (void)data, (void)size;
    if (!*state) {
        *state = &seen;
        return MHD_YES;
    }
    if (log_stream_begin(streams, &engine, names, 1, &options, c, &response, &err) < 0)
        return MHD_NO;
    enum MHD_Result rc = refusal_not(c, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return rc;
}

static int connect_to(uint16_t port)
{
    static const char request[] = "GET / HTTP/1.0\r\n\r\n"; /* 1.0: the body is what comes until the end */
    const struct sockaddr_in addr = { .sin_family = AF_INET,
                                      .sin_port = htons(port),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int small = 8192;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    return fd;
}

static void read_slowly(int fd, struct buf *out)
{
    const struct timespec pause = { 0, 1000000 };
    uint8_t piece[16384];
    ssize_t n;
    while ((n = read(fd, piece, sizeof(piece))) > 0) {
        buf_put(out, bytes_of(piece, (size_t)n));
        nanosleep(&pause, NULL);
    }
    assert_int_equal(n, 0);
}

/* The logs of the lines of JSON, one after the other. */
static void join(struct bytes body, struct buf *out)
{
    for (const uint8_t *end; body.n && (end = memchr(body.p, '\n', body.n));) {
        AUTO(json_drop) json_t *line = NULL;
        struct bytes text = bytes_of(body.p, (size_t)(end - body.p));
        assert_int_equal(json_parse(text, 1u << 20, &line, &(struct err){ 0 }), 0);
        buf_str(out, json_string_value(json_object_get(line, "log")));
        body = bytes_of(end + 1, body.n - text.n - 1);
    }
    assert_int_equal(body.n, 0);
}

static void a_slow_reader_gets_all_of_it(void **state)
{
    AUTO(buf_done) struct buf answer = buf_new(32u << 20), log = buf_new(32u << 20);
    char want[LINE + 1];
    const int small = 8192;
    struct err err = { 0 };
    (void)state;
    assert_int_equal(refusal_init(&err), 0);
    assert_int_equal(log_streams_new(&streams, &err), 0);
    struct MHD_Daemon *d = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL,
                                            NULL, on_request, NULL, MHD_OPTION_END);
    assert_non_null(d);
    int listening = MHD_get_daemon_info(d, MHD_DAEMON_INFO_LISTEN_FD)->listen_fd;
    assert_int_equal(setsockopt(listening, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    AUTO(close_fd) int fd = connect_to(MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port);
    read_slowly(fd, &answer);
    log_streams_stop(streams);
    MHD_stop_daemon(d);
    log_streams_free(streams);
    const uint8_t *body = memmem(answer.p, answer.n, "\r\n\r\n", 4);
    assert_non_null(body);
    join(bytes_of(body + 4, answer.n - (size_t)(body + 4 - answer.p)), &log);
    assert_int_equal(log.n, LINE * LINES);
    for (unsigned i = 0; i < LINES; i++) {
        put_line(want, i);
        assert_memory_equal(log.p + (size_t)i * LINE, want, LINE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_slow_reader_gets_all_of_it) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
