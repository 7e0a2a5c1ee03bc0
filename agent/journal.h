/** agent/journal.h: the management journal of contract section 6: what the agent itself does, extended into
 * PCR 14 and shown in every document. */
#ifndef CVM_AGENT_JOURNAL_H
#define CVM_AGENT_JOURNAL_H

#include "evidence/collect.h"
#include "workload/log.h"

struct journal;

/** Opens the journal of this boot below state and records the TLS key as the first event of this start. Runs
 * on the TPM's worker and waits: for start-up. A TPM that does not answer now is asked again in the
 * background.
 *  @param tls_spki  must stay as long as the journal
 *  @return 0, or -1 with the reason; *out is then NULL, or a journal that is not open yet (ERR_UNAVAILABLE)
 */
MUST_USE int journal_open(struct collector *c, const char *state, struct bytes tls_spki, struct journal **out,
                          struct err *err);

/** What the comparison with the TPM said, for the log. */
const char *journal_verdict(struct journal *j);

/** Appends the events as a JSON array. From any thread. @return false if the journal is not open yet */
bool journal_put(struct journal *j, struct buf *out);

/** Ends the background attempts: before the collector is freed. NULL is fine. */
void journal_stop(struct journal *j);

/** NULL is fine. */
void journal_close(struct journal *j);

#endif
