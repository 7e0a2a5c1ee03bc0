/* networks: of the file. */
#include "base/auto.h"
#include "workload/compose_reader.h"

#include <arpa/inet.h>
#include <stdlib.h>

static void read_driver(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_network *n = target;
    n->driver = yaml_text(r, v, "driver");
    if (strcmp(n->driver, "bridge") != 0)
        compose_fail(r, v->at, "networks.%s.driver: \"%.40s\": want bridge", n->name, n->driver);
}

/* The one option that both engines have, under either name; others differ, or give the machine away. */
static void read_driver_opts(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_pairs given, *out = &((struct compose_network *)target)->driver_opts;
    yaml_pairs(r, v, "driver_opts", "=", &given);
    *out = (struct compose_pairs){ 0, compose_take(r, 1, sizeof(*out->item)) };
    for (size_t i = 0; i < given.n; i++) {
        const struct compose_pair *p = &given.item[i];
        struct yaml_node value = { .kind = YAML_TEXT, .at = p->at, .text = p->value ? p->value : "" };
        if (strcmp(p->key, "mtu") != 0 && strcmp(p->key, "com.docker.network.driver.mtu") != 0)
            compose_fail(r, p->at, "driver_opts.%.60s: not supported: want mtu", p->key);
        int64_t mtu = yaml_number(r, &value, "driver_opts: mtu", 68, 65535);
        if (out->n)
            compose_fail(r, p->at, "driver_opts: mtu twice");
        out->item[out->n++] = (struct compose_pair){ "mtu", compose_printf(r, "%" PRId64, mtu), p->at };
    }
}

static void read_internal(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_network *)target)->internal = yaml_bool(r, v, "internal");
}

static void read_enable_ipv6(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_network *)target)->ipv6 = yaml_bool(r, v, "enable_ipv6");
}

static void read_labels(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    yaml_pairs(r, v, "labels", "=", &((struct compose_network *)target)->labels);
}

/* The engines' own networks, and words that mean something else to them. */
static void read_given(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    static const char *const taken[] = { "host",    "none",      "bridge", "default", "podman",
                                         "private", "container", "ns",     "pasta",   "slirp4netns" };
    const char *name = yaml_name(r, yaml_text(r, v, "name"), v->at, "name");
    for (size_t i = 0; i < ARRAY_SIZE(taken); i++) {
        if (!strcmp(taken[i], name))
            compose_fail(r, v->at, "name: \"%s\" is a word of the engine's own: choose another", name);
    }
    ((struct compose_network *)target)->given = name;
}

static void read_external(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    (void)target;
    if (yaml_bool(r, v, "external"))
        compose_fail(r, v->at, "external: the machine has no networks but those of this file: remove it");
}

bool compose_in_subnet(const char *subnet, const char *address)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t net[16], raw[16];
    const char *slash = strchr(subnet, '/');
    int family = strchr(subnet, ':') ? AF_INET6 : AF_INET;
    if (!slash || (size_t)(slash - subnet) >= sizeof(text))
        return false;
    snprintf(text, sizeof(text), "%.*s", (int)(slash - subnet), subnet);
    if (inet_pton(family, text, net) != 1 || inet_pton(family, address, raw) != 1)
        return false;
    for (unsigned i = 0, bits = (unsigned)atoi(slash + 1); i < bits && i < 128; i++) {
        if ((net[i / 8] ^ raw[i / 8]) & (0x80u >> i % 8))
            return false;
    }
    return true;
}

static const char *subnet_part(struct compose_reader *r, const struct yaml_node *v, const char *what,
                               bool prefix)
{
    const char *text = yaml_text(r, v, what), *slash = strchr(text, '/');
    const char *ip = slash ? compose_copy(r, bytes_of(text, (size_t)(slash - text))) : text;
    size_t digits = slash ? strspn(slash + 1, "0123456789") : 0;
    if (!compose_is_address(ip) || prefix != (slash != NULL)
        || (slash
            && (digits == 0 || digits > 3 || slash[1 + digits]
                || atoi(slash + 1) > (strchr(ip, ':') ? 128 : 32))))
        compose_fail(r, v->at, "%s: \"%.60s\": want %s", what, text,
                     prefix ? "ADDRESS/PREFIX" : "an address");
    return text;
}

static void read_subnet(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_subnet *)target)->subnet = subnet_part(r, v, "subnet", true);
}

static void read_gateway(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_subnet *)target)->gateway = subnet_part(r, v, "gateway", false);
}

static void read_ip_range(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_subnet *)target)->ip_range = subnet_part(r, v, "ip_range", true);
}

static void check_parts(struct compose_reader *r, const struct yaml_node *v, const struct compose_subnet *s)
{
    const char *range = s->ip_range, *slash = range ? strchr(range, '/') : NULL;
    if (s->gateway && !compose_in_subnet(s->subnet, s->gateway))
        compose_fail(r, yaml_member(v, "gateway")->at, "gateway: %.60s is not in %.60s", s->gateway,
                     s->subnet);
    if (!range)
        return;
    const char *first = compose_copy(r, bytes_of(range, (size_t)(slash - range)));
    if (!compose_in_subnet(s->subnet, first) || atoi(slash + 1) < atoi(strchr(s->subnet, '/') + 1))
        compose_fail(r, yaml_member(v, "ip_range")->at, "ip_range: %.60s is not in %.60s", range, s->subnet);
}

static void read_ipam_config(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    static const struct member members[] = {
        { "subnet", read_subnet, NULL },
        { "gateway", read_gateway, NULL },
        { "ip_range", read_ip_range, NULL },
    };
    struct compose_network *n = target;
    if (v->kind != YAML_LIST)
        compose_fail(r, v->at, "ipam.config: want a list");
    n->subnets = compose_take(r, v->n + 1, sizeof(*n->subnets));
    for (size_t i = 0; i < v->n; i++) {
        struct compose_subnet *subnet = &n->subnets[n->subnet_count++];
        yaml_want_map(r, v->item[i], "ipam.config", false);
        yaml_members(r, v->item[i], "ipam.config", members, ARRAY_SIZE(members), subnet);
        if (!subnet->subnet)
            compose_fail(r, v->item[i]->at, "ipam.config: subnet is missing");
        check_parts(r, v->item[i], subnet);
    }
}

static void read_ipam_driver(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    (void)target;
    if (strcmp(yaml_text(r, v, "ipam.driver"), "default") != 0)
        compose_fail(r, v->at, "ipam.driver: want default");
}

static void read_ipam(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    static const struct member members[] = {
        { "driver", read_ipam_driver, NULL },
        { "config", read_ipam_config, NULL },
    };
    if (yaml_want_map(r, v, "ipam", true))
        yaml_members(r, v, "ipam", members, ARRAY_SIZE(members), target);
}

void compose_read_top_networks(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    static const struct member members[] = {
        { "driver", read_driver, NULL },     { "driver_opts", read_driver_opts, NULL },
        { "internal", read_internal, NULL }, { "enable_ipv6", read_enable_ipv6, NULL },
        { "labels", read_labels, NULL },     { "name", read_given, NULL },
        { "external", read_external, NULL }, { "ipam", read_ipam, NULL },
    };
    struct compose *c = target;
    if (!yaml_want_map(r, v, "networks", true))
        return;
    c->networks = compose_take(r, v->n + 2, sizeof(*c->networks)); /* one more for "default" */
    for (size_t i = 0; i < v->n; i++) {
        const struct yaml_pair *pair = &v->pair[i];
        struct compose_network *n = &c->networks[c->network_count++];
        char where[96];
        n->name = yaml_name(r, pair->key, pair->at, "networks");
        n->at = pair->at;
        snprintf(where, sizeof(where), "networks.%s", n->name);
        if (yaml_want_map(r, pair->value, where, true))
            yaml_members(r, pair->value, where, members, ARRAY_SIZE(members), n);
    }
}
