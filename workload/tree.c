#include "workload/tree_internal.h"

#include "base/auto.h"
#include "base/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* ---- life ---- */

void workload_tree_free(struct workload_tree *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n; i++)
        free(t->files[i].path);
    for (size_t i = 0; i < t->folder_count; i++)
        free(t->folders[i]);
    free(t->files);
    free(t->folders);
    free(t->root);
    close_fd(&t->fd);
    free(t);
}

static int open_root(const char *from, struct workload_tree **out, struct err *err)
{
    AUTO(workload_tree_drop) struct workload_tree *t = calloc(1, sizeof(*t));
    if (!t || !(t->root = strdup(from))) {
        if (t)
            t->fd = -1;
        return err_set(err, ERR_IO, ENOMEM, "no memory for a workload");
    }
    t->fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->fd < 0)
        return err_set(err,
                       errno == ENOENT    ? ERR_NOT_FOUND
                       : errno == ENOTDIR ? ERR_INPUT
                                          : ERR_IO,
                       (uint32_t)errno, "%.200s: cannot open the workload directory: %s", from,
                       strerror(errno));
    *out = MOVE(t);
    return 0;
}

static struct tree_limits with_defaults(const struct tree_limits *limits)
{
    struct tree_limits l = limits ? *limits : (struct tree_limits){ 0 };
    l.files = l.files ? l.files : TREE_FILES_MAX;
    l.bytes = l.bytes ? l.bytes : TREE_BYTES_MAX;
    return l;
}

int workload_tree_read(const char *from, const struct tree_limits *limits, struct workload_tree **out,
                       struct err *err)
{
    AUTO(workload_tree_drop) struct workload_tree *t = NULL;
    const struct tree_limits l = with_defaults(limits);
    if (open_root(from, &t, err) < 0 || tree_list(t, &l, err) < 0 || tree_hash(t, -1, &l, err) < 0)
        return -1;
    *out = MOVE(t);
    return 0;
}

/* ---- the copy ---- */

static int make_folders(const struct workload_tree *t, int copy, struct err *err)
{
    for (size_t i = 0; i < t->folder_count; i++) /* parents sort before what is in them */
        if (mkdirat(copy, t->folders[i], 0755) < 0 || fchmodat(copy, t->folders[i], 0755, 0) < 0)
            return err_set(err, ERR_IO, (uint32_t)errno, "%.200s: cannot make the private folder: %s",
                           t->folders[i], strerror(errno));
    return 0;
}

/* Everything that a failed copy may have made. */
static void remove_copy(const struct workload_tree *t, int copy, const char *private_dir)
{
    for (size_t i = 0; i < t->n; i++)
        (void)unlinkat(copy, t->files[i].path, 0);
    for (size_t i = t->folder_count; i > 0; i--)
        (void)unlinkat(copy, t->folders[i - 1], AT_REMOVEDIR);
    (void)rmdir(private_dir);
}

int workload_tree_take(const char *from, const char *private_dir, const struct tree_limits *limits,
                       struct workload_tree **out, struct err *err)
{
    AUTO(workload_tree_drop) struct workload_tree *t = NULL;
    AUTO(free_str) char *root = strdup(private_dir);
    AUTO(close_fd) int copy = -1;
    const struct tree_limits l = with_defaults(limits);
    if (!root)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a workload");
    if (open_root(from, &t, err) < 0 || tree_list(t, &l, err) < 0)
        return -1;
    if (mkdir(private_dir, 0700) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "%.200s: cannot make the private folder: %s",
                       private_dir, strerror(errno));
    copy = open(private_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (copy < 0)
        err_set(err, ERR_IO, (uint32_t)errno, "%.200s: cannot open: %s", private_dir, strerror(errno));
    if (copy < 0 || make_folders(t, copy, err) < 0 || tree_hash(t, copy, &l, err) < 0) {
        remove_copy(t, copy, private_dir);
        return -1;
    }
    close_fd(&t->fd); /* from here on nobody can read the disk through this tree */
    t->fd = copy;
    copy = -1;
    free(t->root);
    t->root = MOVE(root);
    *out = MOVE(t);
    return 0;
}

/* ---- looking up ---- */

static int compare_path(const void *key, const void *item)
{
    return strcmp(key, ((const struct tree_file *)item)->path);
}

static int compare_folder(const void *key, const void *item)
{
    return strcmp(key, *(char *const *)item);
}

const struct tree_file *workload_tree_find(const struct workload_tree *t, const char *path)
{
    return t->n ? bsearch(path, t->files, t->n, sizeof(*t->files), compare_path) : NULL;
}

bool workload_tree_has_folder(const struct workload_tree *t, const char *path)
{
    return t->folder_count
           && bsearch(path, t->folders, t->folder_count, sizeof(*t->folders), compare_folder) != NULL;
}

bool workload_tree_has_settings(const struct workload_tree *t)
{
    for (size_t i = 0; i < t->n; i++) {
        if (t->files[i].kind == TREE_CONFIG || t->files[i].kind == TREE_ENV)
            return true;
    }
    return false;
}

int workload_tree_open(const struct workload_tree *t, const char *path, struct err *err)
{
    if (!workload_tree_find(t, path))
        return err_set(err, ERR_NOT_FOUND, 0, "%.200s is not in the workload", path);
    return tree_open_file(t, path, NULL, err);
}

int workload_tree_load(const struct workload_tree *t, const char *path, size_t max, struct buf *out,
                       struct err *err)
{
    const struct tree_file *f = workload_tree_find(t, path);
    AUTO(close_fd) int fd = workload_tree_open(t, path, err);
    uint8_t sum[48];
    if (fd < 0)
        return -1;
    if (f->size > max || f->size > SIZE_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "%.200s: more than %zu bytes", path, max);
    size_t start = out->n, size = (size_t)f->size, done = 0;
    uint8_t *p = buf_room(out, size);
    if (!p)
        return buf_check(out, "file of the workload", err);
    while (done < size) {
        ssize_t got = read(fd, p + done, size - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(err, ERR_IO, (uint32_t)errno, "%.200s: cannot read: %s", path, strerror(errno));
        if (got == 0)
            break;
        done += (size_t)got;
    }
    sha384(bytes_of(p, done), sum);
    if (done == size && !memcmp(sum, f->sha384, sizeof(sum)))
        return 0;
    out->n = start;
    return err_set(err, ERR_DENIED, 0, "%.200s: changed since it was measured", path);
}
