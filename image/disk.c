#include "image/disk.h"

#include "base/auto.h"
#include "base/enc.h"
#include "image/fat.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define ROOT_OPTION "cvm.root"
#define DISK_BLOCK  (1u << 20)

int disk_read(const struct disk *d, uint64_t offset, uint8_t *out, size_t n, struct err *err)
{
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(d->fd, out + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return err_set(err, ERR_IO, got < 0 ? (uint32_t)errno : 0,
                           "cannot read the disk at %" PRIu64 ": %s", offset + done,
                           got < 0 ? strerror(errno) : "it is shorter than it was");
        done += (size_t)got;
    }
    return 0;
}

static int open_file(const char *path, struct disk *d, struct err *err)
{
    struct stat st;
    d->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (d->fd < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, (uint32_t)errno, "cannot open it: %s",
                       strerror(errno));
    if (fstat(d->fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(err, ERR_INPUT, 0, "not a regular file");
    d->size = (uint64_t)st.st_size;
    return 0;
}

/* Other formats begin with a mark of their own: say what to do with them. */
static int check_format(const struct disk *d, struct err *err)
{
    static const struct {
        const char *mark, *name;
    } formats[] = {
        { "QFI\xFB", "qcow2" }, { "KDMV", "VMDK" }, { "\x1F\x8B", "gzip" }, { "conectix", "dynamic VHD" }
    };
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        if (memcmp(d->head, formats[i].mark, strlen(formats[i].mark)) == 0)
            return err_set(err, ERR_INPUT, 0,
                           "a disk in the format %s: convert it to raw first (qemu-img convert -O raw)",
                           formats[i].name);
    return 0;
}

int disk_partition(const struct disk *d, const char *name, const struct gpt_partition **out, struct err *err)
{
    *out = gpt_find(&d->gpt, name);
    if (!*out)
        return err_set(err, ERR_INPUT, 0, "a disk of another layout: it has no partition %s, or several",
                       name);
    return 0;
}

static int read_kernel(struct disk *d, struct err *err)
{
    const struct gpt_partition *esp;
    if (disk_partition(d, "cvm-esp", &esp, err) < 0)
        return -1;
    if (esp->size > DISK_ESP_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "an EFI system partition of %" PRIu64 " bytes", esp->size);
    AUTO(free_u8) uint8_t *volume = malloc((size_t)esp->size);
    if (!volume)
        return err_set(err, ERR_IO, 0, "out of memory");
    if (disk_read(d, esp->offset, volume, (size_t)esp->size, err) < 0)
        return -1;
    if (fat_read_file(bytes_of(volume, (size_t)esp->size), DISK_KERNEL_PATH, &d->kernel, err) < 0) {
        err->kind = err->kind == ERR_NOT_FOUND ? ERR_INPUT : err->kind;
        return -1;
    }
    return uki_parse(buf_bytes(&d->kernel), &d->uki, err);
}

int disk_open(const char *path, struct disk *out, struct err *err)
{
    *out = (struct disk){ .fd = -1, .kernel = buf_new(PE_FILE_MAX) };
    if (open_file(path, out, err) < 0)
        return -1;
    size_t n = out->size < GPT_HEAD_MAX ? (size_t)out->size : GPT_HEAD_MAX;
    if (disk_read(out, 0, out->head, n, err) < 0 || check_format(out, err) < 0
        || gpt_parse(bytes_of(out->head, n), out->size, &out->gpt, err) < 0)
        return -1;
    return read_kernel(out, err);
}

void disk_close(struct disk *d)
{
    close_fd(&d->fd);
    buf_done(&d->kernel);
}

static int read_part(void *ctx, uint64_t offset, uint8_t *out, size_t n, struct err *err)
{
    return disk_read(ctx, offset, out, n, err);
}

int disk_check_root(struct disk *d, uint8_t root[static 32], struct verity_header *header, struct err *err)
{
    const struct gpt_partition *data, *hashes;
    struct bytes option;
    uint8_t wanted[32];
    if (disk_partition(d, "cvm-root", &data, err) < 0 || disk_partition(d, "cvm-verity", &hashes, err) < 0)
        return -1;
    if (!uki_option(&d->uki, ROOT_OPTION, &option)
        || hex_decode_fixed(option, wanted, sizeof(wanted), err) < 0)
        return err_set(err, ERR_INPUT, 0, "the command line has no " ROOT_OPTION "=, or several");
    const struct verity_source from = { read_part, d, data->offset, data->size };
    const struct verity_source tree = { read_part, d, hashes->offset, hashes->size };
    if (verity_check(&from, &tree, root, header, err) < 0)
        return err_while(err, "check the root");
    if (memcmp(root, wanted, sizeof(wanted)) != 0)
        return err_set(err, ERR_DENIED, 0, "the root has another hash than the command line says");
    return 0;
}

/* Partitions that machines write. */
struct written {
    const struct gpt_partition *part[2];
    size_t n;
};

/* Is the byte in one of them? And how far from there the answer is the same. */
static bool is_written(const struct written *w, uint64_t at, uint64_t size, uint64_t *same)
{
    uint64_t next = size;
    for (size_t i = 0; i < w->n; i++) {
        uint64_t start = w->part[i]->offset, end = start + w->part[i]->size;
        if (at >= start && at < end) {
            *same = end - at;
            return true;
        }
        if (start > at && start < next)
            next = start;
    }
    *same = next - at;
    return false;
}

static int hash_disk(const struct disk *d, const struct written *w, struct hasher *all,
                     struct hasher *outside, uint8_t *block, struct err *err)
{
    for (uint64_t at = 0, same; at < d->size;) {
        bool skip = is_written(w, at, d->size, &same);
        size_t n = same < DISK_BLOCK ? (size_t)same : DISK_BLOCK;
        if (disk_read(d, at, block, n, err) < 0 || hasher_put(all, bytes_of(block, n), err) < 0
            || (!skip && hasher_put(outside, bytes_of(block, n), err) < 0))
            return -1;
        at += n;
    }
    return 0;
}

int disk_digests(const struct disk *d, uint8_t whole[static 32], uint8_t without_data[static 32],
                 struct err *err)
{
    AUTO(hasher_drop) struct hasher *all = NULL;
    AUTO(hasher_drop) struct hasher *outside = NULL;
    AUTO(free_u8) uint8_t *block = malloc(DISK_BLOCK);
    struct written w = { .n = 0 };
    struct digest a, b;
    if (!block)
        return err_set(err, ERR_IO, 0, "out of memory");
    const struct gpt_partition *volume = gpt_find(&d->gpt, "cvm-volume");
    if (disk_partition(d, "cvm-data", &w.part[w.n++], err) < 0)
        return -1;
    if (volume)
        w.part[w.n++] = volume;
    if (hasher_new(ALG_SHA256, &all, err) < 0 || hasher_new(ALG_SHA256, &outside, err) < 0
        || hasher_begin(all, err) < 0 || hasher_begin(outside, err) < 0
        || hash_disk(d, &w, all, outside, block, err) < 0 || hasher_end(all, &a, err) < 0
        || hasher_end(outside, &b, err) < 0)
        return -1;
    memcpy(whole, a.b, 32);
    memcpy(without_data, b.b, 32);
    return 0;
}
