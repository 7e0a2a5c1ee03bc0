/** workload/log.h: a measured log: a file of events, each extended into PCRs, so that a verifier can replay
 * the file and compare. Scheme cvm-agent-v1 (docs/measurement.md): preimage = "cvm-agent-v1" 00 type 00 name
 * 00 SHA-384(content);  digest = H(preimage) per bank The record is written and synced before the extend: a
 * crash between the two is found, and healed, at the next open.
 */
#ifndef CVM_WORKLOAD_LOG_H
#define CVM_WORKLOAD_LOG_H

#include "tpm/measured.h"
#include "tpm/tpm.h"

#define MEASURED_REGISTERS_MAX 4

struct measured_log;

/** What a replay of the log against the TPM said. */
enum measured_verdict {
    MEASURED_UNROOTED, /* no TPM: the log stands on nothing */
    MEASURED_AGREES,   /* replay equals the PCRs */
    MEASURED_HEALED,   /* the last record had not been extended; it has been now */
    MEASURED_DISAGREES /* somebody else extended, or the file was changed; nothing is extended any more */
};

/** Opens or creates the log of this boot; records of an earlier boot are set aside (path.previous). Compares
 * the replay with the TPM. Call it where the TPM may be used.
 *  @param pcrs  the PCRs that the events of this log go to; their values at the first open are the replay's
 * start
 *  @param tpm   NULL: no TPM, records only
 *  @return 0 (also when they disagree: ask measured_log_verdict), or -1: ERR_INPUT (the file is damaged:
 * line), ERR_IO */
MUST_USE int measured_log_open(const char *path, const char *boot_id, struct tpm *tpm, const unsigned *pcrs,
                               size_t n, struct measured_log **out, struct err *err);

void measured_log_close(struct measured_log *log);

enum measured_verdict measured_log_verdict(const struct measured_log *log);

/** One line for people: what the verdict means and where the replay parted. */
const char *measured_log_verdict_text(const struct measured_log *log);

/** Records an event and extends it into the given PCRs (each one of those named at open).
 *  @param name     UTF-8 without NUL, may be empty
 *  @return 0, or -1 with nothing recorded or extended, except ERR_UNAVAILABLE after the record was written:
 * it is extended at the next open */
MUST_USE int measured_log_add(struct measured_log *log, struct tpm *tpm, const char *type, const char *name,
                              struct bytes content, const unsigned *pcrs, size_t n, struct err *err);

/** Appends the records as a JSON array. Callable from any thread while another adds. */
void measured_log_json(struct measured_log *log, struct buf *out);

/** Records so far. */
size_t measured_log_count(struct measured_log *log);

#endif
