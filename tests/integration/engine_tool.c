/* engine_tool ENGINE_DIR COMMAND …: the container engine as the agent reaches it (cvm-agent-priv started as a
 * child, descriptors handed over), for tests. Prints lines; exit status 1 with "KIND: text" on standard
 * error. */
#include "agent/priv_client.h"
#include "agent/process.h"
#include "base/auto.h"
#include "base/file.h"
#include "workload/compose.h"
#include "workload/runner.h"
#include "workload/signature_policy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#define TARS_MAX   16
#define IMAGES_MAX 64

#define OWNER "automata"

static struct priv_client priv = PRIV_CLIENT_NONE;
static struct engine engine = { .dial = { priv_engine_connect, &priv } };

struct settings {
    const char *tree, *policy, *user, *password, *at, *sockets, *engine;
    unsigned health_ms, settle_ms;
    bool plan, images_only;
};

struct workload {
    struct workload_tree *listing;
    struct compose *compose;
    struct image_tar index[TARS_MAX];
    struct runner_tar tars[TARS_MAX];
    char paths[TARS_MAX][PATH_MAX];
    size_t n_tars;
};

static int fail(const struct err *err)
{
    static const char *const kinds[ERR_KINDS] = { "none",        "input", "unauthenticated", "denied",
                                                  "not-found",   "busy",  "limited",         "too-large",
                                                  "unavailable", "io" };
    char text[ERR_TEXT_MAX];
    fprintf(stderr, "%s: %s\n", kinds[err->kind], err_text(err, text, sizeof(text)));
    return 1;
}

static int read_key(void *ctx, const char *path, struct buf *out, struct err *err)
{
    AUTO(free_u8) uint8_t *data = NULL;
    size_t n;
    (void)ctx;
    if (file_read(path, 16384, &data, &n, err) < 0)
        return -1;
    buf_put(out, bytes_of(data, n));
    return 0;
}

static struct signature_policy policy;
static bool attached; /* to an engine that another engine_tool has started */

static int dial_engine(void *directory, struct err *err)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (path_set(addr.sun_path, sizeof(addr.sun_path), err, "%s/engine.sock", (const char *)directory) < 0)
        return -1;
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return err_set(err, ERR_UNAVAILABLE, (uint32_t)errno, "%s: %s", addr.sun_path, strerror(errno));
    return fd;
}

static int start(const char *directory, const char *policy_path, struct err *err)
{
    pid_t pid;
    AUTO(free_u8) uint8_t *data = NULL;
    size_t n = 0;
    if (policy_path
        && (file_read(policy_path, SIGNATURE_POLICY_MAX, &data, &n, err) < 0
            || signature_policy_read(bytes_of(data, n), read_key, NULL, &policy, err) < 0))
        return -1;
    if (!policy_path && signature_policy_off(&policy, err) < 0)
        return -1;
    if (attached) {
        engine.dial = (struct engine_dial){ dial_engine, (void *)(uintptr_t)directory };
        return 0;
    }
    if (process_start_priv(directory, NULL, &pid, &priv.fd, err) < 0)
        return -1;
    return priv_engine_start(&priv, engine.kind == ENGINE_DOCKER ? PRIV_DOCKER : PRIV_PODMAN, OWNER,
                             buf_bytes(&policy.json), err);
}

static int load(const char *tree, struct workload *w, struct err *err)
{
    AUTO(buf_done) struct buf yaml = buf_new(COMPOSE_FILE_MAX), env = buf_new(COMPOSE_ENV_MAX);
    if (workload_tree_read(tree, NULL, &w->listing, err) < 0
        || workload_tree_load(w->listing, COMPOSE_FILE, COMPOSE_FILE_MAX, &yaml, err) < 0)
        return -1;
    if (workload_tree_find(w->listing, COMPOSE_ENV_FILE)
        && workload_tree_load(w->listing, COMPOSE_ENV_FILE, COMPOSE_ENV_MAX, &env, err) < 0)
        return -1;
    if (compose_parse(buf_bytes(&yaml), buf_bytes(&env), &w->compose, err) < 0)
        return -1;
    for (size_t i = 0; i < w->listing->n && w->n_tars < TARS_MAX; i++) {
        if (w->listing->files[i].kind != TREE_IMAGE)
            continue;
        AUTO(close_fd) int fd = workload_tree_open(w->listing, w->listing->files[i].path, err);
        size_t k = w->n_tars;
        if (fd < 0 || image_tar_read(fd, &w->index[k], err) < 0
            || path_set(w->paths[k], PATH_MAX, err, "%s/%s", tree, w->listing->files[i].path) < 0)
            return -1;
        w->tars[k] = (struct runner_tar){ w->paths[k], &w->index[k] };
        w->n_tars++;
    }
    return 0;
}

static void unload(struct workload *w)
{
    compose_free(w->compose);
    workload_tree_free(w->listing);
    for (size_t i = 0; i < w->n_tars; i++)
        image_tar_done(&w->index[i]);
}

static void print_change(void *arg, const char *service, enum runner_change change)
{
    static const char *const words[] = { "kept", "created", "replaced", "removed" };
    (void)arg;
    printf("%s %s\n", service, words[change]);
}

static bool give_login(void *ctx, const char *host, struct engine_auth *out)
{
    const struct settings *s = ctx;
    (void)host;
    *out = (struct engine_auth){ s->user, s->password };
    return s->user != NULL;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int apply(struct settings *s, struct err *err)
{
    AUTO(unload) struct workload w = { 0 };
    struct runner_image images[IMAGES_MAX];
    struct owner owner;
    struct runner_report report = { .each = print_change };
    char views[PATH_MAX];
    if (owner_find("/etc", OWNER, &owner, err) < 0 || engine_check_owner(&engine, &owner, err) < 0
        || load(s->tree, &w, err) < 0 || path_set(views, sizeof(views), err, "%s/views", s->engine) < 0)
        return -1;
    const struct runner r = { .engine = engine,
                              .views = engine.kind == ENGINE_DOCKER ? views : NULL,
                              .project = w.compose->project,
                              .tree = s->at ? s->at : s->tree,
                              .listing = w.listing,
                              .socket_dir = s->sockets,
                              .owner = &owner,
                              .health_ms = s->health_ms,
                              .settle_ms = s->settle_ms };
    double begin = now();
    const struct runner_sources from = {
        .tars = w.tars, .n_tars = w.n_tars, .signatures = &policy, .auth = give_login, .auth_ctx = s
    };
    if (runner_images(&r, w.compose, &from, images, err) < 0)
        return -1;
    double got = now();
    for (size_t i = 0; i < w.compose->service_count; i++)
        printf("image %s %s\n", images[i].service, images[i].id);
    if (s->images_only)
        return 0;
    int rc = s->plan ? runner_plan(&r, w.compose, images, w.compose->service_count, &report, err)
                     : runner_apply(&r, w.compose, images, w.compose->service_count, &report, err);
    if (rc == 0)
        printf("time %.3f %.3f\n", got - begin, now() - got);
    return rc;
}

static int list(const char *project, struct err *err)
{
    struct engine_state *states;
    size_t n;
    static const char *const health[] = { "none", "starting", "healthy", "unhealthy" };
    if (engine_list(&engine, project, &states, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        printf("%s %s %s %s %d %u %s %.12s %" PRId64 "\n", states[i].name, states[i].service,
               states[i].status, states[i].running ? "up" : "down", states[i].exit_code, states[i].restarts,
               health[states[i].health], states[i].id, states[i].pid);
    free(states);
    return 0;
}

static int remove_all(const char *project, struct err *err)
{
    struct engine_state *states;
    size_t n;
    int rc = engine_list(&engine, project, &states, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = engine_remove(&engine, states[i].id, err);
    if (rc == 0)
        free(states);
    return rc;
}

static bool print_log(void *arg, bool is_stderr, struct bytes text)
{
    int *left = arg;
    printf("%s", is_stderr ? "E:" : "O:");
    fwrite(text.p, 1, text.n, stdout);
    fflush(stdout);
    return --*left != 0;
}

static int logs(char **args, int n, struct err *err)
{
    struct engine_log_options options = { .tail = -1 };
    int left = -1;
    for (int i = 1; i < n; i++) {
        if (!strcmp(args[i], "follow"))
            options.follow = true;
        else if (!strncmp(args[i], "tail=", 5))
            options.tail = strtol(args[i] + 5, NULL, 10);
        else if (!strncmp(args[i], "since=", 6))
            options.since = args[i] + 6;
        else if (!strncmp(args[i], "frames=", 7))
            left = (int)strtol(args[i] + 7, NULL, 10);
    }
    return engine_logs(&engine, args[0], &options, print_log, &left, err);
}

static void print_status(void *arg, const struct runner_status *s)
{
    (void)arg;
    printf("%s%s%s%s %s %d\n", s->service, s->exited ? " exited" : "", s->restarted ? " restarted" : "",
           s->changed_health ? s->state.health == ENGINE_HEALTHY ? " healthy" : " unhealthy" : "",
           s->state.status, s->state.exit_code);
    fflush(stdout);
}

static int watch(struct settings *s, unsigned seconds, struct err *err)
{
    AUTO(unload) struct workload w = { 0 };
    struct runner_watch *watcher;
    if (load(s->tree, &w, err) < 0)
        return -1;
    const struct runner r = { .engine = engine, .project = w.compose->project, .tree = s->tree };
    if (runner_watch_start(&r, w.compose, print_status, NULL, &watcher, err) < 0)
        return -1;
    nanosleep(&(struct timespec){ (time_t)seconds, 0 }, NULL);
    runner_watch_stop(watcher);
    return 0;
}

static int run(const char *command, char **args, int n, struct settings *s, struct err *err)
{
    char id[ENGINE_ID_SIZE], version[32];
    const struct engine_auth auth = { s->user, s->password };
    if (!strcmp(command, "apply"))
        return apply(s, err);
    if (!strcmp(command, "list") && n == 1)
        return list(args[0], err);
    if (!strcmp(command, "logs") && n >= 1)
        return logs(args, n, err);
    if (!strcmp(command, "watch") && n == 1)
        return watch(s, (unsigned)strtoul(args[0], NULL, 10), err);
    if (!strcmp(command, "kill") && n == 2)
        return engine_kill(&engine, args[0], args[1], err);
    if (!strcmp(command, "maintenance") && n == 2)
        return priv_maintenance(&priv, args[0], (int)strtol(args[1], NULL, 10), err);
    if (!strcmp(command, "stop") && n == 2)
        return remove_all(args[0], err);
    if (!strcmp(command, "stop") && n == 1) {
        AUTO(unload) struct workload w = { 0 };
        const struct runner r = { .engine = engine, .project = args[0] };
        return s->tree && load(s->tree, &w, err) < 0 ? -1 : runner_stop(&r, w.compose, err);
    }
    if (!strcmp(command, "hold")) { /* until standard input ends */
        char c;
        puts("ready");
        fflush(stdout);
        while (read(0, &c, 1) > 0)
            ;
        return 0;
    }
    if (!strcmp(command, "ping")) {
        if (engine_ping(&engine, version, sizeof(version), err) < 0)
            return -1;
        puts(version);
        return 0;
    }
    if (!strcmp(command, "pull") && n == 1) {
        char pinned[1024];
        struct http http = http_curl();
        if (signature_policy_judge(&policy, &http, args[0], s->user ? &auth : NULL, NULL, pinned,
                                   sizeof(pinned), err)
                < 0
            || engine_image_pull(&engine, pinned, s->user ? &auth : NULL, id, err) < 0)
            return -1;
        puts(id);
        return 0;
    }
    return err_set(err, ERR_INPUT, 0, "unknown command %s", command);
}

int main(int argc, char **argv)
{
    struct settings s = { .engine = argv[argc > 1] };
    struct err err = { 0 };
    char *args[8];
    int n = 0;
    for (int i = 3; i < argc && n < 8; i++) {
        const char *const names[] = { "--tree", "--policy", "--user", "--password", "--at", "--sockets" };
        const char **const values[] = { &s.tree, &s.policy, &s.user, &s.password, &s.at, &s.sockets };
        size_t k = 0;
        while (k < ARRAY_SIZE(names) && strcmp(argv[i], names[k]) != 0)
            k++;
        if (k < ARRAY_SIZE(names) && i + 1 < argc)
            *values[k] = argv[++i];
        else if (!strcmp(argv[i], "--health-ms") && i + 1 < argc)
            s.health_ms = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--settle-ms") && i + 1 < argc)
            s.settle_ms = (unsigned)strtoul(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--docker"))
            engine.kind = ENGINE_DOCKER;
        else if (!strcmp(argv[i], "--attach"))
            attached = true;
        else if (!strcmp(argv[i], "--plan"))
            s.plan = true;
        else if (!strcmp(argv[i], "--images-only"))
            s.images_only = true;
        else
            args[n++] = argv[i];
    }
    if (argc < 3 || start(argv[1], s.policy, &err) < 0 || run(argv[2], args, n, &s, &err) < 0)
        return fail(&err);
    priv_disconnect(&priv);
    signature_policy_done(&policy);
    return 0;
}
