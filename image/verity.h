/** image/verity.h: a dm-verity hash tree, computed from the data and compared with the one on the disk.
 *  Source: Linux Documentation/admin-guide/device-mapper/verity.rst; cryptsetup, "DMVerity" wiki (header
 * version 1). */
#ifndef CVM_IMAGE_VERITY_H
#define CVM_IMAGE_VERITY_H

#include "base/digest.h"

#define VERITY_BLOCK    4096u
#define VERITY_SALT_MAX 256u

/** The header that veritysetup writes into the first block of the hash partition. */
struct verity_header {
    uint64_t data_blocks;
    uint8_t salt[VERITY_SALT_MAX];
    size_t salt_size;
};

/** Reads n bytes at an offset. @return 0, or -1 with ERR_IO */
struct verity_source {
    int (*read)(void *ctx, uint64_t offset, uint8_t *out, size_t n, struct err *err);
    void *ctx;
    uint64_t offset, size; /* of the partition on the disk */
};

/** Parses a header. @return 0, or -1 with ERR_INPUT: no header, another version, hash, or block size */
MUST_USE int verity_header_parse(struct bytes block, struct verity_header *out, struct err *err);

/** Computes the tree over the data, compares it with the stored one, and gives the root hash.
 *  @return 0, or -1: ERR_INPUT (partitions too small, a malformed header), ERR_DENIED (a stored hash is
 * another one: the data or the tree was changed; says which block), ERR_IO */
MUST_USE int verity_check(const struct verity_source *data, const struct verity_source *hashes,
                          uint8_t root[static 32], struct verity_header *header, struct err *err);

#endif
