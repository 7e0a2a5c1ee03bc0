/* A private copy made ready: what a start and an update do before anything is measured. */
#include "agent/workload.h"

#include "agent/owner.h"
#include "agent/registry_auth.h"
#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/log.h"
#include "workload/image_tar.h"

#include <errno.h>
#include <limits.h>

#define TARS_MAX 1024

/* ---- reading ---- */

/* A file that may be missing. */
static int load(const struct workload_tree *tree, const char *path, size_t max, struct buf *out, bool *found,
                struct err *err)
{
    struct err why = { 0 };
    *out = buf_new(max);
    *found = workload_tree_load(tree, path, max, out, &why) == 0;
    if (*found || why.kind == ERR_NOT_FOUND)
        return 0;
    *err = why;
    return -1;
}

static int read_policy(struct prepared *p, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(0);
    bool found;
    if (load(p->tree, POLICY_PATH, POLICY_FILE_MAX, &text, &found, err) < 0)
        return -1;
    if (!found)
        workload_policy_defaults(&p->policy);
    else if (workload_policy_parse(buf_bytes(&text), &p->policy, err) < 0)
        return err_while(err, "cvm_agent_policy.json");
    return 0;
}

static int read_compose(struct prepared *p, struct err *err)
{
    AUTO(buf_done) struct buf yaml = buf_new(0), dotenv = buf_new(0);
    bool found, has_env;
    if (load(p->tree, COMPOSE_FILE, COMPOSE_FILE_MAX, &yaml, &found, err) < 0
        || load(p->tree, COMPOSE_ENV_FILE, COMPOSE_ENV_MAX, &dotenv, &has_env, err) < 0)
        return -1;
    if (!found)
        return err_set(err, ERR_INPUT, 0, "the workload has no " COMPOSE_FILE);
    if (compose_parse(buf_bytes(&yaml), buf_bytes(&dotenv), &p->compose, err) < 0)
        return err_while(err, COMPOSE_FILE);
    return 0;
}

/* One that is not there is lint's to say. */
static int read_env_file(void *arg, const char *path, struct buf *out, struct err *err)
{
    return workload_tree_find(arg, path) ? workload_tree_load(arg, path, COMPOSE_ENV_MAX, out, err) : 0;
}

/* Files that env_file names are read here, so that a malformed one is found before anything is measured, and
 * lint tells what variables they lack. */
static int read_environments(struct prepared *p, struct err *err)
{
    for (size_t i = 0; i < p->compose->service_count; i++) {
        const struct compose_service *s = &p->compose->services[i];
        AUTO(compose_memory_drop) struct compose_memory *memory = NULL;
        struct compose_pairs ignored;
        if (s->env_files.n
            && compose_environment(p->compose, s, read_env_file, p->tree, &ignored, &memory, err) < 0)
            return err_while(err, "env_file");
    }
    return 0;
}

static enum lint_entry find(void *arg, const char *path)
{
    const struct workload_tree *tree = arg;
    if (workload_tree_find(tree, path))
        return LINT_FILE;
    return !*path || workload_tree_has_folder(tree, path) ? LINT_FOLDER : LINT_ABSENT;
}

typedef void warn_fn(void *arg, const char *text);

static void warn_all(const struct lint *lint, warn_fn *warn, void *arg)
{
    for (size_t i = 0; i < lint->n; i++) {
        AUTO(buf_done) struct buf line = buf_new(4096);
        lint_put(&lint->finding[i], &line);
        if (line.n)
            line.n--; /* its line break */
        AUTO(free_str) char *text = buf_take_str(&line);
        if (text && lint->finding[i].level == LINT_WARNING)
            warn(arg, text);
    }
}

static int lint(struct prepared *p, const char *etc, warn_fn *warn, void *arg, struct err *err)
{
    static const char *const names[] = { "subuid", "subgid", "passwd", "group" };
    AUTO(lint_done) struct lint found = { 0 };
    char paths[ARRAY_SIZE(names)][PATH_MAX];
    const struct lint_tree tree = { find, p->tree };
    struct lint_machine machine = { .subuid = NULL };
    for (size_t i = 0; etc && i < ARRAY_SIZE(names); i++) {
        if (path_set(paths[i], sizeof(paths[i]), err, "%s/%s", etc, names[i]) < 0)
            return -1;
    }
    if (etc)
        machine = (struct lint_machine){ paths[0], paths[1], paths[2], paths[3], LINT_INIT };
    if (workload_lint(p->compose, &p->policy, &tree, &machine, &found, err) < 0)
        return -1;
    if (warn)
        warn_all(&found, warn, arg);
    return lint_check(&found, err);
}

static int read_owner(struct prepared *p, struct err *err)
{
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    bool found;
    if (load(p->tree, WORKLOAD_OWNER_PATH, OWNER_FILE_MAX, &p->owner_pub, &found, err) < 0)
        return -1;
    return found ? owner_key_parse(buf_bytes(&p->owner_pub), &key, err) : 0;
}

int prepare_read(struct workload_tree *tree, const char *etc, void (*warn)(void *arg, const char *text),
                 void *arg, struct prepared **out, struct err *err)
{
    AUTO(prepared_drop) struct prepared *p = calloc(1, sizeof(*p));
    if (!p) {
        workload_tree_free(tree);
        return err_set(err, ERR_IO, ENOMEM, "no memory for a workload");
    }
    p->tree = tree;
    workload_policy_defaults(&p->policy);
    if (read_policy(p, err) < 0 || read_owner(p, err) < 0 || read_compose(p, err) < 0
        || read_environments(p, err) < 0 || lint(p, etc, warn, arg, err) < 0
        || signature_policy_load(p->tree, p->compose, &p->policy, &p->signatures, err) < 0)
        return -1;
    *out = MOVE(p);
    return 0;
}

void prepared_free(struct prepared *p)
{
    if (!p)
        return;
    measure_plan_free(p->plan);
    free(p->images);
    signature_policy_done(&p->signatures);
    compose_free(p->compose);
    buf_done(&p->owner_pub);
    workload_policy_done(&p->policy);
    workload_tree_free(p->tree);
    free(p);
}

/* ---- images ---- */

/* What a row points to belongs to archive and path. */
struct tars {
    struct image_tar archive[TARS_MAX];
    struct runner_tar row[TARS_MAX];
    char *path[TARS_MAX];
    size_t n;
};

static void tars_free(struct tars **tars)
{
    struct tars *t = *tars;
    for (size_t i = 0; t && i < t->n; i++) {
        image_tar_done(&t->archive[i]);
        free(t->path[i]);
    }
    free(t);
}

static int read_archive(struct tars *t, const struct workload_tree *tree, const struct tree_file *f,
                        struct err *err)
{
    struct err why = { 0 };
    if (t->n == TARS_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "more than %d image archives", TARS_MAX);
    AUTO(close_fd) int fd = workload_tree_open(tree, f->path, err);
    if (fd < 0)
        return -1;
    if (image_tar_read(fd, &t->archive[t->n], &why) < 0)
        return err_set(err, why.kind, why.code, "%.80s: %.200s", f->path, why.cause);
    if (asprintf(&t->path[t->n], "%s/%s", tree->root, f->path) < 0)
        t->path[t->n] = NULL;
    t->row[t->n] = (struct runner_tar){ t->path[t->n], &t->archive[t->n] };
    return t->path[t->n++] ? 0 : err_set(err, ERR_IO, ENOMEM, "no memory for image archives");
}

static int read_tars(const struct workload_tree *tree, struct tars **out, struct err *err)
{
    AUTO(tars_free) struct tars *t = calloc(1, sizeof(*t));
    if (!t)
        return err_set(err, ERR_IO, ENOMEM, "no memory for image archives");
    for (size_t i = 0; i < tree->n; i++) {
        if (tree->files[i].kind == TREE_IMAGE && read_archive(t, tree, &tree->files[i], err) < 0)
            return err_while(err, "read image archives");
    }
    *out = MOVE(t);
    return 0;
}

static int read_logins(const struct prepared *p, struct registry_auth **out, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(REGISTRY_AUTH_MAX);
    if (p->policy.auth_info_path && workload_tree_find(p->tree, p->policy.auth_info_path)
        && workload_tree_load(p->tree, p->policy.auth_info_path, REGISTRY_AUTH_MAX, &text, err) < 0)
        return err_while(err, "auth_info_file_path");
    return registry_auth_new(buf_bytes(&text), p->policy.auth_user, p->policy.auth_password, out, err);
}

static int get_images(struct prepared *p, const struct runner *runner, struct err *err)
{
    AUTO(tars_free) struct tars *tars = NULL;
    AUTO(registry_auth_drop) struct registry_auth *logins = NULL;
    if (read_tars(p->tree, &tars, err) < 0 || read_logins(p, &logins, err) < 0)
        return -1;
    const struct runner_sources from = { .tars = tars->row,
                                         .n_tars = tars->n,
                                         .signatures = &p->signatures,
                                         .policy = &p->policy,
                                         .auth = registry_auth_find,
                                         .auth_ctx = logins };
    return runner_images(runner, p->compose, &from, p->images, err);
}

static int make_plan(struct prepared *p, bool have_ids, struct err *err)
{
    size_t n = p->compose->service_count;
    AUTO(free_u8) uint8_t *memory = calloc(n + 1, sizeof(struct measure_service));
    struct measure_service *services = (struct measure_service *)(void *)memory;
    if (!services)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a plan");
    for (size_t i = 0; i < n; i++) {
        const struct compose_service *s = &p->compose->services[i];
        services[i] = (struct measure_service){ .name = s->name,
                                                .reference = s->image.text ? s->image.text : "",
                                                .skip = policy_skips(&p->policy, s->name),
                                                .has_id = have_ids };
        if (have_ids && hex_decode_fixed(bytes_str(p->images[i].id), services[i].id, 32, err) < 0)
            return err_while(err, "the engine's image id");
    }
    if (!have_ids && measure_find_images(p->tree, services, n, err) < 0)
        return -1;
    for (size_t i = 0; i < n && !have_ids; i++) {
        p->images[i].service = services[i].name;
        if (services[i].has_id)
            hex_to(p->images[i].id, bytes_of(services[i].id, 32));
    }
    return measure_plan_make(p->tree, services, n, &p->plan, err);
}

int prepare_images(struct prepared *p, const struct runner *runner, struct err *err)
{
    p->images = calloc(p->compose->service_count + 1, sizeof(*p->images));
    if (!p->images)
        return err_set(err, ERR_IO, ENOMEM, "no memory for images");
    if ((runner && get_images(p, runner, err) < 0) || make_plan(p, runner != NULL, err) < 0)
        return err_while(err, "images");
    return 0;
}

void prepare_tidy_images(const struct workload *w)
{
    struct err err = { 0 };
    if (runner_tidy_images(&w->runner, w->now->images, w->now->compose->service_count, &err) < 0)
        log_err(LOG_LEVEL_WARNING, "images", &err);
}
