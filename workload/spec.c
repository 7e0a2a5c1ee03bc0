#include "workload/spec.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define LOG_SIZE_MAX   (16 << 20) /* a container's output lies on the private medium, which is memory */
#define HEALTH_SECONDS 30         /* the Compose Specification's interval and timeout */
#define HEALTH_RETRIES 3
#define NS_PER_S       1000000000

static int no_memory(const char *what, struct err *err)
{
    return err_set(err, ERR_IO, ENOMEM, "no memory for the settings of %.100s", what);
}

static json_t *strings(const struct compose_list *list)
{
    json_t *out = json_array();
    for (size_t i = 0; i < list->n; i++)
        json_array_append_new(out, json_string(list->item[i].text));
    return out;
}

json_t *spec_pairs(const struct compose_pairs *p)
{
    json_t *out = json_object();
    for (size_t i = 0; i < p->n; i++)
        json_object_set_new(out, p->item[i].key, json_string(p->item[i].value ? p->item[i].value : ""));
    return out;
}

static void set_list(json_t *spec, const char *key, const struct compose_list *list)
{
    if (list->set || list->n > 0)
        json_object_set_new(spec, key, strings(list));
}

static void set_text(json_t *spec, const char *key, const char *text)
{
    if (text)
        json_object_set_new(spec, key, json_string(text));
}

static void set_flag(json_t *spec, const char *key, bool on)
{
    if (on)
        json_object_set_new(spec, key, json_true());
}

static void set_int(json_t *spec, const char *key, int64_t value)
{
    if (value != COMPOSE_UNSET)
        json_object_set_new(spec, key, json_integer(value));
}

static int read_listed(void *arg, const char *path, struct buf *out, struct err *err)
{
    const struct runner *r = arg;
    return workload_tree_load(r->listing, path, COMPOSE_ENV_MAX, out, err);
}

static int set_environment(const struct runner *r, struct compose *c, const struct compose_service *s,
                           json_t *spec, struct err *err)
{
    struct compose_pairs env;
    AUTO(compose_memory_drop) struct compose_memory *memory = NULL;
    if (compose_environment(c, s, read_listed, (void *)(uintptr_t)r, &env, &memory, err) < 0)
        return -1;
    json_object_set_new(spec, "env", spec_pairs(&env));
    return 0;
}

static void set_process(const struct compose_service *s, json_t *spec)
{
    set_list(spec, "command", &s->command);
    set_list(spec, "entrypoint", &s->entrypoint);
    set_text(spec, "hostname", s->hostname);
    set_text(spec, "work_dir", s->working_dir);
    set_flag(spec, "create_working_dir", s->working_dir != NULL); /* as docker does */
    set_text(spec, "user", s->user);
    set_list(spec, "cap_add", &s->cap_add);
    set_list(spec, "cap_drop", &s->cap_drop);
    set_list(spec, "groups", &s->group_add);
    set_flag(spec, "terminal", s->tty);
    set_flag(spec, "stdin", s->stdin_open);
    set_flag(spec, "init", s->init);
    set_flag(spec, "read_only_filesystem", s->read_only);
    set_flag(spec, "no_new_privileges", s->no_new_privileges);
    set_int(spec, "shm_size", s->shm_size);
    if (s->stop_signal)
        set_int(spec, "stop_signal", s->stop_signal);
    if (s->stop_grace_ns != COMPOSE_UNSET)
        set_int(spec, "stop_timeout", (s->stop_grace_ns + NS_PER_S - 1) / NS_PER_S);
    json_t *sysctl = spec_pairs(&s->sysctls);
    set_text(sysctl, "kernel.domainname", s->domainname);
    json_object_set_new(spec, "sysctl", sysctl);
}

static void set_limits(const struct compose_service *s, json_t *spec)
{
    json_t *limits = json_object();
    if (s->mem_limit != COMPOSE_UNSET)
        json_object_set_new(limits, "memory", json_pack("{s:I}", "limit", (json_int_t)s->mem_limit));
    if (s->pids_limit != COMPOSE_UNSET)
        json_object_set_new(limits, "pids", json_pack("{s:I}", "limit", (json_int_t)s->pids_limit));
    json_object_set_new(spec, "resource_limits", limits);
    if (s->ulimit_count == 0)
        return;
    json_t *list = json_array();
    for (size_t i = 0; i < s->ulimit_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "type", s->ulimits[i].name, "soft",
                                              (json_int_t)s->ulimits[i].soft, "hard",
                                              (json_int_t)s->ulimits[i].hard));
    json_object_set_new(spec, "r_limits", list);
}

static void set_restart(const struct compose_service *s, json_t *spec)
{
    static const char *const words[] = { [COMPOSE_RESTART_NO] = "no",
                                         [COMPOSE_RESTART_ALWAYS] = "always",
                                         [COMPOSE_RESTART_ON_FAILURE] = "on-failure",
                                         [COMPOSE_RESTART_UNLESS_STOPPED] = "unless-stopped" };
    set_text(spec, "restart_policy", words[s->restart]);
    if (s->restart == COMPOSE_RESTART_ON_FAILURE)
        set_int(spec, "restart_tries", s->restart_max);
}

/* What is not written is the specification's default, so that the engine's own does not matter. */
static void set_health(const struct compose_service *s, json_t *spec)
{
    const struct compose_health *h = &s->health;
    if (!h->set)
        return;
    if (h->disable) {
        json_object_set_new(spec, "healthconfig", json_pack("{s:[s]}", "Test", "NONE"));
        return;
    }
    json_t *test = json_pack("[s]", h->shell ? "CMD-SHELL" : "CMD");
    for (size_t i = 0; i < h->test.n; i++)
        json_array_append_new(test, json_string(h->test.item[i].text));
    const int64_t usual = (int64_t)HEALTH_SECONDS * NS_PER_S;
    json_t *config =
        json_pack("{s:o, s:I, s:I, s:I, s:I}", "Test", test, "Interval",
                  (json_int_t)(h->interval_ns == COMPOSE_UNSET ? usual : h->interval_ns), "Timeout",
                  (json_int_t)(h->timeout_ns == COMPOSE_UNSET ? usual : h->timeout_ns), "StartPeriod",
                  (json_int_t)(h->start_period_ns == COMPOSE_UNSET ? 0 : h->start_period_ns), "Retries",
                  (json_int_t)(h->retries == COMPOSE_UNSET ? HEALTH_RETRIES : h->retries));
    set_int(config, "StartInterval", h->start_interval_ns); /* for the watch; another one replaces */
    json_object_set_new(spec, "healthconfig", config);
}

static json_t *network_use(const char *project, const struct compose_service *s,
                           const struct compose_network_use *use)
{
    char name[SPEC_NAME_SIZE];
    json_t *aliases = json_pack("[s]", s->name), *ips = json_array();
    const char *container = spec_container_name(project, s, name);
    if (strcmp(container, s->name) != 0)
        json_array_append_new(aliases, json_string(container));
    for (size_t i = 0; i < use->aliases.n; i++)
        json_array_append_new(aliases, json_string(use->aliases.item[i].text));
    if (use->ipv4)
        json_array_append_new(ips, json_string(use->ipv4));
    if (use->ipv6)
        json_array_append_new(ips, json_string(use->ipv6));
    json_t *out = json_pack("{s:o}", "aliases", aliases);
    if (json_array_size(ips) > 0)
        json_object_set(out, "static_ips", ips);
    json_decref(ips);
    return out;
}

static const struct compose_network *find_network(const struct compose *c, const char *key)
{
    for (size_t i = 0; i < c->network_count; i++) {
        if (!strcmp(c->networks[i].name, key))
            return &c->networks[i];
    }
    return NULL;
}

static int set_bridges(const char *project, const struct compose *c, const struct compose_service *s,
                       json_t *spec, struct err *err)
{
    json_t *networks = json_object();
    json_object_set_new(spec, "Networks", networks);
    json_object_set_new(spec, "netns", json_pack("{s:s}", "nsmode", "bridge"));
    for (size_t i = 0; i < s->network_count; i++) {
        char name[SPEC_NAME_SIZE];
        const struct compose_network *n = find_network(c, s->networks[i].network);
        if (!n)
            return err_set(err, ERR_INPUT, 0, "service %.60s: no network %.60s", s->name,
                           s->networks[i].network);
        json_object_set_new(networks, spec_scoped_name(project, n->given, n->name, name),
                            network_use(project, s, &s->networks[i]));
    }
    return 0;
}

static int set_network(const char *project, const struct compose *c, const struct compose_service *s,
                       json_t *spec, struct err *err)
{
    const char *mode = s->network_mode.text;
    char name[SPEC_NAME_SIZE];
    if (!mode)
        return set_bridges(project, c, s, spec, err);
    if (!strcmp(mode, "host") || !strcmp(mode, "none") || !strcmp(mode, "bridge")) {
        json_object_set_new(spec, "netns", json_pack("{s:s}", "nsmode", mode));
        return 0;
    }
    const struct compose_service *other =
        strncmp(mode, "service:", 8) == 0 ? compose_service(c, mode + 8) : NULL;
    if (!other)
        return err_set(err, ERR_INPUT, 0, "service %.60s: network_mode %.60s names no service", s->name,
                       mode);
    json_object_set_new(spec, "netns",
                        json_pack("{s:s, s:s}", "nsmode", "container", "value",
                                  spec_container_name(project, other, name)));
    return 0;
}

static void set_ports(const struct compose_service *s, json_t *spec)
{
    json_t *ports = json_array(); /* what expose: names is reachable on the network as all other ports are */
    for (size_t i = 0; i < s->port_count; i++) {
        const struct compose_port *p = &s->ports[i];
        json_t *port = json_pack("{s:i, s:i, s:i, s:s}", "container_port", p->container, "host_port", p->host,
                                 "range", p->count, "protocol", p->udp ? "udp" : "tcp");
        set_text(port, "host_ip", p->host_ip);
        json_array_append_new(ports, port);
    }
    json_object_set_new(spec, "portmappings", ports);
}

static void set_names(const struct compose_service *s, json_t *spec)
{
    json_t *hosts = json_array();
    char text[512];
    for (size_t i = 0; i < s->extra_hosts.n; i++) {
        const struct compose_pair *p = &s->extra_hosts.item[i];
        snprintf(text, sizeof(text), "%s:%s", p->key, p->value ? p->value : "");
        json_array_append_new(hosts, json_string(text));
    }
    json_object_set_new(spec, "hostadd", hosts);
    set_list(spec, "dns_server", &s->dns);
    set_list(spec, "dns_search", &s->dns_search);
}

static json_t *id_map(uint32_t host)
{
    return json_pack("[{s:i, s:I, s:i}]", "container_id", 0, "host_id", (json_int_t)host, "size",
                     (int)OWNER_IDS);
}

/* One mapping for all containers: volumes can be shared between services. */
static void set_user_namespace(const struct runner *r, json_t *spec)
{
    if (!r->owner)
        return;
    json_object_set_new(spec, "userns", json_pack("{s:s}", "nsmode", "private"));
    json_object_set_new(spec, "idmappings",
                        json_pack("{s:b, s:b, s:o, s:o}", "HostUIDMapping", 0, "HostGIDMapping", 0, "UIDMap",
                                  id_map(r->owner->uid), "GIDMap", id_map(r->owner->gid)));
}

static void set_labels(const struct runner *r, const struct compose_service *s, json_t *spec)
{
    json_t *labels = spec_pairs(&s->labels);
    set_text(labels, ENGINE_LABEL_PROJECT, r->project);
    set_text(labels, ENGINE_LABEL_SERVICE, s->name);
    json_object_set_new(spec, "labels", labels);
}

static int hash_spec(const struct runner *r, const struct compose *c, const struct compose_service *s,
                     const json_t *spec, char config[static ENGINE_ID_SIZE], struct err *err)
{
    AUTO(json_drop) json_t *files = json_object();
    AUTO(json_drop) json_t *all = json_pack("{s:O, s:O}", "spec", spec, "files", files);
    if (!all)
        return no_memory(s->name, err);
    if (spec_hash_files(r, c, s, files, err) < 0)
        return -1;
    AUTO(free_str) char *text = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
    uint8_t digest[32];
    if (!text)
        return no_memory(s->name, err);
    sha256(bytes_str(text), digest);
    hex_to(config, bytes_of(digest, sizeof(digest)));
    return 0;
}

int spec_container(const struct runner *r, struct compose *c, const struct compose_service *s,
                   const char *image_id, json_t **out, char config[static ENGINE_ID_SIZE], struct err *err)
{
    char name[SPEC_NAME_SIZE];
    AUTO(json_drop)
    json_t *spec = json_pack("{s:s, s:s, s:b}", "name", spec_container_name(r->project, s, name), "image",
                             image_id, "httpproxy", 0);
    if (!spec)
        return no_memory(s->name, err);
    set_process(s, spec);
    set_limits(s, spec);
    set_restart(s, spec);
    set_health(s, spec);
    set_ports(s, spec);
    set_names(s, spec);
    set_user_namespace(r, spec);
    set_labels(r, s, spec);
    json_object_set_new(spec, "log_configuration",
                        json_pack("{s:s, s:i}", "driver", "k8s-file", "size", LOG_SIZE_MAX));
    if (set_environment(r, c, s, spec, err) < 0 || set_network(r->project, c, s, spec, err) < 0
        || spec_mounts(r, c, s, spec, err) < 0 || hash_spec(r, c, s, spec, config, err) < 0)
        return -1;
    set_text(json_object_get(spec, "labels"), ENGINE_LABEL_CONFIG, config);
    *out = MOVE(spec);
    return 0;
}
