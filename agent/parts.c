/* The parts of the agent, each opened with what the ones before it gave. */
#include "agent/program.h"

#include "agent/owner.h"
#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_HASH_MAX 4096
#define DRAIN_MS       1500 /* for requests that are being answered */

int program_open_collector(struct agent *a, struct err *err)
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
                                             .socket = a->options.socket,
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

int program_open_server(struct agent *a, struct err *err)
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

/* Every member may still be empty. */
void program_close(struct agent *a)
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
    priv_disconnect(&a->priv);
    workload_policy_done(&a->policy);
}
