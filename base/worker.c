#include "base/worker.h"

#include "base/auto.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define WORKER_STACK (256u << 10)

struct worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct job *head, **tail;
    unsigned waiting, waiting_outside, depth, outside;
    bool running, stopping;
};

static struct job *next_job(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    w->running = false;
    while (!w->head && !w->stopping)
        pthread_cond_wait(&w->wake, &w->lock);
    struct job *job = w->stopping ? NULL : w->head;
    if (job) {
        w->running = true;
        w->head = job->next;
        if (!w->head)
            w->tail = &w->head;
        w->waiting--;
        w->waiting_outside -= job->outside;
    }
    pthread_mutex_unlock(&w->lock);
    return job;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    for (struct job *job; (job = next_job(w));)
        job->run(job);
    return NULL;
}

int worker_start(const char *name, unsigned depth, unsigned outside, struct worker **out, struct err *err)
{
    struct worker *w = calloc(1, sizeof(*w));
    if (!w)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a worker");
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    w->tail = &w->head;
    w->depth = depth;
    w->outside = outside;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WORKER_STACK);
    int rc = pthread_create(&w->thread, &attr, work, w);
    pthread_attr_destroy(&attr);
    if (rc) {
        pthread_cond_destroy(&w->wake);
        pthread_mutex_destroy(&w->lock);
        free(w);
        return err_set(err, ERR_IO, (uint32_t)rc, "cannot start the thread %s: %s", name, strerror(rc));
    }
    pthread_setname_np(w->thread, name);
    *out = w;
    return 0;
}

int worker_submit(struct worker *w, struct job *job, struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&w->lock);
    if (w->stopping) {
        rc = err_set(err, ERR_UNAVAILABLE, 0, "shutting down");
    } else if (w->waiting >= w->depth || (job->outside && w->waiting_outside >= w->outside)) {
        rc = err_set(err, ERR_LIMITED, 0, "the device's queue is full (%u waiting): try again in a second",
                     w->waiting);
    } else {
        job->next = NULL;
        *w->tail = job;
        w->tail = &job->next;
        w->waiting++;
        w->waiting_outside += job->outside;
        pthread_cond_signal(&w->wake);
    }
    pthread_mutex_unlock(&w->lock);
    return rc;
}

struct call {
    struct job job;
    int (*fn)(void *arg, struct err *err);
    void *arg;
    struct err *err;
    int rc;
    bool done;
    pthread_mutex_t lock;
    pthread_cond_t finished;
};

static void finish_call(struct call *call, int rc)
{
    pthread_mutex_lock(&call->lock);
    call->rc = rc;
    call->done = true;
    pthread_cond_signal(&call->finished);
    pthread_mutex_unlock(&call->lock);
}

static void run_call(struct job *job)
{
    struct call *call = (struct call *)job;
    finish_call(call, call->fn(call->arg, call->err));
}

static void drop_call(struct job *job)
{
    struct call *call = (struct call *)job;
    finish_call(call, err_set(call->err, ERR_UNAVAILABLE, 0, "shutting down"));
}

int worker_call(struct worker *w, int (*fn)(void *arg, struct err *err), void *arg, struct err *err)
{
    struct call call = { .job = { .run = run_call, .dropped = drop_call }, .fn = fn, .arg = arg, .err = err };
    pthread_mutex_init(&call.lock, NULL);
    pthread_cond_init(&call.finished, NULL);
    int rc = worker_submit(w, &call.job, err);
    if (rc == 0) {
        pthread_mutex_lock(&call.lock);
        while (!call.done)
            pthread_cond_wait(&call.finished, &call.lock);
        pthread_mutex_unlock(&call.lock);
        rc = call.rc;
    }
    pthread_cond_destroy(&call.finished);
    pthread_mutex_destroy(&call.lock);
    return rc;
}

unsigned worker_waiting(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    unsigned n = w->waiting;
    pthread_mutex_unlock(&w->lock);
    return n;
}

unsigned worker_load(struct worker *w)
{
    pthread_mutex_lock(&w->lock);
    unsigned n = w->waiting + w->running;
    pthread_mutex_unlock(&w->lock);
    return n;
}

void worker_stop(struct worker *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    while (w->head) {
        struct job *job = w->head;
        w->head = job->next;
        job->dropped(job);
    }
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
