/** agent/measurements.h: the workload log of this boot over the collector's TPM: opened at the start, written
 * by whoever starts, updates or patches, read by every document. */
#ifndef CVM_AGENT_MEASUREMENTS_H
#define CVM_AGENT_MEASUREMENTS_H

#include "agent/request.h"
#include "evidence/collect.h"
#include "workload/workload_log.h"

struct measurements;

/** Opens STATE/workload.jsonl. Runs on the TPM's worker and waits: for start-up. Where the TPM does not
 * answer now, the next call that needs it tries again.
 *  @return 0, or -1 with the reason; *out is then NULL, or measurements that are not open yet
 * (ERR_UNAVAILABLE)
 */
MUST_USE int measurements_open(struct collector *c, const char *state, struct measurements **out,
                               struct err *err);

/** NULL is fine. After the collector was freed. */
void measurements_close(struct measurements *m);

/** The log, for those who measure (with collector_with_tpm()), or NULL while it is not open. Valid until
 * measurements_close(). */
struct workload_log *measurements_log(struct measurements *m);

/** What the comparison with the registers said, for the log. */
const char *measurements_verdict(struct measurements *m);

/** Where the log stands now. From any thread. @return false if it is not open */
bool measurements_mark(struct measurements *m, struct measured_mark *out);

/** Appends the events up to a mark as a JSON array. From any thread. */
void measurements_put(struct measurements *m, size_t mark, struct buf *out);

/** As workload_log_golden(). */
MUST_USE int measurements_golden(struct measurements *m, size_t mark, struct buf *out, struct err *err);

/** Reasons for a document's "missing", NULL where nothing is. */
const char *measurements_no_mirror(struct measurements *m);
const char *measurements_no_rtmr3(struct measurements *m);

/** GET /measurements: the report, made on the TPM's worker while the request waits. */
MUST_USE int measurements_begin(struct request *r, struct err *err);
MUST_USE int measurements_answer(struct request *r, struct buf *out, struct err *err);

#endif
