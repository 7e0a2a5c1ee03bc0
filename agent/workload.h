/** agent/workload.h: the workload that this agent runs: where it lies, what it is, and who runs it. Made at
 * start (agent/workload_start.h), changed by updates (agent/update.h), looked at by the management routes.
 *
 * Below the private folder: "current", the copy that was measured and that containers see; "next", an update
 * being judged; "retired-N", copies that containers which an update left alone may still see. The path of
 * "current" never changes, so a service that does not change keeps its container. */
#ifndef CVM_AGENT_WORKLOAD_H
#define CVM_AGENT_WORKLOAD_H

#include "agent/priv_client.h"
#include "evidence/collect.h"
#include "workload/compose.h"
#include "workload/lint.h"
#include "workload/measure.h"
#include "workload/policy.h"
#include "workload/runner.h"
#include "workload/signature_policy.h"
#include "workload/tree.h"

#include <stdatomic.h>

#define WORKLOAD_OWNER_PATH "config/cvm_agent/owner.pub"
#define WORKLOAD_PROJECT    "workload" /* label of containers, prefix of their names */

struct measurements;
struct workload;

/** A private copy, judged and ready to be measured and started. */
struct prepared {
    struct workload_tree *tree;
    struct workload_policy policy;
    struct buf owner_pub; /* config/cvm_agent/owner.pub; empty: none */
    struct compose *compose;
    struct signature_policy signatures;
    struct runner_image *images; /* one for each service, after prepare_images() */
    struct measure_plan *plan;   /* after prepare_images() */
};

struct workload {
    /* fixed after start */
    struct collector *collector;
    struct priv_client *priv;
    const char *directory;             /* on the data partition: --workload */
    const char *private_dir;           /* on the private medium; NULL: there is none */
    const char *etc;                   /* "/etc": subuid, subgid; NULL: owners are not looked up */
    bool has_engine;                   /* runner.engine can be used */
    uint16_t external_port;            /* of the agent's HTTPS server */
    struct runner runner;              /* tree and listing are those of now */
    struct measurements *measurements; /* NULL: the workload log could not be opened */
    bool firewall;                     /* whether rules are set at all */
    _Atomic(const struct workload_policy *)
        policy; /* the measured one; everything closed until it is known */

    /* around a change of what runs, for those who watch it; NULL: nobody. before: next will run, its sockets
     * are needed; after: w->now runs, the new one if done */
    void (*before)(void *ctx, const struct prepared *next);
    void (*after)(void *ctx, struct workload *w, bool done);
    void *ctx;
    const char *why_not; /* why nothing runs, for people; NULL: it does, or there is no workload */

    atomic_bool
        cancel; /* the agent stops: what waits for the engine gives up; runner.engine.cancel points here */
    atomic_bool busy;     /* somebody starts or updates; now belongs to him */
    struct prepared *now; /* what runs; NULL: nothing */
};

/** Judges a private copy that was listed: reads policy, owner.pub and compose file from it, lints, reads the
 * signature policy. Nothing is pulled, loaded or started.
 *  @param tree  of workload_tree_take() at boot, of workload_tree_read() at an update; prepared's from now,
 *               freed on failure too
 *  @param etc   as in struct workload
 *  @param warn  gets warnings of policy, compose file and lint; may be NULL
 *  @param out   prepared_free() frees it; written only on success
 *  @return 0, or -1: ERR_INPUT (malformed), ERR_DENIED (lint, an image .tar where signatures are wanted),
 *  ERR_TOO_LARGE, ERR_IO */
MUST_USE int prepare_read(struct workload_tree *tree, const char *etc,
                          void (*warn)(void *arg, const char *text), void *arg, struct prepared **out,
                          struct err *err);

/** Gets the images into the engine, under the signature policy that it was started with, and makes the plan
 * of what is measured.
 *  @return 0, or -1: ERR_DENIED (signature policy), ERR_NOT_FOUND, ERR_UNAVAILABLE, ERR_INPUT */
MUST_USE int prepare_images(struct prepared *p, const struct runner *runner, struct err *err);

/** Removes the images that w->now has no use for: after a start and after everything that may have brought
 * others. A failure is logged, and made good by the next call. */
void prepare_tidy_images(const struct workload *w);

/** NULL is fine; the directory stays. */
void prepared_free(struct prepared *p);

static inline void prepared_drop(struct prepared **p)
{
    prepared_free(*p);
}

#endif
