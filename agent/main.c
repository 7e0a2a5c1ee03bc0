/* cvm-agent: starts in the order that needs the fewest rights for the longest time, then accepts connections.
 */
#include "agent/appraisal_route.h"
#include "agent/auth.h"
#include "agent/config.h"
#include "agent/journal.h"
#include "agent/listen.h"
#include "agent/loop.h"
#include "agent/machine.h"
#include "agent/measurements.h"
#include "agent/operate.h"
#include "agent/options.h"
#include "agent/owner.h"
#include "agent/places.h"
#include "agent/priv_client.h"
#include "agent/process.h"
#include "agent/server.h"
#include "agent/service_sockets.h"
#include "agent/tls.h"
#include "agent/verify_route.h"
#include "agent/workload_start.h"
#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"
#include "policy/trust.h"
#include "workload/policy.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#define TRUST_MAX        (256u << 10)
#define TOKEN_HASH_MAX   4096
#define DRAIN_MS         1500 /* for requests that are being answered */
#define STOP_MS          1900 /* and for a device that does not come back: contract of 2 s */
#define PRIV_DEADLINE_MS 2000

/* Exit statuses of contract section 1. */
enum { EXIT_OK = 0, EXIT_USAGE = 2, EXIT_INPUT = 3, EXIT_ENVIRONMENT = 4 };

struct agent {
    struct options options;
    struct settings settings;
    struct workload_policy policy; /* as it lay on the disk; the measured one is the workload's */
    struct workload_policy closed; /* in effect until the measured one is known */
    struct places places;
    struct listeners listeners;
    struct service_sockets *services; /* NULL: the folder could not be made */
    struct priv_client priv;
    struct machine machine;
    struct buf trust_storage;
    struct bytes trust[TRUST_ROWS];
    struct chain_pool pool;
    struct agent_collateral collateral;
    struct collector *collector;
    struct tls_identity tls;
    struct auth *auth;
    struct journal *journal;
    struct measurements *measurements;
    struct workload_boot *workload; /* NULL: out of memory */
    struct operate *operate;
    struct verifier *verifier;
    struct appraiser *appraiser;
    struct server *server;
};

static int fail(int status, const char *what, const struct err *err)
{
    char text[ERR_TEXT_MAX];
    fprintf(stderr, "cvm-agent: %s: %s\n", what, err_text(err, text, sizeof(text)));
    return status;
}

static int exit_status(const struct err *err)
{
    return err->kind == ERR_INPUT || err->kind == ERR_TOO_LARGE ? EXIT_INPUT : EXIT_ENVIRONMENT;
}

/* An unknown shape is wrong usage, a damaged file of the emulator a malformed input. */
static int emulation_exit(const struct err *err)
{
    return err->kind == ERR_NOT_FOUND ? EXIT_USAGE : exit_status(err);
}

/* The policy: the file that was named must be there, the workload's own may be absent. Of a workload that
 * this boot has copied already it is the copy's: the disk does not count any more. */
static int load_policy(struct agent *a, struct err *err)
{
    char path[PATH_MAX];
    struct places places;
    if (a->options.config)
        return workload_policy_load(a->options.config, &a->policy, err);
    bool copied = places_name(&a->options, &places, err) == 0
                  && path_set(path, sizeof(path), err, "%s/" WORKLOAD_MARKER, places.workload) == 0
                  && access(path, F_OK) == 0;
    if (copied
            ? path_set(path, sizeof(path), err, "%s/" WORKLOAD_CURRENT "/" POLICY_PATH, places.workload) < 0
            : path_set(path, sizeof(path), err, "%s/" POLICY_PATH, a->options.workload) < 0)
        return -1;
    if (access(path, F_OK) < 0) {
        workload_policy_defaults(&a->policy);
        return 0;
    }
    return workload_policy_load(path, &a->policy, err) < 0 ? err_while(err, "cvm_agent_policy.json") : 0;
}

static void log_policy(const struct workload_policy *policy)
{
    for (size_t i = 0; i < policy->warning_count; i++)
        log_event(LOG_LEVEL_WARNING, "policy", "note", policy->warnings[i], NULL);
}

static int load_configuration(struct agent *a)
{
    struct err err = { 0 };
    if (settings_load(a->options.etc, &a->settings, &err) < 0)
        return fail(EXIT_INPUT, "agent.json", &err);
    if (a->options.level_given)
        a->settings.level = a->options.level;
    log_setup(a->settings.level);
    if (load_policy(a, &err) < 0)
        return fail(EXIT_INPUT, a->options.config ? a->options.config : "policy", &err);
    if (a->options.config) /* a workload's own is warned of where it is judged */
        log_policy(&a->policy);
    if (!a->options.emulate && !a->options.verifier)
        a->options.emulate = a->policy.emulate;
    if (a->options.emulate && !machine_can_emulate()) {
        err_set(&err, ERR_INPUT, 0, "this build has no emulator: remove --emulate or emulation_mode");
        return fail(EXIT_USAGE, "start", &err);
    }
    return EXIT_OK;
}

/* The privileged helper: the socket that systemd offers, else our own child if we are root or emulate. */
static void start_priv(struct agent *a)
{
    struct err err = { 0 };
    struct priv_message reply;
    char folder[PATH_MAX], engine[PATH_MAX + 8] = "", workload[PATH_MAX];
    pid_t pid;
    a->priv.fd = -1;
    if (realpath(a->places.workload, folder))
        snprintf(engine, sizeof(engine), "%s/engine", folder);
    /* An emulated machine has a helper of its own, unless one is named: a disk image under test has. */
    bool own = a->options.emulate && !a->options.priv_given;
    int rc = own ? -1 : priv_connect(a->options.priv, &a->priv, &err);
    if (rc < 0 && geteuid() != 0 && !a->options.emulate) {
        log_event(LOG_LEVEL_INFO, "priv", "state", "none", "note",
                  "ordinary user without cvm-agent-priv: no firewall, livepatch, containers, maintenance",
                  NULL);
        return;
    }
    if (rc < 0)
        rc = process_start_priv(*engine ? engine : NULL,
                                realpath(a->options.workload, workload) ? workload : NULL, &pid, &a->priv.fd,
                                &err);
    if (rc == 0)
        rc = priv_call(&a->priv, PRIV_PING, bytes_of(NULL, 0), PRIV_DEADLINE_MS, &reply, &err);
    if (rc < 0)
        log_err(LOG_LEVEL_WARNING, "priv", &err);
}

static int open_sockets(struct agent *a)
{
    struct err err = { 0 }, why = { 0 };
    bool optional =
        a->options.emulate && !a->options.socket_given; /* a second one on a developer's machine */
    if (listeners_open(&a->options, optional, &a->listeners, &why, &err) < 0)
        return fail(EXIT_ENVIRONMENT, "start", &err);
    if (a->listeners.socket < 0)
        log_err(LOG_LEVEL_WARNING, "no-socket", &why);
    return EXIT_OK;
}

static int drop_privileges(struct agent *a)
{
    struct err err = { 0 };
    bool dropped;
    (void)a;
    if (process_drop_root(&dropped, &err) < 0)
        return fail(EXIT_ENVIRONMENT, "start", &err);
    if (!dropped && geteuid() == 0)
        log_event(LOG_LEVEL_WARNING, "no-user", "note",
                  "running as root: there is no user " AGENT_USER ", create it to run without privileges",
                  NULL);
    return EXIT_OK;
}

static int open_collector(struct agent *a, struct err *err)
{
    char cache[PATH_MAX];
    struct err no_cache = { 0 };
    if (path_set(cache, sizeof(cache), err, "%s/cache", a->options.state) < 0
        || trust_der(&a->trust_storage, a->trust, err) < 0)
        return -1;
    a->pool = (struct chain_pool){ a->trust, TRUST_ROWS };
    bool cached = dir_make(a->options.state, 0700, &no_cache) == 0 && dir_make(cache, 0700, &no_cache) == 0;
    if (!cached)
        log_err(LOG_LEVEL_WARNING, "no-cache", &no_cache);
    if (machine_open(&a->options, &a->machine, err) < 0)
        return -1;
    const struct agent_collateral_options collateral = { .settings = &a->settings.collateral,
                                                         .state = a->options.state,
                                                         .cache = cached ? cache : NULL,
                                                         .pool = &a->pool };
    if (agent_collateral_open(&collateral, &a->machine.lower, &a->collateral, err) < 0)
        return -1;
    const struct collector_options options = {
        .lower = &a->machine.lower,
        .cache_dir = cached ? cache : NULL,
        .pool = &a->pool,
        .collateral = a->collateral.service,
        .queue = 128,
        .queue_outside = 64,
        .shape = a->options.verifier ? &shape_none : NULL,
    };
    return collector_new(&options, &a->collector, err);
}

/* The file that a deployer puts at the root of the data partition; whoever did so, the journal says it. */
static int open_auth(struct agent *a, struct err *err)
{
    AUTO(free_u8) uint8_t *preset = NULL;
    char path[PATH_MAX];
    struct err why = { 0 };
    const char *workload = a->options.workload;
    size_t n = strlen(workload);
    while (n && workload[n - 1] == '/')
        n--;
    while (n && workload[n - 1] != '/')
        n--;
    if (path_set(path, sizeof(path), err, "%.*stoken_hash", (int)n, workload) < 0)
        return -1;
    if (file_read(path, TOKEN_HASH_MAX, &preset, &n, &why) < 0 && why.kind != ERR_NOT_FOUND) {
        *err = why;
        return err_while(err, "read token_hash");
    }
    const struct auth_options options = { .state = a->options.state,
                                          .boot_id = collector_boot_id(a->collector),
                                          .preset = (const char *)preset };
    return auth_new(&options, &a->auth, err);
}

/* What the measured workload says. An owner.pub that is no key leaves the rules unknown: no token is given
 * then. */
static void policy_known(void *arg, const struct workload_policy *policy, struct bytes owner_pub)
{
    const struct agent *a = arg;
    struct err err = { 0 };
    const struct auth_rules rules = { .required = policy->enable_auth, .owner_pub = owner_pub };
    if (a->operate)
        operate_set_policy(a->operate, policy);
    if (a->appraiser)
        appraiser_open_outside(a->appraiser, policy->appraisal_external);
    if (a->auth && auth_set_rules(a->auth, &rules, &err) < 0)
        log_err(LOG_LEVEL_ERROR, "owner", &err);
}

static void use_preset(void *arg)
{
    struct err err = { 0 };
    if (auth_use_preset(arg, &err) < 0)
        log_err(LOG_LEVEL_ERROR, "token", &err);
}

static void take_marks(void *arg, struct log_marks *out)
{
    const struct agent *a = arg;
    struct measured_mark mark;
    if (a->measurements && measurements_mark(a->measurements, &mark)) {
        out->workload = mark.end;
        out->generation = mark.generation;
        memcpy(out->replay, mark.history, sizeof(out->replay));
    }
    if (a->journal && journal_mark(a->journal, &mark))
        out->journal = mark.end;
}

static uint16_t port_of(const char *endpoint)
{
    return (uint16_t)strtoul(strrchr(endpoint, ':') + 1, NULL, 10);
}

static void open_workload(struct agent *a)
{
    struct err err = { 0 };
    bool firewall = a->settings.firewall == FIREWALL_ON
                    || (a->settings.firewall == FIREWALL_UNLESS_EMULATED && !a->machine.lower.emulated);
    const struct workload_boot_options options = { .options = &a->options,
                                                   .places = &a->places,
                                                   .collector = a->collector,
                                                   .priv = &a->priv,
                                                   .measurements = a->measurements,
                                                   .sockets = a->services,
                                                   .before = &a->policy,
                                                   .firewall = firewall,
                                                   .external_port = port_of(a->listeners.external_text),
                                                   .policy_known = policy_known,
                                                   .arg = a };
    if (workload_boot_new(&options, &a->workload, &err) < 0)
        log_err(LOG_LEVEL_ERROR, "workload", &err);
}

/* Where something fails the machine still attests; management answers 503. */
static void open_management(struct agent *a)
{
    struct err err = { 0 };
    char preset[TOKEN_ID_SIZE];
    if (open_auth(a, &err) < 0)
        log_err(LOG_LEVEL_ERROR, "token", &err);
    const struct journal_start start = { .tls_spki = buf_bytes(&a->tls.spki),
                                         .token_id = a->auth && auth_preset(a->auth, preset) ? preset : NULL,
                                         .opened = a->auth ? use_preset : NULL,
                                         .arg = a->auth };
    if (journal_open(a->collector, a->options.state, &start, &a->journal, &err) < 0)
        log_err(LOG_LEVEL_ERROR, "journal", &err);
    else
        log_event(LOG_LEVEL_INFO, "journal", "verdict", journal_verdict(a->journal), NULL);
    if (measurements_open(a->collector, a->options.state, &a->measurements, &err) < 0)
        log_err(LOG_LEVEL_ERROR, "workload-log", &err);
    collector_set_log_marks(a->collector, take_marks, a);
    if (!a->options.verifier)
        open_workload(a);
    if (!a->auth)
        return;
    const struct operate_options options = { .collector = a->collector,
                                             .auth = a->auth,
                                             .policy = &a->closed,
                                             .workload =
                                                 a->workload ? workload_boot_workload(a->workload) : NULL,
                                             .journal = a->journal,
                                             .state = a->options.state,
                                             .boot_id = collector_boot_id(a->collector),
                                             .tls_spki_sha256 = a->tls.spki_sha256 };
    if (operate_new(&options, &a->operate, &err) < 0)
        log_err(LOG_LEVEL_ERROR, "management", &err);
}

/* Without the folder services have no evidence of their own; the machine still attests. */
static void open_services(struct agent *a)
{
    struct err err = { 0 };
    if (*a->places.run && service_sockets_new(a->places.sockets, &a->services, &err) < 0)
        log_err(LOG_LEVEL_WARNING, "service-sockets", &err);
}

static int open_server(struct agent *a, struct err *err)
{
    bool locked;
    if (tls_identity_new(&a->tls, &locked, err) < 0)
        return -1;
    if (!locked)
        log_event(LOG_LEVEL_WARNING, "mlock", "note", "the TLS key may be paged out: raise RLIMIT_MEMLOCK",
                  NULL);
    open_services(a);
    open_management(a);
    const struct verifier_options verifier = {
        .directory = a->settings.verify_directory,
        .allow_given_roots = a->options.allow_emulated_roots || a->machine.lower.emulated,
        .collateral = a->collateral.service,
        .revocation = a->settings.collateral.revocation,
    };
    if (verifier_new(&verifier, &a->verifier, err) < 0)
        return -1;
    const struct appraiser_options appraiser = { .verifier = a->verifier,
                                                 .state = a->options.state,
                                                 .policy_directory = a->settings.policy_directory,
                                                 .gpu_jwks = a->settings.gpu_jwks,
                                                 .token_key = a->settings.token_key };
    if (appraiser_new(&appraiser, &a->appraiser, err) < 0)
        return -1;
    const struct server_options options = {
        .collector = a->collector,
        .verifier = a->verifier,
        .appraiser = a->appraiser,
        .collateral = a->collateral.service,
        .journal = a->journal,
        .measurements = a->measurements,
        .operate = a->operate,
        .tls = &a->tls,
        .services = a->services,
        .workload = a->workload,
        .emulated = a->machine.lower.emulated,
        .limits = a->settings.limits,
    };
    int rc = server_new(&options, &a->server, err);
    tls_forget_key(&a->tls);
    return rc;
}

/* Without it there are no containers and no sockets of services; the machine still attests. */
static void make_places(struct agent *a)
{
    struct err err = { 0 };
    if (places_make(&a->options, &a->places, &err) == 0)
        return;
    log_err(LOG_LEVEL_WARNING, "run-folder", &err);
    a->places = (struct places){ 0 };
}

static int start(struct agent *a)
{
    struct err err = { 0 };
    int status = open_sockets(a);
    if (status == EXIT_OK) {
        if (!a->options.verifier) {
            make_places(a);
            start_priv(a);
        }
        status = drop_privileges(a);
    }
    if (status != EXIT_OK)
        return status;
    loop_block_signals(); /* before threads exist: they inherit it */
    if (open_collector(a, &err) < 0)
        return fail(a->options.emulate ? emulation_exit(&err) : EXIT_ENVIRONMENT, "start", &err);
    if (open_server(a, &err) < 0)
        return fail(EXIT_ENVIRONMENT, "start", &err);
    if (a->workload && workload_boot_run(a->workload, &err) < 0)
        log_err(LOG_LEVEL_ERROR, "workload", &err);
    return EXIT_OK;
}

static void announce(const struct agent *a)
{
    const struct shape *shape = collector_shape(a->collector);
    log_event(LOG_LEVEL_INFO, "started", "version", CVM_VERSION, "shape", shape->name, "tpm",
              collector_tpm_kind(a->collector), "emulated", a->machine.lower.emulated ? "true" : "false",
              NULL);
    log_event(LOG_LEVEL_INFO, "listening", "internal", a->listeners.internal_text, "external",
              a->listeners.external_text, "socket", a->listeners.socket < 0 ? NULL : a->listeners.socket_path,
              NULL);
    sd_notifyf(0, "READY=1\nSTATUS=attesting %s on %s and %s", shape->name, a->listeners.internal_text,
               a->listeners.external_text);
}

/* SIGHUP: level and limits. A file that cannot be used changes nothing. */
static void reload(void *arg)
{
    struct agent *a = arg;
    struct settings settings;
    struct err err = { 0 };
    if (settings_load(a->options.etc, &settings, &err) < 0) {
        log_err(LOG_LEVEL_ERROR, "reload", &err);
        return;
    }
    if (a->options.level_given)
        settings.level = a->options.level;
    a->settings = settings;
    log_setup(settings.level);
    server_set_limits(a->server, &settings.limits);
    log_event(LOG_LEVEL_INFO, "reloaded", NULL);
}

/* Every member may still be empty. */
static void stop(struct agent *a)
{
    listeners_close(&a->listeners);
    collateral_stop(a->collateral.service); /* nobody waits for a vendor any more */
    if (a->server)
        server_drain(a->server, DRAIN_MS);
    operate_stop(a->operate);
    workload_boot_stop(a->workload);
    journal_stop(a->journal);
    collector_free(a->collector);
    verifier_free(a->verifier);
    appraiser_free(a->appraiser);
    server_free(a->server);
    service_sockets_free(a->services);
    operate_free(a->operate);
    workload_boot_free(a->workload);
    journal_close(a->journal);
    measurements_close(a->measurements);
    auth_free(a->auth);
    tls_identity_done(&a->tls);
    agent_collateral_done(&a->collateral);
    machine_close(&a->machine);
    buf_done(&a->trust_storage);
    close_fd(&a->priv.fd);
    workload_policy_done(&a->policy);
}

static int run(struct agent *a)
{
    int status = start(a);
    if (status == EXIT_OK) {
        const struct loop loop = { a->server, &a->listeners, a->services, reload, a };
        announce(a);
        const char *why = loop_run(&loop);
        process_exit_within(STOP_MS);
        sd_notify(0, "STOPPING=1");
        log_event(LOG_LEVEL_INFO, "stopping", "signal", why, NULL);
    }
    stop(a);
    if (status == EXIT_OK)
        log_event(LOG_LEVEL_INFO, "stopped", NULL);
    return status;
}

int main(int argc, char **argv)
{
    struct agent a = { .trust_storage = buf_new(TRUST_MAX),
                       .listeners = { .internal = -1, .external = -1, .socket = -1 },
                       .priv = PRIV_CLIENT_NONE };
    struct err err = { 0 };
    workload_policy_defaults(&a.closed);
    process_harden();
    if (options_parse(argc, argv, &a.options, &err) < 0)
        return fail(EXIT_USAGE, "usage (see --help)", &err);
    if (a.options.help || a.options.version) {
        fputs(a.options.help ? options_help() : "cvm-agent " CVM_VERSION "\n", stdout);
        return fflush(stdout) == 0 ? EXIT_OK : EXIT_ENVIRONMENT;
    }
    log_setup(a.options.level);
    int status = load_configuration(&a);
    return status == EXIT_OK ? run(&a) : status;
}
