/** agent/update.h: replaces the workload that runs by the one in a zip, or leaves it as it is (contract,
 * sections 6 and 8). Order: unpack, judge, get images; nothing has changed so far. Then stage on the data
 * partition, measure, exchange the private copies, restart what changed, wait for health, accept the owner's
 * version, exchange on the data partition. A failure after the measurement is measured too, and the old
 * workload runs again. A kill at any moment leaves the old or the new one whole: update_recover() at the next
 * start. */
#ifndef CVM_AGENT_UPDATE_H
#define CVM_AGENT_UPDATE_H

#include "agent/workload.h"

#include <jansson.h>

struct update {
    int zip; /* descriptor; nobody else writes to it */
    uint8_t zip_sha384[48];
    bool dry_run;      /* judge, answer what would be, change nothing */
    const char *state; /* folder of update.json */
    uint64_t version;  /* the owner's number, checked; 0: there is none. Accepted with the update */
};

/** Runs an update; w->busy is the caller's. Waits for the engine: not on a server thread.
 *  @param answer  a new reference: the services' diff, the events and PCR values; in a dry run also the
 * policy's verdict
 *  @return 0, or -1: ERR_INPUT (zip, compose file), ERR_DENIED (policy, lint, signatures), ERR_TOO_LARGE,
 * ERR_NOT_FOUND (no workload, an image), ERR_UNAVAILABLE (engine, TPM, health: what ran before runs again);
 * once it is measured, ERR_UNAVAILABLE or ERR_IO alone */
MUST_USE int update_run(struct workload *w, const struct update *u, json_t **answer, struct err *err);

/** Before the workload of a start is read: removes what an update left, or, if it was killed after the new
 * workload had begun to run in this boot, stores it on the data partition.
 *  @param boot_id  of this boot
 *  @return 0, or -1 with ERR_IO */
MUST_USE int update_recover(const struct workload *w, const char *state, const char *boot_id,
                            struct err *err);

#endif
