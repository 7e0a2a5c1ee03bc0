/** workload/log.h: a measured log: a file of events, each extended into PCRs (and RTMR3), so that a verifier
 * can replay the file and compare. Scheme cvm-agent-v1 (docs/measurement.md). The journal and the workload
 * log are such files.
 *
 * One writer: a record is appended, synced and then extended under one lock; a crash between the two is
 * found, and healed, at the next open. The file is hash-chained and readable by its owner only. */
#ifndef CVM_WORKLOAD_LOG_H
#define CVM_WORKLOAD_LOG_H

#include "tpm/measured.h"
#include "tpm/rtmr.h"
#include "tpm/tpm.h"

#define MEASURED_REGISTERS_MAX 4

struct measured_log;

/** What a replay of the log against the registers said. */
enum measured_verdict {
    MEASURED_UNROOTED, /* neither TPM nor RTMR3: the log stands on nothing */
    MEASURED_AGREES,   /* replay equals the registers */
    MEASURED_HEALED,   /* the last record had not been extended; it has been now */
    MEASURED_DISAGREES /* somebody else extended, or the file was changed; nothing is extended any more */
};

struct measured_log_options {
    const char *path;
    const char *boot_id;
    const unsigned *pcrs; /* the PCRs that the events of this log may go to */
    size_t pcr_count;
    uint32_t reset; /* bits of those that begin at zero: reset by measured_log_reset() before their first
                       event and after each `update` and `rollback`; the others begin at what they held */
    const struct rtmr_io *rtmr3; /* every event goes there too; NULL: no. Copied */
};

/** Opens or creates the log of this boot; records of an earlier boot are set aside (path.previous). Compares
 * the replay with the registers, and heals. Call it where the TPM may be used.
 *  @param tpm   NULL: no TPM
 *  @return 0 (also when they disagree: ask measured_log_verdict), or -1: ERR_INPUT (the file is damaged:
 * line), ERR_IO, ERR_UNAVAILABLE */
MUST_USE int measured_log_open_with(const struct measured_log_options *options, struct tpm *tpm,
                                    struct measured_log **out, struct err *err);

/** As measured_log_open_with() with PCRs only, none of which is reset. */
MUST_USE int measured_log_open(const char *path, const char *boot_id, struct tpm *tpm, const unsigned *pcrs,
                               size_t n, struct measured_log **out, struct err *err);

void measured_log_close(struct measured_log *log);

enum measured_verdict measured_log_verdict(const struct measured_log *log);

/** One line for people: what the verdict means and where the replay parted. */
const char *measured_log_verdict_text(const struct measured_log *log);

/** Records an event and extends it into the given PCRs (each one of those named at open).
 *  @param name     UTF-8 without NUL, may be empty
 *  @return 0, or -1 with nothing recorded or extended, except ERR_UNAVAILABLE after the record was written:
 * it is extended before the next event, or at the next open */
MUST_USE int measured_log_add(struct measured_log *log, struct tpm *tpm, const char *type, const char *name,
                              struct bytes content, const unsigned *pcrs, size_t n, struct err *err);

/** As measured_log_add(), for content that was hashed before. */
MUST_USE int measured_log_add_sha384(struct measured_log *log, struct tpm *tpm, const char *type,
                                     const char *name, const uint8_t content_sha384[static 48],
                                     const unsigned *pcrs, size_t n, struct err *err);

/** Whether so many more events can be added.
 *  @param names  bytes of all their names, as JSON strings
 *  @return 0, or -1 with ERR_UNAVAILABLE: another boot begins another log */
MUST_USE int measured_log_room(struct measured_log *log, size_t events, size_t names, struct err *err);

/** Resets the PCRs of the reset mask that no event has touched yet: before the first one. */
MUST_USE int measured_log_reset(struct measured_log *log, struct tpm *tpm, struct err *err);

/** Compares the registers with the replay now, and heals.
 *  @return 0, or -1: ERR_DENIED (they disagree; from now on nothing is extended), ERR_UNAVAILABLE */
MUST_USE int measured_log_check(struct measured_log *log, struct tpm *tpm, struct err *err);

/** True if that PCR, or RTMR3, held zero in every bank when the log was begun; also without TPM or RTMR3. */
bool measured_log_began_zero(const struct measured_log *log, unsigned pcr);
bool measured_log_rtmr3_began_zero(const struct measured_log *log);

/** Appends the records as a JSON array. Callable from any thread while another adds. */
void measured_log_json(struct measured_log *log, struct buf *out);

/** Where a log stands at one moment: between two changes, never inside one. */
struct measured_mark {
    size_t end;          /* for measured_log_json_until() */
    uint8_t history[32]; /* SHA-256 replay of all events from zero; zero without events */
    uint64_t generation; /* odd: a change is going on, and registers may be ahead of what is shown */
};

/** From any thread. A quote and the log beside it belong together if the mark was taken on the thread that
 * made the quote and changes the log; elsewhere if the generation before and after the quote is the same and
 * even. */
void measured_log_mark(struct measured_log *log, struct measured_mark *out);

/** The events up to a mark's end, as a JSON array (SIZE_MAX: all). From any thread. */
void measured_log_json_until(struct measured_log *log, size_t end, struct buf *out);

/** Several events that are one change: marks stay where they were until it has ended. Every add is one by
 * itself; they nest. */
void measured_log_change_begin(struct measured_log *log);
void measured_log_change_end(struct measured_log *log);

/** Records so far. */
size_t measured_log_count(struct measured_log *log);

/** Appends {"scheme","boot_id","verdict","detail","registers":{"23":{"verdict":"agrees","sha256":{"replay",
 * "value"},...},...},"events":[...]: what the log says, what the registers hold, and whether that is one. The
 * closing bracket is the caller's, who may add members.
 *  @param tpm  as at open */
MUST_USE int measured_log_report(struct measured_log *log, struct tpm *tpm, struct buf *out, struct err *err);

#endif
