/* Reading, hashing and copying the files of a workload, in one pass, on all cores. A file is one thread's:
 * its hash is a chain. */
#include "workload/tree_internal.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define BLOCK       (128u << 10) /* stays in the core's cache from read() to hash to write() */
#define THREADS_MAX 64

struct pass {
    struct workload_tree *t;
    size_t *order; /* largest file first: the last ones to end are small */
    int copy;
    uint64_t bytes_max;
    bool skip_images;
    atomic_size_t next;
    atomic_uint_fast64_t bytes;
    atomic_bool stop;
    pthread_mutex_t lock; /* guards err and failed */
    struct err err;
    bool failed;
};

/* ---- one file ---- */

static int write_block(int fd, const uint8_t *p, size_t n, const char *path, struct err *err)
{
    while (n) {
        ssize_t put = write(fd, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_set(err, ERR_IO, (uint32_t)errno, "%.200s: cannot write the private copy: %s", path,
                           strerror(errno));
        p += put;
        n -= (size_t)put;
    }
    return 0;
}

static int stream(struct pass *pass, struct tree_file *f, int in, int out, struct hasher *h, uint8_t *block,
                  struct err *err)
{
    struct digest d;
    uint64_t size = 0;
    if (hasher_begin(h, err) < 0)
        return -1;
    for (;;) {
        ssize_t got = read(in, block, BLOCK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(err, ERR_IO, (uint32_t)errno, "%.200s: cannot read: %s", f->path, strerror(errno));
        if (got == 0)
            break;
        size += (uint64_t)got;
        if (atomic_fetch_add(&pass->bytes, (uint64_t)got) + (uint64_t)got > pass->bytes_max)
            return err_set(err, ERR_TOO_LARGE, 0, "more than %" PRIu64 " bytes in all files",
                           pass->bytes_max);
        if (atomic_load(&pass->stop))
            return err_set(err, ERR_BUSY, 0, "stopped: another file failed");
        if (hasher_put(h, bytes_of(block, (size_t)got), err) < 0
            || (out >= 0 && write_block(out, block, (size_t)got, f->path, err) < 0))
            return -1;
    }
    if (hasher_end(h, &d, err) < 0)
        return -1;
    f->size = size;
    memcpy(f->sha384, d.b, sizeof(f->sha384));
    return 0;
}

static int one_file(struct pass *pass, struct tree_file *f, struct hasher *h, uint8_t *block, struct err *err)
{
    mode_t mode = 0;
    AUTO(close_fd) int out = -1;
    AUTO(close_fd) int in = tree_open_file(pass->t, f->path, &mode, err);
    if (in < 0)
        return -1;
    if (pass->skip_images && f->kind == TREE_IMAGE)
        return 0; /* its size is the listing's */
    (void)posix_fadvise(in, 0, 0, POSIX_FADV_SEQUENTIAL);
    if (pass->copy >= 0) {
        out = open_below(pass->copy, f->path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        if (out < 0 || fchmod(out, mode & 0111 ? 0755 : 0644) < 0)
            return err_set(err, ERR_IO, (uint32_t)errno, "%.200s: cannot make the private copy: %s", f->path,
                           strerror(errno));
    }
    return stream(pass, f, in, out, h, block, err);
}

/* ---- the threads ---- */

static void note_failure(struct pass *pass, const struct err *err)
{
    atomic_store(&pass->stop, true);
    pthread_mutex_lock(&pass->lock);
    if (!pass->failed)
        pass->err = *err;
    pass->failed = true;
    pthread_mutex_unlock(&pass->lock);
}

static void *work(void *arg)
{
    struct pass *pass = arg;
    struct err err = { 0 };
    AUTO(hasher_drop) struct hasher *h = NULL;
    AUTO(free_u8) uint8_t *block = malloc(BLOCK);
    if (!block || hasher_new(ALG_SHA384, &h, &err) < 0) {
        err_set(&err, ERR_IO, ENOMEM, "no memory to hash files");
        note_failure(pass, &err);
        return NULL;
    }
    while (!atomic_load(&pass->stop)) {
        size_t i = atomic_fetch_add(&pass->next, 1);
        if (i >= pass->t->n)
            break;
        if (one_file(pass, &pass->t->files[pass->order[i]], h, block, &err) < 0)
            note_failure(pass, &err);
    }
    return NULL;
}

static int larger_first(const void *a, const void *b, void *arg)
{
    const struct tree_file *files = arg;
    uint64_t x = files[*(const size_t *)a].size, y = files[*(const size_t *)b].size;
    return (x < y) - (x > y);
}

static void free_sizes(size_t **p)
{
    free(*p);
}

static unsigned thread_count(const struct workload_tree *t, const struct tree_limits *limits)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = limits->threads ? limits->threads : cores > 0 ? (size_t)cores : 1;
    n = n < t->n ? n : t->n;
    return n < THREADS_MAX ? (unsigned)n : THREADS_MAX;
}

int tree_hash(struct workload_tree *t, int copy, const struct tree_limits *limits, struct err *err)
{
    AUTO(free_sizes) size_t *order = calloc(t->n ? t->n : 1, sizeof(*order));
    struct pass pass = {
        .t = t, .order = order, .copy = copy, .bytes_max = limits->bytes, .lock = PTHREAD_MUTEX_INITIALIZER
    };
    pthread_t threads[THREADS_MAX];
    unsigned started = 0, wanted = thread_count(t, limits);
    if (!order)
        return err_set(err, ERR_IO, ENOMEM, "no memory to hash files");
    for (size_t i = 0; i < t->n; i++)
        order[i] = i;
    qsort_r(order, t->n, sizeof(*order), larger_first, t->files);
    while (started + 1 < wanted && pthread_create(&threads[started], NULL, work, &pass) == 0)
        started++;
    work(&pass); /* this thread is one of them */
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&pass.lock);
    t->bytes = 0;
    for (size_t i = 0; i < t->n; i++)
        t->bytes += t->files[i].size;
    if (pass.failed && err)
        *err = pass.err;
    return pass.failed ? err_while(err, "read the workload") : 0;
}
