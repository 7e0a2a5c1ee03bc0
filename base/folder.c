#include "base/folder.h"

#include "base/auto.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define CHUNK (1u << 20)

int medium_failed(const char *what, const char *path, struct err *err)
{
    int e = errno;
    bool state = e == EROFS || e == ENOSPC || e == EDQUOT || e == EACCES || e == EPERM;
    return err_set(err, state ? ERR_UNAVAILABLE : ERR_IO, (uint32_t)e, "cannot %s %.120s: %s", what, path,
                   strerror(e));
}

static void close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

/* The next member but "." and ".."; NULL at the end, or with errno. */
static const struct dirent *next_member(DIR *dir)
{
    const struct dirent *e;
    do {
        errno = 0;
        e = readdir(dir);
    } while (e && (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")));
    return e;
}

/* ---- opening ---- */

/* Without openat2: each component by itself, none of them a symbolic link. */
static int open_by_steps(int folder, const char *path, int flags, mode_t mode)
{
    char part[NAME_MAX + 1];
    AUTO(close_fd) int at = -1;
    for (const char *p = path;;) {
        size_t n = strcspn(p, "/");
        if (n == 0 || n > NAME_MAX || (n == 2 && p[0] == '.' && p[1] == '.')) {
            errno = EINVAL;
            return -1;
        }
        memcpy(part, p, n);
        part[n] = '\0';
        bool last = !p[n];
        int next = openat(at < 0 ? folder : at, part,
                          last ? flags | O_NOFOLLOW : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, mode);
        if (last || next < 0)
            return next;
        close_fd(&at);
        at = next;
        p += n + 1;
    }
}

int open_below(int folder, const char *path, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK),
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, folder, path, &how, sizeof(how));
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return open_by_steps(folder, path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, mode);
    return fd;
}

/* ---- copying ---- */

static int write_all(int to, const uint8_t *p, size_t n, const char *name, struct err *err)
{
    while (n) {
        ssize_t put = write(to, p, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return medium_failed("write", name, err);
        p += put;
        n -= (size_t)put;
    }
    return 0;
}

int file_copy(int from, int to, uint64_t max, const char *name, uint64_t *copied, struct err *err)
{
    AUTO(free_u8) uint8_t *chunk = malloc(CHUNK);
    uint64_t done = 0;
    if (!chunk)
        return err_set(err, ERR_IO, ENOMEM, "no memory to copy");
    for (;;) {
        ssize_t n = read(from, chunk, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return medium_failed("read", name, err);
        if (n == 0)
            break;
        if ((uint64_t)n > max - done)
            return err_set(err, ERR_TOO_LARGE, 0, "%.120s: more bytes than allowed", name);
        if (write_all(to, chunk, (size_t)n, name, err) < 0)
            return -1;
        done += (uint64_t)n;
    }
    if (copied)
        *copied = done;
    return 0;
}

struct copying {
    size_t entries; /* what is left of the limits */
    uint64_t bytes;
};

static int copy_file(struct copying *c, int from, int into, const char *name, struct err *err)
{
    struct stat st;
    uint64_t copied;
    AUTO(close_fd) int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (in < 0 || fstat(in, &st) < 0)
        return medium_failed("open", name, err);
    if (!S_ISREG(st.st_mode) || st.st_nlink > 1)
        return err_set(err, ERR_INPUT, 0, "%.120s: not a regular file without hard links", name);
    mode_t mode = st.st_mode & S_IXUSR ? 0755 : 0644;
    AUTO(close_fd) int out = openat(into, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (out < 0 || fchmod(out, mode) < 0)
        return medium_failed("make", name, err);
    if (file_copy(in, out, c->bytes, name, &copied, err) < 0)
        return -1;
    c->bytes -= copied;
    return fsync(out) < 0 ? medium_failed("sync", name, err) : 0;
}

static int copy_members(struct copying *c, int from, int into, unsigned depth, struct err *err);

static int copy_folder(struct copying *c, int from, int into, const char *name, unsigned depth,
                       struct err *err)
{
    if (depth == FOLDER_DEPTH_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "more than %d folders deep", FOLDER_DEPTH_MAX);
    AUTO(close_fd) int in = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (in < 0)
        return medium_failed("open", name, err);
    if (mkdirat(into, name, 0755) < 0)
        return medium_failed("make the folder", name, err);
    AUTO(close_fd) int out = openat(into, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (out < 0 || fchmod(out, 0755) < 0)
        return medium_failed("make the folder", name, err);
    return copy_members(c, in, out, depth + 1, err);
}

static int copy_member(struct copying *c, int from, int into, const char *name, unsigned depth,
                       struct err *err)
{
    struct stat st;
    if (c->entries == 0)
        return err_set(err, ERR_TOO_LARGE, 0, "more files and folders than allowed");
    c->entries--;
    if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return medium_failed("look at", name, err);
    if (S_ISDIR(st.st_mode))
        return copy_folder(c, from, into, name, depth, err);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INPUT, 0, "%.120s: neither a file nor a folder", name);
    return copy_file(c, from, into, name, err);
}

static int copy_members(struct copying *c, int from, int into, unsigned depth, struct err *err)
{
    int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO(close_dir) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *e;
    if (!dir) {
        int rc = medium_failed("read", "a folder", err);
        close_fd(&fd);
        return rc;
    }
    while ((e = next_member(dir))) {
        if (copy_member(c, from, into, e->d_name, depth, err) < 0)
            return -1;
    }
    if (errno)
        return medium_failed("read", "a folder", err);
    return fsync(into) < 0 ? medium_failed("sync", "a folder", err) : 0;
}

int folder_copy(int from, int into, const struct folder_limits *limits, struct err *err)
{
    struct copying c = { limits->entries, limits->bytes };
    return copy_members(&c, from, into, 0, err);
}

/* ---- removing ---- */

static int failed(const char *what, const char *name, struct err *err)
{
    int e = errno;
    return err_set(err, ERR_IO, (uint32_t)e, "cannot %s %.120s: %s", what, name, strerror(e));
}

static int remove_below(int parent, const char *name, unsigned depth, struct err *err);

static int remove_members(int fd, unsigned depth, struct err *err)
{
    AUTO(close_dir) DIR *dir = fdopendir(fd);
    const struct dirent *e;
    if (!dir) {
        close(fd);
        return failed("read", "a folder", err);
    }
    while ((e = next_member(dir))) {
        if (unlinkat(dirfd(dir), e->d_name, 0) == 0 || errno == ENOENT)
            continue;
        if (errno != EISDIR && errno != EPERM)
            return failed("remove", e->d_name, err);
        if (remove_below(dirfd(dir), e->d_name, depth + 1, err) < 0)
            return -1;
    }
    return errno ? failed("read", "a folder", err) : 0;
}

static int remove_below(int parent, const char *name, unsigned depth, struct err *err)
{
    if (depth > FOLDER_DEPTH_MAX)
        return err_set(err, ERR_IO, 0, "%.100s lies too deep to be removed", name);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : failed("open", name, err);
    if (remove_members(fd, depth, err) < 0) /* closes fd */
        return -1;
    if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return failed("remove", name, err);
    return 0;
}

int folder_remove(int parent, const char *name, struct err *err)
{
    return remove_below(parent, name, 0, err);
}
