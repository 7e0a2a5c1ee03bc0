/** base/worker.h: one thread that owns a device, and its bounded queue. Jobs run one after the other, first
 * come first served; nobody else touches the device. */
#ifndef CVM_BASE_WORKER_H
#define CVM_BASE_WORKER_H

#include "base/err.h"

#include <stdbool.h>

struct worker;

/** A queued piece of work, embedded in the caller's own struct. Exactly one of run and dropped is called, on
 * the worker's thread (run) or in worker_stop() (dropped). */
struct job {
    void (*run)(struct job *job);
    void (*dropped)(struct job *job);
    bool outside;     /* from the external side: counts against the outside share of the queue */
    struct job *next; /* the queue's */
};

/** Starts a thread. depth: jobs waiting at most; outside: of them from outside at most; name: at most 15
 * characters. */
MUST_USE int worker_start(const char *name, unsigned depth, unsigned outside, struct worker **out,
                          struct err *err);

/** Queues a job. @return 0, or -1 with ERR_LIMITED: the queue (or the outside share) is full, or
 * ERR_UNAVAILABLE: stopping */
MUST_USE int worker_submit(struct worker *w, struct job *job, struct err *err);

/** Runs fn(arg) on the worker's thread and waits for it; for start-up and tests, never from a server thread.
 *  @return what fn returned, or -1 if it could not be queued */
MUST_USE int worker_call(struct worker *w, int (*fn)(void *arg, struct err *err), void *arg, struct err *err);

/** Jobs waiting now (not the one that runs): for metrics. */
unsigned worker_waiting(struct worker *w);

/** Jobs waiting, and the one that runs: to choose among several workers. */
unsigned worker_load(struct worker *w);

/** Finishes the running job, drops the waiting ones, joins the thread, frees. NULL is fine. */
void worker_stop(struct worker *w);

#endif
