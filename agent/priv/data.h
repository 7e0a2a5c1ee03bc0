/** agent/priv/data.h: the data partition, made writable for as long as an update is stored. Only the file
 * system becomes so; its mounts stay read-only. What is written goes through a mount of our own that is
 * attached nowhere, so that nobody else can write meanwhile, and that is gone when we are. Source: fspick(2),
 * fsconfig(2), open_tree(2), mount_setattr(2). */
#ifndef CVM_AGENT_PRIV_DATA_H
#define CVM_AGENT_PRIV_DATA_H

#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

struct data {
    int folder; /* the folder, on our mount; O_PATH */
    int seen;   /* the same as everybody sees it; O_PATH */
    dev_t device;
    bool closed; /* the file system is read-only otherwise */
};

#define DATA_NONE                                                                                            \
    {                                                                                                        \
        .folder = -1, .seen = -1                                                                             \
    }

/** Opens a folder for writing. A file system that can be written anyway stays as it is.
 *  @param out  DATA_NONE before; data_close() closes it
 *  @return 0, or -1: ERR_UNAVAILABLE (read-only and no mount of its own; the disk cannot be written), ERR_IO;
 *  nothing is writable then */
MUST_USE int data_open(const char *folder, struct data *out, struct err *err);

/** All that was opened below must be closed before. @return 0, or -1 with ERR_IO: it is still writable */
MUST_USE int data_close(struct data *d, struct err *err);

/** Makes read-only again what a process that was killed left writable.
 *  @return 0 (also: nothing to do), or -1 with ERR_IO */
MUST_USE int data_heal(const char *folder, struct err *err);

#endif
