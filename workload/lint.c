#include "workload/lint_internal.h"

#include "base/auto.h"
#include "workload/owner.h"
#include "workload/path.h"

#include <errno.h>
#include <stdarg.h>

#define AGENT_PORT_INSIDE  7999
#define AGENT_PORT_OUTSIDE 8000

void lint_add(struct linter *l, enum lint_level level, const char *file, struct compose_at at,
              const char *fmt, ...)
{
    struct lint *out = &l->out;
    va_list args;
    char *text = NULL;
    (*(level == LINT_ERROR ? &out->errors : &out->warnings))++;
    if (out->n == LINT_FINDINGS_MAX)
        return;
    if (!out->finding)
        out->finding = calloc(LINT_FINDINGS_MAX, sizeof(*out->finding));
    va_start(args, fmt);
    int n = vasprintf(&text, fmt, args);
    va_end(args);
    if (n < 0 || !out->finding) {
        l->no_memory = true;
        if (n >= 0)
            free(text);
        return;
    }
    out->finding[out->n++] = (struct lint_finding){ level, file, at, text };
}

/* ---- files ---- */

static void want_file(struct linter *l, const char *file, struct compose_at at, const char *what,
                      const char *path, bool folder_fine)
{
    if (!l->tree)
        return;
    enum lint_entry entry = *path ? l->tree->find(l->tree->arg, path) : LINT_FOLDER;
    if (entry == LINT_ABSENT)
        lint_add(l, LINT_ERROR, file, at,
                 "%s: %s is not in the workload directory: add it, or correct the path", what, path);
    else if (entry == LINT_FOLDER && !folder_fine)
        lint_add(l, LINT_ERROR, file, at, "%s: %s is a folder: name a file", what, path);
}

static void lint_mounts(struct linter *l, const struct compose_service *s)
{
    char what[160];
    for (size_t i = 0; i < s->mount_count; i++) {
        const struct compose_mount *m = &s->mounts[i];
        if (m->type != COMPOSE_BIND || !m->path)
            continue;
        snprintf(what, sizeof(what), "services.%s.volumes", s->name);
        want_file(l, COMPOSE_FILE, m->at, what, m->path, true);
        if (!m->read_only)
            WARNING(l, m->at,
                    "%s: %s is mounted read-only, as all files of a workload are: write :ro, or use a named "
                    "volume",
                    what, m->source);
    }
}

static const struct compose_file *find_file(const struct compose_file *files, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(files[i].name, name))
            return &files[i];
    }
    return NULL;
}

/* It is put into the container's own layer: a mount over that would hide it. */
static void lint_owned_file(struct linter *l, const struct compose_service *s,
                            const struct compose_file_use *use, const char *what)
{
    const char *ids[] = { use->uid, use->gid };
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        if (ids[i] && strtoull(ids[i], NULL, 10) >= OWNER_IDS)
            ERROR(l, use->at, "%s: id %s: a container has the ids 0 to %u", what, ids[i], OWNER_IDS - 1);
    }
    for (size_t i = 0; i < s->mount_count; i++) {
        if (workload_path_below(use->target, s->mounts[i].target))
            ERROR(l, use->at,
                  "%s: %s lies in the mount %s, where a file with uid, gid or mode cannot be put: choose "
                  "another "
                  "target, or leave them out",
                  what, use->target, s->mounts[i].target);
    }
    if (l->p->engine == POLICY_DOCKER && s->read_only)
        ERROR(l, use->at,
              "%s: docker cannot put a file with uid, gid or mode into a service that is read_only: leave "
              "one of them "
              "out, or use podman",
              what);
}

static void lint_files(struct linter *l, const struct compose_service *s)
{
    char what[160];
    snprintf(what, sizeof(what), "services.%s.env_file", s->name);
    for (size_t i = 0; i < s->env_files.n; i++) {
        if (!s->env_file_optional[i])
            want_file(l, COMPOSE_FILE, s->env_files.item[i].at, what, s->env_files.item[i].text, false);
    }
    for (size_t i = 0; i < s->secret_count + s->config_count; i++) {
        bool secret = i < s->secret_count;
        const struct compose_file_use *use = secret ? &s->secrets[i] : &s->configs[i - s->secret_count];
        const struct compose_file *file = secret ? find_file(l->c->secrets, l->c->secret_count, use->name)
                                                 : find_file(l->c->configs, l->c->config_count, use->name);
        snprintf(what, sizeof(what), "services.%s.%s", s->name, secret ? "secrets" : "configs");
        if (file && file->path)
            want_file(l, COMPOSE_FILE, use->at, what, file->path, false);
        if (compose_file_is_owned(use))
            lint_owned_file(l, s, use, what);
    }
}

/* ---- images, networks, ports ---- */

static void lint_image(struct linter *l, const struct compose_service *s)
{
    char full[512];
    bool complete;
    struct err why = { 0 };
    if (compose_image_reference(s->image.text, full, sizeof(full), &complete, &why) < 0)
        ERROR(l, s->image.at, "services.%s.image: %s", s->name, why.cause);
    else if (!complete)
        ERROR(l, s->image.at,
              "services.%s.image: \"%s\" is a short name, which registries answer differently: write %s",
              s->name, s->image.text, full);
    else if (strcmp(full, s->image.text) != 0)
        WARNING(l, s->image.at, "services.%s.image: \"%s\" means %s: write that, or a digest", s->name,
                s->image.text, full);
}

static bool overlap(const struct compose_port *a, const struct compose_port *b)
{
    return a->host && b->host && a->udp == b->udp && a->host < b->host + b->count
           && b->host < a->host + a->count && (!a->host_ip || !b->host_ip || !strcmp(a->host_ip, b->host_ip));
}

static bool lets_in(const struct workload_policy *p, const struct compose_port *port)
{
    for (size_t i = 0; i < p->port_count; i++) {
        const struct policy_port *rule = &p->ports[i];
        if (rule->direction != POLICY_OUT && (rule->protocol == POLICY_UDP) == port->udp
            && rule->first <= port->host && port->host + port->count - 1 <= rule->last)
            return true;
    }
    return false;
}

static void lint_port(struct linter *l, const struct compose_service *s, const struct compose_port *port)
{
    static const uint16_t own[] = { AGENT_PORT_INSIDE, AGENT_PORT_OUTSIDE };
    bool local = port->host_ip && (!strncmp(port->host_ip, "127.", 4) || !strcmp(port->host_ip, "::1"));
    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        const struct compose_port agent = { .host = own[i], .count = 1 };
        if (overlap(port, &agent))
            ERROR(l, port->at, "services.%s.ports: %u is the agent's own port: publish another", s->name,
                  own[i]);
    }
    if (!port->host)
        WARNING(l, port->at,
                "services.%s.ports: %u is published on a port that changes with every start: write HOST:%u",
                s->name, port->container, port->container);
    else if (!local && !lets_in(l->p, port) && port->host != l->p->maintenance_port)
        WARNING(
            l, port->at,
            "services.%s.ports: %u/%s cannot be reached from outside: it is not in firewall.allowed_ports of "
            "the policy",
            s->name, port->host, port->udp ? "udp" : "tcp");
}

static void lint_ports(struct linter *l, size_t index)
{
    const struct compose_service *s = &l->c->services[index];
    for (size_t i = 0; i < s->port_count; i++) {
        lint_port(l, s, &s->ports[i]);
        for (size_t k = 0; k <= index; k++) {
            const struct compose_service *other = &l->c->services[k];
            for (size_t m = 0; m < (k == index ? i : other->port_count); m++) {
                if (overlap(&s->ports[i], &other->ports[m]))
                    ERROR(l, s->ports[i].at, "services.%s.ports: %u is published by services.%s too", s->name,
                          s->ports[i].host, other->name);
            }
        }
    }
}

static void lint_dependencies(struct linter *l, const struct compose_service *s)
{
    for (size_t i = 0; i < s->depends_count; i++) {
        const struct compose_depends *d = &s->depends[i];
        const struct compose_service *on = compose_service(l->c, d->service);
        if (on && d->condition == COMPOSE_HEALTHY && on->health.disable)
            ERROR(l, d->at,
                  "services.%s.depends_on: services.%s has its healthcheck disabled and never gets healthy",
                  s->name, on->name);
        if (on && d->condition == COMPOSE_COMPLETED
            && (on->restart == COMPOSE_RESTART_ALWAYS || on->restart == COMPOSE_RESTART_UNLESS_STOPPED))
            ERROR(l, d->at, "services.%s.depends_on: services.%s is restarted always and never completes",
                  s->name, on->name);
    }
}

static void lint_socket(struct linter *l, const struct compose_service *s)
{
    if (!s->agent_socket && !policy_gives_socket(l->p, s->name))
        return;
    for (size_t i = 0; i < s->mount_count; i++) {
        const struct compose_mount *m = &s->mounts[i];
        if (workload_path_below("/run/cvm-agent", m->target)
            || workload_path_below(m->target, "/run/cvm-agent"))
            ERROR(l, m->at,
                  "services.%s.volumes: %s hides the agent's socket in /run/cvm-agent: mount elsewhere",
                  s->name, m->target);
    }
}

static void lint_service(struct linter *l, size_t index)
{
    const struct compose_service *s = &l->c->services[index];
    for (size_t i = 0; i < s->refused_count; i++)
        ERROR(l, s->refused[i].at, "services.%s: %s: refused: gives the container the %s", s->name,
              s->refused[i].setting, s->refused[i].gives);
    lint_image(l, s);
    lint_mounts(l, s);
    lint_files(l, s);
    lint_ports(l, index);
    lint_dependencies(l, s);
    lint_socket(l, s);
    if (s->domainname && l->p->engine == POLICY_PODMAN)
        ERROR(l, s->at,
              "services.%s.domainname: podman cannot set it in a user namespace: write the whole name, "
              "HOST.DOMAIN, as hostname",
              s->name);
    if (s->network_mode.text && !strcmp(s->network_mode.text, "host"))
        WARNING(l, s->network_mode.at,
                "services.%s.network_mode: host opens the agent's loopback port %u, and every other, to the "
                "service",
                s->name, AGENT_PORT_INSIDE);
}

/* ---- the policy against the file ---- */

static void lint_names(struct linter *l, const struct policy_names *names, const char *setting)
{
    for (size_t i = 0; i < names->n; i++) {
        const char *name = names->item[i];
        if (compose_service(l->c, name))
            continue;
        bool removed = policy_allows_remove(l->p, name); /* by an update, which cannot change the policy */
        lint_add(l, removed ? LINT_WARNING : LINT_ERROR, POLICY_PATH, LINT_WHOLE_FILE,
                 "workload_config.services.%s: missing service: there is no \"%s\" in " COMPOSE_FILE, setting,
                 name);
    }
}

/* Left unsaid, data would lie where their owner believes them encrypted. */
static void lint_disks(struct linter *l)
{
    for (size_t i = 0; i < l->p->disk_count; i++)
        lint_add(
            l, LINT_ERROR, POLICY_PATH, LINT_WHOLE_FILE,
            "cvm_config.disk_config: nothing would be mounted at %s, nor encrypted: set enable to false, and "
            "keep "
            "what must last outside the machine",
            l->p->disks[i].mount_point);
}

static void lint_policy(struct linter *l, const struct lint_machine *machine)
{
    const struct workload_policy *p = l->p;
    for (size_t i = 0; i < p->warning_count; i++)
        lint_add(l, LINT_WARNING, POLICY_PATH, LINT_WHOLE_FILE, "%s", p->warnings[i]);
    lint_names(l, &p->allow_update, "allow_update");
    lint_names(l, &p->skip_measurement, "skip_measurement");
    lint_names(l, &p->agent_socket_targets, "agent_socket_targets");
    for (size_t i = 0; i < p->skip_measurement.n; i++) {
        if (compose_service(l->c, p->skip_measurement.item[i]))
            lint_add(
                l, LINT_WARNING, POLICY_PATH, LINT_WHOLE_FILE,
                "workload_config.services.skip_measurement: a verifier sees no measurement of the image of "
                "\"%s\"%s",
                p->skip_measurement.item[i],
                p->verify_signatures ? ", and its signature is not checked: an unsigned image may run" : "");
    }
    if (p->verify_signatures && p->signature_policy_path)
        want_file(l, POLICY_PATH, LINT_WHOLE_FILE,
                  "image_signature_verification.signature_verification_policy_path", p->signature_policy_path,
                  false);
    if (p->auth_info_path && l->tree && l->tree->find(l->tree->arg, p->auth_info_path) != LINT_FILE)
        lint_add(
            l, LINT_WARNING, POLICY_PATH, LINT_WHOLE_FILE,
            "image_signature_verification.auth_info_file_path: %s is not in the workload directory: images "
            "are pulled "
            "without credentials",
            p->auth_info_path); /* the published file names one that most workloads do not have */
    lint_disks(l);
    lint_on_machine(l, machine);
}

int workload_lint(const struct compose *compose, const struct workload_policy *policy,
                  const struct lint_tree *tree, const struct lint_machine *machine, struct lint *out,
                  struct err *err)
{
    struct linter l = { .c = compose, .p = policy, .tree = tree };
    for (size_t i = 0; i < compose->service_count; i++)
        lint_service(&l, i);
    lint_policy(&l, machine);
    for (size_t i = 0; i < compose->warning_count; i++)
        WARNING(&l, compose->warnings[i].at, "%s", compose->warnings[i].text);
    if (l.no_memory) {
        lint_done(&l.out);
        return err_set(err, ERR_IO, ENOMEM, "no memory to judge the workload");
    }
    *out = l.out;
    return 0;
}

void lint_done(struct lint *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->finding[i].text);
    free(l->finding);
    *l = (struct lint){ 0 };
}

void lint_put(const struct lint_finding *f, struct buf *out)
{
    buf_str(out, f->file);
    if (f->at.line)
        buf_printf(out, ":%u:%u", f->at.line, f->at.column);
    buf_printf(out, ": %s: %s\n", f->level == LINT_ERROR ? "error" : "warning", f->text);
}

int lint_check(const struct lint *l, struct err *err)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct lint_finding *f = &l->finding[i];
        char more[48] = "", place[32] = "";
        if (f->level != LINT_ERROR)
            continue;
        if (l->errors > 1)
            snprintf(more, sizeof(more), " (and %zu more)", l->errors - 1);
        if (f->at.line)
            snprintf(place, sizeof(place), ", line %u, column %u", f->at.line, f->at.column);
        return err_set(err, ERR_DENIED, 0, "%s%s: %.200s%s", f->file, place, f->text, more);
    }
    return l->errors ? err_set(err, ERR_DENIED, 0, "%zu errors", l->errors) : 0;
}
