/** policy/golden_compare.h: a machine's registers against a golden measurement. Pure. */
#ifndef CVM_POLICY_GOLDEN_COMPARE_H
#define CVM_POLICY_GOLDEN_COMPARE_H

#include "base/checks.h"
#include "policy/golden.h"

/** Records the checks golden.tee, golden.pcrs and golden.workload. What is pinned must match; nothing pinned
 * in a group makes its check not applicable. SHA-1 PCRs never match. A PCR 23 that is pinned to zero and is
 * zero gives the warning "no workload measured".
 *  @param machine      registers of verified evidence; lists that are not known fail what needs them
 *  @param not_checked  an array that receives the names of registers which the machine has and the document
 * does not pin */
void golden_compare(const struct golden *golden, const struct registers *machine, struct checks *checks,
                    json_t *not_checked);

/** Whether a PCR's events are what the document lists (true where it lists none).
 *  @param why  receives the reason when not, size bytes */
bool golden_events_match(const struct golden *golden, unsigned pcr, const struct event_digests *found,
                         char *why, size_t size);

#endif
