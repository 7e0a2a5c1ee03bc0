/** workload/workload_log.h: the workload log of one boot: what was measured, in the order it was measured, in
 * PCR 23 (what runs now), 15 (history), 16 (livepatches) and, where the kernel lets us, RTMR3. Contract,
 * section 6; docs/measurement.md.
 *
 * Everything that takes a struct tpm runs on the TPM's own thread (collector_with_tpm()), so that no quote
 * comes in between; NULL means a machine without TPM. The other functions may be called from any thread. */
#ifndef CVM_WORKLOAD_WORKLOAD_LOG_H
#define CVM_WORKLOAD_WORKLOAD_LOG_H

#include "workload/log.h"
#include "workload/measure.h"

struct workload_log;

struct workload_log_options {
    const char *path;            /* STATE/workload.jsonl */
    const char *boot_id;         /* of this boot */
    const struct rtmr_io *rtmr3; /* NULL: none; copied */
    const char *no_rtmr3;        /* a constant: why a TDX machine has none; NULL where nothing is missed */
};

/** Opens or creates the log of this boot, compares its replay with the registers and heals what a crash
 * between record and extend left undone.
 *  @return 0 (also when they disagree: ask workload_log_verdict()), or -1: ERR_INPUT (damaged), ERR_IO,
 * ERR_UNAVAILABLE (TPM) */
MUST_USE int workload_log_open(const struct workload_log_options *options, struct tpm *tpm,
                               struct workload_log **out, struct err *err);

/** NULL is fine. */
void workload_log_close(struct workload_log *log);

/** What workload_log_start() did. */
enum workload_start {
    WORKLOAD_MEASURED,  /* the first start of this boot */
    WORKLOAD_UNCHANGED, /* a restart: nothing was measured again */
    WORKLOAD_CONTINUED, /* a crash had cut the sequence of a start or rollback short: the rest was measured */
    WORKLOAD_ROLLED_BACK /* an update was measured, perhaps in part, and did not take place: recorded, the old
                            one measured again */
};

/** Measures a workload before its first container starts. A restart in the same boot measures nothing.
 *  @return 0, or -1 with nothing extended: ERR_DENIED (replay and registers disagree, or another workload
 * than was measured in this boot); ERR_UNAVAILABLE, ERR_IO: the TPM or the file failed, the next start
 * continues */
MUST_USE int workload_log_start(struct workload_log *log, struct tpm *tpm, const struct measure_plan *plan,
                                enum workload_start *how, struct err *err);

/** Before an update: whether there is room for it, and for going back from it. Else PCR 23 could end with a
 * part of a sequence, which nothing but a reboot mends.
 *  @param now   the workload that runs
 *  @param next  the one of the update
 *  @return 0, or -1 with ERR_UNAVAILABLE and the remedy */
MUST_USE int workload_log_room(struct workload_log *log, const struct measure_plan *now,
                               const struct measure_plan *next, struct err *err);

/** Measures an accepted update: `update`, PCR 23 from zero, the new sequence. On failure call
 * workload_log_rollback() with the plan that runs.
 *  @param zip_sha384  of the zip that was uploaded */
MUST_USE int workload_log_update(struct workload_log *log, struct tpm *tpm,
                                 const uint8_t zip_sha384[static 48], const struct measure_plan *plan,
                                 struct err *err);

/** Measures that an update failed: `rollback`, PCR 23 from zero, the old sequence.
 *  @param plan  the workload that goes on running */
MUST_USE int workload_log_rollback(struct workload_log *log, struct tpm *tpm,
                                   const uint8_t zip_sha384[static 48], const struct measure_plan *plan,
                                   struct err *err);

/** Measures that an update was cut short, before the workload of a start is: if the last change is an
 * `update`, `rollback` and what ran before it. Nothing otherwise. If it is cut short itself,
 * workload_log_start() goes on.
 *  @param from    records that there were before the update began: an older one took place
 *  @param undone  whether something was measured
 *  @return 0, or -1 as workload_log_start() */
MUST_USE int workload_log_undo(struct workload_log *log, struct tpm *tpm, size_t from, bool *undone,
                               struct err *err);

/** Measures a kernel livepatch, before it is loaded, into PCR 16 and 15.
 *  @param name  of the module */
MUST_USE int workload_log_livepatch(struct workload_log *log, struct tpm *tpm, const char *name,
                                    const uint8_t content_sha384[static 48], struct err *err);

/** What the comparison at the last open, or the last measurement, said; the text is for people. */
enum measured_verdict workload_log_verdict(struct workload_log *log);
const char *workload_log_verdict_text(struct workload_log *log);

/** Why the history is not where the contract has it, or NULL: members of a document's "missing".
 *  mirror: PCR 15 was not zero at the first start; rtmr3: the kernel has no file for it. */
const char *workload_log_no_mirror(const struct workload_log *log);
const char *workload_log_no_rtmr3(const struct workload_log *log);

/** Where the log stands at this moment: between starts, updates and patches, never inside one. Its history is
 * what a machine without TPM binds in its report. */
void workload_log_mark(struct workload_log *log, struct measured_mark *out);

/** Appends the events up to a mark's end (SIZE_MAX: all) as a JSON array. */
void workload_log_json(struct workload_log *log, size_t end, struct buf *out);

/** Appends the events of what runs at a mark (after the last update or rollback, without livepatches) as a
 * JSON array of type, name and content_sha384: what a golden measurement pins.
 *  @return 1, 0 with nothing appended when nothing was measured, or -1 */
MUST_USE int workload_log_golden(struct workload_log *log, size_t end, struct buf *out, struct err *err);

/** Appends the answer of GET /measurements: events, replay, value and verdict per register and bank. */
MUST_USE int workload_log_report(struct workload_log *log, struct tpm *tpm, struct buf *out, struct err *err);

/** The log under it, for measured_log_mark() and the like. */
struct measured_log *workload_log_base(struct workload_log *log);

#endif
