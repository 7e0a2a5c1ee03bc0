/** workload/engine_docker.h: from podman's words, in which workload/spec.c writes, to those of Docker's
 * Engine API v1.41. Pure. A member that is not known here is an error, never dropped. Internal to workload/.
 */
#ifndef CVM_WORKLOAD_ENGINE_DOCKER_H
#define CVM_WORKLOAD_ENGINE_DOCKER_H

#include "base/json.h"

/** A SpecGenerator object as the body of POST /containers/create. Ids of the user namespace are left out: the
 * daemon has them (engine_check_owner()). Capabilities are podman's: docker would give three more.
 *  @param networks  what the container is to be connected to besides: one object for each network's name; the
 * API takes one network at a creation. Both are new references, written only on success.
 *  @return 0, or -1 with ERR_INPUT: a setting that docker has not */
MUST_USE int docker_container(const json_t *spec, json_t **body, json_t **networks, struct err *err);

/** Of POST /networks/create. The bridge is called docker-HHHHHHHH by the hash of the network's name: the
 * firewall knows containers by that. */
MUST_USE int docker_network(const json_t *in, json_t **out, struct err *err);

/** Of POST /volumes/create. */
MUST_USE int docker_volume(const json_t *in, json_t **out, struct err *err);

#endif
