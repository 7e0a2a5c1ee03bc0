/** workload/tree.h: a workload directory, read once. The disk belongs to the host: every byte is read one
 * time, hashed in the same pass and, where it is going to be used, copied into private memory; nothing is
 * read from the disk again. Contract, section 6. */
#ifndef CVM_WORKLOAD_TREE_H
#define CVM_WORKLOAD_TREE_H

#include "base/buf.h"

#include <sys/types.h>

#define TREE_FILES_MAX 16384         /* files and folders of one workload */
#define TREE_DEPTH_MAX 32            /* folders below each other */
#define TREE_PATH_MAX  1024          /* bytes of a path below the workload directory */
#define TREE_BYTES_MAX (16ull << 30) /* of all files together, unless the limits say otherwise */

enum tree_kind {
    TREE_COMPOSE, /* docker-compose.yml */
    TREE_ENV,     /* .env */
    TREE_CONFIG,  /* below config/: measured */
    TREE_SECRET,  /* below secrets/: copied, not measured */
    TREE_IMAGE,   /* *.tar beside docker-compose.yml: measured by the image in it */
    TREE_OTHER    /* anything else: only where the limits allow it */
};

struct tree_file {
    char *path; /* below the directory: "config/app.conf"; UTF-8 */
    enum tree_kind kind;
    uint64_t size;
    uint8_t sha384[48];
};

struct workload_tree {
    char *root;              /* the directory that is to be used: the private copy, or what was read */
    int fd;                  /* of root */
    struct tree_file *files; /* in the byte order of their paths */
    size_t n;
    char **folders; /* "config", "config/app": in the byte order of their paths */
    size_t folder_count;
    uint64_t bytes; /* of all files */
};

/** 0 takes the default: TREE_FILES_MAX, TREE_BYTES_MAX, one thread a core. */
struct tree_limits {
    size_t files;
    uint64_t bytes;
    unsigned threads;
    bool any_name;    /* files and folders of any name: for recipes of others */
    bool skip_images; /* without a copy: image archives are not read through, their sha384 stays zero (they
                         are measured by the images in them) */
};

/** Copies a workload directory into private memory, hashing on all cores.
 *  @param from         the directory on the data partition
 *  @param private_dir  must not exist: made with mode 0700, its folders 0755, its files 0644 or 0755; removed
 * again on failure
 *  @param limits       NULL: the defaults
 *  @param out          workload_tree_free() frees it (the copy stays); written only on success
 *  @return 0, or -1: ERR_NOT_FOUND (no directory from), ERR_INPUT (a symbolic link, a hard link, a device, a
 * name that is not UTF-8, a file other than docker-compose.yml, .env, config/, secrets/, *.tar),
 * ERR_TOO_LARGE, ERR_IO (also: the medium of the copy is full) */
MUST_USE int workload_tree_take(const char *from, const char *private_dir, const struct tree_limits *limits,
                                struct workload_tree **out, struct err *err);

/** As workload_tree_take() without a copy: for tools, and for a directory that is private already. */
MUST_USE int workload_tree_read(const char *from, const struct tree_limits *limits,
                                struct workload_tree **out, struct err *err);

/** NULL is fine. */
void workload_tree_free(struct workload_tree *t);

/** For AUTO(workload_tree_drop). */
static inline void workload_tree_drop(struct workload_tree **t)
{
    workload_tree_free(*t);
}

/** The file of that path, or NULL. */
const struct tree_file *workload_tree_find(const struct workload_tree *t, const char *path);

/** Whether there is a folder of that path. */
bool workload_tree_has_folder(const struct workload_tree *t, const char *path);

/** Whether there is anything below config/, or a .env. */
bool workload_tree_has_settings(const struct workload_tree *t);

/** Appends a file's bytes, which must still have the digest of the listing.
 *  @return 0, or -1: ERR_NOT_FOUND (not in the listing), ERR_TOO_LARGE, ERR_DENIED (changed since), ERR_IO */
MUST_USE int workload_tree_load(const struct workload_tree *t, const char *path, size_t max, struct buf *out,
                                struct err *err);

/** Opens a file of the listing for reading. @return a descriptor, or -1 as workload_tree_load() */
MUST_USE int workload_tree_open(const struct workload_tree *t, const char *path, struct err *err);

#endif
