#include "stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

void samples_add(struct samples *s, double us)
{
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 1024;
        double *p = realloc(s->us, cap * sizeof(*p));
        if (!p)
            abort();
        s->us = p;
        s->cap = cap;
    }
    s->us[s->n++] = us;
}

void samples_done(struct samples *s)
{
    free(s->us);
    *s = (struct samples){ 0 };
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double samples_quantile(struct samples *s, double q)
{
    if (!s->n)
        return 0;
    qsort(s->us, s->n, sizeof(*s->us), ascending);
    size_t i = (size_t)(q * (double)s->n);
    return s->us[i < s->n ? i : s->n - 1];
}

void stats_row(const char *what, double value, const char *unit, double limit, bool at_most)
{
    bool met = at_most ? value <= limit : value >= limit;
    printf("%-58s %10.2f %-5s  %s %.2f  %s\n", what, value, unit, at_most ? "<=" : ">=", limit,
           met ? "met" : "MISSED");
}
