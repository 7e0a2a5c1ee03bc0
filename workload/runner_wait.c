#include "workload/runner_wait.h"

#include "base/clock.h"

#include <stdatomic.h>

#define LEAST_MS     60000 /* for a start, however short the checks are */
#define POLL_MS      50
#define CHECK_MS     500 /* between health checks while somebody waits */
#define CHECK_MAX_MS 30000
#define CERTAIN_MS   1000 /* before what looks like the end of the last try is believed */

int runner_pause(const struct runner *r, unsigned ms, struct err *err)
{
    clock_sleep(ms);
    if (r->engine.cancel && atomic_load(r->engine.cancel))
        return err_set(err, ERR_UNAVAILABLE, 0, "stopping");
    return 0;
}

static int failed(const struct compose_service *s, const struct engine_state *state, struct err *err)
{
    return err_set(err, ERR_UNAVAILABLE, 0, "service %.100s ended with status %d%s; see its log", s->name,
                   state->exit_code, state->oom_killed ? " (out of memory)" : "");
}

/* Whether the engine leaves it at this end. After a failure podman says "stopped" until it has started the
 * container again, and "exited" when it does not. */
static bool is_over(const struct compose_service *s, const struct engine_state *state)
{
    if (!state->ended || s->restart == COMPOSE_RESTART_NO)
        return state->ended;
    if (s->restart != COMPOSE_RESTART_ON_FAILURE || strcmp(state->status, "exited") != 0)
        return false;
    return state->exit_code == 0
           || (s->restart_max != COMPOSE_UNSET && state->restarts >= (uint64_t)s->restart_max);
}

/* docker calls one running that waits for its next start. */
static bool is_up(const struct engine_state *state)
{
    return state->running && state->pid != 0;
}

/* Inspects until two looks agree whether it is over: the engine counts a try before it starts it. */
static int look(const struct runner *r, const struct compose_service *s, const char *name,
                struct engine_state *out, bool *over, struct err *err)
{
    if (engine_inspect(&r->engine, name, out, err) < 0)
        return -1;
    *over = is_over(s, out);
    if (!*over || out->exit_code == 0 || s->restart == COMPOSE_RESTART_NO)
        return 0;
    if (runner_pause(r, CERTAIN_MS, err) < 0 || engine_inspect(&r->engine, name, out, err) < 0)
        return -1;
    *over = is_over(s, out);
    return 0;
}

uint64_t runner_health_limit(const struct runner *r, const struct engine_state *state)
{
    if (r->health_ms)
        return r->health_ms;
    return state->health_start_ms > LEAST_MS ? state->health_start_ms : LEAST_MS;
}

/* While somebody waits a check is made every half second, however long the interval; only a check that
 * passes, or the deadline, ends it: failures during a start are no verdict. */
int runner_wait_healthy(const struct runner *r, const struct compose_service *s, const char *name,
                        struct err *err)
{
    const uint64_t began = clock_ms();
    for (;;) {
        struct engine_state state;
        enum engine_health health = ENGINE_HEALTH_STARTING;
        bool over;
        if (look(r, s, name, &state, &over, err) < 0)
            return -1;
        if (state.health == ENGINE_HEALTH_NONE)
            return err_set(err, ERR_INPUT, 0, "service %.100s has no health check to wait for", s->name);
        if (state.health == ENGINE_HEALTHY)
            return 0;
        if (over)
            return failed(s, &state, err);
        if (state.running
            && engine_check_health(&r->engine, name, CHECK_MAX_MS, &health, &(struct err){ 0 }) == 0
            && health == ENGINE_HEALTHY)
            return 0;
        uint64_t waited = clock_ms() - began;
        if (waited >= runner_health_limit(r, &state))
            return err_set(err, ERR_UNAVAILABLE, 0,
                           "service %.100s did not become healthy within %" PRIu64 " s; see its log", s->name,
                           waited / 1000);
        if (runner_pause(r, CHECK_MS, err) < 0)
            return -1;
    }
}

int runner_wait_completed(const struct runner *r, const struct compose_service *s, const char *name,
                          struct err *err)
{
    for (;;) {
        struct engine_state state;
        bool over;
        if (look(r, s, name, &state, &over, err) < 0)
            return -1;
        if (state.ended && state.exit_code == 0)
            return 0;
        if (over)
            return failed(s, &state, err);
        if (runner_pause(r, POLL_MS, err) < 0)
            return -1;
    }
}

/* It fell once, and is being started again. */
static int wait_up_again(const struct runner *r, const struct compose_service *s, const char *name,
                         struct err *err)
{
    const uint64_t until = clock_ms() + (r->health_ms ? r->health_ms : LEAST_MS);
    const unsigned steady = r->settle_ms > CERTAIN_MS ? r->settle_ms : CERTAIN_MS;
    for (;;) {
        struct engine_state before, state;
        bool over;
        if (engine_inspect(&r->engine, name, &before, err) < 0 || runner_pause(r, steady, err) < 0
            || look(r, s, name, &state, &over, err) < 0)
            return -1;
        if (state.ended && state.exit_code == 0)
            return 0;
        if (is_up(&before) && is_up(&state) && before.pid == state.pid)
            return 0;
        if (over)
            return failed(s, &state, err);
        if (clock_ms() >= until)
            return err_set(err, ERR_UNAVAILABLE, 0,
                           "service %.100s does not stay up (started again %u times); see its log", s->name,
                           state.restarts);
    }
}

int runner_wait_running(const struct runner *r, const struct compose_service *s, const char *name, bool kept,
                        struct err *err)
{
    struct engine_state state;
    bool over;
    if (look(r, s, name, &state, &over, err) < 0)
        return -1;
    if (state.health != ENGINE_HEALTH_NONE && kept)
        return 0; /* the watch has its health; an update does not judge what it leaves alone */
    if (state.health != ENGINE_HEALTH_NONE)
        return runner_wait_healthy(r, s, name, err);
    const bool fell = !kept && state.restarts > 0;
    if ((is_up(&state) && !fell) || (state.ended && state.exit_code == 0))
        return 0;
    return over || s->restart == COMPOSE_RESTART_NO ? failed(s, &state, err) : wait_up_again(r, s, name, err);
}
