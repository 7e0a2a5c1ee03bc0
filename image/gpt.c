#include "image/gpt.h"

#define SIGNATURE    "EFI PART"
#define HEADER_SIZE  92u
#define ENTRY_SIZE   128u
#define HEADER_AT    GPT_SECTOR
#define ENTRIES_AT   (2u * GPT_SECTOR)
#define CRC_AT       16u
#define NAME_LETTERS 36u

uint32_t gpt_crc32(struct bytes data)
{
    uint32_t crc = 0xFFFFFFFF;
    for (size_t i = 0; i < data.n; i++) {
        crc ^= data.p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xEDB88320 & (0 - (crc & 1)));
    }
    return ~crc;
}

static int check_header(struct bytes header, struct err *err)
{
    uint8_t copy[HEADER_SIZE];
    if (memcmp(header.p, SIGNATURE, strlen(SIGNATURE)) != 0)
        return err_set(err, ERR_INPUT, 0,
                       "no GUID partition table: not a raw disk, or one of another layout");
    if (le_uint(header.p + 12, 4) != HEADER_SIZE)
        return err_set(err, ERR_INPUT, 0, "the partition table's header has %" PRIu64 " bytes, want %u",
                       le_uint(header.p + 12, 4), HEADER_SIZE);
    memcpy(copy, header.p, HEADER_SIZE);
    memset(copy + CRC_AT, 0, 4);
    if (gpt_crc32(bytes_of(copy, HEADER_SIZE)) != le_uint(header.p + CRC_AT, 4))
        return err_set(err, ERR_INPUT, 0, "the partition table's header has a wrong checksum");
    if (le_uint(header.p + 24, 8) != 1 || le_uint(header.p + 72, 8) != 2)
        return err_set(err, ERR_INPUT, 0, "the partition table does not begin in sector 1");
    if (le_uint(header.p + 84, 4) != ENTRY_SIZE || le_uint(header.p + 80, 4) > GPT_PARTITIONS_MAX)
        return err_set(err, ERR_INPUT, 0,
                       "the partition table has %" PRIu64 " entries of %" PRIu64 " bytes, want %u of %u",
                       le_uint(header.p + 80, 4), le_uint(header.p + 84, 4), GPT_PARTITIONS_MAX, ENTRY_SIZE);
    return 0;
}

static void read_name(const uint8_t *from, char out[static GPT_NAME_MAX])
{
    size_t n = 0;
    for (; n < NAME_LETTERS; n++) {
        uint64_t letter = le_uint(from + 2 * n, 2);
        if (letter == 0)
            break;
        out[n] = letter >= 0x20 && letter < 0x7F ? (char)letter : '?';
    }
    out[n] = '\0';
}

static int take_entry(struct gpt *gpt, struct bytes entry, uint64_t disk_size, struct err *err)
{
    struct gpt_partition *p = &gpt->partition[gpt->n];
    uint64_t first = le_uint(entry.p + 32, 8), last = le_uint(entry.p + 40, 8);
    if (bytes_zero(bytes_of(entry.p, 16)))
        return 0;
    read_name(entry.p + 56, p->name);
    if (first < 3 || last < first || last >= disk_size / GPT_SECTOR)
        return err_set(err, ERR_INPUT, 0, "partition %s lies outside the disk of %" PRIu64 " bytes", p->name,
                       disk_size);
    p->entry = entry;
    p->offset = first * GPT_SECTOR;
    p->size = (last - first + 1) * GPT_SECTOR;
    for (size_t i = 0; i < gpt->n; i++)
        if (p->offset < gpt->partition[i].offset + gpt->partition[i].size
            && gpt->partition[i].offset < p->offset + p->size)
            return err_set(err, ERR_INPUT, 0, "partitions %s and %s overlap", gpt->partition[i].name,
                           p->name);
    gpt->n++;
    return 0;
}

int gpt_parse(struct bytes head, uint64_t disk_size, struct gpt *out, struct err *err)
{
    struct reader r = reader_of(head);
    struct bytes rest;
    out->n = 0;
    if (!rd_skip(&r, HEADER_AT) || !rd_take(&r, HEADER_SIZE, &out->header)
        || !rd_skip(&r, GPT_SECTOR - HEADER_SIZE))
        return err_set(err, ERR_INPUT, 0, "%zu bytes are too few for a disk", head.n);
    if (check_header(out->header, err) < 0)
        return -1;
    size_t size = (size_t)le_uint(out->header.p + 80, 4) * ENTRY_SIZE;
    if (!rd_take(&r, size, &rest))
        return err_set(err, ERR_INPUT, 0, "the partition table is cut short at offset %zu", r.off);
    if (gpt_crc32(rest) != le_uint(out->header.p + 88, 4))
        return err_set(err, ERR_INPUT, 0, "the partition table's entries have a wrong checksum");
    for (size_t i = 0; i < size; i += ENTRY_SIZE)
        if (take_entry(out, bytes_of(rest.p + i, ENTRY_SIZE), disk_size, err) < 0)
            return -1;
    return 0;
}

const struct gpt_partition *gpt_find(const struct gpt *gpt, const char *name)
{
    const struct gpt_partition *found = NULL;
    for (size_t i = 0; i < gpt->n; i++) {
        if (strcmp(gpt->partition[i].name, name) != 0)
            continue;
        if (found)
            return NULL;
        found = &gpt->partition[i];
    }
    return found;
}

void gpt_event(const struct gpt *gpt, struct buf *out)
{
    buf_put(out, gpt->header);
    buf_u64le(out, gpt->n);
    for (size_t i = 0; i < gpt->n; i++)
        buf_put(out, gpt->partition[i].entry);
}
