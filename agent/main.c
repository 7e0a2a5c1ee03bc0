/* cvm-agent: starts in the order that needs the fewest rights for the longest time, then accepts connections.
 */
#include "agent/loop.h"
#include "agent/process.h"
#include "agent/program.h"
#include "base/log.h"
#include "tee/shape.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#define TRUST_MAX        (256u << 10)
#define STOP_MS          1900 /* for all of the stop, a device that does not come back included */
#define PRIV_DEADLINE_MS 2000

static int exit_status(const struct err *err)
{
    return err->kind == ERR_INPUT || err->kind == ERR_TOO_LARGE ? EXIT_INPUT : EXIT_ENVIRONMENT;
}

/* An unknown shape is wrong usage, a damaged file of the emulator a malformed input. */
static int emulation_exit(const struct agent *a, const struct err *err)
{
    return shape_by_name(a->options.emulate) ? exit_status(err) : EXIT_USAGE;
}

/* The privileged helper: the socket that systemd offers, else our own child if we are root or emulate. */
static void start_priv(struct agent *a)
{
    struct err err = { 0 };
    struct priv_message reply;
    char folder[PATH_MAX], engine[PATH_MAX + 8] = "", workload[PATH_MAX];
    pid_t pid;
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
        return program_fail(EXIT_ENVIRONMENT, "start", &err);
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
        return program_fail(EXIT_ENVIRONMENT, "start", &err);
    if (!dropped && geteuid() == 0)
        log_event(LOG_LEVEL_WARNING, "no-user", "note",
                  "running as root: there is no user " AGENT_USER ", create it to run without privileges",
                  NULL);
    return EXIT_OK;
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
    if (program_open_collector(a, &err) < 0)
        return program_fail(a->options.emulate ? emulation_exit(a, &err) : EXIT_ENVIRONMENT, "start", &err);
    if (program_open_server(a, &err) < 0)
        return program_fail(EXIT_ENVIRONMENT, "start", &err);
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
    program_close(a);
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
        return program_fail(EXIT_USAGE, "usage (see --help)", &err);
    if (a.options.help || a.options.version) {
        fputs(a.options.help ? options_help() : "cvm-agent " CVM_VERSION "\n", stdout);
        return fflush(stdout) == 0 ? EXIT_OK : EXIT_ENVIRONMENT;
    }
    log_setup(a.options.level);
    int status = program_configure(&a);
    return status == EXIT_OK ? run(&a) : status;
}
