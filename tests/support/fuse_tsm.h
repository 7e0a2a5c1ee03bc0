/** tests/support/fuse_tsm.h: configfs-tsm as a FUSE file system that behaves as the kernel's, faults
 * included. Source: Linux drivers/virt/coco/guest/report.c, fs/configfs/file.c. */
#ifndef CVM_TESTS_FUSE_TSM_H
#define CVM_TESTS_FUSE_TSM_H

#include "base/bytes.h"

#include <stdatomic.h>

#define FUSE_TSM_FAULTS 8

/** What the machine does. Set before a request; read by the file system's process: what its pointers point to
 * must have been there, unchanged since, when fuse_tsm_mount() was called. */
struct fuse_tsm_script {
    const char *provider;
    struct bytes report;       /* a real report or quote, its report_data replaced by the inblob ... */
    size_t report_data_offset; /* ... here */
    struct bytes certs;        /* auxblob */
    bool has_auxblob;
    int privlevel_floor;             /* -1: no such attribute */
    bool empty;                      /* outblob has no bytes */
    bool other_data;                 /* the report is over other data than asked */
    int make_error;                  /* errno of mkdir, 0: none */
    int provider_error;              /* errno of reading provider */
    int read_error[FUSE_TSM_FAULTS]; /* errno of the first, second, ... read of outblob; 0: none */
    unsigned lost_writes;            /* so many inblobs get lost at close, unseen */
    unsigned disturbed;              /* in so many requests another writer is at work */
};

/** What happened. */
struct fuse_tsm_seen {
    atomic_uint made, removed, live, truncating_opens, inblobs, privlevel_writes, outblob_reads;
    atomic_int privlevel; /* last written */
};

struct fuse_tsm;

/** Mounts at folder (made if missing, two levels at most). @return NULL if this machine has no FUSE: skip */
struct fuse_tsm *fuse_tsm_mount(const char *folder);
struct fuse_tsm_script *fuse_tsm_script(struct fuse_tsm *f);
struct fuse_tsm_seen *fuse_tsm_seen(struct fuse_tsm *f);

/** Forgets entries and counters, and sets the script to a working SNP machine without report. */
void fuse_tsm_reset(struct fuse_tsm *f);
void fuse_tsm_unmount(struct fuse_tsm *f);

#endif
