#include "evidence/verify_cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* Entries are few and compared by 32 bytes: a walk costs less than one signature by far. */
struct entry {
    uint8_t key[32];
    void *object; /* NULL: free */
    verify_cache_free_fn *release;
    unsigned holders;
    uint64_t used;
};

struct verify_cache {
    pthread_mutex_t lock;
    uint64_t clock;
    size_t n;
    struct entry entry[];
};

int verify_cache_new(size_t entries, struct verify_cache **out, struct err *err)
{
    struct verify_cache *c = calloc(1, sizeof(*c) + entries * sizeof(c->entry[0]));
    if (!c)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the cache of chains");
    pthread_mutex_init(&c->lock, NULL);
    c->n = entries;
    *out = c;
    return 0;
}

void verify_cache_free(struct verify_cache *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++)
        if (c->entry[i].object)
            c->entry[i].release(c->entry[i].object);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static struct entry *find(struct verify_cache *c, const uint8_t *key)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->entry[i].object && !memcmp(c->entry[i].key, key, sizeof(c->entry[i].key)))
            return &c->entry[i];
    return NULL;
}

static void hold(struct verify_cache *c, struct entry *e, struct verify_held *out)
{
    e->holders++;
    e->used = ++c->clock;
    *out = (struct verify_held){ e->object, e->release, c, e };
}

bool verify_cache_get(struct verify_cache *c, const uint8_t key[static 32], struct verify_held *out)
{
    if (!c)
        return false;
    pthread_mutex_lock(&c->lock);
    struct entry *e = find(c, key);
    if (e)
        hold(c, e, out);
    pthread_mutex_unlock(&c->lock);
    return e != NULL;
}

/* A free place, or that of the object not used for longest and held by nobody; NULL: all are held. */
static struct entry *place(struct verify_cache *c)
{
    struct entry *best = NULL;
    for (size_t i = 0; i < c->n; i++) {
        struct entry *e = &c->entry[i];
        if (!e->object)
            return e;
        if (!e->holders && (!best || e->used < best->used))
            best = e;
    }
    return best;
}

void verify_cache_add(struct verify_cache *c, const uint8_t key[static 32], void *object,
                      verify_cache_free_fn *release, struct verify_held *out)
{
    void *leaving = NULL;
    verify_cache_free_fn *leaving_release = release;
    *out = (struct verify_held){ object, release, NULL, NULL };
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    struct entry *e = find(c, key);
    if (e) {
        leaving = object;
        hold(c, e, out);
    } else if ((e = place(c))) {
        leaving = e->object;
        leaving_release = e->object ? e->release : release;
        *e = (struct entry){ .object = object, .release = release };
        memcpy(e->key, key, sizeof(e->key));
        hold(c, e, out);
    }
    pthread_mutex_unlock(&c->lock);
    if (leaving)
        leaving_release(leaving);
}

void verify_held_done(struct verify_held *h)
{
    if (h->cache) {
        struct entry *e = h->entry;
        pthread_mutex_lock(&h->cache->lock);
        e->holders--;
        pthread_mutex_unlock(&h->cache->lock);
    } else if (h->object) {
        h->release(h->object);
    }
    *h = (struct verify_held){ NULL, NULL, NULL, NULL };
}
