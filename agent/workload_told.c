#include "agent/workload_told.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

void workload_tell_report(const struct runner_report *report)
{
    char kept[24], created[24], replaced[24], removed[24];
    snprintf(kept, sizeof(kept), "%zu", report->kept);
    snprintf(created, sizeof(created), "%zu", report->created);
    snprintf(replaced, sizeof(replaced), "%zu", report->replaced);
    snprintf(removed, sizeof(removed), "%zu", report->removed);
    log_event(LOG_LEVEL_INFO, "workload", "state", "running", "kept", kept, "created", created, "replaced",
              replaced, "removed", removed, NULL);
}

void workload_tell_manager(bool runs)
{
    const char *folder = getenv("RUNTIME_DIRECTORY");
    AUTO(close_fd) int fd = -1;
    char path[PATH_MAX];
    struct err err = { 0 };
    if (!folder || *folder != '/')
        return;
    if (path_set(path, sizeof(path), &err, "%s/" WORKLOAD_RUNS_FILE, folder) == 0) {
        if (runs)
            fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0444);
        if (runs ? fd >= 0 : unlink(path) == 0 || errno == ENOENT)
            return;
        err_set(&err, ERR_IO, (uint32_t)errno, "%.200s: %s", path, strerror(errno));
    }
    log_err(LOG_LEVEL_WARNING, "tell-manager", &err);
}

void workload_state_metric(enum workload_state state, struct buf *out)
{
    static const char *const words[WORKLOAD_STATES] = { "none", "starting", "running", "failed" };
    buf_str(out, "# HELP cvm_agent_workload Whether the workload runs: 1 for its state.\n"
                 "# TYPE cvm_agent_workload gauge\n");
    for (unsigned i = 0; i < WORKLOAD_STATES; i++)
        buf_printf(out, "cvm_agent_workload{state=\"%s\"} %d\n", words[i], (unsigned)state == i);
}
