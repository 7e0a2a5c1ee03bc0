#include "workload/zip.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK (64u << 10)

/* ---- one file's bytes ---- */

static int broken(struct err *err, const char *why)
{
    return err_set(err, ERR_INPUT, 0, "a file of the zip cannot be unpacked: %s", why);
}

struct unpacking {
    const struct zip_entry *entry;
    zip_sink *sink;
    void *arg;
    uint64_t done;
    uLong crc;
};

static int pass_on(struct unpacking *u, struct bytes data, struct err *err)
{
    if (data.n > u->entry->size - u->done)
        return broken(err, "it is longer than the directory says");
    u->crc = crc32(u->crc, data.p, (uInt)data.n);
    u->done += data.n;
    return data.n ? u->sink(u->arg, data, err) : 0;
}

static int unpack_stored(struct unpacking *u, struct err *err)
{
    struct reader r = reader_of(u->entry->data);
    while (r.rest.n) {
        struct bytes part;
        if (!rd_take(&r, r.rest.n < CHUNK ? r.rest.n : CHUNK, &part) || pass_on(u, part, err) < 0)
            return -1;
    }
    return 0;
}

/* The packed bytes must end where the stream does. */
static int inflate_all(struct unpacking *u, z_stream *z, uint8_t *out, struct err *err)
{
    int rc = Z_OK;
    z->next_in = (Bytef *)(uintptr_t)u->entry->data.p;
    z->avail_in = (uInt)u->entry->data.n; /* below 4 GiB: zip_parse() saw to it */
    while (rc == Z_OK) {
        z->next_out = out;
        z->avail_out = CHUNK;
        rc = inflate(z, Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_STREAM_END)
            return broken(err, "its deflated data is damaged or cut short");
        if (pass_on(u, bytes_of(out, CHUNK - z->avail_out), err) < 0)
            return -1;
    }
    return z->avail_in ? broken(err, "there are bytes after its deflated data") : 0;
}

static int unpack_deflated(struct unpacking *u, struct err *err)
{
    AUTO(free_u8) uint8_t *out = malloc(CHUNK);
    z_stream z = { 0 };
    if (!out || inflateInit2(&z, -MAX_WBITS) != Z_OK)
        return err_set(err, ERR_IO, ENOMEM, "no memory to unpack");
    int rc = inflate_all(u, &z, out, err);
    inflateEnd(&z);
    return rc;
}

int zip_unpack(const struct zip_entry *entry, zip_sink *sink, void *arg, struct err *err)
{
    struct unpacking u = { entry, sink, arg, 0, crc32(0, NULL, 0) };
    if (entry->deflated ? unpack_deflated(&u, err) < 0 : unpack_stored(&u, err) < 0)
        return -1;
    if (u.done != entry->size)
        return broken(err, "it is shorter than the directory says");
    if (u.crc != entry->crc32)
        return broken(err, "its CRC-32 is wrong");
    return 0;
}

/* ---- into a directory ---- */

static int failed(const char *what, const char *path, struct err *err)
{
    int e = errno;
    return err_set(err, ERR_IO, (uint32_t)e, "cannot %s %.120s: %s", what, path, strerror(e));
}

static int write_all(void *arg, struct bytes data, struct err *err)
{
    const int *fd = arg;
    while (data.n) {
        ssize_t n = write(*fd, data.p, data.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_IO, (uint32_t)errno, "cannot unpack the zip: %s", strerror(errno));
        data = bytes_of(data.p + n, data.n - (size_t)n);
    }
    return 0;
}

/* The folders above path, and path itself if it is one. */
static int make_folders(int dir, const char *path, bool itself, struct err *err)
{
    char part[ZIP_PATH_MAX + 1];
    for (const char *at = path; *at; at++) {
        if (*at != '/' && !(itself && !at[1]))
            continue;
        size_t n = (size_t)(at - path) + (*at != '/');
        memcpy(part, path, n);
        part[n] = '\0';
        if (mkdirat(dir, part, 0755) < 0 && errno != EEXIST)
            return failed("make the folder", part, err);
    }
    return 0;
}

static int extract_one(int dir, const struct zip_entry *e, struct err *err)
{
    char path[ZIP_PATH_MAX + 1];
    memcpy(path, e->path.p, e->path.n);
    path[e->path.n] = '\0';
    if (!e->path.n)
        return 0;
    if (make_folders(dir, path, e->folder, err) < 0)
        return -1;
    if (e->folder)
        return 0;
    AUTO(close_fd)
    int fd = open_below(dir, path, O_WRONLY | O_CREAT | O_EXCL, e->executable ? 0755 : 0644);
    if (fd < 0)
        return failed("make the file", path, err);
    if (fchmod(fd, e->executable ? 0755 : 0644) < 0)
        return failed("set the mode of", path, err);
    return zip_unpack(e, write_all, &fd, err);
}

static int extract_all(struct bytes file, const char *into, const struct zip_limits *limits, struct err *err)
{
    AUTO(zip_done) struct zip z = { NULL, 0, 0 };
    if (zip_parse(file, limits, &z, err) < 0)
        return -1;
    if (mkdir(into, 0700) < 0)
        return failed("make the folder", into, err);
    AUTO(close_fd) int dir = open(into, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int rc = dir < 0 ? failed("open", into, err) : 0;
    for (size_t i = 0; rc == 0 && i < z.n; i++)
        rc = extract_one(dir, &z.entry[i], err);
    if (rc < 0)
        (void)!folder_remove(AT_FDCWD, into, NULL);
    return rc;
}

int zip_extract(int fd, const char *into, const struct zip_limits *limits, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(err, ERR_IO, (uint32_t)errno, "the zip is no file");
    if (st.st_size == 0)
        return err_set(err, ERR_INPUT, 0, "the zip is empty");
    size_t n = (size_t)st.st_size;
    void *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot map the zip: %s", strerror(errno));
    madvise(p, n, MADV_SEQUENTIAL);
    int rc = extract_all(bytes_of(p, n), into, limits, err);
    munmap(p, n);
    return rc;
}
