/** agent/workload_told.h: how the outside of the agent hears of its workload: the log, and a file for the
 * service manager. The agent may start no unit; cvm-workload.path does when the file appears. */
#ifndef CVM_AGENT_WORKLOAD_TOLD_H
#define CVM_AGENT_WORKLOAD_TOLD_H

#include "base/buf.h"
#include "workload/runner.h"

enum workload_state { WORKLOAD_NOTHING, WORKLOAD_STARTING, WORKLOAD_RUNS, WORKLOAD_FAILED, WORKLOAD_STATES };

#define WORKLOAD_RUNS_FILE "workload-runs" /* in the unit's RuntimeDirectory= */

/** Logs what a start of services did. */
void workload_tell_report(const struct runner_report *report);

/** Makes the file, or removes it, in the folder of $RUNTIME_DIRECTORY, which systemd sets; without one
 * nothing. A failure is logged: the workload runs all the same. */
void workload_tell_manager(bool runs);

/** Appends the metric that names the state. */
void workload_state_metric(enum workload_state state, struct buf *out);

#endif
