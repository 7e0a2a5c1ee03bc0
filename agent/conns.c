#include "agent/conns.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Descriptors above are refused; main raises RLIMIT_NOFILE to this at most. */
#define FD_SLOTS 4096
/* Connections that were ended but that the HTTP library has not closed yet. */
#define ENDING_MAX 512

enum conn_state { CONN_FREE, CONN_IDLE, CONN_BUSY, CONN_ENDING };

struct conn {
    enum conn_state state;
    int tag;
    struct address who;
    uint64_t since_ms;
    unsigned busy_s; /* of CONN_BUSY */
};

struct conns {
    pthread_mutex_t lock;
    bool per_address;
    unsigned open, ending;
    int top; /* no slot in use at or above */
    uint64_t refused, evicted, expired;
    struct conn *slot; /* by descriptor */
};

struct conns *conns_new(bool per_address)
{
    struct conns *c = calloc(1, sizeof(*c));
    struct conn *slot = calloc(FD_SLOTS, sizeof(*slot)); /* untouched pages cost nothing */
    if (!c || !slot) {
        free(c);
        free(slot);
        return NULL;
    }
    c->slot = slot;
    c->per_address = per_address;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void conns_free(struct conns *c)
{
    if (!c)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c->slot);
    free(c);
}

static bool is_open(const struct conn *s)
{
    return s->state == CONN_IDLE || s->state == CONN_BUSY;
}

static void release(struct conns *c, int fd)
{
    struct conn *s = &c->slot[fd];
    c->open -= is_open(s);
    c->ending -= s->state == CONN_ENDING;
    s->state = CONN_FREE;
    while (c->top > 0 && c->slot[c->top - 1].state == CONN_FREE)
        c->top--;
}

/* The slot is still ours, so the descriptor has not been closed: conns_remove() comes first and takes the
 * lock. */
static void end(struct conns *c, int fd)
{
    shutdown(fd, SHUT_RDWR);
    c->slot[fd].state = CONN_ENDING;
    c->open--;
    c->ending++;
}

/* Ends the longest idle connection; of one address unless who is NULL. */
static bool evict(struct conns *c, const struct address *who)
{
    int oldest = -1;
    if (c->ending >= ENDING_MAX)
        return false;
    for (int i = 0; i < c->top; i++) {
        const struct conn *s = &c->slot[i];
        if (s->state == CONN_IDLE && (!who || address_equal(&s->who, who))
            && (oldest < 0 || s->since_ms < c->slot[oldest].since_ms))
            oldest = i;
    }
    if (oldest < 0)
        return false;
    end(c, oldest);
    c->evicted++;
    return true;
}

static unsigned open_of(const struct conns *c, const struct address *who)
{
    unsigned n = 0;
    for (int i = 0; i < c->top; i++)
        n += is_open(&c->slot[i]) && address_equal(&c->slot[i].who, who);
    return n;
}

static bool room(struct conns *c, const struct address *who, const struct limits *limits)
{
    if (c->per_address && open_of(c, who) >= limits->connections_per_address && !evict(c, who))
        return false;
    return c->open < limits->connections || evict(c, NULL);
}

bool conns_add(struct conns *c, int fd, const struct address *who, int tag, const struct limits *limits,
               uint64_t now_ms)
{
    pthread_mutex_lock(&c->lock);
    bool ok = fd >= 0 && fd < FD_SLOTS;
    if (ok) {
        release(c, fd); /* a connection that the library dropped before it had announced it */
        ok = room(c, who, limits);
    }
    if (ok) {
        c->slot[fd] = (struct conn){ CONN_IDLE, tag, *who, now_ms, 0 };
        c->open++;
        c->top = fd + 1 > c->top ? fd + 1 : c->top;
    } else {
        c->refused++;
    }
    pthread_mutex_unlock(&c->lock);
    return ok;
}

bool conns_busy(struct conns *c, int fd, uint64_t now_ms, struct address *who, int *tag)
{
    if (fd < 0 || fd >= FD_SLOTS)
        return false;
    pthread_mutex_lock(&c->lock);
    struct conn *s = &c->slot[fd];
    bool ok = is_open(s);
    if (ok) {
        s->state = CONN_BUSY;
        s->since_ms = now_ms;
        s->busy_s = CONN_BUSY_SECONDS;
        *who = s->who;
        *tag = s->tag;
    }
    pthread_mutex_unlock(&c->lock);
    return ok;
}

void conns_allow(struct conns *c, int fd, unsigned seconds, uint64_t now_ms)
{
    if (fd < 0 || fd >= FD_SLOTS)
        return;
    pthread_mutex_lock(&c->lock);
    if (c->slot[fd].state == CONN_BUSY) {
        c->slot[fd].since_ms = now_ms;
        c->slot[fd].busy_s = seconds;
    }
    pthread_mutex_unlock(&c->lock);
}

void conns_idle(struct conns *c, int fd, uint64_t now_ms)
{
    if (fd < 0 || fd >= FD_SLOTS)
        return;
    pthread_mutex_lock(&c->lock);
    if (c->slot[fd].state == CONN_BUSY) {
        c->slot[fd].state = CONN_IDLE;
        c->slot[fd].since_ms = now_ms;
    }
    pthread_mutex_unlock(&c->lock);
}

void conns_remove(struct conns *c, int fd)
{
    if (fd < 0 || fd >= FD_SLOTS)
        return;
    pthread_mutex_lock(&c->lock);
    release(c, fd);
    pthread_mutex_unlock(&c->lock);
}

unsigned conns_expire(struct conns *c, const struct limits *limits, uint64_t now_ms)
{
    pthread_mutex_lock(&c->lock);
    for (int i = 0; i < c->top; i++) {
        const struct conn *s = &c->slot[i];
        uint64_t allowed_ms = 1000ull * (s->state == CONN_IDLE ? limits->head_seconds : s->busy_s);
        if (is_open(s) && s->since_ms + allowed_ms <= now_ms) {
            end(c, i);
            c->expired++;
        }
    }
    unsigned open = c->open;
    pthread_mutex_unlock(&c->lock);
    return open;
}

void conns_stats_get(struct conns *c, struct conns_stats *out)
{
    struct conns_stats stats = { 0 };
    pthread_mutex_lock(&c->lock);
    stats = (struct conns_stats){ c->open, 0, c->refused, c->evicted, c->expired };
    for (int i = 0; i < c->top; i++)
        stats.busy += c->slot[i].state == CONN_BUSY;
    pthread_mutex_unlock(&c->lock);
    *out = stats;
}
