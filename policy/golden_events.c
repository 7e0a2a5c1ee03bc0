/* The events of one PCR against the list of a golden measurement. */
#include "policy/golden_compare.h"

#include "base/auto.h"
#include "base/enc.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 3, 4))) static bool no(char *why, size_t size, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, size, fmt, ap);
    va_end(ap);
    return false;
}

static bool equal(const struct digest *a, const struct digest *b)
{
    return a->alg == b->alg && bytes_equal(digest_bytes(a), digest_bytes(b));
}

static const char *hex(const struct digest *d, char out[static 2 * DIGEST_MAX + 1])
{
    return hex_to(out, digest_bytes(d));
}

static bool is_exact(const struct event_digests *want, const struct event_digests *found, char *why,
                     size_t size)
{
    char a[2 * DIGEST_MAX + 1], b[2 * DIGEST_MAX + 1];
    size_t i = 0;
    while (i < want->n && i < found->n && equal(&want->item[i], &found->item[i]))
        i++;
    if (i < want->n && i < found->n)
        return no(why, size, "event %zu is %s, wanted is %s", i, hex(&found->item[i], b),
                  hex(&want->item[i], a));
    if (want->n != found->n)
        return no(why, size, "the log has %zu events, wanted are exactly %zu", found->n, want->n);
    return true;
}

static int by_value(const void *a, const void *b)
{
    const struct digest *x = a, *y = b;
    return memcmp(x->b, y->b, DIGEST_MAX);
}

static struct digest *sorted(const struct event_digests *list)
{
    struct digest *all = calloc(list->n + 1, sizeof(*all));
    if (all && list->n) {
        memcpy(all, list->item, list->n * sizeof(*all));
        qsort(all, list->n, sizeof(*all), by_value);
    }
    return all;
}

static void drop(struct digest **p)
{
    free(*p);
}

/* Sorted, each wanted digest takes one of those found. */
static bool is_subset(const struct event_digests *want, const struct event_digests *found, char *why,
                      size_t size)
{
    AUTO(drop) struct digest *w = sorted(want);
    AUTO(drop) struct digest *f = sorted(found);
    char a[2 * DIGEST_MAX + 1];
    if (!w || !f)
        return no(why, size, "no memory to compare the events");
    for (size_t i = 0, k = 0; i < want->n; i++, k++) {
        while (k < found->n && by_value(&f[k], &w[i]) < 0)
            k++;
        if (k == found->n || !equal(&f[k], &w[i]))
            return no(why, size, "no event (left) with digest %s", hex(&w[i], a));
    }
    return true;
}

static bool is_sequence(const struct event_digests *want, const struct event_digests *found, char *why,
                        size_t size)
{
    char a[2 * DIGEST_MAX + 1];
    size_t k = 0;
    for (size_t i = 0; i < want->n; i++, k++) {
        while (k < found->n && !equal(&found->item[k], &want->item[i]))
            k++;
        if (k == found->n)
            return no(why, size, "after the first %zu of the wanted events comes none with digest %s", i,
                      hex(&want->item[i], a));
    }
    return true;
}

static bool is_at(const struct golden *g, unsigned pcr, const struct event_digests *found, char *why,
                  size_t size)
{
    const struct event_digests *want = &g->want.events[pcr];
    char a[2 * DIGEST_MAX + 1], b[2 * DIGEST_MAX + 1];
    for (size_t i = 0; i < want->n; i++) {
        uint32_t at = g->at[pcr][i];
        if (at >= found->n)
            return no(why, size, "the log has %zu events, wanted is one at place %" PRIu32, found->n, at);
        if (!equal(&found->item[at], &want->item[i]))
            return no(why, size, "event %" PRIu32 " is %s, wanted is %s", at, hex(&found->item[at], b),
                      hex(&want->item[i], a));
    }
    return true;
}

bool golden_events_match(const struct golden *golden, unsigned pcr, const struct event_digests *found,
                         char *why, size_t size)
{
    const struct event_digests *want = &golden->want.events[pcr];
    if (golden->match[pcr] == MATCH_NONE)
        return true;
    if (!found->known)
        return no(why, size, "its events are wanted, and there is no log whose replay gives it");
    switch (golden->match[pcr]) {
    case MATCH_EXACT:
        return is_exact(want, found, why, size);
    case MATCH_SUBSET:
        return is_subset(want, found, why, size);
    case MATCH_SEQUENCE:
        return is_sequence(want, found, why, size);
    case MATCH_AT:
        return is_at(golden, pcr, found, why, size);
    case MATCH_NONE:
        break;
    }
    return no(why, size, "no such way to match events");
}
