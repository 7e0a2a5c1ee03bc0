/* What refers to another part of the file, and the order in which services can start. */
#include "base/auto.h"
#include "workload/compose_reader.h"

static size_t find_service(const struct compose *c, const char *name)
{
    size_t low = 0, high = c->service_count; /* sorted by name */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(c->services[middle].name, name);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return SIZE_MAX;
}

static const struct compose_network *find_network(const struct compose *c, const char *name)
{
    for (size_t i = 0; i < c->network_count; i++) {
        if (!strcmp(c->networks[i].name, name))
            return &c->networks[i];
    }
    return NULL;
}

/* A network without subnets gets one from the engine: an address there is a guess. */
static void check_address(struct compose_reader *r, const struct compose_network *n,
                          const struct compose_network_use *use, const char *address)
{
    bool found = !address || n->subnet_count == 0;
    for (size_t i = 0; i < n->subnet_count && !found; i++)
        found = compose_in_subnet(n->subnets[i].subnet, address);
    if (!found)
        compose_fail(r, use->at, "networks: %.60s is in no subnet of \"%.60s\"", address, use->network);
}

static bool has_volume(const struct compose *c, const char *name)
{
    for (size_t i = 0; i < c->volume_count; i++) {
        if (!strcmp(c->volumes[i].name, name))
            return true;
    }
    return false;
}

static bool has_file(const struct compose_file *files, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(files[i].name, name))
            return true;
    }
    return false;
}

/* A service that names no network is in "default", which need not be declared. */
static void link_networks(struct compose_reader *r, struct compose_service *s)
{
    struct compose *c = r->c;
    if (!s->networks && !s->network_mode.text) {
        s->networks = compose_take(r, 1, sizeof(*s->networks));
        s->networks[s->network_count++] = (struct compose_network_use){ .network = "default", .at = s->at };
    }
    for (size_t i = 0; i < s->network_count; i++) {
        const struct compose_network_use *use = &s->networks[i];
        for (size_t k = 0; k < i; k++) {
            if (!strcmp(s->networks[k].network, use->network))
                compose_fail(r, use->at, "networks: \"%.60s\" twice", use->network);
        }
        const struct compose_network *n = find_network(c, use->network);
        if (n) {
            check_address(r, n, use, use->ipv4);
            check_address(r, n, use, use->ipv6);
            continue;
        }
        if (strcmp(use->network, "default") != 0)
            compose_fail(r, use->at, "networks: \"%.60s\" is not below networks: of the file", use->network);
        if (!c->networks)
            c->networks = compose_take(r, 1, sizeof(*c->networks));
        c->networks[c->network_count++] = (struct compose_network){ .name = "default", .at = use->at };
    }
}

__attribute__((noreturn)) static void not_with(struct compose_reader *r, const struct compose_service *s,
                                               struct compose_at at, const char *what)
{
    compose_fail(r, at, "services.%s: %s and network_mode: %.60s exclude each other", s->name, what,
                 s->network_mode.text);
}

/* Only a network of its own has ports to publish; another service's has its names and servers too. What the
 * engine would ignore, or refuse, is refused here. */
static void link_network_mode(struct compose_reader *r, const struct compose_service *s)
{
    const char *mode = s->network_mode.text;
    if (!mode || !strcmp(mode, "bridge"))
        return;
    if (s->port_count)
        not_with(r, s, s->ports[0].at, "ports");
    for (size_t i = 0; i < s->sysctls.n && !strcmp(mode, "host"); i++) {
        if (!strncmp(s->sysctls.item[i].key, "net.", 4))
            not_with(r, s, s->sysctls.item[i].at, "sysctls of net.*");
    }
    if (strncmp(mode, "service:", 8) != 0)
        return;
    if (s->hostname || s->domainname)
        not_with(r, s, s->network_mode.at, s->hostname ? "hostname" : "domainname");
    if (s->extra_hosts.n)
        not_with(r, s, s->extra_hosts.item[0].at, "extra_hosts");
    if (s->dns.n || s->dns_search.n)
        not_with(r, s, s->dns.n ? s->dns.at : s->dns_search.at, "dns");
}

static void link_files(struct compose_reader *r, const struct compose_service *s)
{
    const struct compose *c = r->c;
    for (size_t i = 0; i < s->mount_count; i++) {
        const struct compose_mount *m = &s->mounts[i];
        if (m->type == COMPOSE_VOLUME && m->source && !has_volume(c, m->source))
            compose_fail(r, m->at, "volumes: \"%.60s\" is not below volumes: of the file", m->source);
    }
    for (size_t i = 0; i < s->secret_count; i++) {
        if (!has_file(c->secrets, c->secret_count, s->secrets[i].name))
            compose_fail(r, s->secrets[i].at, "secrets: \"%.60s\" is not below secrets: of the file",
                         s->secrets[i].name);
    }
    for (size_t i = 0; i < s->config_count; i++) {
        if (!has_file(c->configs, c->config_count, s->configs[i].name))
            compose_fail(r, s->configs[i].at, "configs: \"%.60s\" is not below configs: of the file",
                         s->configs[i].name);
    }
}

struct target {
    const char *path;
    struct compose_at at;
};

static int by_path_then_place(const void *a, const void *b)
{
    const struct target *x = a, *y = b;
    int order = strcmp(x->path, y->path);
    if (order == 0)
        order = (x->at.line > y->at.line) - (x->at.line < y->at.line);
    return order ? order : (x->at.column > y->at.column) - (x->at.column < y->at.column);
}

/* Two at one place: one would hide the other, or the engine would refuse them. */
static void link_targets(struct compose_reader *r, const struct compose_service *s)
{
    const size_t files = s->secret_count + s->config_count;
    struct target *all = compose_take(r, s->mount_count + files + 1, sizeof(*all));
    size_t n = 0;
    for (size_t i = 0; i < s->mount_count; i++)
        all[n++] = (struct target){ s->mounts[i].target, s->mounts[i].at };
    for (size_t i = 0; i < files; i++) {
        const struct compose_file_use *use =
            i < s->secret_count ? &s->secrets[i] : &s->configs[i - s->secret_count];
        all[n++] = (struct target){ use->target, use->at };
    }
    qsort(all, n, sizeof(*all), by_path_then_place);
    for (size_t i = 1; i < n; i++) {
        if (!strcmp(all[i - 1].path, all[i].path))
            compose_fail(r, all[i].at, "services.%s: something is at %.200s already (line %u)", s->name,
                         all[i].path, all[i - 1].at.line);
    }
}

/* ---- the order ---- */

/* network_mode: service:NAME needs that container too. @return its index, or SIZE_MAX */
static size_t network_of(struct compose_reader *r, const struct compose_service *s)
{
    static const char prefix[] = "service:";
    const char *mode = s->network_mode.text;
    if (!mode || strncmp(mode, prefix, sizeof(prefix) - 1) != 0)
        return SIZE_MAX;
    size_t i = find_service(r->c, mode + sizeof(prefix) - 1);
    if (i == SIZE_MAX)
        compose_fail(r, s->network_mode.at, "network_mode: there is no service \"%.60s\"",
                     mode + sizeof(prefix) - 1);
    return i;
}

static void link_depends(struct compose_reader *r, struct compose_service *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->depends_count; i++) {
        struct compose_depends d = s->depends[i];
        if (find_service(r->c, d.service) == SIZE_MAX) {
            if (d.required)
                compose_fail(r, d.at, "depends_on: there is no service \"%.60s\"", d.service);
            continue;
        }
        for (size_t k = 0; k < kept; k++) {
            if (!strcmp(s->depends[k].service, d.service))
                compose_fail(r, d.at, "depends_on: \"%.60s\" twice", d.service);
        }
        s->depends[kept++] = d;
    }
    s->depends_count = kept;
}

/* Whether all that a service needs has been placed before it. */
static bool ready(struct compose_reader *r, const bool *placed, const struct compose_service *s)
{
    size_t network = network_of(r, s);
    if (network != SIZE_MAX && !placed[network])
        return false;
    for (size_t i = 0; i < s->depends_count; i++) {
        if (!placed[find_service(r->c, s->depends[i].service)])
            return false;
    }
    return true;
}

/* From one service that cannot start along what it waits for: after as many steps as there are services, it
 * is on the cycle. */
__attribute__((noreturn)) static void fail_cycle(struct compose_reader *r, const bool *placed)
{
    const struct compose *c = r->c;
    size_t at = 0;
    while (placed[at])
        at++;
    for (size_t step = 0; step < c->service_count; step++) {
        const struct compose_service *s = &c->services[at];
        size_t next = network_of(r, s);
        for (size_t i = 0; i < s->depends_count && (next == SIZE_MAX || placed[next]); i++)
            next = find_service(c, s->depends[i].service);
        at = next;
    }
    const struct compose_service *s = &c->services[at];
    compose_fail(r, s->depends_count ? s->depends[0].at : s->network_mode.at,
                 "depends_on: services.%s waits for itself: break the cycle", s->name);
}

/* Services are sorted by name, so the order is the same for every machine. 256 services: rounds are cheap. */
static void find_order(struct compose_reader *r)
{
    struct compose *c = r->c;
    bool *placed = compose_take(r, c->service_count, sizeof(*placed));
    size_t n = 0;
    c->order = compose_take(r, c->service_count, sizeof(*c->order));
    while (n < c->service_count) {
        size_t before = n;
        for (size_t i = 0; i < c->service_count; i++) {
            if (!placed[i] && ready(r, placed, &c->services[i])) {
                placed[i] = true;
                c->order[n++] = i;
            }
        }
        if (n == before)
            fail_cycle(r, placed);
    }
}

void compose_link(struct compose_reader *r)
{
    struct compose *c = r->c;
    for (size_t i = 0; i < c->service_count; i++) {
        struct compose_service *s = &c->services[i];
        link_networks(r, s);
        link_network_mode(r, s);
        link_files(r, s);
        link_targets(r, s);
        link_depends(r, s);
        for (size_t k = 0; k < i; k++) {
            const struct compose_service *other = &c->services[k];
            if (!strcmp(s->container_name ? s->container_name : s->name,
                        other->container_name ? other->container_name : other->name))
                compose_fail(r, s->at, "services.%s: services.%s has the same container_name", s->name,
                             other->name);
        }
    }
    find_order(r);
}
