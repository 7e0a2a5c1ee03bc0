/** workload/policy.h: cvm_agent_policy.json, the security policy that comes with a workload and is measured
 * with it: the union of all published versions. Strict: a wrong type or an unknown key is an error that names
 * its path. What is not written takes the default of the published file, and where that would open something,
 * the closed one. */
#ifndef CVM_WORKLOAD_POLICY_H
#define CVM_WORKLOAD_POLICY_H

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>

#define POLICY_FILE_MAX     (1u << 20)
#define POLICY_PORTS_MAX    256  /* firewall rules */
#define POLICY_NAMES_MAX    1024 /* members of one list of services */
#define POLICY_DISKS_MAX    16
#define POLICY_WARNINGS_MAX 64

/** Where the file lies below a workload directory. */
#define POLICY_PATH "config/cvm_agent/cvm_agent_policy.json"

enum policy_protocol { POLICY_TCP, POLICY_UDP };
enum policy_direction { POLICY_IN, POLICY_OUT, POLICY_BOTH };

struct policy_port {
    const char *name; /* label, "" if none */
    enum policy_protocol protocol;
    enum policy_direction direction; /* POLICY_IN unless written */
    uint16_t first, last;            /* both included; equal for a single port */
};

/** Names of services: all of them, or those listed. */
struct policy_names {
    bool all;
    size_t n;
    const char **item;
};

enum policy_engine { POLICY_PODMAN, POLICY_DOCKER };

struct policy_disk {
    const char *serial, *service, *mount_point; /* NULL if not written; mount_point always is */
    bool encrypt, strong; /* strong: the key is bound to firmware and hardware values too */
};

struct workload_policy {
    const char *emulate; /* shape that emulation_mode asks for (a constant), or NULL */

    struct policy_port *ports;
    size_t port_count;
    uint16_t maintenance_port; /* firewall.maintenance_mode_host_port; 0: none */

    bool enable_tls, enable_auth; /* default true */

    enum policy_engine engine;
    const char *container_owner; /* whose subordinate ids the containers get; default "automata" */

    bool maintenance_allow; /* default false */
    int maintenance_signal; /* number; default SIGUSR2 */
    const char *maintenance_signal_name;

    struct policy_disk disks[POLICY_DISKS_MAX];
    size_t disk_count;

    bool enable_sign_message, enable_livepatch, raw_report_data; /* default false */
    bool
        appraisal_external; /* appraisal_api.external: /appraisal also outside, with a token; default false */
    bool accept_host_vtpm; /* disk_config.accept_host_vtpm: seal to a TPM that the host runs; default false */

    struct policy_names allow_update, allow_remove, skip_measurement, agent_socket_targets;
    bool allow_add_new_service; /* default false */

    bool verify_signatures;                /* image_signature_verification.enable; default false */
    char *auth_info_path;                  /* below the workload directory; NULL: none */
    const char *auth_user, *auth_password; /* the older inline form; NULL: none. Never to be logged */
    char *signature_policy_path;           /* below the workload directory; NULL: none */

    size_t warning_count;
    char *warnings[POLICY_WARNINGS_MAX]; /* sentences: old names with the new one, settings without effect */

    json_t *root; /* owns the strings */
};

/** The built-in policy for a workload without the file: everything at its default. */
void workload_policy_defaults(struct workload_policy *out);

/** Parses a policy.
 *  @param out  workload_policy_done() frees it; written only on success
 *  @return 0, or -1 with ERR_INPUT (or ERR_TOO_LARGE) and the path of the key */
MUST_USE int workload_policy_parse(struct bytes text, struct workload_policy *out, struct err *err);

/** As workload_policy_parse(), for policy-lint: what is wrong is left out, and every problem appended to
 * problems as a line; an agent starts with none of them only.
 *  @param n  how many
 *  @return 0, or -1: not JSON, or no object */
MUST_USE int workload_policy_judge(struct bytes text, struct workload_policy *out, struct buf *problems,
                                   size_t *n, struct err *err);

/** Reads and parses a policy file; a missing file is ERR_NOT_FOUND. */
MUST_USE int workload_policy_load(const char *path, struct workload_policy *out, struct err *err);

/** Frees what a policy holds. For AUTO(). */
void workload_policy_done(struct workload_policy *p);

/** Whether a running service may be changed by an update. */
bool policy_allows_update(const struct workload_policy *p, const char *service);

/** Whether an update may leave out a service that runs. */
bool policy_allows_remove(const struct workload_policy *p, const char *service);

/** Whether a service is in skip_measurement: its image is recorded by reference only, its signature not
 * checked. */
bool policy_skips(const struct workload_policy *p, const char *service);

/** Whether the policy gives a service its own agent socket (compose may ask for one too). */
bool policy_gives_socket(const struct workload_policy *p, const char *service);

/** Appends every setting in effect as lines "path = value  (default | written)" for policy-lint; no password.
 */
void workload_policy_explain(const struct workload_policy *p, struct buf *out);

#endif
