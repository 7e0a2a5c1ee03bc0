/** agent/acts.h: management acts (contract, section 6): each is an event of type act in the journal, whose
 * content is one line of RFC 8785 JSON: who, from where, what, outcome. The journal holds the digest; the
 * text is kept beside it and shown by GET /journal only, not to everybody who asks for evidence. */
#ifndef CVM_AGENT_ACTS_H
#define CVM_AGENT_ACTS_H

#include "agent/journal.h"
#include "base/json.h"

#define ACT_MAX       8192
#define ACTS_FILE_MAX (64u << 20)

struct acts;

/** Opens the texts of this boot below state; those of an earlier boot are removed.
 *  @return 0, or -1 with ERR_IO */
MUST_USE int acts_new(struct journal *journal, const char *state, const char *boot_id, struct acts **out,
                      struct err *err);
void acts_free(struct acts *a);

struct act {
    const char *verb;    /* "token-rotate", "update-workload", ... */
    const char *by;      /* token id; "": nobody had to say */
    const char *from;    /* address text, "internal", "socket" */
    const char *outcome; /* "done", "refused", "failed" */
    const char *why;     /* of a failure; NULL: none */
    json_t *what;        /* object, borrowed; NULL: nothing more to say */
};

/** Fails if no act could be recorded now: before something is done that must not be silent.
 *  @return 0, or -1 with ERR_UNAVAILABLE */
MUST_USE int acts_ready(struct acts *a, struct err *err);

/** Records an act: its text on disk, then the event. Waits for the TPM: not on a server thread.
 *  @return 0, or -1 with ERR_UNAVAILABLE or ERR_IO */
MUST_USE int acts_record(struct acts *a, const struct act *act, struct err *err);

/** The kept texts, by hex SHA-384: a new object {"hex":{...}}. */
MUST_USE int acts_read(struct acts *a, json_t **out, struct err *err);

/** Appends value as RFC 8785 says: keys sorted, nothing between tokens. Numbers must be integers that a
 * double holds exactly, keys ASCII.
 *  @return 0, or -1 with ERR_INPUT */
MUST_USE int jcs_put(struct buf *out, const json_t *value, struct err *err);

#endif
