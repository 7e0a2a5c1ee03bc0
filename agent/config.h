/** agent/config.h: the settings (agent.json in /etc/cvm-agent): they come with the verified root and hold
 * what a workload must not decide: limits and the log level. Strict: a wrong type or an unknown key is an
 * error that names its path. (What comes with the workload is workload/policy.h.) */
#ifndef CVM_AGENT_CONFIG_H
#define CVM_AGENT_CONFIG_H

#include "agent/collateral.h"
#include "agent/limits.h"
#include "base/bytes.h"
#include "base/log.h"

#include <limits.h>

#define CONFIG_FILE_MAX (1u << 20)

struct settings {
    struct limits limits;
    char verify_directory[PATH_MAX]; /* files that /offchain-verify may be asked to read; "": none */
    char policy_directory[PATH_MAX]; /* Rego policies that appraisals may name; "": none */
    char gpu_jwks[PATH_MAX];         /* keys of NVIDIA's attestation service; "": none */
    char token_key[PATH_MAX];        /* of appraisal tokens; "": one is made at start */
    enum log_level level;
    enum { FIREWALL_UNLESS_EMULATED, FIREWALL_ON, FIREWALL_OFF } firewall;
    struct collateral_settings collateral;
};

/** Parses agent.json:
 * {"log_level":"info","limits":{"evidence_per_second":5,"evidence_burst":20,"connections":512,
 * "connections_per_address":64,"upload_mib":512,"head_seconds":10},"verify_directory":"/srv/evidence",
 * "firewall":true,"collateral":{...}}, every member optional.
 */
MUST_USE int settings_parse(struct bytes text, struct settings *out, struct err *err);

/** Reads ETC/agent.json; the built-in defaults if there is no such file. */
MUST_USE int settings_load(const char *etc, struct settings *out, struct err *err);

#endif
