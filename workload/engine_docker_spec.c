/* What is asked for, in docker's words. Sources: Docker Engine API v1.41 reference (ContainerConfig,
 * HostConfig, EndpointSettings, Mount); podman 4.3, pkg/specgen/specgen.go. */
#include "workload/engine_docker.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "workload/engine_call.h"
#include "workload/spec_range.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BRIDGE "com.docker.network.bridge.name"
#define MTU    "com.docker.network.driver.mtu"

struct made {
    const json_t *spec;
    json_t *body, *host, *more; /* more: networks to connect to afterwards */
    struct err *err;
};

typedef int translate(struct made *m, const json_t *value);

static json_t *shared(const json_t *v)
{
    return json_incref((json_t *)(uintptr_t)v);
}

static int has_not(struct made *m, const char *what, const char *value)
{
    return err_set(m->err, ERR_INPUT, 0, "docker has no %.60s %.60s: leave it out, or use podman", what,
                   value);
}

/* Said elsewhere: the name in the query, ids by the daemon, proxies not at all, networks with netns. */
static int elsewhere(struct made *m, const json_t *value)
{
    (void)m, (void)value;
    return 0;
}

static int put_env(struct made *m, const json_t *value)
{
    json_t *out = json_array(), *v;
    const char *key;
    json_object_foreach((json_t *)(uintptr_t)value, key, v)
        json_array_append_new(out, json_sprintf("%s=%s", key, json_string_value(v)));
    return json_object_set_new(m->body, "Env", out);
}

static int put_stop_signal(struct made *m, const json_t *value)
{
    return json_object_set_new(m->body, "StopSignal", json_sprintf("%d", (int)json_integer_value(value)));
}

/* The kernel's setting by that name is docker's own to make. */
static int put_sysctl(struct made *m, const json_t *value)
{
    json_t *rest = json_copy((json_t *)(uintptr_t)value);
    const char *domain = json_string_value(json_object_get(rest, "kernel.domainname"));
    if (domain)
        json_object_set_new(m->body, "Domainname", json_string(domain));
    json_object_del(rest, "kernel.domainname");
    return json_object_set_new(m->host, "Sysctls", rest);
}

static int put_no_new_privileges(struct made *m, const json_t *value)
{
    (void)value;
    return json_object_set_new(m->host, "SecurityOpt", json_pack("[s]", "no-new-privileges"));
}

static int put_limits(struct made *m, const json_t *value)
{
    const json_t *memory = json_object_get(json_object_get(value, "memory"), "limit");
    const json_t *pids = json_object_get(json_object_get(value, "pids"), "limit");
    if (memory)
        json_object_set_new(m->host, "Memory", shared(memory));
    return pids ? json_object_set_new(m->host, "PidsLimit", shared(pids)) : 0;
}

static int put_ulimits(struct made *m, const json_t *value)
{
    json_t *out = json_array();
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *one = json_array_get(value, i);
        json_array_append_new(out,
                              json_pack("{s:s, s:O, s:O}", "Name", engine_text(one, "type"), "Soft",
                                        json_object_get(one, "soft"), "Hard", json_object_get(one, "hard")));
    }
    return json_object_set_new(m->host, "Ulimits", out);
}

static int put_restart(struct made *m, const json_t *value)
{
    json_t *policy = json_pack("{s:O}", "Name", value);
    const json_t *tries = json_object_get(m->spec, "restart_tries");
    if (tries)
        json_object_set_new(policy, "MaximumRetryCount", shared(tries));
    return json_object_set_new(m->host, "RestartPolicy", policy);
}

/* podman's default capabilities are docker's without these. What the service adds comes afterwards. */
static int put_cap_drop(struct made *m, const json_t *value)
{
    static const char *const not_given[] = { "MKNOD", "NET_RAW", "AUDIT_WRITE" };
    json_t *out = value ? json_copy((json_t *)(uintptr_t)value) : json_array();
    for (size_t i = 0; i < ARRAY_SIZE(not_given); i++)
        json_array_append_new(out, json_string(not_given[i]));
    return json_object_set_new(m->host, "CapDrop", out);
}

static int put_ports(struct made *m, const json_t *value)
{
    json_t *exposed = json_object(), *bound = json_object();
    json_object_set_new(m->body, "ExposedPorts", exposed);
    json_object_set_new(m->host, "PortBindings", bound);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *one = json_array_get(value, i);
        json_int_t inside = json_integer_value(json_object_get(one, "container_port"));
        json_int_t host = json_integer_value(json_object_get(one, "host_port"));
        json_int_t count = json_integer_value(json_object_get(one, "range"));
        for (json_int_t k = 0; k < count; k++) {
            char key[48], port[24] = "";
            snprintf(key, sizeof(key), "%d/%.8s", (int)(inside + k), engine_text(one, "protocol"));
            if (host)
                snprintf(port, sizeof(port), "%d", (int)(host + k));
            json_object_set_new(exposed, key, json_object());
            if (!json_object_get(bound, key))
                json_object_set_new(bound, key, json_array());
            json_array_append_new(json_object_get(bound, key),
                                  json_pack("{s:s, s:s}", "HostIp", engine_text(one, "host_ip"), "HostPort",
                                            port));
        }
    }
    return 0;
}

/* ---- networks ---- */

static json_t *endpoint(const json_t *use)
{
    json_t *addresses = json_object();
    const json_t *ips = json_object_get(use, "static_ips");
    for (size_t i = 0; i < json_array_size(ips); i++) {
        const json_t *ip = json_array_get(ips, i);
        const char *text = json_string_value(ip);
        json_object_set_new(addresses, text && strchr(text, ':') ? "IPv6Address" : "IPv4Address", shared(ip));
    }
    json_t *out = json_pack("{s:o}", "IPAMConfig", addresses);
    if (json_object_get(use, "aliases"))
        json_object_set_new(out, "Aliases", shared(json_object_get(use, "aliases")));
    return out;
}

static void put_networks(struct made *m, const json_t *networks)
{
    const char *name, *first = NULL;
    json_t *use;
    json_object_foreach((json_t *)(uintptr_t)networks, name, use)
    {
        if (first) {
            json_object_set_new(m->more, name, endpoint(use));
            continue;
        }
        first = name;
        json_object_set_new(m->body, "NetworkingConfig",
                            json_pack("{s:{s:o}}", "EndpointsConfig", name, endpoint(use)));
    }
    json_object_set_new(m->host, "NetworkMode", json_string(first ? first : "bridge"));
}

static int put_netns(struct made *m, const json_t *value)
{
    const char *mode = engine_text(value, "nsmode");
    if (!strcmp(mode, "bridge"))
        put_networks(m, json_object_get(m->spec, "Networks"));
    else if (!strcmp(mode, "none"))
        json_object_set_new(m->host, "NetworkMode", json_string(mode));
    else if (!strcmp(mode, "container"))
        json_object_set_new(m->host, "NetworkMode",
                            json_sprintf("container:%s", engine_text(value, "value")));
    else /* of host: not together with user namespaces */
        return has_not(m, "network_mode (with user namespaces)", mode);
    return 0;
}

/* ---- mounts ---- */

static json_t *mounts_of(struct made *m)
{
    if (!json_object_get(m->host, "Mounts"))
        json_object_set_new(m->host, "Mounts", json_array());
    return json_object_get(m->host, "Mounts");
}

static int put_bind(struct made *m, const json_t *mount)
{
    const json_t *options = json_object_get(mount, "options");
    bool read_only = false;
    for (size_t i = 0; i < json_array_size(options); i++) {
        const char *option = json_string_value(json_array_get(options, i));
        bool ro = !strcmp(option, "ro");
        read_only = read_only || ro;
        if (!ro && strcmp(option, "rbind") != 0 && strcmp(option, "rprivate") != 0)
            return has_not(m, "option of a bind mount,", option);
    }
    return json_array_append_new(mounts_of(m),
                                 json_pack("{s:s, s:s, s:s, s:b, s:{s:s}}", "Type", "bind", "Source",
                                           engine_text(mount, "source"), "Target",
                                           engine_text(mount, "destination"), "ReadOnly", read_only,
                                           "BindOptions", "Propagation", "rprivate"));
}

/* docker adds noexec unless it is told otherwise, podman does not. */
static int put_tmpfs(struct made *m, const json_t *mount)
{
    AUTO(buf_done) struct buf text = buf_new(4096);
    const json_t *options = json_object_get(mount, "options");
    bool may_exec = true;
    for (size_t i = 0; i < json_array_size(options); i++) {
        const char *option = json_string_value(json_array_get(options, i));
        may_exec = may_exec && strcmp(option, "noexec") != 0 && strcmp(option, "exec") != 0;
        buf_printf(&text, "%s%s", i ? "," : "", option);
    }
    if (may_exec)
        buf_str(&text, text.n ? ",exec" : "exec");
    AUTO(free_str) char *all = buf_take_str(&text);
    if (!json_object_get(m->host, "Tmpfs"))
        json_object_set_new(m->host, "Tmpfs", json_object());
    return json_object_set_new(json_object_get(m->host, "Tmpfs"), engine_text(mount, "destination"),
                               json_string(all ? all : ""));
}

static int put_mounts(struct made *m, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *one = json_array_get(value, i);
        bool bind = !strcmp(engine_text(one, "type"), "bind");
        if ((bind ? put_bind(m, one) : put_tmpfs(m, one)) < 0)
            return -1;
    }
    return 0;
}

/* docker has no nosuid and nodev for volumes. Nobody in the user namespace can make a device there, and a
 * set-id program gives the container's own ids only. */
static int put_volumes(struct made *m, const json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *one = json_array_get(value, i);
        bool read_only = false;
        for (size_t k = 0; k < json_array_size(json_object_get(one, "Options")); k++)
            read_only =
                read_only
                || !strcmp(json_string_value(json_array_get(json_object_get(one, "Options"), k)), "ro");
        json_t *mount = json_pack("{s:s, s:s, s:b}", "Type", "volume", "Target", engine_text(one, "Dest"),
                                  "ReadOnly", read_only);
        if (*engine_text(one, "Name"))
            json_object_set_new(mount, "Source", shared(json_object_get(one, "Name")));
        json_array_append_new(mounts_of(m), mount);
    }
    return 0;
}

/* Two files, of which the older goes when both are full. */
static int put_log(struct made *m, const json_t *value)
{
    json_t *size = json_sprintf("%d", (int)(json_integer_value(json_object_get(value, "size")) / 2));
    return json_object_set_new(m->host, "LogConfig",
                               json_pack("{s:s, s:{s:o, s:s}}", "Type", "json-file", "Config", "max-size",
                                         size, "max-file", "2"));
}

enum target { BODY, HOST };

static const struct {
    const char *from;
    const char *to; /* copied to this member of where; NULL: how */
    enum target where;
    translate *how;
} rows[] = {
    { "name", NULL, BODY, elsewhere },
    { "httpproxy", NULL, BODY, elsewhere },
    { "userns", NULL, BODY, elsewhere },
    { "idmappings", NULL, BODY, elsewhere },
    { "Networks", NULL, BODY, elsewhere },
    { "restart_tries", NULL, BODY, elsewhere },
    { "create_working_dir", NULL, BODY, elsewhere },
    { "image", "Image", BODY, NULL },
    { "command", "Cmd", BODY, NULL },
    { "entrypoint", "Entrypoint", BODY, NULL },
    { "hostname", "Hostname", BODY, NULL },
    { "work_dir", "WorkingDir", BODY, NULL },
    { "user", "User", BODY, NULL },
    { "terminal", "Tty", BODY, NULL },
    { "stdin", "OpenStdin", BODY, NULL },
    { "stop_timeout", "StopTimeout", BODY, NULL },
    { "healthconfig", "Healthcheck", BODY, NULL },
    { "labels", "Labels", BODY, NULL },
    { "cap_add", "CapAdd", HOST, NULL },
    { "groups", "GroupAdd", HOST, NULL },
    { "init", "Init", HOST, NULL },
    { "read_only_filesystem", "ReadonlyRootfs", HOST, NULL },
    { "shm_size", "ShmSize", HOST, NULL },
    { "hostadd", "ExtraHosts", HOST, NULL },
    { "dns_server", "Dns", HOST, NULL },
    { "dns_search", "DnsSearch", HOST, NULL },
    { "cap_drop", NULL, HOST, put_cap_drop },
    { "env", NULL, BODY, put_env },
    { "stop_signal", NULL, BODY, put_stop_signal },
    { "sysctl", NULL, HOST, put_sysctl },
    { "no_new_privileges", NULL, HOST, put_no_new_privileges },
    { "resource_limits", NULL, HOST, put_limits },
    { "r_limits", NULL, HOST, put_ulimits },
    { "restart_policy", NULL, HOST, put_restart },
    { "portmappings", NULL, BODY, put_ports },
    { "netns", NULL, HOST, put_netns },
    { "mounts", NULL, HOST, put_mounts },
    { "volumes", NULL, HOST, put_volumes },
    { "log_configuration", NULL, HOST, put_log },
};

static int put_member(struct made *m, const char *key, const json_t *value)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (strcmp(rows[i].from, key) != 0)
            continue;
        json_t *to = rows[i].where == HOST ? m->host : m->body;
        return rows[i].how ? rows[i].how(m, value) : json_object_set_new(to, rows[i].to, shared(value));
    }
    return has_not(m, "setting for", key);
}

int docker_container(const json_t *spec, json_t **body, json_t **networks, struct err *err)
{
    AUTO(json_drop) json_t *more = json_object();
    AUTO(json_drop) json_t *made = json_pack("{s:{}}", "HostConfig");
    struct made m = { spec, made, json_object_get(made, "HostConfig"), more, err };
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)spec, key, value)
    {
        if (put_member(&m, key, value) < 0)
            return err && err->kind != ERR_NONE
                       ? -1
                       : err_set(err, ERR_INPUT, 0, "%.60s cannot be said to docker", key);
    }
    if (!json_object_get(m.host, "CapDrop"))
        put_cap_drop(&m, NULL);
    *body = MOVE(made);
    *networks = MOVE(more);
    return 0;
}

static json_t *options_of(const json_t *in)
{
    json_t *out = json_copy(json_object_get(in, "options")), *mtu = json_object_get(out, "mtu");
    uint8_t digest[32];
    char hex[9];
    sha256(bytes_str(engine_text(in, "name")), digest);
    json_object_set_new(out, BRIDGE, json_sprintf("docker-%s", hex_to(hex, bytes_of(digest, 4))));
    if (mtu)
        json_object_set(out, MTU, mtu);
    json_object_del(out, "mtu");
    return out;
}

int docker_network(const json_t *in, json_t **out, struct err *err)
{
    json_t *subnets = json_array();
    for (size_t i = 0; i < json_array_size(json_object_get(in, "subnets")); i++) {
        const json_t *one = json_array_get(json_object_get(in, "subnets"), i);
        json_t *subnet = json_pack("{s:s}", "Subnet", engine_text(one, "subnet"));
        if (*engine_text(one, "gateway"))
            json_object_set_new(subnet, "Gateway", shared(json_object_get(one, "gateway")));
        const json_t *range = json_object_get(one, "lease_range");
        char prefix[SPEC_ADDRESS_SIZE + 4];
        if (range
            && spec_range_write(engine_text(range, "start_ip"), engine_text(range, "end_ip"), prefix) == 0)
            json_object_set_new(subnet, "IPRange", json_string(prefix));
        json_array_append_new(subnets, subnet);
    }
    *out = json_pack("{s:s, s:b, s:s, s:b, s:b, s:O, s:o, s:{s:o}}", "Name", engine_text(in, "name"),
                     "CheckDuplicate", 1, "Driver", engine_text(in, "driver"), "Internal",
                     json_is_true(json_object_get(in, "internal")), "EnableIPv6",
                     json_is_true(json_object_get(in, "ipv6_enabled")), "Labels",
                     json_object_get(in, "labels"), "Options", options_of(in), "IPAM", "Config", subnets);
    return *out ? 0 : err_set(err, ERR_IO, ENOMEM, "no memory for a network");
}

int docker_volume(const json_t *in, json_t **out, struct err *err)
{
    *out =
        json_pack("{s:O, s:O}", "Name", json_object_get(in, "Name"), "Labels", json_object_get(in, "Label"));
    return *out ? 0 : err_set(err, ERR_IO, ENOMEM, "no memory for a volume");
}
