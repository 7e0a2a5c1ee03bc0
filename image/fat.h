/** image/fat.h: reads one file from a FAT32 volume, as the EFI system partition is.
 *  Source: Microsoft FAT32 File System Specification 1.03. Little-endian. */
#ifndef CVM_IMAGE_FAT_H
#define CVM_IMAGE_FAT_H

#include "base/buf.h"

/** Finds a file by short names ("EFI/BOOT/BOOTX64.EFI", upper case, eight and three letters) and appends its
 * content.
 *  @param volume  the whole volume; untrusted
 *  @return 0, or -1: ERR_INPUT (not FAT32, or damaged: a chain that leaves the volume or runs in a circle),
 *  ERR_NOT_FOUND (no such file), ERR_TOO_LARGE (out's maximum) */
MUST_USE int fat_read_file(struct bytes volume, const char *path, struct buf *out, struct err *err);

#endif
