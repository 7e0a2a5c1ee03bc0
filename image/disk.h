/** image/disk.h: an image's disk as a file: its partition table and its kernel image. */
#ifndef CVM_IMAGE_DISK_H
#define CVM_IMAGE_DISK_H

#include "image/gpt.h"
#include "image/uki.h"
#include "image/verity.h"

#define DISK_KERNEL_PATH "EFI/BOOT/BOOTX64.EFI"
#define DISK_ESP_MAX     (512u << 20)

struct disk {
    int fd;
    uint64_t size;
    uint8_t head[GPT_HEAD_MAX];
    struct gpt gpt;
    struct buf kernel; /* the file that uki has views into */
    struct uki uki;
};

/** Opens a raw disk and reads what boots from it.
 *  @param out  end it with disk_close(), also after a failure
 *  @return 0, or -1: ERR_NOT_FOUND, ERR_IO, ERR_INPUT (another format or another layout: says which) */
MUST_USE int disk_open(const char *path, struct disk *out, struct err *err);

/** For AUTO(disk_close); begin with { .fd = -1 }. */
void disk_close(struct disk *d);

/** Reads n bytes at an offset. @return 0, or -1 with ERR_IO */
MUST_USE int disk_read(const struct disk *d, uint64_t offset, uint8_t *out, size_t n, struct err *err);

/** The partition of that name. @return 0, or -1 with ERR_INPUT */
MUST_USE int disk_partition(const struct disk *d, const char *name, const struct gpt_partition **out,
                            struct err *err);

/** Checks the root's hash tree and compares its root with the one on the command line.
 *  @return 0, or -1: ERR_DENIED (they differ, or the root was changed), ERR_INPUT, ERR_IO */
MUST_USE int disk_check_root(struct disk *d, uint8_t root[static 32], struct verity_header *header,
                             struct err *err);

/** SHA-256 of the whole disk, and of all of it but the partitions cvm-data, which the host may write, and
 * cvm-volume, which the machine writes.
 *  @return 0, or -1: ERR_INPUT (no data partition), ERR_IO */
MUST_USE int disk_digests(const struct disk *d, uint8_t whole[static 32], uint8_t without_data[static 32],
                          struct err *err);

#endif
