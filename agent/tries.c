#include "agent/tries.h"

static const struct tries_row *find(const struct tries *t, const struct address *who)
{
    for (size_t i = 0; i < t->n; i++) {
        if (address_equal(&t->row[i].who, who))
            return &t->row[i];
    }
    return NULL;
}

/* When the row was wrong last. */
static uint64_t last(const struct tries_row *row)
{
    return row->at_ms[(row->next + TRIES_MAX - 1) % TRIES_MAX];
}

bool tries_left(const struct tries *t, const struct address *who, uint64_t now_ms, unsigned *retry_after_s)
{
    const struct tries_row *row = find(t, who);
    if (!row || row->n < TRIES_MAX)
        return true;
    uint64_t free_at = row->at_ms[row->next] + TRIES_WINDOW_MS; /* next is the oldest of a full ring */
    if (free_at <= now_ms)
        return true;
    *retry_after_s = (unsigned)((free_at - now_ms + 999) / 1000);
    return false;
}

void tries_wrong(struct tries *t, const struct address *who, uint64_t now_ms)
{
    struct tries_row *row = (struct tries_row *)(uintptr_t)find(t, who);
    if (!row && t->n < RATES_MAX) {
        row = &t->row[t->n++];
        *row = (struct tries_row){ .who = *who };
    }
    if (!row) {
        row = &t->row[0];
        for (size_t i = 1; i < t->n; i++) {
            if (last(&t->row[i]) < last(row))
                row = &t->row[i];
        }
        *row = (struct tries_row){ .who = *who };
    }
    row->at_ms[row->next] = now_ms;
    row->next = (row->next + 1) % TRIES_MAX;
    row->n += row->n < TRIES_MAX;
}
