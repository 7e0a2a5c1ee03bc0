/* What a workload wants of the machine that is to run it. */
#include "workload/lint_internal.h"

#include "base/auto.h"
#include "base/file.h"

#define IDS_FILE_MAX (1u << 20)

/* "name:first:count" lines. @return 1 if the name has a range, 0 if not, -1: cannot be read */
static int has_ids(const char *path, const char *name)
{
    AUTO(free_u8) uint8_t *text = NULL;
    struct err ignored;
    size_t n, length = strlen(name);
    if (file_read(path, IDS_FILE_MAX, &text, &n, &ignored) < 0)
        return ignored.kind == ERR_NOT_FOUND ? 0 : -1;
    for (const char *p = (const char *)text; p && *p; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (!strncmp(p, name, length) && p[length] == ':')
            return 1;
    }
    return 0;
}

static void lint_owner(struct linter *l, const struct lint_machine *machine)
{
    const char *owner = l->p->container_owner;
    const char *files[] = { machine ? machine->subuid : NULL, machine ? machine->subgid : NULL };
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        if (files[i] && has_ids(files[i], owner) != 1)
            lint_add(
                l, LINT_ERROR, POLICY_PATH, LINT_WHOLE_FILE,
                "cvm_config.container_api.container_owner: \"%s\" has no range of ids on this machine: add "
                "the line "
                "\"%s:1000000:1000000\" to %s, or name an owner that is there",
                owner, owner, files[i]);
    }
}

/* The program that `init: true` puts before a service's own: podman starts it from this place. */
static void lint_init(struct linter *l, const struct lint_machine *machine)
{
    if (l->p->engine != POLICY_PODMAN || !machine || !machine->init || access(machine->init, X_OK) == 0)
        return;
    for (size_t i = 0; i < l->c->service_count; i++) {
        const struct compose_service *s = &l->c->services[i];
        if (s->init)
            ERROR(l, s->at,
                  "services.%s.init: the machine has no %s, which would be the first process: install "
                  "catatonit, or leave init out",
                  s->name, machine->init);
    }
}

/* docker has one range of ids for all containers, that of a user which the machine must have. */
static void lint_docker(struct linter *l, const struct lint_machine *machine)
{
    const char *owner = l->p->container_owner;
    const char *files[] = { machine ? machine->passwd : NULL, machine ? machine->group : NULL };
    if (l->p->engine != POLICY_DOCKER)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        if (files[i] && has_ids(files[i], owner) != 1)
            lint_add(
                l, LINT_ERROR, POLICY_PATH, LINT_WHOLE_FILE,
                "cvm_config.container_api.container_owner: docker gives containers the ids of a user, and "
                "\"%s\" is "
                "not in %s: add it (useradd --system --user-group %s), or use podman",
                owner, files[i], owner);
    }
    for (size_t i = 0; i < l->c->service_count; i++) {
        const struct compose_service *s = &l->c->services[i];
        if (s->health.start_interval_ns != COMPOSE_UNSET)
            WARNING(
                l, s->health.at,
                "services.%s.healthcheck.start_interval: has no effect: docker 20.10 checks at the interval",
                s->name);
        if (s->network_mode.text && !strcmp(s->network_mode.text, "host"))
            ERROR(l, s->network_mode.at,
                  "services.%s.network_mode: docker has no host network for a container in a user namespace: "
                  "publish "
                  "ports, or use podman",
                  s->name);
    }
}

void lint_on_machine(struct linter *l, const struct lint_machine *machine)
{
    lint_owner(l, machine);
    lint_docker(l, machine);
    lint_init(l, machine);
}
