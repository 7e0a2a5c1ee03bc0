/* Which files a workload directory has, and that nothing else is in it. */
#include "workload/tree_internal.h"

#include "base/auto.h"
#include "base/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>

/* ---- what may be there ---- */

static int refuse(struct err *err, const char *path, const char *what)
{
    return err_set(err, ERR_INPUT, 0, "%.200s: %s", path, what);
}

static const char *odd_type(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFLNK:
        return "a symbolic link: put the file itself there";
    case S_IFCHR:
    case S_IFBLK:
        return "a device: a workload has regular files and folders only";
    case S_IFIFO:
    case S_IFSOCK:
        return "a pipe or socket: a workload has regular files and folders only";
    default:
        return "neither a file nor a folder";
    }
}

int tree_open_file(const struct workload_tree *t, const char *path, mode_t *mode, struct err *err)
{
    struct stat st;
    AUTO(close_fd) int fd = open_below(t->fd, path, O_RDONLY, 0);
    if (fd < 0 && errno == ELOOP)
        return refuse(err, path, odd_type(S_IFLNK));
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "%.200s: cannot open: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return refuse(err, path, odd_type(st.st_mode));
    if (st.st_nlink > 1)
        return refuse(err, path, "has hard links: copy the file instead");
    if (mode)
        *mode = st.st_mode;
    int out = fd;
    fd = -1;
    return out;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n > m && !strcmp(s + n - m, end);
}

/* What a name at the top, or below a top folder, is. @return -1: it does not belong there */
static int kind_of(const char *path, bool folder)
{
    bool config = !strncmp(path, "config", 6) && (path[6] == '/' || !path[6]);
    bool secrets = !strncmp(path, "secrets", 7) && (path[7] == '/' || !path[7]);
    bool top = !strchr(path, '/');
    if (config || secrets)
        return top == folder || !top ? (config ? TREE_CONFIG : TREE_SECRET) : -1;
    if (folder || !top)
        return -1;
    if (!strcmp(path, "docker-compose.yml"))
        return TREE_COMPOSE;
    if (!strcmp(path, ".env"))
        return TREE_ENV;
    return ends_with(path, ".tar") ? TREE_IMAGE : -1;
}

static bool is_utf8(const char *name)
{
    json_t *v = json_string(name);
    json_decref(v);
    return v != NULL;
}

/* ---- the walk ---- */

struct walk {
    struct workload_tree *t;
    size_t max, file_cap, folder_cap;
    uint64_t bytes_max;
    bool any_name;
    char path[TREE_PATH_MAX + 1];
};

static bool grow(void **items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return true;
    size_t bigger = *cap ? 2 * *cap : 64;
    void *p = realloc(*items, bigger * size);
    if (!p)
        return false;
    *items = p;
    *cap = bigger;
    return true;
}

static int add(struct walk *w, int kind, bool folder, uint64_t size, struct err *err)
{
    struct workload_tree *t = w->t;
    char *path = strdup(w->path);
    if (t->n + t->folder_count >= w->max) {
        free(path);
        return err_set(err, ERR_TOO_LARGE, 0, "more than %zu files and folders", w->max);
    }
    if (!path
        || !(folder ? grow((void **)&t->folders, t->folder_count, &w->folder_cap, sizeof(*t->folders))
                    : grow((void **)&t->files, t->n, &w->file_cap, sizeof(*t->files)))) {
        free(path);
        return err_set(err, ERR_IO, ENOMEM, "no memory for the listing");
    }
    if (folder) {
        t->folders[t->folder_count++] = path;
        return 0;
    }
    t->files[t->n++] = (struct tree_file){ .path = path, .kind = (enum tree_kind)kind, .size = size };
    t->bytes += size;
    if (t->bytes > w->bytes_max)
        return err_set(err, ERR_TOO_LARGE, 0, "more than %" PRIu64 " bytes in all files", w->bytes_max);
    return 0;
}

static int walk_folder(struct walk *w, size_t length, unsigned depth, struct err *err);

static int walk_entry(struct walk *w, int folder_fd, const char *name, size_t length, unsigned depth,
                      struct err *err)
{
    struct stat st;
    size_t n = strlen(name);
    if (n + 2 > TREE_PATH_MAX - length)
        return err_set(err, ERR_TOO_LARGE, 0, "%.120s...: a path is longer than %d bytes", w->path,
                       TREE_PATH_MAX);
    if (!is_utf8(name))
        return refuse(err, length ? w->path : ".", "a name in it is not UTF-8");
    if (length)
        w->path[length++] = '/';
    memcpy(w->path + length, name, n + 1);
    length += n;
    if (fstatat(folder_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "%.200s: %s", w->path, strerror(errno));
    bool folder = S_ISDIR(st.st_mode);
    int kind = kind_of(w->path, folder);
    if (!folder && !S_ISREG(st.st_mode))
        return refuse(err, w->path, odd_type(st.st_mode));
    if (!folder && st.st_nlink > 1)
        return refuse(err, w->path, "has hard links: copy the file instead");
    if (kind < 0 && w->any_name)
        kind = TREE_OTHER;
    if (kind < 0)
        return refuse(err, w->path,
                      "does not belong here: a workload has docker-compose.yml, .env, config/, secrets/ and "
                      "image .tar files beside docker-compose.yml");
    if (add(w, kind, folder, folder ? 0 : (uint64_t)st.st_size, err) < 0)
        return -1;
    return folder ? walk_folder(w, length, depth + 1, err) : 0;
}

static void close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

static int walk_folder(struct walk *w, size_t length, unsigned depth, struct err *err)
{
    if (depth > TREE_DEPTH_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "%.120s...: more than %d folders deep", w->path,
                       TREE_DEPTH_MAX);
    int fd = open_below(w->t->fd, length ? w->path : ".", O_RDONLY | O_DIRECTORY, 0);
    AUTO(close_dir) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int e = errno;
        close_fd(&fd);
        return err_set(err, ERR_IO, (uint32_t)e, "%.200s: cannot open the folder: %s", length ? w->path : ".",
                       strerror(e));
    }
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(dir);
        if (!e && errno)
            return err_set(err, ERR_IO, (uint32_t)errno, "cannot read a folder: %s", strerror(errno));
        if (!e)
            return 0;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (walk_entry(w, fd, e->d_name, length, depth, err) < 0)
            return -1;
        w->path[length] = '\0';
    }
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct tree_file *)a)->path, ((const struct tree_file *)b)->path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int tree_list(struct workload_tree *t, const struct tree_limits *limits, struct err *err)
{
    struct walk w = {
        .t = t, .max = limits->files, .bytes_max = limits->bytes, .any_name = limits->any_name
    };
    if (walk_folder(&w, 0, 0, err) < 0)
        return err_while(err, "list the workload");
    if (t->n)
        qsort(t->files, t->n, sizeof(*t->files), by_path);
    if (t->folder_count)
        qsort(t->folders, t->folder_count, sizeof(*t->folders), by_name);
    return 0;
}
