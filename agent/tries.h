/** agent/tries.h: wrong tokens by address: so many in a minute, then none is looked at. Not locked. */
#ifndef CVM_AGENT_TRIES_H
#define CVM_AGENT_TRIES_H

#include "agent/limits.h"

#define TRIES_MAX       5
#define TRIES_WINDOW_MS 60000u

struct tries_row {
    struct address who;
    uint64_t at_ms[TRIES_MAX]; /* the latest wrong ones, a ring */
    unsigned n, next;
};

struct tries {
    size_t n;
    struct tries_row row[RATES_MAX];
};

/** True if the address may try; else after how many seconds it may again, at least 1. */
bool tries_left(const struct tries *t, const struct address *who, uint64_t now_ms, unsigned *retry_after_s);

/** Notes a wrong one; in a full table the address that was wrong longest ago is forgotten. */
void tries_wrong(struct tries *t, const struct address *who, uint64_t now_ms);

#endif
