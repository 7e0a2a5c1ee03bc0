/** cli/cloud_run.h: other programs, run without a shell. */
#ifndef CVM_CLI_CLOUD_RUN_H
#define CVM_CLI_CLOUD_RUN_H

#include "base/buf.h"

/** True if PATH has it. */
bool program_exists(const char *name);

/** Runs a program and waits for it; nothing on its standard input.
 *  @param argv    ended by NULL; argv[0] is looked up in PATH
 *  @param out     takes its standard output; NULL: shown
 *  @param errors  takes its standard error; NULL: shown
 *  @return its exit status, or -1 if it cannot be run, was killed, or printed more than they take */
int run_program(const char *const argv[], struct buf *out, struct buf *errors);

#endif
