/** agent/config.h: the two configuration files. The policy (cvm_agent_policy.json) comes with the workload
 * and is measured with it; the settings (agent.json in /etc/cvm-agent) come with the verified root and hold
 * what a workload must not decide: limits and the log level. Both are strict: a wrong type or an unknown key
 * is an error that names its path. */
#ifndef CVM_AGENT_CONFIG_H
#define CVM_AGENT_CONFIG_H

#include "agent/limits.h"
#include "base/bytes.h"
#include "base/log.h"

#include <limits.h>

#define CONFIG_FILE_MAX (1u << 20)

/** Published policy keys that this build accepts without acting on them, as paths, for the log. */
#define POLICY_IGNORED_MAX 24

struct policy {
    const char *emulate; /* shape that cvm_config.emulation_mode asks for, or NULL */
    size_t ignored_count;
    const char *ignored[POLICY_IGNORED_MAX];
};

/** Parses a policy. Strings in out are constants.
 *  @return 0, or -1 with ERR_INPUT and the path of the key */
MUST_USE int policy_parse(struct bytes text, struct policy *out, struct err *err);

/** Reads and parses a policy file; a missing file is ERR_NOT_FOUND. */
MUST_USE int policy_load(const char *path, struct policy *out, struct err *err);

struct settings {
    struct limits limits;
    char verify_directory[PATH_MAX]; /* files that /offchain-verify may be asked to read; "": none */
    enum log_level level;
};

/** Parses agent.json:
 * {"log_level":"info","limits":{"evidence_per_second":5,"evidence_burst":20,"connections":512,
 * "connections_per_address":64,"head_seconds":10},"verify_directory":"/srv/evidence"}, every member optional.
 */
MUST_USE int settings_parse(struct bytes text, struct settings *out, struct err *err);

/** Reads ETC/agent.json; the built-in defaults if there is no such file. */
MUST_USE int settings_load(const char *etc, struct settings *out, struct err *err);

#endif
