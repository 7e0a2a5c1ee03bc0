/** workload/engine.h: the container engine over its REST API: rootful podman's libpod API v4 (podman 4.3 and
 * later), or Docker's Engine API v1.41 (docker 20.10). What is asked for is said in podman's words; the
 * dialect of docker is engine_docker.c. Every request goes over a connection of its own, which the dialer
 * makes: in the agent the privileged helper connects and hands the descriptor over, in tests a Unix socket is
 * dialled. Only things that carry our labels are listed, and names are those given here: nothing else on the
 * machine is touched. Sources: podman's API reference (docs.podman.io, "libpod"), version 4; Docker Engine
 * API v1.41 reference.
 *
 * All functions are callable from any thread. What the engine answers is not trusted beyond its size.
 */
#ifndef CVM_WORKLOAD_ENGINE_H
#define CVM_WORKLOAD_ENGINE_H

#include "base/buf.h"
#include "workload/owner.h"

#include <jansson.h>
#include <stdatomic.h>

/** Hex characters of an image, container or config id, and a terminator. */
#define ENGINE_ID_SIZE  65
#define ENGINE_NAME_MAX 255

/** Labels on everything that we make. */
#define ENGINE_LABEL_PROJECT "org.cvm-agent.project"
#define ENGINE_LABEL_SERVICE "org.cvm-agent.service"
#define ENGINE_LABEL_CONFIG  "org.cvm-agent.config-sha256"

/** Makes connections to the engine. */
struct engine_dial {
    /** @return a connected stream socket, which the engine closes, or -1 with *err set */
    int (*connect)(void *ctx, struct err *err);
    void *ctx;
};

enum engine_kind { ENGINE_PODMAN, ENGINE_DOCKER };

struct engine {
    struct engine_dial dial;
    enum engine_kind kind;
    const atomic_bool *cancel; /* set by another thread: give up within a second or so; NULL: never */
    /** Gets each warning with which the engine created a container: a setting that it ignores, for instance.
     * NULL: not wanted. */
    void (*warn)(void *ctx, const char *container, const char *text);
    void *warn_ctx;
};

/** Credentials of one registry. */
struct engine_auth {
    const char *username, *password;
};

/** @param version  the engine's version text ("4.3.1"), may be NULL
 *  @return 0, or -1 with ERR_UNAVAILABLE */
MUST_USE int engine_ping(const struct engine *e, char *version, size_t size, struct err *err);

/** Checks that containers get the ids of owner. podman is told them with each container; docker has one range
 * for all, which it was started with.
 *  @return 0, or -1: ERR_DENIED (another range, or none), ERR_UNAVAILABLE */
MUST_USE int engine_check_owner(const struct engine *e, const struct owner *owner, struct err *err);

/** Loads a docker-archive or, with podman, an oci-archive.
 *  @param tar_fd  read from its beginning to size bytes; the offset moves
 *  @return 0, or -1: ERR_DENIED (the signature policy says no), ERR_INPUT (no such archive), ERR_UNAVAILABLE
 */
MUST_USE int engine_image_load(const struct engine *e, int tar_fd, uint64_t size, struct err *err);

/** Pulls an image by its full name (registry/path:tag or @sha256:...). Over TLS, except from a registry on
 * loopback.
 *  @param auth  NULL: anonymous
 *  @param id    image id: lower-case hex SHA-256 of the config blob
 *  @return 0, or -1: ERR_DENIED (signature policy, credentials), ERR_NOT_FOUND, ERR_UNAVAILABLE */
MUST_USE int engine_image_pull(const struct engine *e, const char *reference, const struct engine_auth *auth,
                               char id[static ENGINE_ID_SIZE], struct err *err);

/** The id of an image that the engine has, by name or id.
 *  @return 0, or -1 with ERR_NOT_FOUND or ERR_UNAVAILABLE */
MUST_USE int engine_image_id(const struct engine *e, const char *reference, char id[static ENGINE_ID_SIZE],
                             struct err *err);

/** The ids of the images that the engine has and no container of it uses.
 *  @param out  heap array of *n; the caller frees
 *  @return 0, or -1: ERR_TOO_LARGE, ERR_UNAVAILABLE */
MUST_USE int engine_images_idle(const struct engine *e, char (**out)[ENGINE_ID_SIZE], size_t *n,
                                struct err *err);

/** Removes an image, with all its names and the layers that no other has; one that is not there is fine. The
 * caller makes sure that no container uses it. */
MUST_USE int engine_image_remove(const struct engine *e, const char *id, struct err *err);

/** Creates a network or a volume; one that is there already with the same name is fine.
 *  @param body  a request body of libpod; "name" or "Name" in it */
MUST_USE int engine_network_create(const struct engine *e, const char *name, const json_t *body,
                                   struct err *err);
MUST_USE int engine_volume_create(const struct engine *e, const char *name, const json_t *body,
                                  struct err *err);
MUST_USE int engine_network_remove(const struct engine *e, const char *name, struct err *err);

/** Creates a container from a SpecGenerator object; see workload/spec.h, which writes it. A member "files" is
 * no part of that: an array of files to be put into the container's own layer, {"source", "target", "uid",
 * "gid", "mode"}.
 *  @return 0, or -1: ERR_BUSY (the name is taken), ERR_INPUT (refused by the engine), ERR_UNAVAILABLE */
MUST_USE int engine_create(const struct engine *e, const json_t *spec, char id[static ENGINE_ID_SIZE],
                           struct err *err);

/** By name or id. Starting what runs and stopping what does not are fine. */
MUST_USE int engine_start(const struct engine *e, const char *name, struct err *err);
MUST_USE int engine_stop(const struct engine *e, const char *name, unsigned grace_s, struct err *err);
/** Removes a container, running or not, with its anonymous volumes; one that is not there is fine. */
MUST_USE int engine_remove(const struct engine *e, const char *name, struct err *err);
MUST_USE int engine_rename(const struct engine *e, const char *name, const char *to, struct err *err);
/** @param signal  "SIGUSR2" or a number, as the policy has it */
MUST_USE int engine_kill(const struct engine *e, const char *name, const char *signal, struct err *err);

enum engine_health { ENGINE_HEALTH_NONE, ENGINE_HEALTH_STARTING, ENGINE_HEALTHY, ENGINE_UNHEALTHY };

struct engine_state {
    char id[ENGINE_ID_SIZE];
    char image[ENGINE_ID_SIZE];        /* image id */
    char name[ENGINE_NAME_MAX + 1];    /* container */
    char service[ENGINE_NAME_MAX + 1]; /* label; "" if none */
    char config[ENGINE_ID_SIZE];       /* label; "" if none */
    char status[24];                   /* the engine's word: created, running, exited, ... */
    bool running;
    bool ended; /* it ran, and its main process is gone */
    bool oom_killed;
    int exit_code; /* of the last run */
    uint32_t restarts;
    int64_t pid; /* 0 when not running */
    enum engine_health health;
    uint64_t health_start_ms; /* what the settings of its check, or their defaults, give a start: start_period
                               * and retries + 1 checks; 0 without a check */
};

/** @return 0, or -1 with ERR_NOT_FOUND or ERR_UNAVAILABLE */
MUST_USE int engine_inspect(const struct engine *e, const char *name, struct engine_state *out,
                            struct err *err);

/** Whether the engine runs health checks itself, at their interval: docker does, podman has no timers here.
 */
bool engine_runs_checks(const struct engine *e);

/** Runs the container's health check once and returns what it says now. With docker, which counts only its
 * own runs, a check that passes is healthy and one that fails is what docker says.
 *  @param deadline_ms  how long the check may take
 *  @return 0, or -1: ERR_NOT_FOUND (none, or no such container), ERR_BUSY (not running), ERR_UNAVAILABLE */
MUST_USE int engine_check_health(const struct engine *e, const char *name, unsigned deadline_ms,
                                 enum engine_health *out, struct err *err);

#define ENGINE_LIST_MAX 1024

/** The containers that carry the label of project, running or not, sorted by name.
 *  @param out  heap array of *n; the caller frees */
MUST_USE int engine_list(const struct engine *e, const char *project, struct engine_state **out, size_t *n,
                         struct err *err);

struct engine_log_options {
    int64_t tail;      /* last lines; -1: all */
    const char *since; /* seconds since 1970; NULL: from the beginning */
    const char *until; /* NULL: to the end */
    bool follow;       /* until the container ends, the sink says stop, or e->cancel */
    bool timestamps;
};

/** Gets bytes of the two output streams, already taken out of the engine's frames, as they come.
 *  @return false to stop */
typedef bool engine_log_sink(void *arg, bool is_stderr, struct bytes text);

/** Logs of a container. A sink that stops is not an error.
 *  @return 0, or -1: ERR_NOT_FOUND, ERR_INPUT (an option), ERR_UNAVAILABLE */
MUST_USE int engine_logs(const struct engine *e, const char *name, const struct engine_log_options *options,
                         engine_log_sink *sink, void *arg, struct err *err);

#endif
