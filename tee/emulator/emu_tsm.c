#include "tee/emulator/emu_tsm.h"

#include "base/auto.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define NAME_SIZE 128

/* One report folder. As in the kernel, reading compares two counters to see whether the blobs are stale. */
struct entry {
    char name[NAME_SIZE]; /* empty: free */
    uint8_t inblob[TSM_INBLOB];
    size_t inblob_n;
    unsigned privlevel;
    uint64_t written, read; /* write and read generations */
    struct buf out, aux;
};

struct tsm_fs {
    bool present;
    struct tsm_driver driver;
    pthread_mutex_t lock;
    struct entry entries[TSM_ENTRIES];
};

int tsm_fs_new(const struct tsm_driver *driver, struct tsm_fs **out, struct err *err)
{
    struct tsm_fs *fs = calloc(1, sizeof(*fs));
    if (!fs)
        return err_set(err, ERR_IO, 0, "out of memory");
    pthread_mutex_init(&fs->lock, NULL);
    fs->present = driver != NULL;
    if (driver)
        fs->driver = *driver;
    *out = fs;
    return 0;
}

static void entry_clear(struct entry *e)
{
    buf_done(&e->out);
    buf_done(&e->aux);
    *e = (struct entry){ .out = buf_new(TSM_BLOB_MAX), .aux = buf_new(TSM_BLOB_MAX) };
}

void tsm_fs_free(struct tsm_fs *fs)
{
    if (!fs)
        return;
    for (size_t i = 0; i < TSM_ENTRIES; i++)
        entry_clear(&fs->entries[i]);
    pthread_mutex_destroy(&fs->lock);
    free(fs);
}

/* The entry of that name, or NULL. The empty name finds a free one. */
static struct entry *find(struct tsm_fs *fs, const char *name)
{
    for (size_t i = 0; i < TSM_ENTRIES; i++)
        if (!strcmp(fs->entries[i].name, name))
            return &fs->entries[i];
    return NULL;
}

static int fs_make(void *ctx, const char *name)
{
    struct tsm_fs *fs = ctx;
    if (!fs->present)
        return -ENOENT;
    if (!*name || strchr(name, '/'))
        return -EINVAL;
    if (strlen(name) >= NAME_SIZE)
        return -ENAMETOOLONG;
    pthread_mutex_lock(&fs->lock);
    struct entry *e = find(fs, name) ? NULL : find(fs, "");
    int rc = e ? 0 : find(fs, name) ? -EEXIST : -ENOMEM;
    if (e) {
        entry_clear(e);
        memcpy(e->name, name, strlen(name) + 1);
    }
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

static int fs_remove(void *ctx, const char *name)
{
    struct tsm_fs *fs = ctx;
    pthread_mutex_lock(&fs->lock);
    struct entry *e = *name ? find(fs, name) : NULL;
    if (e)
        entry_clear(e);
    pthread_mutex_unlock(&fs->lock);
    return e ? 0 : -ENOENT;
}

/* ---- Attributes ---- */

/* A write that would bring the counters round to "not stale" is refused. */
static int advance(struct entry *e)
{
    if (e->written == e->read - 1)
        return -EBUSY;
    e->written++;
    return 0;
}

static int write_inblob(const struct tsm_fs *fs, struct entry *e, struct bytes data)
{
    (void)fs;
    if (data.n > TSM_INBLOB)
        return -EFBIG;
    int rc = advance(e);
    if (rc == 0) {
        memcpy(e->inblob, data.p, data.n);
        e->inblob_n = data.n;
    }
    return rc;
}

static int write_privlevel(const struct tsm_fs *fs, struct entry *e, struct bytes data)
{
    if (!fs->driver.privlevels)
        return -ENOENT;
    size_t n = data.n && data.p[data.n - 1] == '\n' ? data.n - 1 : data.n;
    if (n != 1 || data.p[0] < '0' || data.p[0] > '3')
        return -EINVAL;
    int rc = advance(e);
    if (rc == 0)
        e->privlevel = (unsigned)(data.p[0] - '0');
    return rc;
}

static int fresh(const struct tsm_fs *fs, struct entry *e)
{
    if (e->inblob_n == 0)
        return -EINVAL;
    if (e->read == e->written && e->out.n)
        return 0;
    if (e->inblob_n != TSM_INBLOB) /* both drivers want it exactly so */
        return -EINVAL;
    e->out.n = e->aux.n = 0;
    int rc = fs->driver.report(fs->driver.ctx, e->inblob, e->privlevel, &e->out, &e->aux);
    if (rc == 0 && (e->out.failed || e->aux.failed))
        rc = -EFBIG;
    if (rc == 0)
        e->read = e->written;
    else
        e->out.n = 0;
    return rc;
}

static int read_blob(struct tsm_fs *fs, struct entry *e, const struct buf *blob, struct bytes *out)
{
    int rc = fresh(fs, e);
    if (rc == 0)
        *out = buf_bytes(blob);
    return rc;
}

static int read_out(struct tsm_fs *fs, struct entry *e, char *text, struct bytes *out)
{
    (void)text;
    return read_blob(fs, e, &e->out, out);
}

static int read_aux(struct tsm_fs *fs, struct entry *e, char *text, struct bytes *out)
{
    (void)text;
    return fs->driver.privlevels ? read_blob(fs, e, &e->aux, out) : -ENOENT;
}

#define TEXT_SIZE 64

static int read_provider(struct tsm_fs *fs, struct entry *e, char *text, struct bytes *out)
{
    (void)e;
    snprintf(text, TEXT_SIZE, "%s\n", fs->driver.name);
    *out = bytes_str(text);
    return 0;
}

static int read_generation(struct tsm_fs *fs, struct entry *e, char *text, struct bytes *out)
{
    (void)fs;
    snprintf(text, TEXT_SIZE, "%" PRIu64 "\n", e->written);
    *out = bytes_str(text);
    return 0;
}

static int read_floor(struct tsm_fs *fs, struct entry *e, char *text, struct bytes *out)
{
    (void)e;
    if (!fs->driver.privlevels)
        return -ENOENT;
    snprintf(text, TEXT_SIZE, "0\n");
    *out = bytes_str(text);
    return 0;
}

/* A missing direction is -EACCES, as open() of a configfs file says it. */
static const struct attribute {
    const char *name;
    int (*write)(const struct tsm_fs *fs, struct entry *e, struct bytes data);
    int (*read)(struct tsm_fs *fs, struct entry *e, char *text, struct bytes *out);
} attributes[] = {
    { "inblob", write_inblob, NULL },        { "outblob", NULL, read_out },
    { "auxblob", NULL, read_aux },           { "provider", NULL, read_provider },
    { "generation", NULL, read_generation }, { "privlevel", write_privlevel, NULL },
    { "privlevel_floor", NULL, read_floor },
};

static const struct attribute *attribute_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
        if (!strcmp(attributes[i].name, name))
            return &attributes[i];
    return NULL;
}

static int fs_write(void *ctx, const char *name, const char *attr, struct bytes data)
{
    struct tsm_fs *fs = ctx;
    const struct attribute *a = attribute_of(attr);
    pthread_mutex_lock(&fs->lock);
    struct entry *e = *name ? find(fs, name) : NULL;
    int rc = !e || !a ? -ENOENT : !a->write ? -EACCES : a->write(fs, e, data);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

static ssize_t fs_read(void *ctx, const char *name, const char *attr, uint8_t *out, size_t max)
{
    struct tsm_fs *fs = ctx;
    const struct attribute *a = attribute_of(attr);
    struct bytes value = bytes_of(NULL, 0);
    char text[TEXT_SIZE];
    pthread_mutex_lock(&fs->lock);
    struct entry *e = *name ? find(fs, name) : NULL;
    ssize_t rc = !e || !a ? -ENOENT : !a->read ? -EACCES : a->read(fs, e, text, &value);
    if (rc == 0)
        rc = value.n > max ? -EFBIG : (ssize_t)value.n;
    if (rc > 0)
        memcpy(out, value.p, value.n);
    pthread_mutex_unlock(&fs->lock);
    return rc;
}

struct tsm_io tsm_fs_io(struct tsm_fs *fs)
{
    return (
        struct tsm_io){ .make = fs_make, .remove = fs_remove, .write = fs_write, .read = fs_read, .ctx = fs };
}
