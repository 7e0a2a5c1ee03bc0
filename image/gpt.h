/** image/gpt.h: a GUID partition table, and the event that firmware measures it with into PCR 5.
 *  Source: UEFI 2.10, section 5.3; TCG PC Client Platform Firmware Profile 1.05, section 10.4.5
 * (UEFI_GPT_DATA). Little-endian. */
#ifndef CVM_IMAGE_GPT_H
#define CVM_IMAGE_GPT_H

#include "base/buf.h"

#define GPT_SECTOR         512u
#define GPT_HEAD_MAX       (34u * GPT_SECTOR) /* protective MBR, header, 128 entries: what gpt_parse() looks at */
#define GPT_PARTITIONS_MAX 128
#define GPT_NAME_MAX       37

struct gpt_partition {
    struct bytes entry;      /* 128 bytes */
    char name[GPT_NAME_MAX]; /* what is not ASCII is "?" */
    uint64_t offset, size;   /* bytes */
};

struct gpt {
    struct bytes header; /* 92 bytes */
    struct gpt_partition partition[GPT_PARTITIONS_MAX];
    size_t n; /* partitions in use, in the table's order */
};

/** Reads a primary table: signature, checksums, and partitions that lie on the disk and do not overlap.
 *  @param head  the first GPT_HEAD_MAX bytes of the disk; untrusted; must outlive *out
 *  @param disk_size  of the whole disk, in bytes
 *  @return 0, or -1 with ERR_INPUT: no table, a wrong checksum, sectors of another size, a partition outside
 */
MUST_USE int gpt_parse(struct bytes head, uint64_t disk_size, struct gpt *out, struct err *err);

/** The partition of that name. @return NULL if there is none or more than one */
const struct gpt_partition *gpt_find(const struct gpt *gpt, const char *name);

/** Appends the data of the event EV_EFI_GPT_EVENT. */
void gpt_event(const struct gpt *gpt, struct buf *out);

/** CRC-32 as the table has it (ISO 3309). */
uint32_t gpt_crc32(struct bytes data);

#endif
