/** workload/compose.h: docker-compose.yml as the agent understands it: the part of the Compose Specification
 * that podman-compose runs. Variables are replaced from `.env` only, anchors and merge keys are resolved.
 * What is not understood is an error with line and column, never dropped; `x-` members are ignored, except
 * x-cvm-agent.
 *
 * All strings and arrays belong to the struct compose and live as long as it does. */
#ifndef CVM_WORKLOAD_COMPOSE_H
#define CVM_WORKLOAD_COMPOSE_H

#include "base/buf.h"

#define COMPOSE_FILE         "docker-compose.yml"
#define COMPOSE_FILE_MAX     (1u << 20)
#define COMPOSE_ENV_FILE     ".env"
#define COMPOSE_ENV_MAX      (1u << 20)
#define COMPOSE_SERVICES_MAX 256
#define COMPOSE_NAME_ROOM    64        /* of a service, network, volume: 63 bytes and a terminator */
#define COMPOSE_UNSET        INT64_MIN /* of numbers that may be left out */

/** Where something stands in docker-compose.yml, both from 1. */
struct compose_at {
    unsigned line, column;
};

struct compose_text {
    const char *text; /* NULL: not written */
    struct compose_at at;
};

struct compose_list {
    bool set; /* written, maybe empty: `command: []` is not the same as no command */
    size_t n;
    struct compose_text *item;
    struct compose_at at;
};

/** KEY=VALUE in the order written; value NULL: no value was given (environment: remove the variable). */
struct compose_pair {
    const char *key, *value;
    struct compose_at at;
};

struct compose_pairs {
    size_t n;
    struct compose_pair *item;
};

struct compose_port {
    const char *host_ip;      /* NULL: every address */
    uint16_t host, container; /* first ports; host 0: any free one */
    uint16_t count;           /* ports in the range, 1 or more */
    bool udp;
    struct compose_at at;
};

enum compose_mount_type { COMPOSE_BIND, COMPOSE_VOLUME, COMPOSE_TMPFS };

struct compose_mount {
    enum compose_mount_type type;
    const char *source; /* bind: as written; volume: its key below volumes:, NULL: anonymous; tmpfs: NULL */
    const char *path;   /* bind: below the workload directory ("" the directory itself), NULL: outside it */
    const char *target; /* absolute path in the container */
    bool read_only;
    int64_t tmpfs_size; /* bytes, COMPOSE_UNSET */
    int64_t tmpfs_mode; /* permission bits, COMPOSE_UNSET */
    bool tmpfs_noexec;  /* nosuid and nodev hold always */
    struct compose_at at;
};

struct compose_network_use {
    const char *network; /* key below networks:, or "default" */
    struct compose_list aliases;
    const char *ipv4, *ipv6; /* NULL: any */
    struct compose_at at;
};

enum compose_condition { COMPOSE_STARTED, COMPOSE_HEALTHY, COMPOSE_COMPLETED };

struct compose_depends {
    const char *service;
    enum compose_condition condition;
    bool required; /* false: start without it if it is not there */
    bool restart;  /* restart this service when that one is restarted by an update */
    struct compose_at at;
};

struct compose_health {
    bool set;
    bool disable;             /* `disable: true` or test NONE: also the image's own check is off */
    bool shell;               /* test is one string for the container's shell (CMD-SHELL) */
    struct compose_list test; /* arguments without CMD / CMD-SHELL; empty: the image's own test */
    int64_t interval_ns, timeout_ns, start_period_ns, start_interval_ns, retries; /* COMPOSE_UNSET */
    struct compose_at at;
};

/** A secret or config that a service mounts. */
struct compose_file_use {
    const char *name;   /* key below secrets: or configs: */
    const char *target; /* absolute path in the container */
    const char *uid, *gid;
    int64_t mode; /* permission bits, COMPOSE_UNSET */
    struct compose_at at;
};

/** Whether it is to have an owner or permission bits other than what every file of the workload shows in a
 * container: read by all. */
bool compose_file_is_owned(const struct compose_file_use *use);

enum compose_restart {
    COMPOSE_RESTART_NO,
    COMPOSE_RESTART_ALWAYS,
    COMPOSE_RESTART_ON_FAILURE,
    COMPOSE_RESTART_UNLESS_STOPPED
};

struct compose_ulimit {
    const char *name;
    int64_t soft, hard;
    struct compose_at at;
};

/** Settings that hand out the machine: read so that lint can refuse each where it stands. */
struct compose_refused {
    const char *setting; /* "privileged", "devices", "pid", "cap_add SYS_ADMIN" ... */
    const char *gives;   /* "TPM", "TEE", "agent" or "host" */
    struct compose_at at;
};

struct compose_service {
    const char *name;
    struct compose_at at;
    struct compose_text image;
    const char *container_name, *hostname, *domainname, *working_dir, *user; /* NULL: not written */
    int stop_signal;                                                         /* its number; 0: not written */
    struct compose_list command, entrypoint;
    struct compose_pairs environment; /* of `environment:`; compose_environment() adds env_file */
    struct compose_list env_files;    /* paths below the workload directory */
    bool *env_file_optional;          /* one for each of env_files: `required: false` */
    struct compose_pairs labels, sysctls, extra_hosts;
    struct compose_port *ports;
    size_t port_count;
    struct compose_list expose;
    struct compose_mount *mounts; /* volumes: and tmpfs: */
    size_t mount_count;
    struct compose_text network_mode;     /* "host", "none", "bridge", "service:NAME"; NULL: networks */
    struct compose_network_use *networks; /* the default one when nothing is written */
    size_t network_count;
    struct compose_depends *depends;
    size_t depends_count;
    enum compose_restart restart;
    int64_t restart_max; /* of on-failure:N, COMPOSE_UNSET */
    struct compose_health health;
    struct compose_list cap_add, cap_drop, dns, dns_search, group_add;
    struct compose_ulimit *ulimits;
    size_t ulimit_count;
    struct compose_file_use *secrets, *configs;
    size_t secret_count, config_count;
    bool read_only, init, tty, stdin_open, no_new_privileges;
    int64_t stop_grace_ns, shm_size, mem_limit, pids_limit; /* COMPOSE_UNSET */
    bool pull_never;   /* pull_policy: never: only an image .tar of the workload */
    bool agent_socket; /* x-cvm-agent: {socket: true} */
    struct compose_refused *refused;
    size_t refused_count;
};

struct compose_network {
    const char *name;   /* key; "default" is there when a service uses it */
    const char *given;  /* `name:`, NULL */
    const char *driver; /* NULL or "bridge" */
    bool internal, ipv6;
    struct compose_pairs labels, driver_opts;
    struct compose_subnet {
        const char *subnet, *gateway, *ip_range; /* the last two NULL if not written */
    } * subnets;
    size_t subnet_count;
    struct compose_at at;
};

struct compose_volume {
    const char *name;
    const char *given; /* `name:`, NULL */
    struct compose_pairs labels;
    struct compose_at at;
};

/** A member of secrets: or configs:. */
struct compose_file {
    const char *name;
    const char *path;    /* `file:`, below the workload directory; NULL */
    const char *content; /* of `content:` or `environment:`; NULL */
    struct compose_at at;
};

struct compose_warning {
    const char *text;
    struct compose_at at; /* line 0: the file as a whole */
};

struct compose {
    const char *project;              /* `name:`, or "workload" */
    struct compose_service *services; /* in the byte order of their names */
    size_t service_count;
    struct compose_network *networks;
    size_t network_count;
    struct compose_volume *volumes;
    size_t volume_count;
    struct compose_file *secrets, *configs;
    size_t secret_count, config_count;
    size_t *order;                    /* indices of services such that each comes after what it depends on */
    struct compose_warning *warnings; /* unset variables, ignored members */
    size_t warning_count;
    struct compose_pairs dotenv;   /* .env, sorted by name, every value set */
    struct compose_memory *memory; /* of all of the above */
};

/** Reads a compose file.
 *  @param yaml    docker-compose.yml, at most COMPOSE_FILE_MAX bytes
 *  @param dotenv  .env; no bytes if there is none
 *  @param out     compose_free() frees it; written only on success
 *  @return 0, or -1 with ERR_INPUT (or ERR_TOO_LARGE) and "line L, column C: what: what to write" */
MUST_USE int compose_parse(struct bytes yaml, struct bytes dotenv, struct compose **out, struct err *err);

/** NULL is fine. */
void compose_free(struct compose *c);

/** For AUTO(compose_drop). */
static inline void compose_drop(struct compose **c)
{
    compose_free(*c);
}

/** The service of that name, or NULL. */
const struct compose_service *compose_service(const struct compose *c, const char *name);

/** How compose_environment() gets the env_files: reads the file at a path below the workload directory (its
 * private copy) into out. @return 0, or -1; ERR_NOT_FOUND is fine where the file is optional */
typedef int compose_read_fn(void *arg, const char *path, struct buf *out, struct err *err);

/** Holds what one call made. */
struct compose_memory;

/** NULL is fine. */
void compose_memory_free(struct compose_memory *m);

/** For AUTO(compose_memory_drop). */
static inline void compose_memory_drop(struct compose_memory **m)
{
    compose_memory_free(*m);
}

/** The whole environment of a service: env_file in order, then environment:, the last one of a name wins;
 * sorted by name, every value set. Variables that are not set are added to the warnings of the compose, once.
 *  @param memory  holds the array and its strings, which need the compose too; compose_memory_free() frees
 *                 it; written only on success
 *  @return 0, or -1 naming file and line */
MUST_USE int compose_environment(struct compose *c, const struct compose_service *s, compose_read_fn *read,
                                 void *arg, struct compose_pairs *out, struct compose_memory **memory,
                                 struct err *err);

/** The reference with registry, repository and tag or digest that a short image name stands for
 * ("busybox" → "docker.io/library/busybox:latest").
 *  @param full  set if text was already complete (a registry is named)
 *  @return 0, or -1 with ERR_INPUT: not an image reference */
MUST_USE int compose_image_reference(const char *text, char *out, size_t size, bool *full, struct err *err);

#endif
