/* ports, expose, networks, network_mode of services. */
#include "base/auto.h"
#include "workload/compose_reader.h"

#include <arpa/inet.h>

/* "80" or "80-90" up to n bytes. @return the ports in the range, 0 if it is none */
static unsigned range(const char *p, size_t n, uint16_t *first)
{
    unsigned value[2] = { 0, 0 };
    size_t which = 0, digits = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '-' && which == 0 && digits) {
            which = 1;
            digits = 0;
        } else if (p[i] >= '0' && p[i] <= '9' && value[which] <= UINT16_MAX) {
            value[which] = value[which] * 10 + (unsigned)(p[i] - '0');
            digits++;
        } else {
            return 0;
        }
    }
    if (!which)
        value[1] = value[0];
    if (!digits || value[0] == 0 || value[1] < value[0] || value[1] > UINT16_MAX)
        return 0;
    *first = (uint16_t)value[0];
    return value[1] - value[0] + 1;
}

bool compose_is_address(const char *text)
{
    unsigned char raw[16];
    return inet_pton(AF_INET, text, raw) == 1 || inet_pton(AF_INET6, text, raw) == 1;
}

__attribute__((noreturn)) static void bad_port(struct compose_reader *r, struct compose_at at,
                                               const char *text)
{
    compose_fail(r, at,
                 "ports: \"%.60s\": want [IP:][HOST:]CONTAINER[/tcp|/udp], ports or ranges of equal length",
                 text);
}

/* Splits "IP:HOST:CONTAINER" from the right; an IPv6 address stands in brackets. */
static void short_port(struct compose_reader *r, const struct yaml_node *v, struct compose_port *p)
{
    const char *text = yaml_text(r, v, "ports"), *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);
    if (slash && strcmp(slash, "/tcp") != 0 && strcmp(slash, "/udp") != 0)
        bad_port(r, v->at, text);
    p->udp = slash && slash[1] == 'u';
    const char *colon = memrchr(text, ':', n);
    size_t from = colon ? (size_t)(colon - text) + 1 : 0;
    unsigned count = range(text + from, n - from, &p->container), host_count = count;
    if (!count)
        bad_port(r, v->at, text);
    if (colon) {
        size_t end = from - 1;
        const char *before = memrchr(text, ':', end);
        size_t host_from = before ? (size_t)(before - text) + 1 : 0;
        if (host_from < end)
            host_count = range(text + host_from, end - host_from, &p->host);
        if (before) {
            struct bytes ip = bytes_of(text, host_from - 1);
            if (ip.n > 2 && ip.p[0] == '[' && ip.p[ip.n - 1] == ']')
                ip = bytes_of(ip.p + 1, ip.n - 2);
            p->host_ip = compose_copy(r, ip);
        }
    }
    if (host_count != count || (p->host_ip && !compose_is_address(p->host_ip)))
        bad_port(r, v->at, text);
    p->count = (uint16_t)count;
}

static void long_port(struct compose_reader *r, const struct yaml_node *v, struct compose_port *p)
{
    unsigned count = 0, host_count = 0;
    for (size_t i = 0; i < v->n; i++) {
        const char *key = v->pair[i].key;
        const struct yaml_node *value = v->pair[i].value;
        if (yaml_is_extension(key))
            continue;
        if (!strcmp(key, "name") || !strcmp(key, "app_protocol")) {
            yaml_text(r, value, "ports"); /* labels for people */
            continue;
        }
        const char *text = yaml_text(r, value, "ports");
        if (!strcmp(key, "target"))
            count = range(text, strlen(text), &p->container);
        else if (!strcmp(key, "published"))
            host_count = range(text, strlen(text), &p->host);
        else if (!strcmp(key, "host_ip") && compose_is_address(text))
            p->host_ip = text;
        else if (!strcmp(key, "protocol") && (!strcmp(text, "tcp") || !strcmp(text, "udp")))
            p->udp = *text == 'u';
        else if (strcmp(key, "mode") != 0 || (strcmp(text, "host") != 0 && strcmp(text, "ingress") != 0))
            compose_fail(r, value->at, "ports.%.40s: \"%.40s\" is not supported", key, text);
    }
    if (count != 1 || (p->host && host_count != 1) || (yaml_member(v, "published") && !p->host))
        compose_fail(r, v->at, "ports: want target: PORT, and published: PORT or none");
    p->count = 1;
}

void compose_read_ports(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_service *s = target;
    if (v->kind != YAML_LIST)
        compose_fail(r, v->at, "ports: want a list");
    s->ports = compose_take(r, v->n + 1, sizeof(*s->ports));
    for (size_t i = 0; i < v->n; i++) {
        struct compose_port *p = &s->ports[s->port_count++];
        p->at = v->item[i]->at;
        if (v->item[i]->kind == YAML_MAP)
            long_port(r, v->item[i], p);
        else
            short_port(r, v->item[i], p);
    }
}

void compose_read_expose(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_list *list = &((struct compose_service *)target)->expose;
    yaml_list(r, v, "expose", list);
    for (size_t i = 0; i < list->n; i++) {
        const char *text = list->item[i].text, *slash = strchr(text, '/');
        uint16_t first;
        if (!range(text, slash ? (size_t)(slash - text) : strlen(text), &first)
            || (slash && strcmp(slash, "/tcp") != 0 && strcmp(slash, "/udp") != 0))
            compose_fail(r, list->item[i].at, "expose: \"%.40s\": want PORT[-PORT][/tcp|/udp]", text);
    }
}

/* ---- networks of a service ---- */

static const char *address(struct compose_reader *r, const struct yaml_node *v, const char *what, bool six)
{
    const char *text = yaml_text(r, v, what);
    if (!compose_is_address(text) || six != (strchr(text, ':') != NULL))
        compose_fail(r, v->at, "%s: \"%.60s\" is no address of IPv%c", what, text, six ? '6' : '4');
    return text;
}

static void read_aliases(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    yaml_list(r, v, "aliases", &((struct compose_network_use *)target)->aliases);
}

static void read_ipv4(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_network_use *)target)->ipv4 = address(r, v, "ipv4_address", false);
}

static void read_ipv6(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_network_use *)target)->ipv6 = address(r, v, "ipv6_address", true);
}

void compose_read_networks(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    static const struct member members[] = {
        { "aliases", read_aliases, NULL },
        { "ipv4_address", read_ipv4, NULL },
        { "ipv6_address", read_ipv6, NULL },
    };
    struct compose_service *s = target;
    if (yaml_is_null(v) || (v->kind != YAML_TEXT && v->n == 0))
        return; /* the default one, as if nothing were written */
    if (v->kind == YAML_TEXT)
        compose_fail(r, v->at, "networks: want a list or a mapping");
    s->networks = compose_take(r, v->n + 1, sizeof(*s->networks));
    for (size_t i = 0; i < v->n; i++) {
        struct compose_network_use *use = &s->networks[s->network_count++];
        if (v->kind == YAML_LIST) {
            use->at = v->item[i]->at;
            use->network = yaml_text(r, v->item[i], "networks");
            continue;
        }
        char where[160];
        use->at = v->pair[i].at;
        use->network = v->pair[i].key;
        snprintf(where, sizeof(where), "services.%s.networks.%.60s", s->name, use->network);
        if (yaml_want_map(r, v->pair[i].value, where, true))
            yaml_members(r, v->pair[i].value, where, members, ARRAY_SIZE(members), use);
    }
}

void compose_read_network_mode(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    const char *mode = yaml_text(r, v, "network_mode");
    if (strcmp(mode, "host") != 0 && strcmp(mode, "none") != 0 && strcmp(mode, "bridge") != 0
        && strncmp(mode, "service:", 8) != 0)
        compose_fail(r, v->at, "network_mode: \"%.60s\": want bridge, none, host or service:NAME", mode);
    ((struct compose_service *)target)->network_mode = (struct compose_text){ mode, v->at };
}
