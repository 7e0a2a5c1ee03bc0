/** base/folder.h: whole folders: copied with all that is in them on the medium, or removed. Links are not
 * followed; beside regular files and folders nothing is copied. */
#ifndef CVM_BASE_FOLDER_H
#define CVM_BASE_FOLDER_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FOLDER_DEPTH_MAX 64 /* folders below each other */

struct folder_limits {
    size_t entries; /* files and folders */
    uint64_t bytes; /* of all files together */
};

/** Copies bytes until the end of a file.
 *  @param max   one byte more is ERR_TOO_LARGE
 *  @param name  for messages
 *  @return 0 with the number in *copied (NULL: not wanted), or -1: as folder_copy() */
MUST_USE int file_copy(int from, int to, uint64_t max, const char *name, uint64_t *copied, struct err *err);

/** Copies what is in a folder into another one and syncs all of it, the target folder included (not the one
 * above). Folders get mode 0755, files 0644, or 0755 if their owner may execute them.
 *  @param from  descriptor of a folder that nobody changes meanwhile, or -1 may be the outcome
 *  @param into  descriptor (not O_PATH) of an empty folder; on failure what was copied stays there
 *  @return 0, or -1: ERR_INPUT (a link, a device, a file with hard links), ERR_TOO_LARGE (limits, depth),
 *  ERR_UNAVAILABLE with errno (read-only, full, not ours), ERR_IO */
MUST_USE int folder_copy(int from, int into, const struct folder_limits *limits, struct err *err);

/** Removes a folder and all in it; one that is not there is fine.
 *  @param parent  descriptor of the folder above (O_PATH does), or AT_FDCWD
 *  @return 0, or -1 with ERR_IO */
MUST_USE int folder_remove(int parent, const char *name, struct err *err);

/** Opens a path below a folder; close-on-exec, does not wait for a pipe's other end. Nothing on the way may
 * be a symbolic link or lead out: openat2(2), or step by step where there is none (RestrictSUIDSGID of
 * systemd takes it away).
 *  @param folder  descriptor (O_PATH does)
 *  @param mode    with O_CREAT
 *  @return a descriptor, or -1 with errno */
int open_below(int folder, const char *path, int flags, mode_t mode);

/** An error of a medium, from errno: ERR_UNAVAILABLE where the machine's state is to blame (read-only, full,
 * not ours), else ERR_IO. @return -1 */
int medium_failed(const char *what, const char *path, struct err *err);

#endif
