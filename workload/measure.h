/** workload/measure.h: which events a workload is, in which order, and what they extend: scheme cvm-agent-v1
 * of contract section 6 (docs/measurement.md), and the published atakit recipe. Pure: the same plan gives the
 * same values offline and in the guest. */
#ifndef CVM_WORKLOAD_MEASURE_H
#define CVM_WORKLOAD_MEASURE_H

#include "base/digest.h"
#include "workload/compose.h"
#include "workload/policy.h"
#include "workload/tree.h"

#include <jansson.h>

/** Registers of the workload log. */
#define WORKLOAD_PCR_NOW     23 /* what runs now; reset at the start and at each update */
#define WORKLOAD_PCR_HISTORY 15
#define WORKLOAD_PCR_PATCH   16

/** A service, as far as the measurement sees it. */
struct measure_service {
    const char *name;
    const char *reference; /* its image as compose writes it */
    bool skip;             /* in skip_measurement: the reference is measured, not the image */
    bool has_id;
    uint8_t id[32]; /* SHA-256 of the image's config blob; needed unless skip */
};

struct measure_event {
    const char *type; /* a constant */
    char *name;       /* UTF-8, may be empty; owned */
    uint8_t content_sha384[48];
};

struct measure_plan {
    struct measure_event *events; /* ends with "ready" */
    size_t n;
};

/** The services of a compose file, in its order, without ids.
 *  @param out  an array of the heap (free()), strings borrowed from compose; written only on success */
MUST_USE int measure_services(const struct compose *compose, const struct workload_policy *policy,
                              struct measure_service **out, size_t *n, struct err *err);

/** Fills the ids of the services whose image is in a .tar of the tree; others are left as they are. An id
 * that is there already must be the archive's.
 *  @return 0, or -1: ERR_INPUT (an archive that is damaged, two archives with one name and different images)
 */
MUST_USE int measure_find_images(const struct workload_tree *tree, struct measure_service *services, size_t n,
                                 struct err *err);

/** The events of a start, in order: image, skip, compose, env, config, ready. A tree without services, but
 * with settings, has the last three.
 *  @param services  in any order, names unique
 *  @param out       measure_plan_free() frees it; written only on success
 *  @return 0, or -1: ERR_NOT_FOUND (a service without image id, nothing to measure), ERR_INPUT,
 * ERR_TOO_LARGE */
MUST_USE int measure_plan_make(const struct workload_tree *tree, const struct measure_service *services,
                               size_t n, struct measure_plan **out, struct err *err);

/** NULL is fine. */
void measure_plan_free(struct measure_plan *p);

static inline void measure_plan_drop(struct measure_plan **p)
{
    measure_plan_free(*p);
}

/** True if both are the same events in the same order. */
bool measure_plan_equal(const struct measure_plan *a, const struct measure_plan *b);

/** PCR 23 (and so PCR 15 from zero) after the plan. @param out  a digest of alg's size */
MUST_USE int measure_predict(const struct measure_plan *p, uint16_t alg, struct digest *out, struct err *err);

/** The answer of `measure --json` and of an update's dry run: {"scheme","events":[...],"banks":{"sha256":
 * {"23","16","15"},"sha384":{...}}}. @return a new reference, or NULL when memory is short */
json_t *measure_json(const struct measure_plan *p);

#endif
