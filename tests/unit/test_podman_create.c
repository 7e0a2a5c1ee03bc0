/* What podman is asked for when a container is created, byte for byte, and what it answers. */
#include "evidence.h"

#include "base/auto.h"
#include "base/json.h"
#include "workload/engine.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct talk {
    int fd;
    pthread_t thread;
    const char *answer;
    char asked[4096];
};

/* Reads a whole request, then answers it. */
static void *serve(void *arg)
{
    struct talk *t = arg;
    size_t n = 0, want = SIZE_MAX;
    char head[160];
    while (n < want && n + 1 < sizeof(t->asked)) {
        ssize_t got = read(t->fd, t->asked + n, sizeof(t->asked) - 1 - n);
        if (got <= 0)
            break;
        t->asked[n += (size_t)got] = '\0';
        const char *body = strstr(t->asked, "\r\n\r\n"), *length = strcasestr(t->asked, "Content-Length: ");
        if (body && length)
            want = (size_t)(body + 4 - t->asked) + strtoul(length + 16, NULL, 10);
    }
    int size =
        snprintf(head, sizeof(head),
                 "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                 strlen(t->answer));
    if (write(t->fd, head, (size_t)size) != size
        || write(t->fd, t->answer, strlen(t->answer)) != (ssize_t)strlen(t->answer))
        t->asked[0] = '\0';
    close(t->fd);
    return NULL;
}

static int connect_talk(void *ctx, struct err *err)
{
    struct talk *t = ctx;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_set(err, ERR_IO, 0, "no socket");
    t->fd = pair[1];
    assert_int_equal(pthread_create(&t->thread, NULL, serve, t), 0);
    return pair[0];
}

static void keep(void *ctx, const char *container, const char *text)
{
    buf_printf(ctx, "%s: %s\n", container, text);
}

static void is_asked(const char *spec, const char *want)
{
    AUTO(json_drop) json_t *object = NULL;
    struct talk talk = { .answer = "{\"Id\":\"" ID "\",\"Warnings\":[]}" };
    struct engine e = { .dial = { connect_talk, &talk } };
    struct err err = { 0 };
    char id[ENGINE_ID_SIZE];
    assert_int_equal(json_parse(bytes_str(spec), 1 << 20, &object, &err), 0);
    if (engine_create(&e, object, id, &err) < 0)
        fail_msg("%s", err.cause);
    pthread_join(talk.thread, NULL);
    assert_string_equal(id, ID);
    const char *body = strstr(talk.asked, "\r\n\r\n");
    assert_non_null(body);
    assert_string_equal(body + 4, want);
}

static void limits(void **state)
{
    (void)state;
    is_asked("{\"name\":\"a\"}", "{\"name\":\"a\"}");
    is_asked("{\"name\":\"a\",\"r_limits\":[{\"type\":\"memlock\",\"soft\":-1,\"hard\":-1},"
             "{\"type\":\"nofile\",\"soft\":7,\"hard\":9}],\"env\":{\"A\":\"\\\"r_limits\\\":[-1]\"}}",
             "{\"name\":\"a\",\"env\":{\"A\":\"\\\"r_limits\\\":[-1]\"},\"r_limits\":[{\"type\":\"memlock\","
             "\"soft\":18446744073709551615,\"hard\":18446744073709551615},{\"type\":\"nofile\",\"soft\":7,"
             "\"hard\":9}]}");
    is_asked("{\"r_limits\":[{\"type\":\"core\",\"soft\":0,\"hard\":-1}]}",
             "{\"r_limits\":[{\"type\":\"core\",\"soft\":0,\"hard\":18446744073709551615}]}");
}

static void warnings(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf got = buf_new(4096);
    AUTO(json_drop) json_t *spec = json_pack("{s:s}", "name", "web");
    struct talk talk = { .answer = "{\"Id\":\"" ID "\",\"Warnings\":[\"no ports\",\"\",7,\"and more\"]}" };
    struct engine e = { .dial = { connect_talk, &talk }, .warn = keep, .warn_ctx = &got };
    struct err err = { 0 };
    char id[ENGINE_ID_SIZE];
    assert_int_equal(engine_create(&e, spec, id, &err), 0);
    pthread_join(talk.thread, NULL);
    assert_true(bytes_equal(buf_bytes(&got), bytes_str("web: no ports\nweb: and more\n")));
    talk.answer = "{\"Id\":\"" ID "\",\"Warnings\":null}";
    assert_int_equal(engine_create(&e, spec, id, &err), 0);
    pthread_join(talk.thread, NULL);
    e.warn = NULL;
    assert_int_equal(engine_create(&e, spec, id, &err), 0);
    pthread_join(talk.thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(limits), cmocka_unit_test(warnings) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
