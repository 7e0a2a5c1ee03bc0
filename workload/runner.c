#include "workload/runner.h"

#include "base/auto.h"
#include "workload/compose.h"
#include "workload/runner_stop.h"
#include "workload/runner_wait.h"
#include "workload/spec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct item {
    const struct compose_service *s;
    const char *image;
    json_t *spec;
    char config[ENGINE_ID_SIZE];
    char name[SPEC_NAME_SIZE];
    const struct engine_state *now; /* NULL: there is none */
    enum runner_change change;
};

struct plan {
    const struct runner *r;
    struct compose *c;
    struct item *items; /* one for each service, in the file's order */
    struct engine_state *found;
    size_t found_count;
    bool *wanted; /* of found: stays or is replaced */
};

static void plan_done(struct plan *p)
{
    for (size_t i = 0; p->items && i < p->c->service_count; i++)
        json_decref(p->items[i].spec);
    free(p->items);
    free(p->found);
    free(p->wanted);
}

void runner_container_name(const struct runner *r, const struct compose_service *s,
                           char out[static ENGINE_NAME_MAX + 1])
{
    spec_container_name(r->project, s, out);
}

static const char *image_of(const struct runner_image *images, size_t n, const char *service)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(images[i].service, service))
            return images[i].id;
    }
    return NULL;
}

/* Of several containers of one service the first by name counts; the others are left over from a crash. */
static const struct engine_state *find_running(struct plan *p, const char *service)
{
    for (size_t i = 0; i < p->found_count; i++) {
        if (!strcmp(p->found[i].service, service)) {
            p->wanted[i] = true;
            return &p->found[i];
        }
    }
    return NULL;
}

static int plan_item(struct plan *p, struct item *it, const struct runner_image *images, size_t n,
                     struct err *err)
{
    it->image = image_of(images, n, it->s->name);
    if (!it->image)
        return err_set(err, ERR_INPUT, 0, "service %.100s has no image", it->s->name);
    spec_container_name(p->r->project, it->s, it->name);
    if (spec_container(p->r, p->c, it->s, it->image, &it->spec, it->config, err) < 0)
        return -1;
    it->now = find_running(p, it->s->name);
    bool same = it->now && !strcmp(it->now->config, it->config) && !strcmp(it->now->image, it->image);
    it->change = same ? RUNNER_KEPT : it->now ? RUNNER_REPLACED : RUNNER_CREATED;
    return 0;
}

static struct item *item_of(const struct plan *p, const char *service)
{
    for (size_t i = 0; i < p->c->service_count; i++) {
        if (!strcmp(p->items[i].s->name, service))
            return &p->items[i];
    }
    return NULL;
}

/* Whoever lives in another's network namespace, or asks for it, follows it. */
static bool follows_a_replaced_one(const struct plan *p, const struct compose_service *s)
{
    const char *mode = s->network_mode.text;
    const struct item *other = mode && !strncmp(mode, "service:", 8) ? item_of(p, mode + 8) : NULL;
    if (other && other->change != RUNNER_KEPT)
        return true;
    for (size_t i = 0; i < s->depends_count; i++) {
        other = s->depends[i].restart ? item_of(p, s->depends[i].service) : NULL;
        if (other && other->change != RUNNER_KEPT)
            return true;
    }
    return false;
}

static int plan_make(const struct runner *r, struct compose *c, const struct runner_image *images, size_t n,
                     struct plan *p, struct err *err)
{
    *p = (struct plan){ .r = r, .c = c };
    if (engine_list(&r->engine, r->project, &p->found, &p->found_count, err) < 0)
        return -1;
    p->items = calloc(c->service_count + 1, sizeof(*p->items));
    p->wanted = calloc(p->found_count + 1, sizeof(*p->wanted));
    if (!p->items || !p->wanted)
        return err_set(err, ERR_IO, ENOMEM, "no memory for %zu services", c->service_count);
    for (size_t i = 0; i < c->service_count; i++) {
        p->items[i].s = &c->services[i];
        if (plan_item(p, &p->items[i], images, n, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < c->service_count; i++) {
        struct item *it = &p->items[c->order[i]]; /* dependencies come first, so one pass is enough */
        if (it->change == RUNNER_KEPT && follows_a_replaced_one(p, it->s))
            it->change = RUNNER_REPLACED;
    }
    return 0;
}

static void tell(struct runner_report *report, const char *service, enum runner_change change)
{
    if (!report)
        return;
    size_t *const counts[] = { &report->kept, &report->created, &report->replaced, &report->removed };
    (*counts[change])++;
    if (report->each)
        report->each(report->arg, service, change);
}

static void tell_all(const struct plan *p, struct runner_report *report)
{
    for (size_t i = 0; i < p->c->service_count; i++)
        tell(report, p->items[i].s->name, p->items[i].change);
    for (size_t i = 0; i < p->found_count; i++) {
        if (!p->wanted[i])
            tell(report, p->found[i].service, RUNNER_REMOVED);
    }
}

int runner_config(const struct runner *r, struct compose *c, const struct compose_service *s,
                  const char *image_id, char config[static ENGINE_ID_SIZE], struct err *err)
{
    AUTO(json_drop) json_t *spec = NULL;
    return spec_container(r, c, s, image_id, &spec, config, err);
}

int runner_plan(const struct runner *r, struct compose *c, const struct runner_image *images, size_t n,
                struct runner_report *report, struct err *err)
{
    AUTO(plan_done) struct plan p;
    if (plan_make(r, c, images, n, &p, err) < 0)
        return err_while(err, "plan the containers");
    tell_all(&p, report);
    return 0;
}

/* What goes, goes before anything comes: names, ports and addresses are free then. */
static int remove_old(const struct plan *p, struct err *err)
{
    const struct engine_state *old[ENGINE_LIST_MAX];
    size_t n = 0;
    for (size_t i = 0; i < p->found_count && n < ENGINE_LIST_MAX; i++) {
        const struct item *it = item_of(p, p->found[i].service);
        bool replaced = it && it->now == &p->found[i] && it->change == RUNNER_REPLACED;
        if (!p->wanted[i] || replaced)
            old[n++] = &p->found[i];
    }
    return runner_take_away(p->r, p->c, old, n, err);
}

static int make_networks_and_volumes(const struct plan *p, struct err *err)
{
    char name[SPEC_NAME_SIZE];
    const struct engine *e = &p->r->engine;
    for (size_t i = 0; i < p->c->network_count; i++) {
        const struct compose_network *n = &p->c->networks[i];
        AUTO(json_drop) json_t *body = NULL;
        spec_scoped_name(p->r->project, n->given, n->name, name);
        if (spec_network(p->r->project, n, &body, err) < 0 || engine_network_create(e, name, body, err) < 0)
            return err_while(err, "networks");
    }
    for (size_t i = 0; i < p->c->volume_count; i++) {
        const struct compose_volume *v = &p->c->volumes[i];
        AUTO(json_drop) json_t *body = NULL;
        spec_scoped_name(p->r->project, v->given, v->name, name);
        if (spec_volume(p->r->project, v, &body, err) < 0 || engine_volume_create(e, name, body, err) < 0)
            return err_while(err, "volumes");
    }
    return 0;
}

static int wait_dependencies(const struct plan *p, const struct item *it, struct err *err)
{
    for (size_t i = 0; i < it->s->depends_count; i++) {
        const struct compose_depends *d = &it->s->depends[i];
        const struct item *other = item_of(p, d->service);
        int rc = 0;
        if (other && d->condition == COMPOSE_HEALTHY)
            rc = runner_wait_healthy(p->r, other->s, other->name, err);
        else if (other && d->condition == COMPOSE_COMPLETED)
            rc = runner_wait_completed(p->r, other->s, other->name, err);
        if (rc < 0 && d->required)
            return err_while(err, "depends_on");
    }
    return 0;
}

/* A kept container that has done its work is not run again; one that has failed is. */
static bool wants_start(const struct item *it)
{
    if (it->change != RUNNER_KEPT)
        return true;
    bool once = it->s->restart == COMPOSE_RESTART_NO || it->s->restart == COMPOSE_RESTART_ON_FAILURE;
    bool done = once && it->now->ended && it->now->exit_code == 0;
    return !it->now->running && !done;
}

static int bring_up(const struct plan *p, const struct item *it, struct err *err)
{
    char id[ENGINE_ID_SIZE];
    if (!wants_start(it))
        return 0;
    if (wait_dependencies(p, it, err) < 0)
        return -1;
    if (it->change != RUNNER_KEPT && engine_create(&p->r->engine, it->spec, id, err) < 0)
        return -1;
    return engine_start(&p->r->engine, it->name, err);
}

static int wait_all(const struct plan *p, struct err *err)
{
    bool changed = false;
    for (size_t i = 0; i < p->c->service_count; i++)
        changed = changed || p->items[i].change != RUNNER_KEPT;
    if (changed && p->r->settle_ms && runner_pause(p->r, p->r->settle_ms, err) < 0)
        return -1;
    for (size_t i = 0; i < p->c->service_count; i++) {
        const struct item *it = &p->items[i];
        if (runner_wait_running(p->r, it->s, it->name, it->change == RUNNER_KEPT, err) < 0)
            return err_while(err, "wait for the services");
    }
    return 0;
}

/* The cause must say which service; the engine's own words do not. */
static int name_service(const struct item *it, struct err *err)
{
    char cause[sizeof(err->cause)];
    if (!err || !strncmp(err->cause, "service ", 8))
        return -1;
    memcpy(cause, err->cause, sizeof(cause));
    return err_set(err, err->kind, err->code, "service %.60s: %.240s", it->s->name, cause);
}

int runner_apply(const struct runner *r, struct compose *c, const struct runner_image *images, size_t n,
                 struct runner_report *report, struct err *err)
{
    AUTO(plan_done) struct plan p;
    if (plan_make(r, c, images, n, &p, err) < 0)
        return err_while(err, "plan the containers");
    if (remove_old(&p, err) < 0)
        return err_while(err, "remove containers");
    if (make_networks_and_volumes(&p, err) < 0)
        return -1;
    for (size_t i = 0; i < c->service_count; i++) {
        const struct item *it = &p.items[c->order[i]];
        if (bring_up(&p, it, err) < 0)
            return name_service(it, err), err_while(err, "start the containers");
    }
    if (wait_all(&p, err) < 0)
        return -1;
    tell_all(&p, report);
    return 0;
}

int runner_stop(const struct runner *r, const struct compose *c, struct err *err)
{
    AUTO(free_u8) uint8_t *storage = NULL;
    const struct engine_state *all[ENGINE_LIST_MAX];
    struct engine_state *found;
    size_t n;
    if (engine_list(&r->engine, r->project, &found, &n, err) < 0)
        return -1;
    storage = (uint8_t *)found;
    for (size_t i = 0; i < n; i++)
        all[i] = &found[i];
    return runner_take_away(r, c, all, n, err);
}
