/** volume/filesystem.h: makes an ext4 on a block device by mke2fs. */
#ifndef CVM_VOLUME_FILESYSTEM_H
#define CVM_VOLUME_FILESYSTEM_H

#include "base/err.h"

#include <stdbool.h>

/** @param journal  without one it is made faster and does not outlive a power cut */
MUST_USE int filesystem_make(const char *device, const char *label, bool journal, struct err *err);

#endif
