/** cli/diff.h: two documents, register by register, and the event that explains the first difference. */
#ifndef CVM_CLI_DIFF_H
#define CVM_CLI_DIFF_H

#include "evidence/verify_document.h"
#include "policy/golden.h"
#include "tpm/eventlog.h"

#define DIFF_TEXT_MAX 512

/** A boot log of a document. */
struct diff_log {
    bool there;
    struct tpm_eventlog log; /* views into the document */
};

/** One of the two documents. Begin with { 0 }. */
struct diff_side {
    const char *path; /* borrowed, for messages */
    bool golden;
    struct golden pinned;     /* golden: what it pins; else only pinned.want is used */
    struct document document; /* else */
    struct diff_log tpm, ccel;
};

struct difference {
    char name[REGISTER_NAME_MAX];
    char a[DIFF_TEXT_MAX], b[DIFF_TEXT_MAX]; /* values in words; empty: not there */
    int pcr, rtmr;                           /* number, or -1 */
};

/** All differences, histories last. Begin with { 0 }. */
struct diff {
    size_t n, cap, compared;
    struct difference *list; /* owned */
};

/** Reads a golden measurement or collaterals document. @return 0, or -1 with ERR_INPUT */
MUST_USE int diff_side_read(json_t *document, struct diff_side *out, struct err *err);
void diff_side_done(struct diff_side *side);

MUST_USE int diff_registers(const struct diff_side *a, const struct diff_side *b, struct diff *out,
                            struct err *err);
void diff_done(struct diff *d);

/** The first event that differs in the first of the differing registers whose events both sides have:
 * {"register","number","a":{"digest","type_name"?,"decoded"?}|null,"b":...}; *out stays NULL if there is
 * none.
 */
MUST_USE int diff_event(const struct diff_side *a, const struct diff_side *b, const struct diff *d,
                        json_t **out, struct err *err);

#endif
