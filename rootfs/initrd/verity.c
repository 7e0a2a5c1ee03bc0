#include "rootfs/initrd/verity.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define CONTROL     "/dev/mapper/control"
#define DEVICE_NAME "cvm-root"
#define PROBE_NAME  "cvm-probe"
#define BLOCK_SIZE  4096

/* The tree begins behind one block with the header that veritysetup writes. */
#define HASH_START 1

int verity_table(const struct boot *boot, const struct partition *root, const struct partition *hashes,
                 const char *at_mismatch, char out[static VERITY_TABLE_MAX], struct err *err)
{
    int n = snprintf(out, VERITY_TABLE_MAX, "1 %s %s 4096 4096 %llu %d sha256 %s %s %s", root->number,
                     hashes->number, (unsigned long long)boot->blocks, HASH_START, boot->root_hash,
                     boot->salt, at_mismatch);
    if (n < 0 || n >= VERITY_TABLE_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "the verity table is too long");
    return 0;
}

struct request {
    struct dm_ioctl head;
    struct dm_target_spec target;
    char table[VERITY_TABLE_MAX];
};

static void prepare(struct request *r, const char *name, uint32_t flags)
{
    memset(&r->head, 0, sizeof(r->head));
    r->head.version[0] = DM_VERSION_MAJOR;
    r->head.data_size = sizeof(*r);
    r->head.data_start = sizeof(r->head);
    r->head.flags = flags;
    memcpy(r->head.name, name, strlen(name) + 1);
}

static int call(int control, unsigned long request, struct request *r, const char *what, struct err *err)
{
    if (ioctl(control, request, r) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "device-mapper: %s: %s", what, strerror(errno));
    return 0;
}

static int activate(int control, struct request *r, const char *name, uint64_t blocks, struct err *err)
{
    prepare(r, name, 0);
    if (call(control, DM_DEV_CREATE, r, "create", err) < 0)
        return -1;
    prepare(r, name, DM_READONLY_FLAG);
    r->head.target_count = 1;
    r->target.length = blocks * 8; /* sectors of 512 bytes */
    memcpy(r->target.target_type, "verity", sizeof("verity"));
    if (call(control, DM_TABLE_LOAD, r, "load the table (is the root hash right?)", err) < 0)
        return -1;
    prepare(r, name, DM_READONLY_FLAG);
    return call(control, DM_DEV_SUSPEND, r, "resume", err);
}

/* The device, or what has been made of it, goes. */
static void discard(int control, struct request *r, const char *name)
{
    struct err ignored;
    prepare(r, name, 0);
    (void)!call(control, DM_DEV_REMOVE, r, "remove", &ignored);
}

static int open_as(const struct boot *boot, struct request *r, const char *name, char *device, size_t size,
                   struct err *err)
{
    int control = open(CONTROL, O_RDWR | O_CLOEXEC);
    if (control < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot open " CONTROL ": %s", strerror(errno));
    int rc = activate(control, r, name, boot->blocks, err);
    if (rc == 0)
        snprintf(device, size, "/dev/dm-%u", minor(r->head.dev));
    else
        discard(control, r, name);
    close(control);
    return rc;
}

bool verity_matches(const struct boot *boot, const struct partition *root, const struct partition *hashes)
{
    static char block[BLOCK_SIZE];
    struct request r = { 0 };
    struct err err = { 0 };
    char device[32];
    if (verity_table(boot, root, hashes, VERITY_FAIL, r.table, &err) < 0
        || open_as(boot, &r, PROBE_NAME, device, sizeof(device), &err) < 0)
        return false;
    int fd = open(device, O_RDONLY | O_CLOEXEC);
    bool matches = fd >= 0 && pread(fd, block, sizeof(block), 0) == (ssize_t)sizeof(block);
    if (fd >= 0)
        close(fd);
    int control = open(CONTROL, O_RDWR | O_CLOEXEC);
    discard(control, &r, PROBE_NAME);
    close(control);
    return matches;
}

int verity_open(const struct boot *boot, const struct partition *root, const struct partition *hashes,
                char *device, size_t size, struct err *err)
{
    struct request r = { 0 };
    if (verity_table(boot, root, hashes, VERITY_STOP, r.table, err) < 0)
        return -1;
    return open_as(boot, &r, DEVICE_NAME, device, size, err);
}
