/** rootfs/initrd/disk.h: finds the image's partitions by their names, as sysfs tells them. The names are the
 * host's word: they say where to look, and the root hash says whether it is what we look for. */
#ifndef CVM_ROOTFS_INITRD_DISK_H
#define CVM_ROOTFS_INITRD_DISK_H

#include "base/err.h"

#include <stdbool.h>

#define PARTITION_ROOT   "cvm-root"
#define PARTITION_VERITY "cvm-verity"
#define PARTITION_DATA   "cvm-data"

struct partition {
    char device[48]; /* "/dev/vda2" */
    char number[24]; /* "254:2" */
    char disk[48];   /* "vda" */
};

/** Names can be there more than once: further disks are the host's to add. */
#define PARTITIONS_MAX 16

/** All partitions of that name, by the order of their devices' names; PARTITIONS_MAX at most.
 *  @return how many; 0 too when sysfs cannot be read, then with ERR_IO, else with ERR_NOT_FOUND */
size_t partition_list(const char *sys, const char *name, struct partition out[static PARTITIONS_MAX],
                      struct err *err);

/** The first partition of that name; with a disk, on that disk only.
 *  @param sys  "/sys", or a test's folder
 *  @return 0, or -1 with ERR_NOT_FOUND, or ERR_IO */
MUST_USE int partition_find(const char *sys, const char *name, const char *disk, struct partition *out,
                            struct err *err);

#endif
