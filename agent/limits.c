#include "agent/limits.h"

#include "base/auto.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN 1000u /* a bucket counts in thousandths, so that a millisecond adds whole numbers */

struct bucket {
    struct address who;
    uint64_t seen_ms;
    uint64_t tokens;
};

/* Scanned from end to end: a thousand comparisons of 16 bytes are nothing beside one TPM quote. */
struct rates {
    pthread_mutex_t lock;
    size_t n;
    struct bucket bucket[RATES_MAX];
};

struct address address_of(const struct sockaddr_storage *peer)
{
    struct address a = { { 0 } };
    if (peer->ss_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, peer, sizeof(v4));
        memset(a.b + 10, 0xFF, 2);
        memcpy(a.b + 12, &v4.sin_addr, 4);
    } else if (peer->ss_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, peer, sizeof(v6));
        memcpy(a.b, &v6.sin6_addr, IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr) ? 16 : 8);
    }
    return a;
}

struct rates *rates_new(void)
{
    struct rates *r = calloc(1, sizeof(*r));
    if (r)
        pthread_mutex_init(&r->lock, NULL);
    return r;
}

void rates_free(struct rates *r)
{
    if (!r)
        return;
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* The address's bucket: found, new, or in the place of the one unused for longest. */
static struct bucket *bucket_of(struct rates *r, const struct address *who, const struct limits *limits,
                                uint64_t now_ms)
{
    struct bucket *oldest = &r->bucket[0];
    for (size_t i = 0; i < r->n; i++) {
        if (address_equal(&r->bucket[i].who, who))
            return &r->bucket[i];
        if (r->bucket[i].seen_ms < oldest->seen_ms)
            oldest = &r->bucket[i];
    }
    if (r->n < RATES_MAX)
        oldest = &r->bucket[r->n++];
    *oldest = (struct bucket){ *who, now_ms, (uint64_t)limits->evidence_burst * TOKEN };
    return oldest;
}

bool rates_take(struct rates *r, const struct address *who, const struct limits *limits, uint64_t now_ms,
                unsigned *retry_after_s)
{
    const uint64_t full = (uint64_t)limits->evidence_burst * TOKEN, rate = limits->evidence_per_second;
    pthread_mutex_lock(&r->lock);
    struct bucket *b = bucket_of(r, who, limits, now_ms);
    uint64_t passed = now_ms > b->seen_ms ? now_ms - b->seen_ms : 0;
    if (passed > full) /* long enough to fill at the slowest rate there is, one a second */
        passed = full;
    b->tokens = b->tokens + passed * rate > full ? full : b->tokens + passed * rate;
    b->seen_ms = now_ms;
    bool ok = b->tokens >= TOKEN;
    if (ok)
        b->tokens -= TOKEN;
    else
        *retry_after_s = (unsigned)((TOKEN - b->tokens + rate * 1000 - 1) / (rate * 1000));
    pthread_mutex_unlock(&r->lock);
    return ok;
}
