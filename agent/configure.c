#include "agent/program.h"

#include "base/file.h"
#include "base/log.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int program_fail(int status, const char *what, const struct err *err)
{
    char text[ERR_TEXT_MAX];
    fprintf(stderr, "cvm-agent: %s: %s\n", what, err_text(err, text, sizeof(text)));
    return status;
}

/* The policy: the file that was named must be there, the workload's own may be absent. Of a workload that
 * this boot has copied already it is the copy's: the disk does not count any more. */
static int load_policy(struct agent *a, struct err *err)
{
    char path[PATH_MAX];
    struct places places;
    if (a->options.config)
        return workload_policy_load(a->options.config, &a->policy, err);
    bool copied = places_name(&a->options, &places, err) == 0
                  && path_set(path, sizeof(path), err, "%s/" WORKLOAD_MARKER, places.workload) == 0
                  && access(path, F_OK) == 0;
    if (copied
            ? path_set(path, sizeof(path), err, "%s/" WORKLOAD_CURRENT "/" POLICY_PATH, places.workload) < 0
            : path_set(path, sizeof(path), err, "%s/" POLICY_PATH, a->options.workload) < 0)
        return -1;
    if (access(path, F_OK) < 0) {
        workload_policy_defaults(&a->policy);
        return 0;
    }
    return workload_policy_load(path, &a->policy, err) < 0 ? err_while(err, "cvm_agent_policy.json") : 0;
}

static void log_policy(const struct workload_policy *policy)
{
    for (size_t i = 0; i < policy->warning_count; i++)
        log_event(LOG_LEVEL_WARNING, "policy", "note", policy->warnings[i], NULL);
}

int program_configure(struct agent *a)
{
    struct err err = { 0 };
    if (settings_load(a->options.etc, &a->settings, &err) < 0)
        return program_fail(EXIT_INPUT, "agent.json", &err);
    if (a->options.level_given)
        a->settings.level = a->options.level;
    log_setup(a->settings.level);
    if (load_policy(a, &err) < 0)
        return program_fail(EXIT_INPUT, a->options.config ? a->options.config : "policy", &err);
    if (a->options.config) /* a workload's own is warned of where it is judged */
        log_policy(&a->policy);
    if (!a->options.emulate && !a->options.verifier)
        a->options.emulate = a->policy.emulate;
    if (a->options.emulate && !machine_can_emulate()) {
        err_set(&err, ERR_INPUT, 0, "this build has no emulator: remove --emulate or emulation_mode");
        return program_fail(EXIT_USAGE, "start", &err);
    }
    return EXIT_OK;
}
