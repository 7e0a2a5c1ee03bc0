/* services.NAME: its members, and those that are simple to read. */
#include "base/auto.h"
#include "workload/compose_reader.h"

#include <stdlib.h>

void compose_refuse(struct compose_reader *r, struct compose_service *s, struct compose_at at,
                    const char *gives, const char *setting)
{
    struct compose_refused *old = s->refused;
    if (s->refused_count == COMPOSE_LIST_MAX)
        return; /* each is an error: one would do */
    if (!(s->refused_count & (s->refused_count - 1))) {
        s->refused = compose_take(r, s->refused_count ? 2 * s->refused_count : 1, sizeof(*s->refused));
        if (s->refused_count)
            memcpy(s->refused, old, s->refused_count * sizeof(*old));
    }
    s->refused[s->refused_count++] =
        (struct compose_refused){ compose_copy(r, bytes_str(setting)), gives, at };
}

/* ---- members that are one value ---- */

#define READ_TEXT(member)                                                                                    \
    static void read_##member(struct compose_reader *r, const struct yaml_node *v, void *target)             \
    {                                                                                                        \
        ((struct compose_service *)target)->member = yaml_text(r, v, #member);                               \
    }
READ_TEXT(domainname)
READ_TEXT(user)

#define READ_BOOL(member)                                                                                    \
    static void read_##member(struct compose_reader *r, const struct yaml_node *v, void *target)             \
    {                                                                                                        \
        ((struct compose_service *)target)->member = yaml_bool(r, v, #member);                               \
    }
READ_BOOL(read_only)
READ_BOOL(init)
READ_BOOL(tty)
READ_BOOL(stdin_open)

#define READ_LIST(member)                                                                                    \
    static void read_##member(struct compose_reader *r, const struct yaml_node *v, void *target)             \
    {                                                                                                        \
        yaml_list_or_text(r, v, #member, &((struct compose_service *)target)->member);                       \
    }
READ_LIST(group_add)

#define READ_PAIRS(member, separators)                                                                       \
    static void read_##member(struct compose_reader *r, const struct yaml_node *v, void *target)             \
    {                                                                                                        \
        yaml_pairs(r, v, #member, separators, &((struct compose_service *)target)->member);                  \
    }
READ_PAIRS(labels, "=")

static void read_image(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_service *s = target;
    char full[512];
    bool complete;
    struct err why = { 0 };
    s->image = (struct compose_text){ yaml_text(r, v, "image"), v->at };
    if (compose_image_reference(s->image.text, full, sizeof(full), &complete, &why) < 0)
        compose_fail(r, v->at, "image: %.200s", why.cause);
}

static void read_container_name(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_service *s = target;
    s->container_name = yaml_name(r, yaml_text(r, v, "container_name"), v->at, "container_name");
}

static void read_hostname(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_service *)target)->hostname =
        yaml_name(r, yaml_text(r, v, "hostname"), v->at, "hostname");
}

static void read_working_dir(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    const char *path = yaml_text(r, v, "working_dir");
    if (*path != '/')
        compose_fail(r, v->at, "working_dir: \"%.60s\": want an absolute path", path);
    ((struct compose_service *)target)->working_dir = path;
}

static void read_command(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    if (!yaml_is_null(v)) /* null: the image's own */
        yaml_words(r, v, "command", &((struct compose_service *)target)->command);
}

static void read_entrypoint(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    if (!yaml_is_null(v))
        yaml_words(r, v, "entrypoint", &((struct compose_service *)target)->entrypoint);
}

/* A name without value takes the one of .env, and is left out if there is none. */
static void read_environment(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_service *s = target;
    if (yaml_is_null(v))
        return;
    yaml_pairs(r, v, "environment", "=", &s->environment);
    for (size_t i = 0; i < s->environment.n; i++) {
        struct compose_pair *pair = &s->environment.item[i];
        if (!pair->value)
            pair->value = compose_variable(r, pair->key, strlen(pair->key));
    }
}

static void read_env_file(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_service *s = target;
    size_t n = v->kind == YAML_LIST ? v->n : 1;
    s->env_files = (struct compose_list){ .set = true, .at = v->at };
    s->env_files.item = compose_take(r, n + 1, sizeof(*s->env_files.item));
    s->env_file_optional = compose_take(r, n + 1, sizeof(bool));
    for (size_t i = 0; i < n; i++) {
        const struct yaml_node *file = v->kind == YAML_LIST ? v->item[i] : v, *path = file;
        bool optional = false;
        if (file->kind == YAML_MAP) {
            const struct yaml_node *required = yaml_member(file, "required");
            path = yaml_member(file, "path");
            if (!path || file->n != 1u + (required != NULL))
                compose_fail(r, file->at, "env_file: want path and required, nothing else");
            optional = required && !yaml_bool(r, required, "env_file.required");
        }
        s->env_file_optional[i] = optional;
        s->env_files.item[s->env_files.n++] =
            (struct compose_text){ yaml_path(r, path, "env_file"), path->at };
    }
}

static void read_restart(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_service *s = target;
    const char *text = yaml_text(r, v, "restart"), *colon = strchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : strlen(text);
    static const char *const words[] = { "no", "always", "on-failure", "unless-stopped" };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strlen(words[i]) != n || strncmp(words[i], text, n) != 0
            || (colon && i != COMPOSE_RESTART_ON_FAILURE))
            continue;
        s->restart = (enum compose_restart)i;
        if (colon) {
            struct yaml_node times = { .kind = YAML_TEXT, .at = v->at, .text = colon + 1 };
            s->restart_max = yaml_number(r, &times, "restart: on-failure", 1, 1000000);
        }
        return;
    }
    compose_fail(r, v->at,
                 "restart: \"%.40s\": want \"no\", always, on-failure, on-failure:N or unless-stopped", text);
}

static void read_grace(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_service *)target)->stop_grace_ns = yaml_duration(r, v, "stop_grace_period");
}

static void read_shm_size(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_service *)target)->shm_size = yaml_size(r, v, "shm_size");
}

static void read_mem_limit(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_service *)target)->mem_limit = yaml_size(r, v, "mem_limit");
}

static void read_pids_limit(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_service *)target)->pids_limit = yaml_number(r, v, "pids_limit", 1, 1 << 22);
}

static void read_pull_policy(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    const char *text = yaml_text(r, v, "pull_policy");
    ((struct compose_service *)target)->pull_never = !strcmp(text, "never");
    if (strcmp(text, "never") != 0 && strcmp(text, "always") != 0 && strcmp(text, "missing") != 0
        && strcmp(text, "if_not_present") != 0)
        compose_fail(r, v->at, "pull_policy: \"%.40s\": want always, missing or never", text);
}

static void read_platform(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    (void)target;
    if (strcmp(yaml_text(r, v, "platform"), "linux/amd64") != 0)
        compose_fail(r, v->at, "platform: confidential machines of this agent are linux/amd64");
}

static void read_deploy(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    compose_warn(r, v->at, "services.%s.deploy: ignored: it is for a swarm of machines",
                 ((struct compose_service *)target)->name);
}

static void read_x_agent(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_service *s = target;
    yaml_want_map(r, v, "x-cvm-agent", false);
    for (size_t i = 0; i < v->n; i++) {
        if (strcmp(v->pair[i].key, "socket") != 0)
            compose_fail(r, v->pair[i].at, "x-cvm-agent.%.60s: no such setting: want socket", v->pair[i].key);
        s->agent_socket = yaml_bool(r, v->pair[i].value, "x-cvm-agent.socket");
    }
}

/* ---- members that hand out the machine ---- */

static void read_privileged(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    if (yaml_bool(r, v, "privileged"))
        compose_refuse(r, target, v->at, "host", "privileged");
}

static void read_devices(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_list list;
    char setting[96];
    yaml_list(r, v, "devices", &list);
    for (size_t i = 0; i < list.n; i++) {
        const char *device = list.item[i].text;
        snprintf(setting, sizeof(setting), "devices %.80s", device);
        compose_refuse(r, target, list.item[i].at,
                       !strncmp(device, "/dev/tpm", 8)   ? "TPM"
                       : !strncmp(device, "/dev/sev", 8) ? "TEE"
                       : !strncmp(device, "/dev/tdx", 8) ? "TEE"
                                                         : "host",
                       setting);
    }
}

/* pid, ipc, userns_mode, uts, cgroup: the own one is what a container has anyway; the host's is refused. */
static void read_namespace(struct compose_reader *r, const struct yaml_node *v, void *target,
                           const char *what)
{
    const char *mode = yaml_text(r, v, what);
    char setting[64];
    snprintf(setting, sizeof(setting), "%s: host", what);
    if (!strcmp(mode, "host"))
        compose_refuse(r, target, v->at, "host", setting);
    else if (strcmp(mode, "private") != 0)
        compose_fail(r, v->at, "%s: \"%.40s\" is not supported: remove it", what, mode);
}

#define READ_NAMESPACE(member)                                                                               \
    static void read_##member(struct compose_reader *r, const struct yaml_node *v, void *target)             \
    {                                                                                                        \
        read_namespace(r, v, target, #member);                                                               \
    }
READ_NAMESPACE(pid)
READ_NAMESPACE(ipc)
READ_NAMESPACE(userns_mode)
READ_NAMESPACE(uts)
READ_NAMESPACE(cgroup)

static void read_refused(struct compose_reader *r, const struct yaml_node *v, void *target,
                         const char *setting)
{
    if (!yaml_is_null(v) && !(v->kind == YAML_LIST && v->n == 0))
        compose_refuse(r, target, v->at, "host", setting);
}

static void read_device_cgroup_rules(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    read_refused(r, v, target, "device_cgroup_rules");
}

static void read_cgroup_parent(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    read_refused(r, v, target, "cgroup_parent");
}

static void read_security_opt(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_service *s = target;
    struct compose_list list;
    char setting[96];
    yaml_list(r, v, "security_opt", &list);
    for (size_t i = 0; i < list.n; i++) {
        const char *text = list.item[i].text;
        snprintf(setting, sizeof(setting), "security_opt %.60s", text);
        if (!strcmp(text, "no-new-privileges") || !strcmp(text, "no-new-privileges:true")
            || !strcmp(text, "no-new-privileges=true"))
            s->no_new_privileges = true;
        else
            compose_refuse(r, s, list.item[i].at, "host", setting);
    }
}

#define NOT(name, why)                                                                                       \
    {                                                                                                        \
        name, NULL, why                                                                                      \
    }

static const struct member members[] = {
    { "image", read_image, NULL },
    { "command", read_command, NULL },
    { "entrypoint", read_entrypoint, NULL },
    { "environment", read_environment, NULL },
    { "env_file", read_env_file, NULL },
    { "ports", compose_read_ports, NULL },
    { "expose", compose_read_expose, NULL },
    { "volumes", compose_read_volumes, NULL },
    { "tmpfs", compose_read_tmpfs, NULL },
    { "networks", compose_read_networks, NULL },
    { "network_mode", compose_read_network_mode, NULL },
    { "depends_on", compose_read_depends, NULL },
    { "restart", read_restart, NULL },
    { "healthcheck", compose_read_healthcheck, NULL },
    { "labels", read_labels, NULL },
    { "user", read_user, NULL },
    { "group_add", read_group_add, NULL },
    { "working_dir", read_working_dir, NULL },
    { "container_name", read_container_name, NULL },
    { "hostname", read_hostname, NULL },
    { "domainname", read_domainname, NULL },
    { "cap_add", compose_read_cap_add, NULL },
    { "cap_drop", compose_read_cap_drop, NULL },
    { "read_only", read_read_only, NULL },
    { "secrets", compose_read_secrets, NULL },
    { "configs", compose_read_configs, NULL },
    { "extra_hosts", compose_read_extra_hosts, NULL },
    { "dns", compose_read_dns, NULL },
    { "dns_search", compose_read_dns_search, NULL },
    { "sysctls", compose_read_sysctls, NULL },
    { "ulimits", compose_read_ulimits, NULL },
    { "init", read_init, NULL },
    { "tty", read_tty, NULL },
    { "stdin_open", read_stdin_open, NULL },
    { "stop_signal", compose_read_stop_signal, NULL },
    { "stop_grace_period", read_grace, NULL },
    { "shm_size", read_shm_size, NULL },
    { "mem_limit", read_mem_limit, NULL },
    { "pids_limit", read_pids_limit, NULL },
    { "pull_policy", read_pull_policy, NULL },
    { "platform", read_platform, NULL },
    { "logging", compose_read_logging, NULL },
    { "deploy", read_deploy, NULL },
    { "x-cvm-agent", read_x_agent, NULL },
    { "security_opt", read_security_opt, NULL },
    { "privileged", read_privileged, NULL },
    { "devices", read_devices, NULL },
    { "device_cgroup_rules", read_device_cgroup_rules, NULL },
    { "cgroup_parent", read_cgroup_parent, NULL },
    { "pid", read_pid, NULL },
    { "ipc", read_ipc, NULL },
    { "userns_mode", read_userns_mode, NULL },
    { "uts", read_uts, NULL },
    { "cgroup", read_cgroup, NULL },
    NOT("build", "refused: images are built beforehand: name one with image:"),
    NOT("extends", "other files and services are not read: write the members here, or use an anchor and <<"),
    NOT("profiles", "every service of the file runs: remove it, or the service"),
    NOT("links", "services of a network find each other by name: use networks:"),
    NOT("external_links", "there are no containers but those of this file"),
    NOT("volumes_from", "name the volume in both services"),
    NOT("scale", "a service runs once"),
    NOT("gpus", "no device is given to containers"),
};

void compose_read_service(struct compose_reader *r, const struct yaml_pair *pair, struct compose_service *s)
{
    char where[96];
    s->name = yaml_name(r, pair->key, pair->at, "services");
    s->at = pair->at;
    s->restart_max = s->stop_grace_ns = s->shm_size = s->mem_limit = s->pids_limit = COMPOSE_UNSET;
    s->health.interval_ns = s->health.timeout_ns = s->health.start_period_ns = COMPOSE_UNSET;
    s->health.start_interval_ns = s->health.retries = COMPOSE_UNSET;
    snprintf(where, sizeof(where), "services.%s", s->name);
    yaml_want_map(r, pair->value, where, false);
    yaml_members(r, pair->value, where, members, ARRAY_SIZE(members), s);
    if (!s->image.text)
        compose_fail(r, pair->at, "%s.image: is missing: every service names its image", where);
    if (s->network_mode.text && s->networks)
        compose_fail(r, s->network_mode.at, "%s: network_mode and networks exclude each other", where);
}
