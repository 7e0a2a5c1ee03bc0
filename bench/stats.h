/** bench/stats.h: samples of durations and what is said about them. */
#ifndef CVM_BENCH_STATS_H
#define CVM_BENCH_STATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct samples {
    double *us; /* microseconds */
    size_t n, cap;
};

/** Now, in microseconds of the monotonic clock. */
double now_us(void);

void samples_add(struct samples *s, double us);
void samples_done(struct samples *s);

/** The q-quantile (0..1); sorts the samples. 0 when there are none. */
double samples_quantile(struct samples *s, double q);

/** One line of the table: the value, its limit (at most or at least), and whether it is met. */
void stats_row(const char *what, double value, const char *unit, double limit, bool at_most);

#endif
