/** policy/golden.h: a golden measurement document, contract section 4: what a machine has to be. Strict: a
 * member that is not known is refused with its path, so that a pin with a typing error is not a pin lost.
 *
 * Forms read: ours; the structured automata form (pcrs as a list of {index, pcr, measure_events,
 * measure_events_idx, measure_pcr}; snp or tdx with mrtd, mrseam); and the flat one ({"pcrs":{"0":hex},
 * "snp_measurement":hex}). Each alone or as member golden_measurement. */
#ifndef CVM_POLICY_GOLDEN_H
#define CVM_POLICY_GOLDEN_H

#include "base/json.h"
#include "policy/registers.h"

/** Largest document; the agent's have 3 KiB and what the workload's events add. */
#define GOLDEN_SIZE_MAX (4u << 20)

/** How a PCR's listed event digests are compared with the log's. */
enum event_match {
    MATCH_NONE,     /* no events listed */
    MATCH_EXACT,    /* these, in this order, and no others */
    MATCH_SUBSET,   /* each occurs, as often as listed, in any order; others may */
    MATCH_SEQUENCE, /* they occur in this order; others may lie between */
    MATCH_AT        /* automata form: each at its place in the PCR's log, counted from 0 */
};

/** Begin with { 0 }; end with golden_done(). */
struct golden {
    struct registers want; /* what is pinned; tcb is the minimum; workload.known: the member is there */
    enum event_match match[REGISTER_PCRS]; /* of want.events */
    uint32_t *at[REGISTER_PCRS];           /* owned; MATCH_AT: the place of each listed event */
};

/** Parses the text of a document. @return 0, or -1 with ERR_INPUT (path and reason), or ERR_TOO_LARGE */
MUST_USE int golden_parse(struct bytes text, struct golden *out, struct err *err);

/** As golden_parse(), of a value that json_parse() read. */
MUST_USE int golden_parse_json(const json_t *document, struct golden *out, struct err *err);

/** For AUTO(golden_done). */
void golden_done(struct golden *g);

/** True if it pins anything that stands on the TPM: PCRs, their events, the workload. */
bool golden_uses_pcrs(const struct golden *g);

#endif
