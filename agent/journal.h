/** agent/journal.h: the management journal of contract section 6: what the agent itself does, extended into
 * PCR 14 and shown in every document. */
#ifndef CVM_AGENT_JOURNAL_H
#define CVM_AGENT_JOURNAL_H

#include "evidence/collect.h"
#include "workload/log.h"

struct journal;

/** What else is recorded as soon as the journal is open. */
struct journal_start {
    struct bytes tls_spki;     /* must stay as long as the journal */
    const char *token_id;      /* of a preset token that this boot has not used yet; NULL: none; copied */
    void (*opened)(void *arg); /* the token is recorded; on whatever thread; NULL: nobody asks */
    void *arg;
};

/** Opens the journal of this boot below state and records the TLS key as the first event of this start. Runs
 * on the TPM's worker and waits: for start-up. A TPM that does not answer now is asked again in the
 * background.
 *  @return 0, or -1 with the reason; *out is then NULL, or a journal that is not open yet (ERR_UNAVAILABLE)
 */
MUST_USE int journal_open(struct collector *c, const char *state, const struct journal_start *start,
                          struct journal **out, struct err *err);

/** What the comparison with the TPM said, for the log. */
const char *journal_verdict(struct journal *j);

/** How far the journal goes now. From any thread. @return false if it is not open yet */
bool journal_mark(struct journal *j, struct measured_mark *out);

/** Appends the events up to a mark (SIZE_MAX: all) as a JSON array. From any thread. @return false if the
 * journal is not open yet */
bool journal_put(struct journal *j, size_t mark, struct buf *out);

/** Fails unless an event could be added now. @return 0, or -1 with ERR_UNAVAILABLE: not open yet, or the
 * replay disagrees with the TPM and nothing is added any more */
MUST_USE int journal_ready(struct journal *j, struct err *err);

/** Adds an event, extended into PCR 14. Waits for the TPM's worker: not on it, and not on a server thread.
 *  @return 0, or -1 with ERR_UNAVAILABLE or ERR_IO */
MUST_USE int journal_add(struct journal *j, const char *type, const char *name, struct bytes content,
                         struct err *err);

/** Appends measured_log_report(): the closing bracket is the caller's. Waits as journal_add() does. */
MUST_USE int journal_report(struct journal *j, struct buf *out, struct err *err);

/** Ends the background attempts: before the collector is freed. NULL is fine. */
void journal_stop(struct journal *j);

/** NULL is fine. */
void journal_close(struct journal *j);

#endif
