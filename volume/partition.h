/** volume/partition.h: the one partition of that name, as sysfs tells it, and its first bytes. The name is
 * the host's word: it says where to look, and nothing is written there that is not marked. */
#ifndef CVM_VOLUME_PARTITION_H
#define CVM_VOLUME_PARTITION_H

#include "base/bytes.h"

#include <stdbool.h>

#define PARTITION_PATH_SIZE 48

/** @param sys   "/sys", or a test's folder
 *  @param path  receives "/dev/vda5"
 *  @return 0, or -1: ERR_NOT_FOUND; ERR_DENIED where two partitions have the name; ERR_IO */
MUST_USE int partition_find_one(const char *sys, const char *name, char path[static PARTITION_PATH_SIZE],
                                struct err *err);

/** Reads the header's bytes once. @return 0, or -1 with ERR_INPUT: too small for a volume; ERR_IO */
MUST_USE int partition_read_header(const char *path, uint8_t *header, struct err *err);

/** Writes a whole header: all but the first block, then that one, each on the disk before the next step, so
 * that a power cut leaves the old first block or a whole header. */
MUST_USE int partition_write_header(const char *path, const uint8_t *header, struct err *err);

#endif
