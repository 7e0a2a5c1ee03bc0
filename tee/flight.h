/** tee/flight.h: fetches in the background, one for all who want the same thing. Internal to tee/.
 *  One thread makes the requests, one keeps the deadlines: a slow server delays nobody's answer. */
#ifndef CVM_TEE_FLIGHT_H
#define CVM_TEE_FLIGHT_H

#include "base/err.h"

#define FLIGHT_KEY_SIZE     224
#define FLIGHTS_MAX         16     /* different things at a time */
#define FLIGHT_WAITERS_MAX  1024   /* waiting for one thing */
#define FLIGHT_PAUSE_MS     1000   /* after the first failure; doubles */
#define FLIGHT_PAUSE_MAX    300000 /* ms */
#define FLIGHT_RETRY_MAX    3600   /* s: the longest Retry-After that is honoured in full */
#define FLIGHT_ATTEMPTS_MAX 24     /* then the flight ends, and the next one who asks starts anew */

struct flights;

/** What a flight does. */
struct flight_task {
    /** One attempt, on the fetch thread; may block. retry_after_s: the server's wish, else left alone. */
    int (*attempt)(void *arg, unsigned *retry_after_s, struct err *err);
    void (*drop)(void *arg); /* frees arg when the flight has ended */
    void *arg;
};

/** Told once, on one of the two threads, without a lock held: NULL when the attempt succeeded. */
typedef void flight_done_fn(void *arg, const struct err *err);

/** The pause before the next attempt: grows with the failures so far, is jittered, and no shorter than what
 * the server asked for. */
uint64_t flight_pause_ms(unsigned attempts, unsigned retry_after_s);

MUST_USE int flights_new(struct flights **out, struct err *err);

/** Stops after the running attempt; who still waits hears ERR_UNAVAILABLE. NULL is fine. */
void flights_free(struct flights *f);

/** Joins the flight of that key or starts it. task.arg belongs to the flights from here on, also on failure.
 *  While a flight pauses for longer than the deadline, done hears of its last failure at once.
 *  @return 0, or -1 with ERR_LIMITED or ERR_IO: done is not called then */
MUST_USE int flights_join(struct flights *f, const char *key, struct flight_task task, unsigned deadline_ms,
                          flight_done_fn *done, void *arg, struct err *err);

#endif
