#include "workload/policy.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "workload/policy_internal.h"

#include <signal.h>
#include <strings.h>

#define CVM "cvm_config."

/* clang-format off */
static const struct {
    const char *cloud, *tee, *shape;
} shapes[] = {
    { "azure", "snp", "azure-snp" },  { "azure", "tdx", "azure-tdx" },
    { "gcp", "snp", "gcp-snp" },      { "gcp", "tdx", "gcp-tdx" },
    { "google", "snp", "gcp-snp" },   { "google", "tdx", "gcp-tdx" },
    { "aws", "snp", "aws-snp" },      { "amazon", "snp", "aws-snp" },
    { "none", "snp", "snp-vtpm" },    { "none", "tdx", "tdx-vtpm" },
};
/* clang-format on */

void workload_policy_defaults(struct workload_policy *out)
{
    *out = (struct workload_policy){
        .enable_tls = true,
        .enable_auth = true,
        .container_owner = "automata",
        .maintenance_signal = SIGUSR2,
        .maintenance_signal_name = "SIGUSR2",
    };
}

int policy_pick(const json_t *root, const char *now, const char *old, json_t **out, struct err *err)
{
    json_t *a = policy_at(root, now), *b = old ? policy_at(root, old) : NULL;
    if (a && b && !json_equal(a, b))
        return err_set(err, ERR_INPUT, 0, "%s and its older name %s contradict each other: remove the latter",
                       now, old);
    *out = a ? a : b;
    return 0;
}

int policy_pick_bool(const json_t *root, const char *now, const char *old, bool *value, struct err *err)
{
    json_t *v;
    if (policy_pick(root, now, old, &v, err) < 0)
        return -1;
    if (v)
        *value = json_is_true(v);
    return 0;
}

/* ---- cvm_config ---- */

static int read_emulation(struct workload_policy *p, struct err *err)
{
    const json_t *mode = policy_at(p->root, CVM "emulation_mode");
    const char *cloud = json_string_value(json_object_get(mode, "cloud_provider"));
    const char *tee = json_string_value(json_object_get(mode, "tee_type"));
    if (!json_is_true(json_object_get(mode, "enable")))
        return 0;
    if (!cloud || !tee)
        return err_set(err, ERR_INPUT, 0,
                       "cvm_config.emulation_mode: enable wants cloud_provider and tee_type beside it");
    if (!strcasecmp(tee, "sev_snp") || !strcasecmp(tee, "sev-snp"))
        tee = "snp";
    for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
        if (!strcasecmp(cloud, shapes[i].cloud) && !strcasecmp(tee, shapes[i].tee)) {
            p->emulate = shapes[i].shape;
            return 0;
        }
    }
    return err_set(
        err, ERR_INPUT, 0,
        "cvm_config.emulation_mode: no shape for cloud_provider \"%.40s\" and tee_type \"%.40s\": want "
        "azure, gcp, aws or none, and snp or tdx",
        cloud, tee);
}

/* "80" or "8000-8010". */
static int read_range(const char *text, const char *path, uint16_t *first, uint16_t *last, struct err *err)
{
    unsigned value[2] = { 0, 0 };
    size_t which = 0;
    const char *p = text;
    for (; *p && value[which] <= UINT16_MAX; p++) {
        if (*p >= '0' && *p <= '9')
            value[which] = value[which] * 10 + (unsigned)(*p - '0');
        else if (*p == '-' && which == 0 && p > text && p[1])
            which = 1;
        else
            break;
    }
    if (!which)
        value[1] = value[0];
    if (*p || value[0] == 0 || value[1] < value[0] || value[1] > UINT16_MAX)
        return err_set(err, ERR_INPUT, 0,
                       "%s: \"%.40s\" is no port: want \"1\" to \"65535\", or a range \"8000-8010\"", path,
                       text);
    *first = (uint16_t)value[0];
    *last = (uint16_t)value[1];
    return 0;
}

static int read_direction(const char *text, const char *path, enum policy_direction *out, struct err *err)
{
    static const struct {
        const char *word;
        enum policy_direction is;
    } words[] = { { "in", POLICY_IN },    { "inbound", POLICY_IN },   { "ingress", POLICY_IN },
                  { "out", POLICY_OUT },  { "outbound", POLICY_OUT }, { "egress", POLICY_OUT },
                  { "both", POLICY_BOTH } };
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (!strcasecmp(words[i].word, text)) {
            *out = words[i].is;
            return 0;
        }
    }
    return err_set(err, ERR_INPUT, 0, "%s.direction: \"%.40s\": want \"in\", \"out\" or \"both\"", path,
                   text);
}

static int read_port(const json_t *v, size_t i, struct policy_port *out, struct err *err)
{
    char path[80], port_path[96];
    const char *protocol = json_string_value(json_object_get(v, "protocol"));
    const char *port = json_string_value(json_object_get(v, "port"));
    const char *name = json_string_value(json_object_get(v, "name"));
    const char *direction = json_string_value(json_object_get(v, "direction"));
    snprintf(path, sizeof(path), CVM "firewall.allowed_ports[%zu]", i);
    snprintf(port_path, sizeof(port_path), "%s.port", path);
    if (!protocol || !port)
        return err_set(err, ERR_INPUT, 0, "%s: wants protocol and port", path);
    if (strcmp(protocol, "tcp") != 0 && strcmp(protocol, "udp") != 0)
        return err_set(err, ERR_INPUT, 0, "%s.protocol: \"%.40s\": want \"tcp\" or \"udp\"", path, protocol);
    *out = (struct policy_port){ .name = name ? name : "",
                                 .protocol = *protocol == 't' ? POLICY_TCP : POLICY_UDP };
    if (direction && read_direction(direction, path, &out->direction, err) < 0)
        return -1;
    return read_range(port, port_path, &out->first, &out->last, err);
}

static int read_firewall(struct workload_policy *p, struct err *err)
{
    const json_t *ports = policy_at(p->root, CVM "firewall.allowed_ports"), *v;
    json_t *host;
    uint16_t last;
    size_t i, n = json_array_size(ports);
    if (n > POLICY_PORTS_MAX)
        return err_set(err, ERR_INPUT, 0, CVM "firewall.allowed_ports: more than %u rules", POLICY_PORTS_MAX);
    p->ports = calloc(n + 1, sizeof(*p->ports));
    if (!p->ports)
        return err_set(err, ERR_IO, 0, "no memory for the firewall's rules");
    json_array_foreach(ports, i, v)
    {
        if (read_port(v, i, &p->ports[i], err) < 0)
            return -1;
        p->port_count++;
    }
    if (policy_pick(p->root, CVM "firewall.maintenance_mode_host_port",
                    CVM "maintenance_mode.ssh_port_on_host", &host, err)
        < 0)
        return -1;
    if (!host || !*json_string_value(host))
        return 0;
    if (read_range(json_string_value(host), CVM "firewall.maintenance_mode_host_port", &p->maintenance_port,
                   &last, err)
        < 0)
        return -1;
    if (last != p->maintenance_port)
        return err_set(err, ERR_INPUT, 0, CVM "firewall.maintenance_mode_host_port: want a single port");
    return 0;
}

static int read_servers(struct workload_policy *p, struct err *err)
{
    const json_t *root = p->root;
    if (policy_pick_bool(root, CVM "https_server.enable_tls", NULL, &p->enable_tls, err) < 0
        || policy_pick_bool(root, CVM "https_server.enable_auth",
                            CVM "https_server.enable_workload_update_auth", &p->enable_auth, err)
               < 0
        || policy_pick_bool(root, CVM "enable_sign_message", NULL, &p->enable_sign_message, err) < 0
        || policy_pick_bool(root, CVM "enable_livepatch", NULL, &p->enable_livepatch, err) < 0
        || policy_pick_bool(root, CVM "attestation_api.raw_report_data", NULL, &p->raw_report_data, err) < 0
        || policy_pick_bool(root, CVM "appraisal_api.external", NULL, &p->appraisal_external, err) < 0
        || policy_pick_bool(root, CVM "disk_config.accept_host_vtpm", NULL, &p->accept_host_vtpm, err) < 0)
        return -1;
    if (!p->enable_tls)
        policy_warn(p,
                    CVM "https_server.enable_tls: false has no effect: the outside port always speaks TLS");
    if (!p->enable_auth)
        policy_warn(p,
                    CVM "https_server.enable_auth: false: anybody who reaches the outside port may operate "
                        "the machine");
    if (p->raw_report_data)
        policy_warn(p,
                    CVM "attestation_api.raw_report_data: true: a caller on the loopback port can forge the "
                        "agent's own statements");
    return 0;
}

/* A name of an account: what useradd(8) takes. */
static bool is_account(const char *s)
{
    size_t n = strlen(s);
    if (n == 0 || n > 32 || *s == '-' || (*s >= '0' && *s <= '9'))
        return false;
    return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")] == '\0';
}

static int read_container_api(struct workload_policy *p, struct err *err)
{
    const char *engine = json_string_value(policy_at(p->root, CVM "container_api.container_engine"));
    const char *owner = json_string_value(policy_at(p->root, CVM "container_api.container_owner"));
    if (engine && strcmp(engine, "podman") != 0 && strcmp(engine, "docker") != 0)
        return err_set(err, ERR_INPUT, 0,
                       CVM "container_api.container_engine: \"%.40s\": want \"podman\" or \"docker\"",
                       engine);
    if (owner && !is_account(owner))
        return err_set(err, ERR_INPUT, 0,
                       CVM "container_api.container_owner: \"%.40s\" is no name of an account", owner);
    p->engine = engine && *engine == 'd' ? POLICY_DOCKER : POLICY_PODMAN;
    if (owner)
        p->container_owner = owner;
    return 0;
}

static int read_maintenance(struct workload_policy *p, struct err *err)
{
    const char *name = json_string_value(policy_at(p->root, CVM "maintenance_mode.signal"));
    if (policy_pick_bool(p->root, CVM "maintenance_mode.allow",
                         CVM "https_server.enable_maintenance_endpoint", &p->maintenance_allow, err)
        < 0)
        return -1;
    if (!name)
        return 0;
    for (int signal = 1; signal < 32 && !strncmp(name, "SIG", 3); signal++) {
        const char *word = sigabbrev_np(signal);
        if (!word || strcmp(word, name + 3) != 0 || signal == SIGKILL || signal == SIGSTOP)
            continue;
        p->maintenance_signal = signal;
        p->maintenance_signal_name = name;
        return 0;
    }
    return err_set(err, ERR_INPUT, 0,
                   CVM "maintenance_mode.signal: \"%.40s\": want a signal that a service can handle, as "
                       "\"SIGUSR2\"",
                   name);
}

static int read_disk(const json_t *v, const char *path, struct workload_policy *p, struct err *err)
{
    struct policy_disk *d = &p->disks[p->disk_count];
    const char *security = json_string_value(policy_at(v, "disk_encryption.encryption_key_security"));
    *d = (struct policy_disk){
        .serial = json_string_value(json_object_get(v, "serial")),
        .service = json_string_value(json_object_get(v, "service")),
        .mount_point = json_string_value(json_object_get(v, "disk_mount_point")),
        .encrypt = json_is_true(policy_at(v, "disk_encryption.enable")),
        .strong = security && !strcmp(security, "strong"),
    };
    if (!d->mount_point || *d->mount_point != '/')
        return err_set(err, ERR_INPUT, 0, "%s.disk_mount_point: want an absolute path", path);
    if (security && !d->strong && strcmp(security, "standard") != 0)
        return err_set(
            err, ERR_INPUT, 0,
            "%s.disk_encryption.encryption_key_security: \"%.40s\": want \"standard\" or \"strong\"", path,
            security);
    for (size_t i = 0; i < p->disk_count; i++) {
        const struct policy_disk *other = &p->disks[i];
        if (!strcmp(d->mount_point, other->mount_point)
            || (d->serial && other->serial && !strcmp(d->serial, other->serial)))
            return err_set(err, ERR_INPUT, 0, "%s: another disk has this serial or disk_mount_point", path);
    }
    p->disk_count++;
    return 0;
}

static int read_disks(struct workload_policy *p, struct err *err)
{
    const json_t *config = policy_at(p->root, CVM "disk_config"), *v;
    const json_t *disks = json_object_get(config, "disks");
    size_t i;
    const json_t *enable = json_object_get(config, "enable"); /* a list of disks came without it */
    if (p->accept_host_vtpm)
        policy_warn(p, CVM "disk_config.accept_host_vtpm: has no effect: the image's own setting counts "
                           "(build-image --accept-host-vtpm)");
    if (!json_is_true(enable) && (enable || !json_array_size(disks)))
        return 0;
    if ((json_object_get(config, "disk_mount_point") || !json_array_size(disks))
        && read_disk(config, CVM "disk_config", p, err) < 0)
        return -1;
    if (json_array_size(disks) >= POLICY_DISKS_MAX)
        return err_set(err, ERR_INPUT, 0, CVM "disk_config.disks: %u disks or more", POLICY_DISKS_MAX);
    json_array_foreach(disks, i, v)
    {
        char path[64];
        snprintf(path, sizeof(path), CVM "disk_config.disks[%zu]", i);
        if (read_disk(v, path, p, err) < 0)
            return -1;
    }
    return 0;
}

int policy_problem(struct policy_problems *problems, struct err *err)
{
    if (!problems || err->kind != ERR_INPUT)
        return -1;
    problems->n++;
    buf_printf(&problems->lines, "%s\n", err->cause);
    *err = (struct err){ 0 };
    return 0;
}

static int read_policy(struct bytes text, struct policy_problems *problems, struct workload_policy *p,
                       struct err *err)
{
    static int (*const parts[])(struct workload_policy * p, struct err * err) = {
        read_emulation,         read_firewall, read_servers,         read_container_api,
        read_maintenance,       read_disks,    policy_read_services, policy_read_update_switch,
        policy_read_signatures,
    };
    if (json_parse(text, POLICY_FILE_MAX, &p->root, err) < 0)
        return -1;
    if (!json_is_object(p->root))
        return err_set(err, ERR_INPUT, 0, "not a JSON object");
    if (policy_check_keys(p, problems, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (parts[i](p, err) < 0 && policy_problem(problems, err) < 0)
            return -1;
    }
    return 0;
}

int workload_policy_parse(struct bytes text, struct workload_policy *out, struct err *err)
{
    AUTO(workload_policy_done) struct workload_policy p;
    struct err here = { 0 };
    workload_policy_defaults(&p);
    if (read_policy(text, NULL, &p, &here) < 0) {
        if (err)
            *err = here;
        return -1;
    }
    *out = p;
    p = (struct workload_policy){ 0 };
    return 0;
}

int workload_policy_judge(struct bytes text, struct workload_policy *out, struct buf *problems, size_t *n,
                          struct err *err)
{
    AUTO(workload_policy_done) struct workload_policy p;
    struct policy_problems found = { .lines = *problems };
    workload_policy_defaults(&p);
    int rc = read_policy(text, &found, &p, err);
    *problems = found.lines;
    if (rc < 0)
        return -1;
    *n = found.n;
    *out = p;
    p = (struct workload_policy){ 0 };
    return 0;
}

int workload_policy_load(const char *path, struct workload_policy *out, struct err *err)
{
    AUTO(free_u8) uint8_t *text = NULL;
    size_t n;
    if (file_read(path, POLICY_FILE_MAX, &text, &n, err) < 0)
        return -1;
    return workload_policy_parse(bytes_of(text, n), out, err);
}

void workload_policy_done(struct workload_policy *p)
{
    free(p->ports);
    free(p->allow_update.item);
    free(p->allow_remove.item);
    free(p->skip_measurement.item);
    free(p->agent_socket_targets.item);
    free(p->auth_info_path);
    free(p->signature_policy_path);
    for (size_t i = 0; i < p->warning_count; i++)
        free(p->warnings[i]);
    json_decref(p->root);
    *p = (struct workload_policy){ 0 };
}
