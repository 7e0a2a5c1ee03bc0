/** cli/zip_write.h: the zip of a workload directory, as /update-workload takes it. */
#ifndef CVM_CLI_ZIP_WRITE_H
#define CVM_CLI_ZIP_WRITE_H

#include "base/bytes.h"
#include "workload/tree.h"

/** Appends a zip of the tree to a file, with "workload/" before every path.
 *  @param fd  written at its end; offsets in the zip count from where it begins
 *  @param n   bytes of the zip
 *  @return 0, or -1: ERR_TOO_LARGE (4 GiB), ERR_IO */
MUST_USE int zip_write(const struct workload_tree *tree, int fd, uint64_t *n, struct err *err);

#endif
