#include "tee/collateral_cache.h"

#include "base/auto.h"
#include "base/file.h"

#include <sys/stat.h>

int collateral_cache_init(struct collateral_cache *cache, const char *dir, bool make, struct err *err)
{
    struct stat st;
    *cache = (struct collateral_cache){ 0 };
    if (dir && path_set(cache->dir, sizeof(cache->dir), err, "%s", dir) < 0)
        return -1;
    if (dir && !make && (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode)))
        return err_set(err, ERR_NOT_FOUND, 0, "%.200s: there is no such folder", dir);
    if (dir && make && dir_make(dir, 0755, NULL) < 0)
        cache->dir[0] = '\0';
    pthread_mutex_init(&cache->lock, NULL);
    return 0;
}

static size_t size_of(const struct collateral_item *item)
{
    return item->data.n + item->chain.n;
}

/* With the lock held. */
static void forget(struct collateral_cache *cache, struct collateral_memory *m)
{
    cache->used -= size_of(&m->item);
    collateral_item_done(&m->item);
    m->name[0] = '\0';
}

void collateral_cache_done(struct collateral_cache *cache)
{
    for (size_t i = 0; i < COLLATERAL_MEMORY_ITEMS; i++)
        forget(cache, &cache->kept[i]);
    pthread_mutex_destroy(&cache->lock);
}

void collateral_item_done(struct collateral_item *item)
{
    buf_done(&item->data);
    buf_done(&item->chain);
    *item = (struct collateral_item){ 0 };
}

bool collateral_item_copy(struct collateral_item *to, const struct collateral_item *from)
{
    struct collateral_item copy = *from;
    copy.data = buf_new(from->data.n);
    copy.chain = buf_new(from->chain.n);
    buf_put(&copy.data, buf_bytes(&from->data));
    buf_put(&copy.chain, buf_bytes(&from->chain));
    if (copy.data.failed || copy.chain.failed) {
        collateral_item_done(&copy);
        return false;
    }
    *to = copy;
    return true;
}

/* With the lock held. */
static struct collateral_memory *find(struct collateral_cache *cache, const char *name)
{
    for (size_t i = 0; i < COLLATERAL_MEMORY_ITEMS; i++)
        if (cache->kept[i].name[0] && !strcmp(cache->kept[i].name, name))
            return &cache->kept[i];
    return NULL;
}

bool collateral_recall(struct collateral_cache *cache, const char *name, struct collateral_item *out)
{
    pthread_mutex_lock(&cache->lock);
    const struct collateral_memory *m = find(cache, name);
    bool found = m && collateral_item_copy(out, &m->item);
    pthread_mutex_unlock(&cache->lock);
    return found;
}

/* With the lock held: a slot of its own, and room for it among all. */
static struct collateral_memory *room(struct collateral_cache *cache, const char *name, size_t size)
{
    struct collateral_memory *m = find(cache, name);
    if (!m) {
        m = &cache->kept[cache->next];
        cache->next = (cache->next + 1) % COLLATERAL_MEMORY_ITEMS;
    }
    forget(cache, m);
    for (size_t i = 0; cache->used + size > COLLATERAL_MEMORY_MAX && i < COLLATERAL_MEMORY_ITEMS; i++)
        forget(cache, &cache->kept[(cache->next + i) % COLLATERAL_MEMORY_ITEMS]);
    return m;
}

void collateral_remember(struct collateral_cache *cache, const char *name, const struct collateral_item *item)
{
    struct collateral_item copy;
    size_t size = size_of(item), n = strlen(name);
    if (size > COLLATERAL_MEMORY_MAX || n >= COLLATERAL_NAME_MAX || !collateral_item_copy(&copy, item))
        return;
    copy.fetched = copy.expired = false;
    pthread_mutex_lock(&cache->lock);
    struct collateral_memory *m = room(cache, name, size);
    memcpy(m->name, name, n + 1);
    m->item = copy;
    cache->used += size;
    pthread_mutex_unlock(&cache->lock);
}

bool collateral_read_file(const struct collateral_cache *cache, const char *file, size_t max, struct buf *out)
{
    char path[PATH_MAX];
    struct stat st;
    AUTO(free_u8) uint8_t *p = NULL;
    size_t n = 0;
    if (!cache->dir[0] || path_set(path, sizeof(path), NULL, "%s/%s", cache->dir, file) < 0
        || stat(path, &st) < 0 || !S_ISREG(st.st_mode) /* opening anything else may block */
        || file_read(path, max, &p, &n, NULL) < 0)
        return false;
    *out = buf_new(max);
    buf_put(out, bytes_of(p, n));
    return !out->failed;
}

bool collateral_write_file(const struct collateral_cache *cache, const char *file, struct bytes data)
{
    char path[PATH_MAX];
    return cache->dir[0] && path_set(path, sizeof(path), NULL, "%s/%s", cache->dir, file) == 0
           && file_write_atomic(path, data, 0644, NULL) == 0;
}
