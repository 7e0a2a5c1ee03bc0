/** workload/atakit.h: the PCR 23 that the published atakit line of agents measures, for a package in its
 * normal form: SHA-256 of manifest.json, then SHA-256 of one line of JSON per service. Source:
 * automata-network/atakit, crates/workload-compose/src/measure.rs and serialize.rs. */
#ifndef CVM_WORKLOAD_ATAKIT_H
#define CVM_WORKLOAD_ATAKIT_H

#include "workload/measure.h"

struct atakit_event {
    char *name; /* "manifest.json", or the service; owned */
    uint8_t sha256[32];
};

struct atakit_plan {
    struct atakit_event *events;
    size_t n;
    struct digest pcr23; /* SHA-256 */
};

/** Computes the events of a package.
 *  @param tree      of workload_tree_read() with any_name
 *  @param compose   of its docker-compose.yml
 *  @param yaml      the text of that file: parts of it are measured as they are
 *  @param services  with has_id: the manifest digest of the image, as the recipe has it, not the image's id
 *  @param out       atakit_plan_free() frees it; written only on success
 *  @return 0, or -1: ERR_INPUT (no or another manifest.json, a compose file that is not in normal form, a
 * file that nothing refers to), ERR_NOT_FOUND (a service without digest), ERR_TOO_LARGE, ERR_IO */
MUST_USE int atakit_plan_make(const struct workload_tree *tree, const struct compose *compose,
                              struct bytes yaml, const struct measure_service *services, size_t n,
                              struct atakit_plan **out, struct err *err);

/** Fills the digests of services whose image is in a .tar that manifest.json names; others are left as they
 * are. @return 0, or -1 as atakit_plan_make() */
MUST_USE int atakit_find_images(const struct workload_tree *tree, struct measure_service *services, size_t n,
                                struct err *err);

/** NULL is fine. */
void atakit_plan_free(struct atakit_plan *p);

/** {"scheme":"atakit","events":[...],"banks":{"sha256":{"23":...}}}. @return a new reference, or NULL */
json_t *atakit_json(const struct atakit_plan *p);

#endif
