#include "workload/compose.h"

#include "base/auto.h"
#include "workload/compose_reader.h"

#include <errno.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct compose_service *)a)->name, ((const struct compose_service *)b)->name);
}

static void read_services(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose *c = target;
    yaml_want_map(r, v, "services", false);
    if (v->n == 0 || v->n > COMPOSE_SERVICES_MAX)
        compose_fail(r, v->at, "services: want 1 to %u services", COMPOSE_SERVICES_MAX);
    c->services = compose_take(r, v->n, sizeof(*c->services));
    for (size_t i = 0; i < v->n; i++) /* names are the publisher's: an "x-" is no extension here */
        compose_read_service(r, &v->pair[i], &c->services[c->service_count++]);
    qsort(c->services, c->service_count, sizeof(*c->services), by_name);
}

static void read_version(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    (void)target;
    yaml_text(r, v, "version"); /* which schema a file was written for: of no effect since Compose 1.27 */
}

static void read_project(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose *c = target;
    c->project = yaml_name(r, yaml_text(r, v, "name"), v->at, "name");
    compose_warn(r, v->at, "name: has no effect: containers, networks and volumes are called workload_...");
}

static const struct member members[] = {
    { "version", read_version, NULL },
    { "name", read_project, NULL },
    { "services", read_services, NULL },
    { "networks", compose_read_top_networks, NULL },
    { "volumes", compose_read_top_volumes, NULL },
    { "secrets", compose_read_top_secrets, NULL },
    { "configs", compose_read_top_configs, NULL },
    { "include", NULL, "other files are not read: write their services here" },
};

static void read_file(struct compose_reader *r, struct bytes yaml, struct bytes dotenv)
{
    struct compose *c = r->c;
    compose_dotenv(r, dotenv, COMPOSE_ENV_FILE, &c->dotenv);
    compose_pairs_settle(r, &c->dotenv);
    r->vars = c->dotenv;
    const struct yaml_node *root = compose_yaml(r, yaml);
    if (root->kind != YAML_MAP)
        compose_fail(r, root->at, "want a mapping with services:");
    yaml_members(r, root, "", members, ARRAY_SIZE(members), c);
    if (!c->service_count)
        compose_fail(r, root->at, "services: is missing");
    compose_link(r);
}

int compose_parse(struct bytes yaml, struct bytes dotenv, struct compose **out, struct err *err)
{
    struct err ignored;
    struct compose *volatile c = calloc(1, sizeof(*c));
    struct compose_memory *volatile memory = compose_memory_new();
    struct compose_reader *volatile r = calloc(1, sizeof(*r));
    int rc = -1;
    if (!c || !memory || !r) {
        err_set(err, ERR_IO, ENOMEM, "no memory to read the compose file");
    } else if (yaml.n > COMPOSE_FILE_MAX || dotenv.n > COMPOSE_ENV_MAX) {
        err_set(err, ERR_TOO_LARGE, 0, "%s has more than %u bytes",
                yaml.n > COMPOSE_FILE_MAX ? COMPOSE_FILE : COMPOSE_ENV_FILE, COMPOSE_FILE_MAX);
    } else {
        c->project = "workload";
        *r = (struct compose_reader){ .c = c, .memory = memory, .err = err ? err : &ignored };
        r->scratch = buf_new(COMPOSE_SCALAR_MAX + 4096);
        if (setjmp(r->escape) == 0) {
            read_file(r, yaml, dotenv);
            rc = 0;
        }
        buf_done(&r->scratch);
    }
    free(r);
    if (rc == 0) {
        c->memory = memory;
        *out = c;
    } else {
        compose_memory_free(memory);
        free(c);
    }
    return rc;
}

void compose_free(struct compose *c)
{
    if (!c)
        return;
    compose_memory_free(c->memory);
    free(c);
}

const struct compose_service *compose_service(const struct compose *c, const char *name)
{
    for (size_t i = 0; i < c->service_count; i++) {
        if (!strcmp(c->services[i].name, name))
            return &c->services[i];
    }
    return NULL;
}

/* ---- the environment ---- */

static void append(struct compose_reader *r, struct compose_pairs *all, const struct compose_pairs *more)
{
    struct compose_pair *item = compose_take(r, all->n + more->n + 1, sizeof(*item));
    if (all->n)
        memcpy(item, all->item, all->n * sizeof(*item));
    if (more->n)
        memcpy(item + all->n, more->item, more->n * sizeof(*item));
    *all = (struct compose_pairs){ all->n + more->n, item };
}

struct files {
    compose_read_fn *read;
    void *arg;
    struct buf text;
};

static void read_environment(struct compose_reader *r, const struct compose_service *s, struct files *files,
                             struct compose_pairs *out)
{
    struct compose_pairs all = { 0 }, more;
    for (size_t i = 0; i < s->env_files.n; i++) {
        const char *path = s->env_files.item[i].text;
        files->text.n = 0;
        if (files->read(files->arg, path, &files->text, r->err) < 0) {
            if (r->err->kind == ERR_NOT_FOUND && s->env_file_optional[i])
                continue;
            longjmp(r->escape, 1);
        }
        compose_dotenv(r, buf_bytes(&files->text), path, &more);
        append(r, &all, &more);
    }
    append(r, &all, &s->environment);
    compose_pairs_settle(r, &all);
    *out = all;
}

struct environment_job {
    struct compose_reader r;
    struct files files;
};

int compose_environment(struct compose *c, const struct compose_service *s, compose_read_fn *read, void *arg,
                        struct compose_pairs *out, struct compose_memory **memory, struct err *err)
{
    struct err ignored;
    struct environment_job *volatile job = calloc(1, sizeof(*job));
    struct compose_memory *volatile own = compose_memory_new();
    volatile int rc = -1;
    if (!job || !own) {
        compose_memory_free(own);
        free(job);
        return err_set(err, ERR_IO, ENOMEM, "no memory for an environment");
    }
    job->r = (struct compose_reader){ .c = c, .memory = own, .err = err ? err : &ignored, .vars = c->dotenv };
    job->r.scratch = buf_new(COMPOSE_SCALAR_MAX + 4096);
    job->files = (struct files){ read, arg, buf_new(COMPOSE_ENV_MAX) };
    if (setjmp(job->r.escape) == 0) {
        read_environment(&job->r, s, &job->files, out);
        rc = 0;
    }
    buf_done(&job->r.scratch);
    buf_done(&job->files.text);
    free(job);
    if (rc == 0)
        *memory = own;
    else
        compose_memory_free(own);
    return rc;
}
