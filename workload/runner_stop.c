#include "workload/runner_stop.h"

#include "base/auto.h"
#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define GRACE_S    10 /* the Compose Specification's stop_grace_period */
#define AT_ONCE    16
#define STACK_SIZE (256u << 10)

/* Whole seconds, rounded up; what is left of the total counts if it is less. */
static unsigned grace_of(const struct compose_service *s, int64_t until)
{
    int64_t left = (until - (int64_t)clock_ms()) / 1000;
    int64_t own =
        s && s->stop_grace_ns != COMPOSE_UNSET ? (s->stop_grace_ns + 999999999) / 1000000000 : GRACE_S;
    return (unsigned)(left < 0 ? 0 : own < left ? own : left);
}

static int take_away(const struct runner *r, const struct engine_state *old, const struct compose_service *s,
                     int64_t until, struct err *err)
{
    struct err why = { 0 };
    if (old->running && engine_stop(&r->engine, old->id, grace_of(s, until), &why) < 0
        && why.kind != ERR_NOT_FOUND) {
        *err = why;
        return -1;
    }
    return engine_remove(&r->engine, old->id, err);
}

/* ---- who goes when ---- */

static bool lives_in(const struct compose_service *s, const char *name)
{
    const char *mode = s->network_mode.text;
    return mode && !strncmp(mode, "service:", 8) && !strcmp(mode + 8, name);
}

static bool depends_on(const struct compose_service *s, const char *name)
{
    for (size_t i = 0; i < s->depends_count; i++) {
        if (!strcmp(s->depends[i].service, name))
            return true;
    }
    return lives_in(s, name);
}

/* waves[i] of the services of c, from 1: one more than those of all that depend on it, which come after it in
 * c->order. */
static void find_waves(const struct compose *c, unsigned *waves)
{
    for (size_t i = c->service_count; i > 0; i--) {
        size_t at = c->order[i - 1];
        waves[at] = 1;
        for (size_t k = i; k < c->service_count; k++) {
            size_t later = c->order[k];
            if (depends_on(&c->services[later], c->services[at].name) && waves[later] >= waves[at])
                waves[at] = waves[later] + 1;
        }
    }
}

/* ---- many at once ---- */

struct one {
    const struct engine_state *state;
    const struct compose_service *s;
    unsigned wave; /* 0: before all others */
};

struct crowd {
    const struct runner *r;
    const struct one *all;
    size_t n;
    unsigned wave;
    int64_t until;
    pthread_mutex_t lock; /* what follows */
    size_t next;
    struct err err;
};

static void *work(void *arg)
{
    struct crowd *w = arg;
    for (;;) {
        struct err err = { 0 };
        pthread_mutex_lock(&w->lock);
        while (w->next < w->n && w->all[w->next].wave != w->wave)
            w->next++;
        const struct one *mine = w->next < w->n ? &w->all[w->next++] : NULL;
        pthread_mutex_unlock(&w->lock);
        if (!mine)
            return NULL;
        if (take_away(w->r, mine->state, mine->s, w->until, &err) == 0)
            continue;
        pthread_mutex_lock(&w->lock);
        if (w->err.kind == ERR_NONE)
            w->err = err;
        pthread_mutex_unlock(&w->lock);
    }
}

/* This thread works too: without any other it takes longer, no more. */
static void take_wave(struct crowd *w)
{
    pthread_t threads[AT_ONCE - 1];
    pthread_attr_t attr;
    size_t members = 0, started = 0;
    for (size_t i = 0; i < w->n; i++)
        members += w->all[i].wave == w->wave;
    w->next = 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    while (started + 1 < members && started < ARRAY_SIZE(threads)
           && pthread_create(&threads[started], &attr, work, w) == 0)
        started++;
    pthread_attr_destroy(&attr);
    work(w);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

int runner_take_away(const struct runner *r, const struct compose *c, const struct engine_state *const *all,
                     size_t n, struct err *err)
{
    size_t services = c ? c->service_count : 0;
    AUTO(free_u8) uint8_t *memory = calloc(n + 1, sizeof(struct one));
    AUTO(free_u8) uint8_t *numbers = calloc(services + 1, sizeof(unsigned));
    struct one *ones = (struct one *)(void *)memory;
    unsigned *waves = (unsigned *)(void *)numbers, last = 0;
    if (!ones || !waves)
        return err_set(err, ERR_IO, ENOMEM, "no memory to stop %zu containers", n);
    if (c)
        find_waves(c, waves);
    for (size_t i = 0; i < n; i++) {
        const struct compose_service *s = c ? compose_service(c, all[i]->service) : NULL;
        ones[i] = (struct one){ all[i], s, s ? waves[s - c->services] : 0 };
        last = ones[i].wave > last ? ones[i].wave : last;
    }
    struct crowd w = { .r = r, .all = ones, .n = n, .until = (int64_t)clock_ms() + RUNNER_STOP_TOTAL_MS };
    pthread_mutex_init(&w.lock, NULL);
    for (w.wave = 0; w.wave <= last; w.wave++)
        take_wave(&w);
    pthread_mutex_destroy(&w.lock);
    if (w.err.kind == ERR_NONE)
        return 0;
    if (err)
        *err = w.err;
    return -1;
}
