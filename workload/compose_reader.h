/** workload/compose_reader.h: what the files of the compose reader share. Everything that is made lies in the
 * memory of the struct compose; a failure anywhere jumps out to compose_parse(), which frees it whole:
 * nothing else is held below. */
#ifndef CVM_WORKLOAD_COMPOSE_READER_H
#define CVM_WORKLOAD_COMPOSE_READER_H

#include "workload/compose.h"

#include <setjmp.h>

#define COMPOSE_MEMORY_MAX    (32u << 20) /* of one file, with everything that aliases and variables blow up */
#define COMPOSE_NODES_MAX     100000u
#define COMPOSE_DEPTH_MAX     32u
#define COMPOSE_MEMBERS_MAX   1024u /* of one mapping, merged ones included */
#define COMPOSE_LIST_MAX      4096u
#define COMPOSE_ANCHORS_MAX   256u
#define COMPOSE_SCALAR_MAX    (64u << 10) /* after variables are replaced */
#define COMPOSE_WARNINGS_MAX  100u
#define COMPOSE_VARIABLES_MAX 4096u /* of one file */
#define COMPOSE_NAME_MAX      63u   /* of services: they become host names */

enum yaml_kind { YAML_TEXT, YAML_LIST, YAML_MAP };

struct yaml_pair {
    const char *key;
    struct compose_at at; /* of the key */
    const struct yaml_node *value;
};

/** A value of the file: anchors, merge keys and variables are resolved. Nodes may be shared. */
struct yaml_node {
    enum yaml_kind kind;
    bool plain; /* a scalar without quotes or variables: may be null */
    struct compose_at at;
    const char *text;
    size_t n; /* items or members */
    const struct yaml_node **item;
    struct yaml_pair *pair;
};

struct compose_reader {
    struct compose *c;
    struct compose_memory *memory;
    struct err *err;
    const char *file;                  /* named in messages: NULL for the compose file itself */
    struct compose_pairs vars;         /* sorted */
    const struct compose_pairs *local; /* earlier lines of the file that is being read: they come first */
    struct buf scratch;
    jmp_buf escape;
};

/* ---- memory, messages ---- */

struct compose_memory *compose_memory_new(void);

/** count zeroed objects; never NULL. */
__attribute__((returns_nonnull)) void *compose_take(struct compose_reader *r, size_t count, size_t size);
__attribute__((returns_nonnull)) char *compose_copy(struct compose_reader *r, struct bytes text);
__attribute__((format(printf, 2, 3), returns_nonnull)) char *compose_printf(struct compose_reader *r,
                                                                            const char *fmt, ...);

/** Sets the error "line L, column C: ..." and jumps out. */
__attribute__((format(printf, 3, 4), noreturn)) void compose_fail(struct compose_reader *r,
                                                                  struct compose_at at, const char *fmt, ...);

/** Adds a warning; beyond COMPOSE_WARNINGS_MAX it is dropped. */
__attribute__((format(printf, 3, 4))) void compose_warn(struct compose_reader *r, struct compose_at at,
                                                        const char *fmt, ...);

/* ---- compose_yaml.c, compose_interpolate.c, compose_env.c ---- */

/** Reads the one document of a file. */
const struct yaml_node *compose_yaml(struct compose_reader *r, struct bytes text);

/** Replaces $V, ${V}, ${V:-d}, ${V-d}, ${V:?e}, ${V?e}, ${V:+w}, ${V+w}, $$; text without a dollar is given
 * back. */
const char *compose_interpolate(struct compose_reader *r, const char *text, struct compose_at at);

/** The value of a variable, or NULL. */
const char *compose_variable(const struct compose_reader *r, const char *name, size_t n);

/** Reads a file of KEY=VALUE lines: "export", comments, quotes, variables. Lines without "=" take their value
 * from r->vars. In file order; a later line wins. */
void compose_dotenv(struct compose_reader *r, struct bytes text, const char *file, struct compose_pairs *out);

/** Sorts by key and keeps the last of each; pairs without value are left out. */
void compose_pairs_settle(struct compose_reader *r, struct compose_pairs *pairs);

/* ---- values (compose_values.c): each fails with the place and what is wanted; what names the member ---- */

bool yaml_is_null(const struct yaml_node *v);
bool yaml_is_extension(const char *key); /* x-…: anybody's own */
const struct yaml_node *yaml_member(const struct yaml_node *map, const char *key);
const char *yaml_text(struct compose_reader *r, const struct yaml_node *v, const char *what); /* not empty */
bool yaml_bool(struct compose_reader *r, const struct yaml_node *v, const char *what);
int64_t yaml_number(struct compose_reader *r, const struct yaml_node *v, const char *what, int64_t min,
                    int64_t max);
int64_t yaml_octal(struct compose_reader *r, const struct yaml_node *v,
                   const char *what); /* permission bits */
int64_t yaml_duration(struct compose_reader *r, const struct yaml_node *v,
                      const char *what);                                                  /* nanoseconds */
int64_t yaml_size(struct compose_reader *r, const struct yaml_node *v, const char *what); /* bytes */
void yaml_list(struct compose_reader *r, const struct yaml_node *v, const char *what,
               struct compose_list *out);
/** A list, or one string. */
void yaml_list_or_text(struct compose_reader *r, const struct yaml_node *v, const char *what,
                       struct compose_list *out);
/** A list of arguments, or one string that is split as a shell splits words (quotes and backslashes). */
void yaml_words(struct compose_reader *r, const struct yaml_node *v, const char *what,
                struct compose_list *out);
/** A mapping, or a list of KEY=VALUE; separators: the bytes that may stand between, "=" or "=:". */
void yaml_pairs(struct compose_reader *r, const struct yaml_node *v, const char *what, const char *separators,
                struct compose_pairs *out);
/** Fails unless v is a mapping, or null where null is fine. @return false for null */
bool yaml_want_map(struct compose_reader *r, const struct yaml_node *v, const char *what, bool null);
const char *yaml_name(struct compose_reader *r, const char *name, struct compose_at at, const char *what);
/** A path below the workload directory. */
const char *yaml_path(struct compose_reader *r, const struct yaml_node *v, const char *what);

/** A member of a mapping and how it is read. */
struct member {
    const char *name;
    void (*read)(struct compose_reader *r, const struct yaml_node *v, void *target);
    const char *why_not; /* if read is NULL: what to do instead */
};

/** Reads every member of map by its row; others are errors, "x-" ones are skipped. where: "services.web". */
void yaml_members(struct compose_reader *r, const struct yaml_node *map, const char *where,
                  const struct member *rows, size_t n, void *target);

/* ---- parts of a service; target is its struct compose_service ---- */

void compose_refuse(struct compose_reader *r, struct compose_service *s, struct compose_at at,
                    const char *gives, const char *setting);
void compose_read_ports(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_expose(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_networks(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_network_mode(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_volumes(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_tmpfs(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_secrets(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_configs(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_healthcheck(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_depends(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_ulimits(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_logging(struct compose_reader *r, const struct yaml_node *v, void *target);

/** Reads services.NAME. */
void compose_read_service(struct compose_reader *r, const struct yaml_pair *pair, struct compose_service *s);

/** Members of a service in compose_settings.c. */
void compose_read_cap_add(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_cap_drop(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_stop_signal(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_sysctls(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_extra_hosts(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_dns(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_dns_search(struct compose_reader *r, const struct yaml_node *v, void *target);

/** Of IPv4 or IPv6. */
bool compose_is_address(const char *text);

/** Whether address lies in ADDRESS/PREFIX; no if they are of different kinds. */
bool compose_in_subnet(const char *subnet, const char *address);

/** An absolute path in a container, in one form: "/a//./b/" is "/a/b". One that leaves the container's own
 * tree by ".." would be read differently by different engines: it is refused. */
const char *compose_container_path(struct compose_reader *r, const char *text, struct compose_at at,
                                   const char *what);

/** The members networks:, volumes:, secrets:, configs: of the file; target is the struct compose. */
void compose_read_top_networks(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_top_volumes(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_top_secrets(struct compose_reader *r, const struct yaml_node *v, void *target);
void compose_read_top_configs(struct compose_reader *r, const struct yaml_node *v, void *target);

/** Checks every name that refers to another part of the file, and finds the start order. */
void compose_link(struct compose_reader *r);

#endif
