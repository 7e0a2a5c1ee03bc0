/* workload/runner_wait: which ends count, and how long health may take. The engine is a script: one answer a
 * call, the last one for all that follow. */
#include "evidence.h"

#include "base/auto.h"
#include "base/clock.h"
#include "workload/runner_wait.h"

#include <sys/socket.h>
#include <unistd.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct script {
    const char *const *state; /* members of State, and others behind it */
    size_t n, at;
    int held[64];
};

/* The answer lies in the socket before it is asked for. */
static int connect_script(void *ctx, struct err *err)
{
    struct script *s = ctx;
    char body[1024], text[1200];
    int pair[2];
    const char *state = s->state[s->at < s->n ? s->at : s->n - 1];
    assert_true(s->at < ARRAY_SIZE(s->held));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_set(err, ERR_IO, 0, "no socket");
    int n = snprintf(body, sizeof(body), "{\"Id\":\"" ID "\",\"Image\":\"" ID "\",\"Name\":\"s\",%s}", state);
    n = snprintf(text, sizeof(text),
                 "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", n,
                 body);
    assert_int_equal(write(pair[1], text, (size_t)n), n);
    s->held[s->at++] = pair[1];
    return pair[0];
}

static void script_done(struct script *s)
{
    for (size_t i = 0; i < s->at; i++)
        close(s->held[i]);
}

#define STATE(status, running, code, restarts)                                                               \
    "\"State\":{\"Status\":\"" status "\",\"Running\":" running ",\"Pid\":7,\"ExitCode\":" code              \
    "},\"RestartCount\":" restarts
#define RUNS(restarts)    STATE("running", "true", "0", restarts)
#define STOPPED(restarts) STATE("stopped", "false", "3", restarts)
#define EXITED(restarts)  STATE("exited", "false", "3", restarts)
#define WAITS                                                                                                \
    "\"State\":{\"Status\":\"restarting\",\"Running\":true,\"Pid\":0,\"ExitCode\":3},\"RestartCount\":2"
#define DONE STATE("exited", "false", "0", "1")

static struct compose_service service(enum compose_restart restart, int64_t max)
{
    return (struct compose_service){ .name = "s", .restart = restart, .restart_max = max };
}

static void which_end_counts(void **state)
{
    (void)state;
    static const struct {
        enum compose_restart restart;
        int64_t max;
        const char *states[4];
        size_t n;
        int completed, running;
    } rows[] = {
        { COMPOSE_RESTART_NO, COMPOSE_UNSET, { EXITED("0") }, 1, -1, -1 },
        { COMPOSE_RESTART_NO, COMPOSE_UNSET, { STOPPED("0") }, 1, -1, -1 },
        { COMPOSE_RESTART_NO, COMPOSE_UNSET, { DONE }, 1, 0, 0 },
        { COMPOSE_RESTART_ON_FAILURE, COMPOSE_UNSET, { STOPPED("0"), EXITED("1"), DONE }, 3, 0, 0 },
        { COMPOSE_RESTART_ON_FAILURE, 2, { STOPPED("0"), STOPPED("1"), STOPPED("2"), DONE }, 4, 0, 0 },
        { COMPOSE_RESTART_ON_FAILURE, 2, { EXITED("2"), RUNS("2"), DONE }, 3, 0, 0 }, /* the last try starts
                                                                                       */
        { COMPOSE_RESTART_ON_FAILURE, 2, { STOPPED("1"), EXITED("2") }, 2, -1, -1 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct compose_service s = service(rows[i].restart, rows[i].max);
        for (int k = 0; k < 2; k++) {
            struct script script = { .state = rows[i].states, .n = rows[i].n };
            const struct runner r = { .engine = { .dial = { connect_script, &script } } };
            struct err err = { 0 };
            int rc =
                k ? runner_wait_running(&r, &s, "s", false, &err) : runner_wait_completed(&r, &s, "s", &err);
            script_done(&script);
            if (rc != (k ? rows[i].running : rows[i].completed))
                fail_msg("row %zu, %s: %d %s", i, k ? "running" : "completed", rc, err.cause);
            if (rc < 0)
                assert_non_null(strstr(err.cause, "service s ended with status 3"));
        }
    }
}

static void one_that_falls_must_stay_up(void **state)
{
    (void)state;
    static const char *const again[] = { STOPPED("0"), RUNS("1"), RUNS("1") };
    static const char *const loops[] = { RUNS("1"), RUNS("2"), STOPPED("3") };
    static const char *const waits[] = { WAITS };
    const struct compose_service s = service(COMPOSE_RESTART_ALWAYS, COMPOSE_UNSET);
    struct script script = { .state = again, .n = 3 };
    struct runner r = { .engine = { .dial = { connect_script, &script } }, .health_ms = 1500 };
    struct err err = { 0 };
    assert_int_equal(runner_wait_running(&r, &s, "s", false, &err), 0);
    script_done(&script);
    script = (struct script){ .state = loops, .n = 3 };
    assert_int_equal(runner_wait_running(&r, &s, "s", false, &err), -1);
    assert_int_equal(script.at, 5); /* and not only the first look */
    assert_non_null(strstr(err.cause, "service s does not stay up (started again 3 times)"));
    script_done(&script);
    script = (struct script){ .state = waits, .n = 1 };
    assert_int_equal(runner_wait_running(&r, &s, "s", false, &err), -1);
    script_done(&script);
}

static void cancel_ends_a_wait(void **state)
{
    (void)state;
    static const char *const runs[] = { RUNS("0") };
    const struct compose_service s = service(COMPOSE_RESTART_NO, COMPOSE_UNSET);
    struct script script = { .state = runs, .n = 1 };
    atomic_bool cancel = true;
    const struct runner r = { .engine = { .dial = { connect_script, &script }, .cancel = &cancel } };
    struct err err = { 0 };
    assert_int_equal(runner_wait_completed(&r, &s, "s", &err), -1);
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    script_done(&script);
}

#define CHECK(members) RUNS("0") ",\"Config\":{\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"]" members "}}"

static void how_long_health_may_take(void **state)
{
    (void)state;
    static const struct {
        const char *state;
        uint64_t start_ms, limit_ms;
    } rows[] = {
        { RUNS("0"), 0, 60000 },
        { CHECK(""), 240000, 240000 }, /* four times 30 s and 30 s */
        { CHECK(",\"Interval\":1000000000,\"Timeout\":2000000000,\"Retries\":1"), 6000, 60000 },
        { CHECK(",\"Interval\":1000000000,\"Timeout\":2000000000,\"Retries\":1,\"StartPeriod\":600000000000"),
          606000, 606000 },
        { CHECK(",\"Interval\":9223372036854775807,\"Timeout\":9223372036854775807,\"Retries\":99999999,"
                "\"StartPeriod\":9223372036854775807"),
          0, 0 }, /* as long as it can be, and no overflow */
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct script script = { .state = &rows[i].state, .n = 1 };
        struct runner r = { .engine = { .dial = { connect_script, &script } } };
        struct engine_state found;
        struct err err = { 0 };
        assert_int_equal(engine_inspect(&r.engine, "s", &found, &err), 0);
        if (i + 1 < ARRAY_SIZE(rows)) {
            assert_int_equal(found.health_start_ms, rows[i].start_ms);
            assert_int_equal(runner_health_limit(&r, &found), rows[i].limit_ms);
        } else { /* centuries */
            assert_true(found.health_start_ms > 1000000000000 && found.health_start_ms < UINT64_MAX / 2);
        }
        r.health_ms = 5;
        assert_int_equal(runner_health_limit(&r, &found), 5);
        script_done(&script);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(which_end_counts),
        cmocka_unit_test(one_that_falls_must_stay_up),
        cmocka_unit_test(cancel_ends_a_wait),
        cmocka_unit_test(how_long_health_may_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
