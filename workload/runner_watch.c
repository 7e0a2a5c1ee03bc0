/* The watch: one thread that looks at the containers every few seconds and runs the health checks that are
 * due, unless the engine does. */
#include "workload/runner.h"

#include "base/auto.h"
#include "workload/compose.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_MS      2000
#define INTERVAL_MS  30000 /* of checks that an image brings along, and of those that name none */
#define INTERVAL_MIN 1000
#define GRACE_MS     5000 /* for the engine, beyond the check's own timeout */
#define STACK_SIZE   (256u << 10)

struct seen {
    const struct compose_service *s;
    char name[ENGINE_NAME_MAX + 1];
    struct engine_state state;
    bool known;
    int64_t started; /* when its process was first seen */
    int64_t next_check;
};

struct runner_watch {
    struct runner r;
    struct seen *seen;
    size_t n;
    void (*changed)(void *arg, const struct runner_status *s);
    void *arg;
    atomic_bool stop;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
};

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Between two checks: start_interval until the service was healthy once, or its start_period is over. */
static int64_t interval_ms(const struct seen *one, enum engine_health health, int64_t at)
{
    const struct compose_health *h = &one->s->health;
    bool starts = h->set && h->start_interval_ns != COMPOSE_UNSET && health == ENGINE_HEALTH_STARTING
                  && at - one->started < h->start_period_ns / 1000000;
    int64_t ns = starts ? h->start_interval_ns : h->set ? h->interval_ns : COMPOSE_UNSET;
    int64_t ms = ns == COMPOSE_UNSET ? INTERVAL_MS : ns / 1000000;
    return ms < INTERVAL_MIN ? INTERVAL_MIN : ms;
}

/* It has a new process: the next check need not wait for an interval that began with the one before. */
static void begin(struct seen *one, const struct engine_state *now, int64_t at)
{
    one->started = at;
    int64_t first = at + interval_ms(one, now->health, at);
    if (one->next_check > first)
        one->next_check = first;
}

static unsigned timeout_ms(const struct compose_service *s)
{
    int64_t ns = s->health.set ? s->health.timeout_ns : COMPOSE_UNSET;
    int64_t ms = ns == COMPOSE_UNSET ? INTERVAL_MS : ns / 1000000;
    return (unsigned)((ms < INTERVAL_MS ? ms : INTERVAL_MS) + GRACE_MS);
}

static bool differs(enum engine_health a, enum engine_health b)
{
    bool verdict = b == ENGINE_HEALTHY || b == ENGINE_UNHEALTHY;
    return verdict && a != b;
}

/* An end between two looks shows in the count of restarts, or in another process. */
static void compare(struct runner_watch *w, struct seen *old, const struct engine_state *now)
{
    struct runner_status status = { .service = old->s->name, .state = *now };
    bool same = old->known && !strcmp(old->state.id, now->id);
    status.restarted = same
                       && (now->restarts > old->state.restarts
                           || (now->running && old->state.running && now->pid != old->state.pid));
    status.exited = now->ended && (!same || old->state.running);
    status.changed_health = differs(same ? old->state.health : ENGINE_HEALTH_NONE, now->health);
    old->state = *now;
    old->known = true;
    if (status.restarted || status.exited || status.changed_health)
        w->changed(w->arg, &status);
}

/* The answer is about this one check; what counts, with retries and start_period, the container says. */
static void check(const struct runner_watch *w, const struct seen *one, struct engine_state *now)
{
    enum engine_health ignored;
    struct err why = { 0 };
    if (engine_check_health(&w->r.engine, one->name, timeout_ms(one->s), &ignored, &why) == 0)
        (void)!engine_inspect(&w->r.engine, one->name, now, &why); /* else the next look will tell */
}

/* Returns when it wants to be called again. */
static int64_t look(struct runner_watch *w, struct seen *one)
{
    struct engine_state now;
    int64_t at = now_ms();
    if (engine_inspect(&w->r.engine, one->name, &now, &(struct err){ 0 }) < 0)
        return at + LOOK_MS; /* being replaced, or the engine is: the next look will tell */
    if (now.running && now.pid != one->state.pid)
        begin(one, &now, at);
    bool due = now.running && now.health != ENGINE_HEALTH_NONE && at >= one->next_check;
    if (due && !engine_runs_checks(&w->r.engine)) {
        check(w, one, &now);
        one->next_check = at + interval_ms(one, now.health, at);
    }
    compare(w, one, &now);
    int64_t next = now_ms() + LOOK_MS;
    bool ours = now.health != ENGINE_HEALTH_NONE && !engine_runs_checks(&w->r.engine);
    return ours && one->next_check < next ? one->next_check : next;
}

static void *watch(void *arg)
{
    struct runner_watch *w = arg;
    while (!atomic_load(&w->stop)) {
        int64_t next = now_ms() + LOOK_MS;
        for (size_t i = 0; i < w->n && !atomic_load(&w->stop); i++) {
            int64_t at = look(w, &w->seen[i]);
            next = at < next ? at : next;
        }
        int64_t soon = now_ms() + 100; /* however many checks are due, not all the time */
        next = next < soon ? soon : next;
        const struct timespec until = { (time_t)(next / 1000), (long)(next % 1000) * 1000000 };
        pthread_mutex_lock(&w->lock);
        if (!atomic_load(&w->stop))
            pthread_cond_timedwait(&w->wake, &w->lock, &until);
        pthread_mutex_unlock(&w->lock);
    }
    return NULL;
}

static int start_thread(struct runner_watch *w, struct err *err)
{
    pthread_attr_t attr;
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_init(&w->lock, NULL);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    int rc = pthread_create(&w->thread, &attr, watch, w);
    pthread_attr_destroy(&attr);
    return rc == 0 ? 0 : err_set(err, ERR_IO, (uint32_t)rc, "cannot start the watch: %s", strerror(rc));
}

int runner_watch_start(const struct runner *r, const struct compose *c,
                       void (*changed)(void *arg, const struct runner_status *s), void *arg,
                       struct runner_watch **out, struct err *err)
{
    struct runner_watch *w = calloc(1, sizeof(*w));
    struct seen *seen = calloc(c->service_count + 1, sizeof(*seen));
    if (!w || !seen) {
        free(w);
        free(seen);
        return err_set(err, ERR_IO, ENOMEM, "no memory to watch %zu services", c->service_count);
    }
    *w =
        (struct runner_watch){ .r = *r, .seen = seen, .n = c->service_count, .changed = changed, .arg = arg };
    w->r.engine.cancel = &w->stop;
    for (size_t i = 0; i < w->n; i++) {
        seen[i].s = &c->services[i];
        runner_container_name(r, seen[i].s, seen[i].name);
    }
    if (start_thread(w, err) < 0) {
        free(seen);
        free(w);
        return -1;
    }
    *out = w;
    return 0;
}

void runner_watch_stop(struct runner_watch *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    atomic_store(&w->stop, true);
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->wake);
    free(w->seen);
    free(w);
}
