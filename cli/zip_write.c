/* Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12, 4.3.16. */
#include "cli/zip_write.h"

#include "base/auto.h"
#include "base/buf.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK         (256u << 10)
#define DIRECTORY_MAX (64u << 20)
#define LOCAL_SIZES   14      /* where CRC-32 and the sizes stand in a local header */
#define DATE_1980     0x0021u /* the first day that the format knows: archives of the same files are the same */
#define METHOD        8

struct writer {
    int fd;
    uint64_t base, at; /* file offset of the zip's beginning, and of its end so far */
    struct buf directory;
    size_t entries;
    z_stream z;
    uint8_t in[CHUNK], out[CHUNK];
};

static int put(struct writer *w, struct bytes data, struct err *err)
{
    while (data.n) {
        ssize_t n = pwrite(w->fd, data.p, data.n, (off_t)w->at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_IO, (uint32_t)errno, "cannot write the zip: %s", strerror(errno));
        w->at += (uint64_t)n;
        data = bytes_of(data.p + n, data.n - (size_t)n);
    }
    if (w->at - w->base >= UINT32_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "the workload makes a zip of 4 GiB or more");
    return 0;
}

static int flush(struct writer *w, int how, struct err *err)
{
    int rc;
    do {
        w->z.next_out = w->out;
        w->z.avail_out = CHUNK;
        rc = deflate(&w->z, how);
        if (rc == Z_STREAM_ERROR)
            return err_set(err, ERR_IO, 0, "zlib cannot deflate");
        if (put(w, bytes_of(w->out, CHUNK - w->z.avail_out), err) < 0)
            return -1;
    } while (w->z.avail_out == 0);
    return 0;
}

static int pack(struct writer *w, int fd, const char *path, uint32_t *crc, uint64_t *size, struct err *err)
{
    *crc = (uint32_t)crc32(0, NULL, 0);
    *size = 0;
    deflateReset(&w->z);
    for (;;) {
        ssize_t n = read(fd, w->in, CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, ERR_IO, (uint32_t)errno, "%.200s: cannot read: %s", path, strerror(errno));
        *crc = (uint32_t)crc32(*crc, w->in, (uInt)n);
        *size += (uint64_t)n;
        w->z.next_in = w->in;
        w->z.avail_in = (uInt)n;
        if (flush(w, n ? Z_NO_FLUSH : Z_FINISH, err) < 0)
            return -1;
        if (n == 0)
            return *size < UINT32_MAX ? 0 : err_set(err, ERR_TOO_LARGE, 0, "%.200s has 4 GiB or more", path);
    }
}

/* The members that local header and directory share, from the flags to the sizes. */
static void put_common(struct buf *out, uint32_t crc, uint32_t packed, uint32_t size, const char *name)
{
    buf_u16le(out, 0x0800); /* the name is UTF-8 */
    buf_u16le(out, METHOD);
    buf_u16le(out, 0);
    buf_u16le(out, DATE_1980);
    buf_u32le(out, crc);
    buf_u32le(out, packed);
    buf_u32le(out, size);
    buf_u16le(out, (uint16_t)strlen(name));
    buf_u16le(out, 0);
}

static int add(struct writer *w, const struct workload_tree *tree, const struct tree_file *f, struct err *err)
{
    char name[TREE_PATH_MAX + 16];
    AUTO(buf_done) struct buf local = buf_new(2048), sizes = buf_new(16);
    AUTO(close_fd) int fd = workload_tree_open(tree, f->path, err);
    struct stat st;
    uint32_t crc;
    uint64_t size, offset = w->at - w->base, data;
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "%.200s: cannot read: %s", f->path, strerror(errno));
    snprintf(name, sizeof(name), "workload/%s", f->path);
    buf_u32le(&local, 0x04034b50);
    buf_u16le(&local, 20);
    put_common(&local, 0, 0, 0, name);
    buf_str(&local, name);
    if (put(w, buf_bytes(&local), err) < 0)
        return -1;
    data = w->at;
    if (pack(w, fd, f->path, &crc, &size, err) < 0)
        return -1;
    uint32_t packed = (uint32_t)(w->at - data);
    buf_u32le(&sizes, crc);
    buf_u32le(&sizes, packed);
    buf_u32le(&sizes, (uint32_t)size);
    if (pwrite(w->fd, sizes.p, sizes.n, (off_t)(w->base + offset + LOCAL_SIZES)) != (ssize_t)sizes.n)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot write the zip: %s", strerror(errno));
    buf_u32le(&w->directory, 0x02014b50);
    buf_u16le(&w->directory, 3 << 8 | 30); /* made on Unix: the attributes hold a mode */
    buf_u16le(&w->directory, 20);
    put_common(&w->directory, crc, packed, (uint32_t)size, name);
    buf_fill(&w->directory, 0, 6); /* no comment, first disk, no internal attributes */
    buf_u32le(&w->directory, (uint32_t)(S_IFREG | (st.st_mode & S_IXUSR ? 0755 : 0644)) << 16);
    buf_u32le(&w->directory, (uint32_t)offset);
    buf_str(&w->directory, name);
    w->entries++;
    return 0;
}

static int put_end(struct writer *w, struct err *err)
{
    AUTO(buf_done) struct buf end = buf_new(64);
    uint64_t offset = w->at - w->base;
    if (w->entries >= 0xFFFF)
        return err_set(err, ERR_TOO_LARGE, 0, "more than %d files", 0xFFFE);
    buf_u32le(&end, 0x06054b50);
    buf_u32le(&end, 0);
    buf_u16le(&end, (uint16_t)w->entries);
    buf_u16le(&end, (uint16_t)w->entries);
    buf_u32le(&end, (uint32_t)w->directory.n);
    buf_u32le(&end, (uint32_t)offset);
    buf_u16le(&end, 0);
    if (buf_check(&w->directory, "the zip's directory", err) < 0 || put(w, buf_bytes(&w->directory), err) < 0)
        return -1;
    return put(w, buf_bytes(&end), err);
}

static void writer_free(struct writer **w)
{
    if (!*w)
        return;
    deflateEnd(&(*w)->z);
    buf_done(&(*w)->directory);
    free(*w);
}

int zip_write(const struct workload_tree *tree, int fd, uint64_t *n, struct err *err)
{
    AUTO(writer_free) struct writer *w = calloc(1, sizeof(*w));
    off_t end = lseek(fd, 0, SEEK_END);
    if (!w || deflateInit2(&w->z, Z_BEST_SPEED, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a zip");
    if (end < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot write the zip: %s", strerror(errno));
    w->fd = fd;
    w->base = w->at = (uint64_t)end;
    w->directory = buf_new(DIRECTORY_MAX);
    for (size_t i = 0; i < tree->n; i++) {
        if (add(w, tree, &tree->files[i], err) < 0)
            return -1;
    }
    if (put_end(w, err) < 0)
        return -1;
    *n = w->at - w->base;
    return 0;
}
