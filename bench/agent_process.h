/** bench/agent_process.h: a cvm-agent as a child process on free ports. */
#ifndef CVM_BENCH_AGENT_PROCESS_H
#define CVM_BENCH_AGENT_PROCESS_H

#include "base/err.h"

#include <sys/types.h>

struct agent_process {
    pid_t pid;
    uint16_t port;       /* of the internal server */
    double started_us;   /* exec */
    double answering_us; /* first 200 of /platform */
};

/** Starts program with these extra arguments (NULL-terminated) and waits for the first answer of /platform.
 *  @param state  its state folder; the socket lies there too */
MUST_USE int agent_start(struct agent_process *a, const char *program, const char *state,
                         const char *const *extra, struct err *err);

/** SIGTERM, and waits. @return its exit status */
int agent_stop(struct agent_process *a);

/** A line of /proc/PID/status in KiB, 0 if it is not there. */
unsigned long agent_memory_kib(const struct agent_process *a, const char *key);

#endif
