/** agent/update_data.h: the workload's tree on the data partition. Where the agent may write it does; where
 * the partition is read-only, as in our images, cvm-agent-priv stores what it is given a descriptor of. */
#ifndef CVM_AGENT_UPDATE_DATA_H
#define CVM_AGENT_UPDATE_DATA_H

#include "agent/update_store.h"

/** Writes places->next beside the tree that is there, and syncs it.
 *  @return 0, or -1: ERR_UNAVAILABLE (the partition is full, or nobody may write it), ERR_IO, ERR_BUSY;
 * nothing is left then */
MUST_USE int update_stage(const struct workload *w, const struct update_places *p, struct err *err);

/** Puts what was staged in the place of the tree that is there, by one rename, synced. On failure the old one
 * is there. @return 0, or -1 as update_stage() */
MUST_USE int update_store(const struct workload *w, const struct update_places *p, struct err *err);

/** Removes what is staged, or what was in the workload's place before. @return whether nothing is left there
 */
bool update_unstage(const struct workload *w, const struct update_places *p);

/** After a restart: waits until nothing is stored any more that was begun before.
 *  @return 0, or -1 with ERR_UNAVAILABLE */
MUST_USE int update_await_stored(const struct workload *w, struct err *err);

#endif
