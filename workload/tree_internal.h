/** workload/tree_internal.h: what the parts of workload/tree share; not for users. */
#ifndef CVM_WORKLOAD_TREE_INTERNAL_H
#define CVM_WORKLOAD_TREE_INTERNAL_H

#include "workload/tree.h"

/** Opens a regular file for reading that nothing else links to; link: its permission bits.
 *  @return a descriptor, or -1: ERR_INPUT, ERR_IO */
MUST_USE int tree_open_file(const struct workload_tree *t, const char *path, mode_t *mode, struct err *err);

/** Lists the directory of t->fd into t, sorted; sizes are what the file system says, digests still zero. */
MUST_USE int tree_list(struct workload_tree *t, const struct tree_limits *limits, struct err *err);

/** Hashes every file of the listing on limits->threads threads and, unless copy is -1, writes it below the
 * folder copy. Sizes become what was read. */
MUST_USE int tree_hash(struct workload_tree *t, int copy, const struct tree_limits *limits, struct err *err);

#endif
