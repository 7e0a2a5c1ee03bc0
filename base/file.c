#include "base/file.h"

#include "base/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int refuse(struct err *err, const char *path, const char *verb)
{
    int e = errno;
    return err_set(err, e == ENOENT || e == ENOTDIR ? ERR_NOT_FOUND : ERR_IO, (uint32_t)e,
                   "%s: cannot %s: %s", path, verb, strerror(e));
}

int file_read(const char *path, size_t max, uint8_t **out, size_t *n, struct err *err)
{
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return refuse(err, path, "open");
    struct stat st;
    if (fstat(fd, &st) < 0)
        return refuse(err, path, "stat");
    if (S_ISDIR(st.st_mode))
        return err_set(err, ERR_INPUT, EISDIR, "%s: is a folder, not a file", path);
    size_t cap = st.st_size > 0 && (uint64_t)st.st_size < max ? (size_t)st.st_size + 1 : 4096, used = 0;
    AUTO(free_u8) uint8_t *p = malloc(cap + 1);
    while (p) {
        ssize_t got = read(fd, p + used, cap - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return refuse(err, path, "read");
        used += (size_t)got;
        if (used > max)
            return err_set(err, ERR_TOO_LARGE, 0, "%s: more than %zu bytes", path, max);
        if (got == 0) {
            p[used] = '\0';
            *n = used;
            *out = MOVE(p);
            return 0;
        }
        if (used == cap) {
            cap *= 2;
            uint8_t *bigger = realloc(p, cap + 1);
            if (!bigger)
                break;
            p = bigger;
        }
    }
    return err_set(err, ERR_IO, ENOMEM, "%s: no memory for its contents", path);
}

int file_read_line(const char *path, char *out, size_t size, struct err *err)
{
    AUTO(free_u8) uint8_t *p = NULL;
    size_t n = 0;
    if (file_read(path, size - 1, &p, &n, err) < 0)
        return -1;
    while (n && strchr(" \t\r\n", p[n - 1]))
        n--;
    memcpy(out, p, n);
    out[n] = '\0';
    return 0;
}

static int write_all(int fd, struct bytes data)
{
    for (size_t done = 0; done < data.n;) {
        ssize_t put = write(fd, data.p + done, data.n - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -1;
        done += (size_t)put;
    }
    return 0;
}

static int sync_folder_of(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= sizeof(folder))
        return -1;
    memcpy(folder, path, n);
    folder[n] = '\0';
    AUTO(close_fd) int fd = open(n ? folder : slash ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -1 : 0;
}

int file_write_atomic(const char *path, struct bytes data, mode_t mode, struct err *err)
{
    char tmp[PATH_MAX];
    if (path_set(tmp, sizeof(tmp), err, "%s.XXXXXX", path) < 0)
        return -1;
    AUTO(close_fd) int fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0)
        return refuse(err, path, "create a file beside it");
    if (write_all(fd, data) < 0 || fchmod(fd, mode) < 0 || fsync(fd) < 0 || rename(tmp, path) < 0) {
        int rc = refuse(err, path, "write");
        unlink(tmp);
        return rc;
    }
    return sync_folder_of(path) < 0 ? refuse(err, path, "sync the folder of") : 0;
}

int dir_make(const char *path, mode_t mode, struct err *err)
{
    char parent[PATH_MAX];
    if (mkdir(path, mode) == 0 || errno == EEXIST)
        return 0;
    if (errno == ENOENT && path_set(parent, sizeof(parent), err, "%s", path) == 0) {
        char *slash = strrchr(parent, '/');
        if (slash && slash != parent) {
            *slash = '\0';
            if ((mkdir(parent, mode) == 0 || errno == EEXIST) && mkdir(path, mode) == 0)
                return 0;
        }
    }
    return refuse(err, path, "create the folder");
}

int path_set(char *out, size_t size, struct err *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(out, size, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= size)
        return err_set(err, ERR_TOO_LARGE, ENAMETOOLONG, "a path is longer than %zu bytes", size);
    return 0;
}
