/* The store's memory and its disk cache. Both hold unverified material; what comes from disk is checked
 * against the key by the caller, so a damaged or exchanged file is as good as none. */
#include "base/auto.h"
#include "base/file.h"
#include "tee/vek_store.h"

#include <stdlib.h>
#include <string.h>

static bool copy_buf(struct buf *to, const struct buf *from)
{
    *to = buf_new(CERT_MAX);
    buf_put(to, buf_bytes(from));
    return !to->failed;
}

static bool copy_certs(struct vek_certs *to, const struct vek_certs *from)
{
    AUTO(vek_certs_done) struct vek_certs c = { .chain_n = from->chain_n };
    if (!copy_buf(&c.vek, &from->vek) || !copy_buf(&c.chain[0], &from->chain[0])
        || !copy_buf(&c.chain[1], &from->chain[1]))
        return false;
    *to = c;
    c = (struct vek_certs){ 0 };
    return true;
}

bool memory_get(struct vek_store *s, const char *name, const uint8_t *table, struct vek_certs *out)
{
    bool found = false;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < VEK_MEMORY_MAX && !found; i++) {
        const struct vek_memory *m = &s->vek[i];
        if (m->certs.vek.n && !strcmp(m->name, name) && (!table || !memcmp(m->table, table, STORE_DIGEST)))
            found = copy_certs(out, &m->certs);
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

/* The slot of this name and table, else the next in turn, emptied. */
static struct vek_memory *slot_for(struct vek_store *s, const char *name, const uint8_t *table)
{
    for (size_t i = 0; i < VEK_MEMORY_MAX; i++)
        if (s->vek[i].certs.vek.n && !strcmp(s->vek[i].name, name)
            && !memcmp(s->vek[i].table, table, STORE_DIGEST))
            return &s->vek[i];
    struct vek_memory *m = &s->vek[s->vek_next];
    s->vek_next = (s->vek_next + 1) % VEK_MEMORY_MAX;
    return m;
}

/* A chain that arrived later serves the entries that had the same certificate without one. */
static void share_chain(struct vek_memory *m, const char *name, const struct vek_certs *certs)
{
    if (certs->chain_n == 0 || m->certs.chain_n || strcmp(m->name, name) != 0
        || !bytes_equal(buf_bytes(&m->certs.vek), buf_bytes(&certs->vek)))
        return;
    vek_certs_done(&m->certs);
    (void)copy_certs(&m->certs, certs);
}

void memory_put(struct vek_store *s, const char *name, const uint8_t table[static STORE_DIGEST],
                const struct vek_certs *certs)
{
    struct vek_certs copy;
    if (!copy_certs(&copy, certs))
        return;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < VEK_MEMORY_MAX; i++)
        share_chain(&s->vek[i], name, certs);
    struct vek_memory *m = slot_for(s, name, table);
    vek_certs_done(&m->certs);
    m->certs = copy;
    memcpy(m->table, table, STORE_DIGEST);
    memcpy(m->name, name, strlen(name) + 1); /* a key's name: FLIGHT_KEY_SIZE at most */
    pthread_mutex_unlock(&s->lock);
}

static bool file_of(const struct vek_store *s, const char *name, char out[static PATH_MAX])
{
    return s->cache_dir[0] && path_set(out, PATH_MAX, NULL, "%s/%s.der", s->cache_dir, name) == 0;
}

size_t disk_get(const struct vek_store *s, const char *name, X509 **out, size_t max)
{
    char path[PATH_MAX];
    AUTO(free_u8) uint8_t *p = NULL;
    size_t size = 0;
    if (!file_of(s, name, path) || file_read(path, STORE_FILE_MAX, &p, &size, NULL) < 0)
        return 0;
    int n = x509_parse_chain(bytes_of(p, size), out, max, NULL);
    return n < 0 ? 0 : (size_t)n;
}

void disk_put(const struct vek_store *s, const char *name, X509 *const *certs, size_t n)
{
    char path[PATH_MAX];
    AUTO(buf_done) struct buf b = buf_new(STORE_FILE_MAX);
    if (!file_of(s, name, path))
        return;
    for (size_t i = 0; i < n; i++)
        if (x509_put_der(certs[i], &b, NULL) < 0)
            return;
    if (file_write_atomic(path, buf_bytes(&b), 0644, NULL) < 0)
        unlink(path); /* nothing is better than an old one of that name */
}
