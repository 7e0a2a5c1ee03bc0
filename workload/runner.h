/** workload/runner.h: makes the engine run what a compose file says: networks, volumes and containers, in the
 * order of depends_on with its conditions. What already runs with the same configuration and image is left
 * alone, with its id; what changed is replaced; what the file no longer has is removed.
 */
#ifndef CVM_WORKLOAD_RUNNER_H
#define CVM_WORKLOAD_RUNNER_H

#include "workload/engine.h"
#include "workload/image_tar.h"
#include "workload/owner.h"
#include "workload/signature_policy.h"
#include "workload/tree.h"

struct compose;
struct compose_service;
struct workload_policy;

/** The image that a service runs, as it was measured. */
struct runner_image {
    const char *service;
    char id[ENGINE_ID_SIZE]; /* lower-case hex SHA-256 of the config blob */
};

struct runner {
    struct engine engine;
    const char *project; /* label and prefix of names: "workload" */
    const char *tree;    /* absolute path of the private copy: binds, secrets and configs come from here */
    /** Folder in which cvm-agent-priv shows the one that tree is in, read-only, nosuid and nodev as files/,
     * noexec too as secrets/; NULL: the engine can mount so itself. */
    const char *views;
    const struct workload_tree *listing; /* of the files that are at tree when containers start */
    const char *socket_dir;    /* folder with SERVICE/agent.sock for services with a socket; NULL: none */
    const struct owner *owner; /* NULL: no user namespace (only where the kernel or a test has none) */
    unsigned health_ms; /* how long a service may take to become healthy; 0: what its check's settings say */
    unsigned settle_ms; /* how long a service without a health check must have run at the end; 0: not */
    bool (*wants_socket)(void *ctx, const struct compose_service *s); /* NULL: x-cvm-agent alone decides */
    void *ctx;
};

/** What runner_apply() did to a service. */
enum runner_change { RUNNER_KEPT, RUNNER_CREATED, RUNNER_REPLACED, RUNNER_REMOVED };

struct runner_report {
    size_t kept, created, replaced, removed;
    void (*each)(void *arg, const char *service, enum runner_change change); /* may be NULL */
    void *arg;
};

/** The hash of what a service is: its settings, its image and the files that it mounts. A container with the
 * same one is left alone. */
MUST_USE int runner_config(const struct runner *r, struct compose *c, const struct compose_service *s,
                           const char *image_id, char config[static ENGINE_ID_SIZE], struct err *err);

/** What runner_apply() would do; calls each() and counts, changes nothing. */
MUST_USE int runner_plan(const struct runner *r, struct compose *c, const struct runner_image *images,
                         size_t n, struct runner_report *report, struct err *err);

/** Brings the engine to the state that c describes and waits: conditions of depends_on before a dependant
 * starts, and at the end until every service with a health check is healthy and none has failed. A wait for
 * service_completed_successfully has no limit but cancel of the engine. On failure
 * what was started stays: call it again with the old file (rollback), or runner_stop().
 *  @param images  one for each service of c
 *  @return 0, or -1: ERR_INPUT (a service without image, engine refuses the settings), ERR_UNAVAILABLE (a
 *  service does not become healthy, exits, the engine fails), naming the service */
MUST_USE int runner_apply(const struct runner *r, struct compose *c, const struct runner_image *images,
                          size_t n, struct runner_report *report, struct err *err);

/** Stops and removes all containers of the project: at the same time, but dependants first where c (may be
 * NULL) says so, within five minutes. Volumes stay. */
MUST_USE int runner_stop(const struct runner *r, const struct compose *c, struct err *err);

/** A .tar of the private copy. */
struct runner_tar {
    const char *path; /* absolute */
    const struct image_tar *index;
};

/** Credentials for a registry host ("registry.example.com:5000"); false: none. */
typedef bool runner_auth_fn(void *ctx, const char *host, struct engine_auth *out);

/** Where images come from, and what is asked of them. */
struct runner_sources {
    const struct runner_tar *tars;
    size_t n_tars;
    /** judges what is pulled before it is pulled, and what is loaded: the engine alone checks no signatures
     */
    const struct signature_policy *signatures;
    const struct workload_policy
        *policy;          /* whose skip_measurement signatures are not asked for; NULL: nobody's */
    runner_auth_fn *auth; /* NULL: anonymous */
    void *auth_ctx;
};

/** Gets the image of every service into the engine: from the .tar that has its name, else pulled, also if the
 * engine has one of that name (a tag may have moved). The id of a loaded image must be the one that was read
 * from the .tar.
 *  @param out  one for each service, in the file's order; service points into c
 *  @return 0, or -1 naming the service: ERR_DENIED (signature policy), ERR_NOT_FOUND, ERR_UNAVAILABLE */
MUST_USE int runner_images(const struct runner *r, const struct compose *c, const struct runner_sources *from,
                           struct runner_image *out, struct err *err);

/** Removes the images that neither a container nor one of keep uses: what updates, also those that were
 * refused or tried, have left. The engine's storage is ours alone, and in memory.
 *  @param keep  of the workload that runs
 *  @return 0, or -1 with the first failure; the others are removed all the same */
MUST_USE int runner_tidy_images(const struct runner *r, const struct runner_image *keep, size_t n,
                                struct err *err);

/** Watches the project's containers: runs health checks when they are due and tells what changed. */
struct runner_watch;

/** Name of a service's container. */
void runner_container_name(const struct runner *r, const struct compose_service *s,
                           char out[static ENGINE_NAME_MAX + 1]);

struct runner_status {
    const char *service;
    struct engine_state state;
    bool changed_health, exited, restarted; /* since the last call for this service */
};

/** Starts the watching thread. changed() is called on it.
 *  @param c  must outlive the watch */
MUST_USE int runner_watch_start(const struct runner *r, const struct compose *c,
                                void (*changed)(void *arg, const struct runner_status *s), void *arg,
                                struct runner_watch **out, struct err *err);
/** Joins the thread, within a second or so; NULL is fine. */
void runner_watch_stop(struct runner_watch *w);

#endif
