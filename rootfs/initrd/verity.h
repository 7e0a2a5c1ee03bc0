/** rootfs/initrd/verity.h: opens the verified root by device-mapper ioctls. Every parameter comes from the
 * measured initrd; the hash partition's own header is not read. A block that does not match stops the
 * machine. Source: Linux Documentation/admin-guide/device-mapper/verity.rst, include/uapi/linux/dm-ioctl.h.
 */
#ifndef CVM_ROOTFS_INITRD_VERITY_H
#define CVM_ROOTFS_INITRD_VERITY_H

#include "rootfs/initrd/boot.h"
#include "rootfs/initrd/disk.h"

#define VERITY_TABLE_MAX 1024

/** What happens when a block does not match. */
#define VERITY_STOP "1 panic_on_corruption" /* the machine stops */
#define VERITY_FAIL "0"                     /* the read fails */

/** Writes the table of the target. @return 0, or -1 with ERR_TOO_LARGE */
MUST_USE int verity_table(const struct boot *boot, const struct partition *root,
                          const struct partition *hashes, const char *at_mismatch,
                          char out[static VERITY_TABLE_MAX], struct err *err);

/** Whether a root begins as the root hash wants it: opens it, reads its first block, which needs one block of
 * each level of the tree, and closes it. For a choice among several; what follows is checked when it is read.
 */
bool verity_matches(const struct boot *boot, const struct partition *root, const struct partition *hashes);

/** Makes the device read-only and active.
 *  @param device  receives "/dev/dm-N"
 *  @return 0, or -1 with ERR_IO */
MUST_USE int verity_open(const struct boot *boot, const struct partition *root,
                         const struct partition *hashes, char *device, size_t size, struct err *err);

#endif
