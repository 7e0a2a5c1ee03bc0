/* Answers of the container engine, whole, cut and wrong, over a socket pair. */
#include "evidence.h"

#include "base/auto.h"
#include "workload/engine_http.h"

#include <sys/socket.h>
#include <unistd.h>

struct got {
    struct buf text;
    size_t stop_after; /* bytes; 0: never */
};

static bool sink(void *arg, struct bytes data)
{
    struct got *g = arg;
    buf_put(&g->text, data);
    return !g->stop_after || g->text.n < g->stop_after;
}

/* Sends text, closes, and reads it as the answer to a GET. */
static int exchange(struct bytes text, bool streamed, size_t max, unsigned *status, struct got *out,
                    struct err *err)
{
    int pair[2];
    struct buf body = buf_new(max);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(write(pair[1], text.p, text.n), text.n);
    shutdown(pair[1], SHUT_WR);
    const struct engine_request q = { .method = "GET",
                                      .target = "/x",
                                      .type = "text/plain",
                                      .deadline_ms = 2000,
                                      .max_body = max,
                                      .sink = streamed ? sink : NULL,
                                      .arg = out };
    int rc = engine_exchange(pair[0], &q, status, &body, err);
    if (!streamed)
        buf_put(&out->text, buf_bytes(&body));
    buf_done(&body);
    close(pair[0]);
    close(pair[1]);
    return rc;
}

static void check(const char *answer, unsigned want_status, const char *want_body)
{
    for (int streamed = 0; streamed < 2; streamed++) {
        struct got got = { .text = buf_new(1 << 20) };
        struct err err = { 0 };
        unsigned status = 0;
        if (exchange(bytes_str(answer), streamed && want_status / 100 == 2, 1 << 20, &status, &got, &err) < 0)
            fail_msg("%s: %s", answer, err.cause);
        assert_int_equal(status, want_status);
        assert_true(bytes_equal(buf_bytes(&got.text), bytes_str(want_body)));
        buf_done(&got.text);
    }
}

#define CHUNKED                                                                                              \
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"

static void whole_answers(void **state)
{
    (void)state;
    check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more", 200, "hello");
    check("HTTP/1.1 200 OK\r\n\r\nto the end", 200, "to the end");
    check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok", 201, "ok");
    check("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", 204, "");
    check("HTTP/1.1 304 Not Modified\r\n\r\n", 304, "");
    check("HTTP/1.1 500\r\nContent-Length: 3\r\n\r\nbad", 500, "bad");
    check(CHUNKED, 200, "hello world");
    check("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "ok");
}

static void wrong_answers(void **state)
{
    static const struct {
        const char *text;
        enum err_kind kind;
    } rows[] = {
        { "", ERR_UNAVAILABLE },
        { "HTTP/1.0 200 OK\r\n\r\n", ERR_INPUT },
        { "HTTP/1.1 20 OK\r\n\r\n", ERR_INPUT },
        { "HTTP/1.1 2000 OK\r\n\r\n", ERR_INPUT },
        { "HTTP/1.1 999 OK\r\n\r\n", ERR_INPUT },
        { "hello\r\n\r\n", ERR_INPUT },
        { "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", ERR_INPUT },
        { "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", ERR_INPUT },
        { "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", ERR_INPUT },
        { "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", ERR_INPUT },
        { "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n", ERR_INPUT },
        { "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", ERR_INPUT },
        { "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ERR_INPUT },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", ERR_INPUT },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ERR_INPUT },
        { "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", ERR_INPUT },
        { "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", ERR_UNAVAILABLE },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct got got = { .text = buf_new(1 << 20) };
        struct err err = { 0 };
        unsigned status;
        assert_int_equal(exchange(bytes_str(rows[i].text), false, 1 << 20, &status, &got, &err), -1);
        if (err.kind != rows[i].kind)
            fail_msg("row %zu: %s", i, err.cause);
        buf_done(&got.text);
    }
}

static void every_cut(void **state)
{
    (void)state;
    struct bytes whole = bytes_str(CHUNKED);
    for (size_t n = 0; n + 2 < whole.n; n++) { /* the last line's end does not matter */
        struct got got = { .text = buf_new(1 << 20) };
        unsigned status;
        assert_int_equal(exchange(bytes_of(whole.p, n), false, 1 << 20, &status, &got, &(struct err){ 0 }),
                         -1);
        buf_done(&got.text);
    }
}

static void limits(void **state)
{
    struct got got = { .text = buf_new(1 << 20) };
    struct err err = { 0 };
    unsigned status;
    (void)state;
    assert_int_equal(exchange(bytes_str(CHUNKED), false, 10, &status, &got, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    AUTO(buf_done) struct buf many = buf_new(1 << 20);
    buf_str(&many, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 65; i++)
        buf_printf(&many, "X-%d: y\r\n", i);
    buf_str(&many, "\r\n");
    assert_int_equal(exchange(buf_bytes(&many), false, 10, &status, &got, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    AUTO(buf_done) struct buf wide = buf_new(1 << 20);
    buf_str(&wide, "HTTP/1.1 200 OK\r\nX: ");
    buf_fill(&wide, 'y', 9000);
    buf_str(&wide, "\r\n\r\n");
    assert_int_equal(exchange(buf_bytes(&wide), false, 10, &status, &got, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    buf_done(&got.text);
}

static void a_sink_may_stop(void **state)
{
    struct got got = { .text = buf_new(1 << 20), .stop_after = 3 };
    unsigned status;
    (void)state;
    assert_int_equal(exchange(bytes_str(CHUNKED), true, 1 << 20, &status, &got, NULL), 0);
    assert_true(bytes_equal(buf_bytes(&got.text), bytes_str("hello")));
    buf_done(&got.text);
}

static void deadline_and_cancel(void **state)
{
    int pair[2];
    struct err err = { 0 };
    struct buf body = buf_new(100);
    unsigned status;
    atomic_bool cancel = true;
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    struct engine_request q = {
        .method = "GET", .target = "/", .type = "x", .deadline_ms = 50, .max_body = 100
    };
    assert_int_equal(engine_exchange(pair[0], &q, &status, &body, &err), -1);
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    q.deadline_ms = 60000;
    q.cancel = &cancel;
    assert_int_equal(engine_exchange(pair[0], &q, &status, &body, &err), -1);
    assert_non_null(strstr(err.cause, "stopping"));
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_answers),   cmocka_unit_test(wrong_answers),
        cmocka_unit_test(every_cut),       cmocka_unit_test(limits),
        cmocka_unit_test(a_sink_may_stop), cmocka_unit_test(deadline_and_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
