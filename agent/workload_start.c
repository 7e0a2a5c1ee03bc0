#include "agent/workload_start.h"

#include "agent/firewall.h"
#include "agent/services_seen.h"
#include "agent/update.h"
#include "agent/workload_copy.h"
#include "agent/workload_told.h"
#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

#define POLICY_WAIT_MS 100

struct workload_boot {
    struct workload_boot_options o;
    struct workload w;
    struct workload_policy policy; /* of the copy; in force once measured */
    struct workload_policy closed; /* until then, and where it never is */
    struct buf owner_pub;
    struct owner owner;
    struct services_seen *seen;
    struct runner_watch *watch;
    char folder[PATH_MAX]; /* absolute: of the private copies */
    char current[PATH_MAX];
    char views[PATH_MAX]; /* cvm-agent-priv's, with docker */
    char why[ERR_TEXT_MAX];
    atomic_int state;
    pthread_mutex_t lock; /* known */
    pthread_cond_t wake;
    bool known, running;
    pthread_t thread;
};

/* ---- the copy ---- */

static int take_copy(struct workload_boot *s, struct workload_tree **out, struct err *err)
{
    const char *boot_id = collector_boot_id(s->o.collector);
    bool whole;
    if (workload_copy_is_whole(s->folder, boot_id, &whole, err) < 0
        || update_recover(&s->w, s->o.options->state, boot_id, err) < 0)
        return -1;
    return whole ? workload_tree_read(s->current, NULL, out, err)
                 : workload_copy_make(s->w.directory, s->folder, boot_id, out, err);
}

/* ---- the policy ---- */

/* What is not in PCR 23 opens nothing: of a workload that is not measured yet, or could not be, only the
 * owner counts, who can but close. */
static void tell_policy(struct workload_boot *s, struct workload_policy *policy)
{
    atomic_store(&s->w.policy, policy);
    s->o.policy_known(s->o.arg, policy, buf_bytes(&s->owner_pub));
    pthread_mutex_lock(&s->lock);
    s->known = policy == &s->policy;
    pthread_cond_broadcast(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

static int read_policy(struct workload_boot *s, const struct workload_tree *tree, struct err *err)
{
    AUTO(workload_policy_done) struct workload_policy p;
    workload_policy_defaults(&p);
    if (workload_copy_policy(tree, &p, &s->owner_pub, err) < 0
        || workload_copy_check(&p, s->o.before, s->o.options->config, s->o.options->emulate, err) < 0)
        return err_while(err, "cvm_agent_policy.json");
    s->policy = p;
    p = (struct workload_policy){ 0 };
    tell_policy(s, &s->closed);
    return 0;
}

/* ---- firewall, engine ---- */

static int set_firewall(struct workload_boot *s, struct err *err)
{
    if (!s->w.firewall)
        return 0;
    if (firewall_apply(s->o.priv, &s->policy, s->w.external_port, false, err) < 0)
        return err_while(err, "firewall");
    log_event(LOG_LEVEL_INFO, "firewall", "state", "set", NULL);
    return 0;
}

static bool wants_socket(void *ctx, const struct compose_service *service)
{
    return policy_gives_socket(ctx, service->name);
}

/* docker's files lie in the engine's folder, and containers must be able to pass through those above. */
static int let_docker_in(struct workload_boot *s, struct err *err)
{
    if (path_set(s->views, sizeof(s->views), err, "%s/" WORKLOAD_ENGINE "/views", s->folder) < 0)
        return -1;
    return chmod(s->folder, 0711) == 0
               ? 0
               : err_set(err, ERR_IO, (uint32_t)errno, "cannot open %.150s to containers: %s", s->folder,
                         strerror(errno));
}

static void warn_of_container(void *ctx, const char *container, const char *text)
{
    (void)ctx;
    log_event(LOG_LEVEL_WARNING, "engine", "container", container, "note", text, NULL);
}

static int start_engine(struct workload_boot *s, const struct prepared *p, struct err *err)
{
    char version[64] = "";
    bool docker = s->policy.engine == POLICY_DOCKER;
    if (owner_find(s->w.etc, s->policy.container_owner, &s->owner, err) < 0
        || (docker && let_docker_in(s, err) < 0)
        || priv_engine_start(s->o.priv, docker ? PRIV_DOCKER : PRIV_PODMAN, s->policy.container_owner,
                             buf_bytes(&p->signatures.json), err)
               < 0)
        return err_while(err, "container engine");
    s->w.runner = (struct runner){
        .engine = { .dial = { priv_engine_connect, s->o.priv },
                    .kind = docker ? ENGINE_DOCKER : ENGINE_PODMAN,
                    .cancel = &s->w.cancel,
                    .warn = warn_of_container },
        .project = WORKLOAD_PROJECT,
        .tree = s->current,
        .views = docker ? s->views : NULL,
        .listing = p->tree,
        .socket_dir = s->o.sockets ? service_sockets_dir(s->o.sockets) : NULL,
        .owner = &s->owner,
        .wants_socket = wants_socket,
        .ctx = &s->policy,
    };
    if (engine_ping(&s->w.runner.engine, version, sizeof(version), err) < 0
        || engine_check_owner(&s->w.runner.engine, &s->owner, err) < 0)
        return err_while(err, "container engine");
    s->w.has_engine = true;
    log_event(LOG_LEVEL_INFO, "engine", "kind", docker ? "docker" : "podman", "version", version, NULL);
    return 0;
}

/* ---- service sockets ---- */

static int set_sockets(struct workload_boot *s, const struct compose *c, struct err *err)
{
    const char *names[COMPOSE_SERVICES_MAX];
    size_t n = 0;
    for (size_t i = 0; i < c->service_count; i++) {
        const struct compose_service *one = &c->services[i];
        if (one->agent_socket || policy_gives_socket(&s->policy, one->name))
            names[n++] = one->name;
    }
    if (n && !s->o.sockets)
        return err_set(err, ERR_UNAVAILABLE, 0, "services want a socket, and their folder could not be made");
    return n || s->o.sockets ? service_sockets_set(s->o.sockets, names, n, err) : 0;
}

/* ---- measuring ---- */

struct measuring {
    struct workload_log *log;
    const struct measure_plan *plan;
    enum workload_start how;
};

static int measure_on_tpm(struct tpm *tpm, void *arg, struct err *err)
{
    struct measuring *m = arg;
    return workload_log_start(m->log, tpm, m->plan, &m->how, err);
}

static int measure(struct workload_boot *s, const struct measure_plan *plan, struct err *err)
{
    static const char *const words[] = { [WORKLOAD_MEASURED] = "measured",
                                         [WORKLOAD_UNCHANGED] = "measured in this boot already",
                                         [WORKLOAD_CONTINUED] = "measured to the end",
                                         [WORKLOAD_ROLLED_BACK] = "rolled back" };
    struct measuring m = { s->o.measurements ? measurements_log(s->o.measurements) : NULL, plan, 0 };
    char events[24];
    if (!m.log)
        return err_set(err, ERR_UNAVAILABLE, 0,
                       "the workload log could not be opened: nothing is started that was not measured");
    if (collector_with_tpm(s->o.collector, measure_on_tpm, &m, err) < 0)
        return err_while(err, "measure the workload");
    snprintf(events, sizeof(events), "%zu", plan->n);
    log_event(LOG_LEVEL_INFO, "workload", "state", words[m.how], "events", events, NULL);
    tell_policy(s, &s->policy);
    return 0;
}

/* Settings without services: measured like those of services, for they open the machine all the same. */
static int measure_settings(struct workload_boot *s, const struct workload_tree *tree, struct err *err)
{
    AUTO(measure_plan_drop) struct measure_plan *plan = NULL;
    if (!workload_tree_has_settings(tree)) {
        tell_policy(s, &s->policy); /* the default one */
        return 0;
    }
    return measure_plan_make(tree, NULL, 0, &plan, err) < 0 ? -1 : measure(s, plan, err);
}

/* ---- running ---- */

static void watch(struct workload_boot *s, const struct compose *c)
{
    struct err err = { 0 };
    services_seen_set(s->seen, c);
    if (runner_watch_start(&s->w.runner, c, services_seen_changed, s->seen, &s->watch, &err) < 0)
        log_err(LOG_LEVEL_WARNING, "watch", &err);
}

static void before_update(void *ctx, const struct prepared *next)
{
    struct workload_boot *s = ctx;
    struct err err = { 0 };
    runner_watch_stop(s->watch);
    s->watch = NULL;
    if (set_sockets(s, next->compose, &err) < 0) /* a service that finds none says so itself */
        log_err(LOG_LEVEL_WARNING, "service-sockets", &err);
}

static void set_state(struct workload_boot *s, enum workload_state state)
{
    atomic_store(&s->state, state);
    workload_tell_manager(state == WORKLOAD_RUNS);
}

static void after_update(void *ctx, struct workload *w, bool done)
{
    struct workload_boot *s = ctx;
    struct err err = { 0 };
    if (set_sockets(s, w->now->compose, &err) < 0)
        log_err(LOG_LEVEL_WARNING, "service-sockets", &err);
    watch(s, w->now->compose);
    if (done) /* also one that repaired what failed at the start */
        set_state(s, WORKLOAD_RUNS);
}

static void warn(void *arg, const char *text)
{
    (void)arg;
    log_event(LOG_LEVEL_WARNING, "workload", "note", text, NULL);
}

/* From here on the workload is measured, and so it is what runs, also if a service of it fails: an update can
 * then repair it. */
static int start_services(struct workload_boot *s, struct err *err)
{
    struct prepared *p = s->w.now;
    struct runner_report report = { 0 };
    int rc = runner_apply(&s->w.runner, p->compose, p->images, p->compose->service_count, &report, err);
    if (rc == 0)
        workload_tell_report(&report);
    watch(s, p->compose);
    return rc < 0 ? err_while(err, "start the services") : 0;
}

static int start_workload(struct workload_boot *s, struct err *err)
{
    AUTO(workload_tree_drop) struct workload_tree *tree = NULL;
    AUTO(prepared_drop) struct prepared *p = NULL;
    if (take_copy(s, &tree, err) < 0 || read_policy(s, tree, err) < 0 || set_firewall(s, err) < 0)
        return -1;
    if (!workload_tree_find(tree, COMPOSE_FILE)) {
        if (measure_settings(s, tree, err) < 0)
            return -1;
        set_state(s, WORKLOAD_NOTHING);
        return 0;
    }
    if (prepare_read(MOVE(tree), s->w.etc, warn, NULL, &p, err) < 0 || start_engine(s, p, err) < 0
        || prepare_images(p, &s->w.runner, err) < 0 || set_sockets(s, p->compose, err) < 0
        || measure(s, p->plan, err) < 0)
        return -1;
    s->w.now = MOVE(p);
    int rc = start_services(s, err);
    if (rc == 0)
        set_state(s, WORKLOAD_RUNS);
    prepare_tidy_images(&s->w); /* of an update that was killed */
    return rc;
}

static void *run(void *arg)
{
    struct workload_boot *s = arg;
    struct err err = { 0 };
    if (start_workload(s, &err) < 0) {
        err_text(&err, s->why, sizeof(s->why));
        s->w.why_not = s->why;
        log_err(LOG_LEVEL_ERROR, "workload", &err);
        set_state(s, WORKLOAD_FAILED);
    }
    atomic_store(&s->w.busy, false);
    return NULL;
}

/* ---- beginning and end ---- */

static bool has_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void drop(struct workload_boot **s)
{
    workload_boot_free(*s);
}

int workload_boot_new(const struct workload_boot_options *options, struct workload_boot **out,
                      struct err *err)
{
    AUTO(drop) struct workload_boot *s = calloc(1, sizeof(*s));
    if (!s || !(s->seen = services_seen_new()))
        return err_set(err, ERR_IO, ENOMEM, "no memory for the workload");
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->wake, NULL);
    s->o = *options;
    workload_policy_defaults(&s->policy);
    workload_policy_defaults(&s->closed);
    s->owner_pub = buf_new(0);
    s->w = (struct workload){
        .collector = options->collector,
        .priv = options->priv,
        .directory = options->options->workload,
        .etc = "/etc",
        .measurements = options->measurements,
        .firewall = options->firewall,
        .external_port = options->external_port,
        .before = before_update,
        .after = after_update,
        .ctx = s,
    };
    atomic_init(&s->w.policy, &s->closed);
    if (*options->places->workload && realpath(options->places->workload, s->folder)
        && path_set(s->current, sizeof(s->current), err, "%s/" WORKLOAD_CURRENT, s->folder) == 0)
        s->w.private_dir = s->folder;
    *out = MOVE(s);
    return 0;
}

struct workload *workload_boot_workload(struct workload_boot *s)
{
    return has_folder(s->w.directory) ? &s->w : NULL;
}

static void wait_for_policy(struct workload_boot *s)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += POLICY_WAIT_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&s->lock);
    while (!s->known && pthread_cond_timedwait(&s->wake, &s->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&s->lock);
}

int workload_boot_run(struct workload_boot *s, struct err *err)
{
    if (!has_folder(s->w.directory)) { /* attests, and runs nothing: what --config says counts */
        s->o.policy_known(s->o.arg, s->o.before, bytes_of(NULL, 0));
        return 0;
    }
    if (!s->w.private_dir)
        return err_set(err, ERR_IO, 0, "there is no folder for a private copy of the workload");
    atomic_store(&s->w.busy, true);
    set_state(s, WORKLOAD_STARTING);
    if (pthread_create(&s->thread, NULL, run, s) != 0) {
        atomic_store(&s->w.busy, false);
        return err_set(err, ERR_IO, EAGAIN, "cannot start the workload's thread");
    }
    s->running = true;
    wait_for_policy(s);
    return 0;
}

void workload_boot_stop(struct workload_boot *s)
{
    if (!s)
        return;
    atomic_store(&s->w.cancel, true);
    workload_tell_manager(false);
    if (s->running)
        pthread_join(s->thread, NULL);
    s->running = false;
    runner_watch_stop(s->watch);
    s->watch = NULL;
}

void workload_boot_free(struct workload_boot *s)
{
    if (!s)
        return;
    workload_boot_stop(s);
    prepared_free(s->w.now);
    workload_policy_done(&s->policy);
    buf_done(&s->owner_pub);
    services_seen_free(s->seen);
    if (s->seen) {
        pthread_cond_destroy(&s->wake);
        pthread_mutex_destroy(&s->lock);
    }
    free(s);
}

void workload_boot_metrics(struct workload_boot *s, struct buf *out)
{
    workload_state_metric((enum workload_state)atomic_load(&s->state), out);
    services_seen_metrics(s->seen, out);
}
