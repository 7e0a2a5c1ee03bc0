/** agent/operate.h: the management routes' ground: one thread on which their work is done, one after the
 * other, so that no server thread waits for the TPM or a disk; who called; the record of what was done. */
#ifndef CVM_AGENT_OPERATE_H
#define CVM_AGENT_OPERATE_H

#include "agent/acts.h"
#include "agent/auth.h"
#include "agent/identity.h"
#include "agent/request.h"
#include "workload/policy.h"

struct operate;
struct workload;
struct maintenance;
struct log_streams;

struct operate_options {
    struct collector *collector; /* all kept by the caller as long as the operate */
    struct auth *auth;
    const struct workload_policy *policy; /* until operate_set_policy() */
    struct workload *workload;            /* NULL: there is none */
    struct journal *journal;              /* NULL: none could be opened */
    const char *state, *boot_id;
    const char *socket;             /* its folder is the machine's own, whatever is emulated */
    const uint8_t *tls_spki_sha256; /* 32 bytes; copied */
};

MUST_USE int operate_new(const struct operate_options *options, struct operate **out, struct err *err);

/** Ends the thread: waiting requests get 503. Before the collector is freed; requests may still be there. */
void operate_stop(struct operate *o);

/** NULL is fine. */
void operate_free(struct operate *o);

/** The measured policy, from any thread: what it says is in effect from now on. */
void operate_set_policy(struct operate *o, const struct workload_policy *policy);
const struct workload_policy *operate_policy(const struct operate *o);
struct maintenance *operate_maintenance(const struct operate *o); /* NULL without workload */
struct log_streams *operate_streams(const struct operate *o);
struct workload *operate_workload(const struct operate *o);
struct identity *operate_identity(const struct operate *o);
const char *operate_state(const struct operate *o);
const char *operate_run(const struct operate *o); /* the socket's folder: "/run/cvm-agent" */
struct auth *operate_auth(const struct operate *o);
struct acts *operate_acts(const struct operate *o);
struct journal *operate_journal(const struct operate *o);
const uint8_t *operate_spki_sha256(const struct operate *o);

/** The work of a request, on operate's thread: appends the answer. */
typedef int operate_fn(struct request *r, struct buf *out, struct err *err);

/** For a route's begin: queues the work, which ends in request_resume().
 *  @return 0, or -1 with ERR_LIMITED (too many wait) or ERR_UNAVAILABLE */
MUST_USE int operate_begin(struct request *r, operate_fn *work, struct err *err);

/** The threads on which work is done: what waits for the TPM a moment; what waits for the engine; updates. */
enum operate_thread { OPERATE_SHORT, OPERATE_ENGINE, OPERATE_UPDATE, OPERATE_THREADS };

/** As operate_begin() on one of the threads.
 *  @param dropped  called instead of work at shutdown; may be NULL */
MUST_USE int operate_begin_on(struct request *r, enum operate_thread thread, operate_fn *work,
                              void (*dropped)(struct request *r), struct err *err);

/** Begins to take the file that a request brings. */
MUST_USE int operate_upload(struct request *r, bool raw, uint64_t max, struct err *err);

/** Writes what was collected of it on a thread of its own; ends in request_resume(). */
MUST_USE int operate_flush(struct request *r, struct err *err);

/** A route's answer after operate_begin(). */
MUST_USE int operate_answer(struct request *r, struct buf *out, struct err *err);

struct op;
void op_free(struct op *op);

/** Records an act of this request's caller.
 *  @param what  an object, borrowed, or NULL
 *  @param failure  NULL: it was done */
MUST_USE int operate_record(struct request *r, const char *verb, json_t *what, const struct err *failure,
                            struct err *err);

/** As operate_record() for somebody who called earlier. */
MUST_USE int operate_record_for(struct operate *o, const char *by, const char *from, const char *verb,
                                json_t *what, const struct err *failure, struct err *err);

/** Where a request came from, as the record has it. */
#define OPERATE_FROM_TEXT 64
void operate_from_text(const struct request *r, char out[static OPERATE_FROM_TEXT]);

/** Looks after what waits: now and then, from the main thread. */
void operate_tick(struct operate *o, uint64_t now_ms);

#endif
