/** agent/verify_route.h: POST /offchain-verify: other machines judged. Verifications run on threads of their
 * own, as many as there are cores, each with a short queue: neither an event thread nor a device waits for
 * them. What a document lacks is fetched on further threads: a vendor's service that is slow delays nobody
 * whose document is complete. */
#ifndef CVM_AGENT_VERIFY_ROUTE_H
#define CVM_AGENT_VERIFY_ROUTE_H

#include "agent/request.h"

/** Contract, section 2: JSON bodies. */
#define VERIFY_BODY_MAX (4u << 20)

struct verifier;
struct verify_held;
struct verify_trust;
struct job;

struct verifier_options {
    unsigned threads;       /* 0: one a core */
    unsigned depth;         /* waiting for each thread; 0: a share of 128 */
    const char *directory;  /* the files that *_path may name lie below it; NULL or "": none may */
    bool allow_given_roots; /* trust_roots in a request */
    struct collateral_service *collateral; /* for what documents lack; outlives the verifier; NULL: none */
    bool revocation;                       /* AMD's CRL too */
};

/** Starts the threads, with the built-in roots. */
MUST_USE int verifier_new(const struct verifier_options *options, struct verifier **out, struct err *err);

/** Finishes what runs; what waits is answered 503. Requests to vendors are ended by collateral_stop(). NULL
 * is fine. */
void verifier_free(struct verifier *v);

/** Queues work that may wait for vendors' services, on the verifier's further threads.
 *  @return 0, or -1 with ERR_LIMITED or ERR_UNAVAILABLE */
MUST_USE int verifier_submit(struct verifier *v, struct job *job, struct err *err);

/** The roots to judge by: the built-in ones, and those of a request where this agent allows it.
 *  @param given  PEM, or NULL
 *  @param held   verify_held_done() it when *out is no longer used
 *  @return 0, or -1: ERR_DENIED (this agent takes no roots), ERR_INPUT, ERR_IO */
MUST_USE int verifier_roots(struct verifier *v, const char *given, struct verify_held *held,
                            const struct verify_trust **out, struct err *err);

/** What fetches VEKs and collateral, or NULL. */
struct collateral_service *verifier_collateral(const struct verifier *v);

/* Rows of the route table. */
int verify_begin(struct request *r, struct err *err);
int verify_answer(struct request *r, struct buf *out, struct err *err);

/** Frees a request's verification. NULL is fine. */
struct verify_job;
void verify_job_free(struct verify_job *job);

#endif
