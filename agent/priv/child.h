/** agent/priv/child.h: runs a program to its end. */
#ifndef CVM_AGENT_PRIV_CHILD_H
#define CVM_AGENT_PRIV_CHILD_H

#include "base/buf.h"

/** Runs argv[0], an absolute path, with in as its standard input and an environment of PATH alone.
 *  @param out          what it wrote to standard output, at most out->max bytes
 *  @param complaint    the first line of what it wrote to standard error, at most size - 1 bytes
 *  @return 0 when it ended with status 0 within deadline_ms, or -1 */
MUST_USE int child_run(const char *const *argv, struct bytes in, struct buf *out, char *complaint,
                       size_t size, unsigned deadline_ms, struct err *err);

#endif
