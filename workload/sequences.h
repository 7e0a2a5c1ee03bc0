/** workload/sequences.h: the sequences of a workload log: what was measured between two updates or rollbacks;
 * not for users of workload/workload_log.h. */
#ifndef CVM_WORKLOAD_SEQUENCES_H
#define CVM_WORKLOAD_SEQUENCES_H

#include "workload/log.h"
#include "workload/measure.h"

struct sequence {
    const json_t *first; /* the update or rollback before it; NULL: the start of the boot */
    json_t *events;      /* without livepatches */
};

struct sequences {
    json_t *log;
    struct sequence last, base; /* base: what ran when the last update came; events NULL: no update did */
};

/** The events up to a mark's end (SIZE_MAX: all).
 *  @param out  sequences_done() frees it; written only on success
 *  @return 0, or -1: ERR_INPUT, ERR_IO */
MUST_USE int sequences_read(struct measured_log *log, size_t mark, struct sequences *out, struct err *err);

/** Of a zeroed one too. */
void sequences_done(struct sequences *s);

/** A member of an event; "" if it has none. */
const char *sequence_text(const json_t *event, const char *key);

/** True if it ends with `ready`. */
bool sequence_is_complete(const struct sequence *s);

/** True if an event of that type is before it. */
bool sequence_is_after(const struct sequence *s, const char *type);

/** True if what was measured is how the plan begins, or all of it. */
bool sequence_begins(const struct sequence *s, const struct measure_plan *plan);
bool sequence_is_whole(const struct sequence *s, const struct measure_plan *plan);

#endif
