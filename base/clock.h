/** base/clock.h: monotonic time and jittered pauses, for deadlines and repetitions. */
#ifndef CVM_BASE_CLOCK_H
#define CVM_BASE_CLOCK_H

#include <stdint.h>
#include <sys/random.h>
#include <time.h>

static inline uint64_t clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static inline uint64_t clock_ms(void)
{
    return clock_us() / 1000;
}

/** Between half of ms and ms, at random, so that machines that failed together do not come back together. */
static inline uint64_t clock_jitter(uint64_t ms)
{
    uint32_t r = 0;
    if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != (ssize_t)sizeof(r))
        r = (uint32_t)clock_ms() * 2654435761u;
    return ms / 2 + r % (ms / 2 + 1);
}

static inline void clock_sleep(uint64_t ms)
{
    struct timespec t = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };
    nanosleep(&t, NULL);
}

#endif
