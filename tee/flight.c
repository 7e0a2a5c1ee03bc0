#include "tee/flight.h"

#include "base/auto.h"
#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define THREAD_STACK (256u << 10)
#define FOREVER      UINT64_MAX

struct waiter {
    flight_done_fn *done;
    void *arg;
    uint64_t deadline;
    struct waiter *next;
};

struct flight {
    char key[FLIGHT_KEY_SIZE];
    struct flight_task task;
    bool running;
    unsigned attempts, waiting;
    uint64_t next_at; /* of the next attempt */
    struct err last;  /* of the last attempt; kind ERR_NONE before it */
    struct waiter *waiters;
    struct flight *next;
};

struct flights {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t fetcher, clock;
    bool started, stopping;
    unsigned count;
    struct flight *head;
};

/* ---- telling ---- */

static void tell(struct waiter *w, const struct err *err)
{
    while (w) {
        struct waiter *next = w->next;
        w->done(w->arg, err);
        free(w);
        w = next;
    }
}

static struct waiter *take_waiters(struct flight *f)
{
    struct waiter *w = f->waiters;
    f->waiters = NULL;
    f->waiting = 0;
    return w;
}

static void unlink_flight(struct flights *f, struct flight *gone)
{
    struct flight **at = &f->head;
    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    f->count--;
}

static void free_flight(struct flight *f)
{
    f->task.drop(f->task.arg);
    free(f);
}

/* Waits for a change or until a time of clock_ms(). */
static void wait_until(struct flights *f, uint64_t at)
{
    struct timespec t = { (time_t)(at / 1000), (long)(at % 1000) * 1000000 };
    if (at == FOREVER)
        pthread_cond_wait(&f->changed, &f->lock);
    else
        pthread_cond_timedwait(&f->changed, &f->lock, &t);
}

/* ---- the fetch thread ---- */

static struct flight *next_flight(struct flights *f)
{
    struct flight *first = NULL;
    for (struct flight *i = f->head; i; i = i->next)
        if (!first || i->next_at < first->next_at)
            first = i;
    return first;
}

uint64_t flight_pause_ms(unsigned attempts, unsigned retry_after_s)
{
    uint64_t pause = FLIGHT_PAUSE_MS;
    for (unsigned i = 1; i < attempts && pause < FLIGHT_PAUSE_MAX; i++)
        pause *= 2;
    pause = clock_jitter(pause < FLIGHT_PAUSE_MAX ? pause : FLIGHT_PAUSE_MAX);
    uint64_t asked = 1000ull * (retry_after_s < FLIGHT_RETRY_MAX ? retry_after_s : FLIGHT_RETRY_MAX);
    return pause > asked ? pause : asked;
}

/* With the lock held, which is given back during the attempt and the callbacks. */
static void fly(struct flights *f, struct flight *flight)
{
    struct err err = { 0 };
    unsigned retry_after_s = 0;
    flight->running = true;
    pthread_mutex_unlock(&f->lock);
    int rc = flight->task.attempt(flight->task.arg, &retry_after_s, &err);
    pthread_mutex_lock(&f->lock);
    flight->running = false;
    flight->attempts++;
    flight->last = err;
    flight->next_at = clock_ms() + flight_pause_ms(flight->attempts, retry_after_s);
    struct waiter *told = take_waiters(flight);
    bool ended = rc == 0 || flight->attempts == FLIGHT_ATTEMPTS_MAX;
    if (ended)
        unlink_flight(f, flight);
    pthread_mutex_unlock(&f->lock);
    tell(told, rc == 0 ? NULL : &err);
    if (ended)
        free_flight(flight);
    pthread_mutex_lock(&f->lock);
}

static void *fetch_thread(void *arg)
{
    struct flights *f = arg;
    pthread_mutex_lock(&f->lock);
    while (!f->stopping) {
        struct flight *flight = next_flight(f);
        if (flight && flight->next_at <= clock_ms())
            fly(f, flight);
        else
            wait_until(f, flight ? flight->next_at : FOREVER);
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- the clock thread ---- */

/* Takes the first waiter whose time is over, with what to tell; *next receives the nearest deadline. */
static struct waiter *take_expired(struct flights *f, struct err *why, uint64_t *next)
{
    uint64_t now = clock_ms();
    *next = FOREVER;
    for (struct flight *flight = f->head; flight; flight = flight->next) {
        for (struct waiter **at = &flight->waiters; *at; at = &(*at)->next) {
            struct waiter *w = *at;
            if (w->deadline > now) {
                *next = w->deadline < *next ? w->deadline : *next;
                continue;
            }
            *at = w->next;
            w->next = NULL;
            flight->waiting--;
            *why = flight->last;
            if (why->kind == ERR_NONE)
                err_set(why, ERR_UNAVAILABLE, ETIMEDOUT,
                        "the vendor's certificate service has not answered in time; fetching goes on");
            return w;
        }
    }
    return NULL;
}

static void *clock_thread(void *arg)
{
    struct flights *f = arg;
    pthread_mutex_lock(&f->lock);
    while (!f->stopping) {
        struct err why;
        uint64_t next;
        struct waiter *w = take_expired(f, &why, &next);
        if (w) {
            pthread_mutex_unlock(&f->lock);
            tell(w, &why);
            pthread_mutex_lock(&f->lock);
        } else {
            wait_until(f, next);
        }
    }
    pthread_mutex_unlock(&f->lock);
    return NULL;
}

/* ---- life ---- */

int flights_new(struct flights **out, struct err *err)
{
    struct flights *f = calloc(1, sizeof(*f));
    pthread_condattr_t attr;
    if (!f)
        return err_set(err, ERR_IO, ENOMEM, "no memory for background fetches");
    pthread_mutex_init(&f->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&f->changed, &attr);
    pthread_condattr_destroy(&attr);
    *out = f;
    return 0;
}

void flights_free(struct flights *f)
{
    static const struct err stopping = { .kind = ERR_UNAVAILABLE, .cause = "shutting down" };
    if (!f)
        return;
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    if (f->started) {
        pthread_join(f->fetcher, NULL);
        pthread_join(f->clock, NULL);
    }
    while (f->head) {
        struct flight *flight = f->head;
        f->head = flight->next;
        tell(flight->waiters, &stopping);
        free_flight(flight);
    }
    pthread_cond_destroy(&f->changed);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* The threads start with the first fetch: most machines never make one. With the lock held. */
static int start_threads(struct flights *f, struct err *err)
{
    pthread_attr_t attr;
    if (f->started)
        return 0;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK);
    int rc = pthread_create(&f->fetcher, &attr, fetch_thread, f);
    if (rc == 0 && (rc = pthread_create(&f->clock, &attr, clock_thread, f)) != 0) {
        f->stopping = true; /* the first thread ends as soon as it has the lock */
        pthread_mutex_unlock(&f->lock);
        pthread_join(f->fetcher, NULL);
        pthread_mutex_lock(&f->lock);
        f->stopping = false;
    }
    pthread_attr_destroy(&attr);
    if (rc)
        return err_set(err, ERR_IO, (uint32_t)rc, "cannot start a fetch thread: %s", strerror(rc));
    pthread_setname_np(f->fetcher, "cert-fetch");
    pthread_setname_np(f->clock, "cert-clock");
    f->started = true;
    return 0;
}

static struct flight *find_flight(struct flights *f, const char *key)
{
    for (struct flight *i = f->head; i; i = i->next)
        if (!strcmp(i->key, key))
            return i;
    return NULL;
}

/* Takes over the task. With the lock held. */
static struct flight *add_flight(struct flights *f, const char *key, struct flight_task *task,
                                 struct err *err)
{
    struct flight *new = f->count < FLIGHTS_MAX ? calloc(1, sizeof(*new)) : NULL;
    if (!new || strlen(key) >= sizeof(new->key)) {
        free(new);
        err_set(err, ERR_LIMITED, 0, "%u certificate fetches are under way already", f->count);
        return NULL;
    }
    memcpy(new->key, key, strlen(key) + 1);
    new->task = *task;
    *task = (struct flight_task){ 0 };
    new->next_at = clock_ms();
    new->next = f->head;
    f->head = new;
    f->count++;
    return new;
}

static int add_waiter(struct flight *flight, unsigned deadline_ms, flight_done_fn *done, void *arg,
                      struct err *err)
{
    struct waiter *w = flight->waiting < FLIGHT_WAITERS_MAX ? calloc(1, sizeof(*w)) : NULL;
    uint64_t now = clock_ms();
    if (!w)
        return err_set(err, ERR_LIMITED, 0, "%u wait for this certificate already", flight->waiting);
    *w = (struct waiter){ done, arg, now + deadline_ms, flight->waiters };
    if (!flight->running && flight->attempts && flight->next_at > w->deadline)
        w->deadline = now; /* nothing will happen before: tell the last failure now */
    flight->waiters = w;
    flight->waiting++;
    return 0;
}

int flights_join(struct flights *f, const char *key, struct flight_task task, unsigned deadline_ms,
                 flight_done_fn *done, void *arg, struct err *err)
{
    pthread_mutex_lock(&f->lock);
    int rc = f->stopping ? err_set(err, ERR_UNAVAILABLE, 0, "shutting down") : start_threads(f, err);
    struct flight *flight = rc == 0 ? find_flight(f, key) : NULL;
    if (rc == 0 && !flight)
        flight = add_flight(f, key, &task, err);
    if (rc == 0)
        rc = flight ? add_waiter(flight, deadline_ms, done, arg, err) : -1;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->lock);
    if (task.drop)
        task.drop(task.arg);
    return rc;
}
