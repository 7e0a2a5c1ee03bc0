/** workload/tar.h: the index of a tar archive: which regular files it has and where they lie. Nothing is
 * unpacked. Source: POSIX.1-2017 pax interchange format; GNU tar's long names and base-256 sizes. */
#ifndef CVM_WORKLOAD_TAR_H
#define CVM_WORKLOAD_TAR_H

#include "base/buf.h"

#define TAR_BLOCK     512
#define TAR_NAME_MAX  4096         /* a longer name is refused */
#define TAR_NAMES_MAX (16u << 20)  /* all names of one archive together */
#define TAR_PAX_MAX   (256u << 10) /* one extended header */

struct tar_entry {
    char *name; /* without a leading "./" */
    bool regular;
    uint64_t offset, size; /* of the content, inside the file */
};

struct tar_index {
    int fd;                    /* borrowed */
    struct tar_entry *entries; /* by name */
    size_t n;
};

/** Reads all headers. What is not a regular file is listed without content.
 *  @param fd   a regular file; read with pread(); must stay open as long as the index
 *  @param max  entries; one more is ERR_TOO_LARGE
 *  @param out  tar_index_done() frees it; written only on success
 *  @return 0, or -1: ERR_INPUT with the offset (no tar, a wrong checksum, a size that leads out of the file,
 * a sparse file), ERR_TOO_LARGE, ERR_IO */
MUST_USE int tar_index_read(int fd, size_t max, struct tar_index *out, struct err *err);

/** For AUTO(tar_index_done). */
void tar_index_done(struct tar_index *t);

/** Finds the one regular file of that name.
 *  @return 0, or -1: ERR_NOT_FOUND; ERR_INPUT when the name is there twice, or not a regular file */
MUST_USE int tar_find(const struct tar_index *t, const char *name, const struct tar_entry **out,
                      struct err *err);

/** Appends the content of a file. @return 0, or -1: ERR_TOO_LARGE over max bytes, ERR_IO */
MUST_USE int tar_load(const struct tar_index *t, const struct tar_entry *e, size_t max, struct buf *out,
                      struct err *err);

#endif
