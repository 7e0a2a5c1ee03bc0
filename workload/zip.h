/** workload/zip.h: the zip of an update, read so strictly that every reader sees the same files in it: the
 * local headers and the central directory must say the same, entries fill the file without gap or overlap,
 * and only regular files and folders below "workload/" are known. Source: PKWARE APPNOTE.TXT 6.3.10, sections
 * 4.3 to 4.5; methods stored and deflated (RFC 1951), no ZIP64, no encryption. */
#ifndef CVM_WORKLOAD_ZIP_H
#define CVM_WORKLOAD_ZIP_H

#include "base/bytes.h"
#include "workload/tree.h"

#define ZIP_ENTRIES_MAX (TREE_FILES_MAX + 1) /* "workload/" itself may be one */
#define ZIP_RATIO_MAX   200                  /* of what is unpacked to what is packed */
#define ZIP_RATIO_FREE  (1u << 20)           /* up to so many bytes no ratio is looked at */
#define ZIP_BYTES_MAX   (4ull << 30)         /* unpacked, unless the limits say otherwise */
#define ZIP_PATH_MAX    1024
#define ZIP_DEPTH_MAX   32
#define ZIP_TOP         "workload"

/** 0 takes the default. */
struct zip_limits {
    size_t entries;
    uint64_t bytes;
    unsigned ratio;
};

struct zip_entry {
    struct bytes
        path; /* below workload/, without a slash at the end; UTF-8, a view; empty: workload/ itself */
    struct bytes data; /* as packed, a view */
    uint64_t size;     /* unpacked */
    uint32_t crc32;
    bool folder, deflated, executable;
};

struct zip {
    struct zip_entry *entry; /* in the order of the central directory */
    size_t n;
    uint64_t bytes; /* of all files, unpacked */
};

/** Reads and judges the directory of a zip; nothing is unpacked.
 *  @param file  the whole zip; must outlive out
 *  @param out   zip_done() frees it; written only on success
 *  @return 0, or -1: ERR_INPUT (malformed, or an entry that is refused: its name and why), ERR_TOO_LARGE */
MUST_USE int zip_parse(struct bytes file, const struct zip_limits *limits, struct zip *out, struct err *err);

/** For AUTO(). */
void zip_done(struct zip *z);

/** Gets unpacked bytes in order. @return 0, or -1 with *err set: stop */
typedef int zip_sink(void *arg, struct bytes data, struct err *err);

/** Unpacks one file: exactly size bytes with the right CRC-32, or an error.
 *  @return 0, or -1: ERR_INPUT, or what the sink says */
MUST_USE int zip_unpack(const struct zip_entry *entry, zip_sink *sink, void *arg, struct err *err);

/** Unpacks a zip into a new directory; folders get mode 0755, files 0644 or 0755. On failure nothing is left.
 *  @param fd    of the zip, which nobody else writes to
 *  @param into  must not exist; its parent must
 *  @return 0, or -1 as zip_parse() and zip_unpack(); ERR_IO: the medium is full, ... */
MUST_USE int zip_extract(int fd, const char *into, const struct zip_limits *limits, struct err *err);

#endif
