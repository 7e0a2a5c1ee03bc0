/** workload/spec.h: what the engine is asked for: a service of a compose file as podman's SpecGenerator
 * object. Source: podman 4.3, pkg/specgen/specgen.go (member names), containers-common. Internal to
 * workload/.
 */
#ifndef CVM_WORKLOAD_SPEC_H
#define CVM_WORKLOAD_SPEC_H

#include "base/json.h"
#include "workload/compose.h"
#include "workload/runner.h"

#define SPEC_NAME_SIZE (ENGINE_NAME_MAX + 1)

/** container_name, or PROJECT_SERVICE_1 as podman-compose has it. Returns out. */
const char *spec_container_name(const char *project, const struct compose_service *s,
                                char out[static SPEC_NAME_SIZE]);

/** The engine's name of a network or volume: what `name:` gives, or PROJECT_KEY. Returns out. */
const char *spec_scoped_name(const char *project, const char *given, const char *key,
                             char out[static SPEC_NAME_SIZE]);

/** The object for a service, with our labels; the configuration hash covers the object, the image and the
 * bytes of every file that the service mounts.
 *  @param out     a new reference
 *  @param config  hex SHA-256, also in the label ENGINE_LABEL_CONFIG
 *  @return 0, or -1: ERR_INPUT (a setting that the engine has not), ERR_NOT_FOUND (a file) */
MUST_USE int spec_container(const struct runner *r, struct compose *c, const struct compose_service *s,
                            const char *image_id, json_t **out, char config[static ENGINE_ID_SIZE],
                            struct err *err);

/** Keys and values as an object; a value that is NULL is empty. */
json_t *spec_pairs(const struct compose_pairs *p);

/** The body that creates a network or a volume. */
MUST_USE int spec_network(const char *project, const struct compose_network *n, json_t **out,
                          struct err *err);
MUST_USE int spec_volume(const char *project, const struct compose_volume *v, json_t **out, struct err *err);

/** Adds mounts, secrets, configs and the agent's socket to a container's object. */
MUST_USE int spec_mounts(const struct runner *r, const struct compose *c, const struct compose_service *s,
                         json_t *spec, struct err *err);

/** Hashes, in the order of their names, the files and folders below r->tree that the service mounts.
 *  @return 0, or -1 with ERR_NOT_FOUND or ERR_IO */
MUST_USE int spec_hash_files(const struct runner *r, const struct compose *c, const struct compose_service *s,
                             json_t *into, struct err *err);

#endif
