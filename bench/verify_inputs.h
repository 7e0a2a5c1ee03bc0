/** bench/verify_inputs.h: what verification is measured with: documents of emulated machines, and the roots
 * that they chain to. */
#ifndef CVM_BENCH_VERIFY_INPUTS_H
#define CVM_BENCH_VERIFY_INPUTS_H

#include "agent_process.h"
#include "stats.h"

#include "appraisal/appraise.h"

#include <limits.h>

/** Prints what failed and why, and ends the program. */
_Noreturn void bench_fatal(const char *what, const struct err *err);

/** A document of an emulated machine, and the trust that accepts it. */
struct input {
    char state[PATH_MAX]; /* the machine's */
    char *text;           /* the document, terminated */
    size_t text_n;
    char *roots; /* PEM */
    size_t roots_n;
    struct document document;
    struct verify_trust trust;
    time_t at;
};

/** Starts an agent that emulates the shape and asks it for its collaterals; ends the program on failure.
 *  @param agent  left running, the caller's to stop */
void input_make(struct input *in, const char *program, const char *folder, const char *shape,
                struct agent_process *agent);
void input_done(struct input *in);

/** Two ways to do the same work, in alternating blocks: both see the same noise of a shared machine. */
struct race {
    void (*bare)(void *ctx), (*ours)(void *ctx);
    void *ctx;
    unsigned rounds;
    double bare_us, ours_us; /* results: medians */
};

void race_run(struct race *r);

/** Runs the race and prints both medians and their ratio.
 *  @param inverse  the ratio is a speed: at least the limit, instead of a time: at most */
void race_print(struct race *r, const char *bare, const char *ours, const char *ratio, double limit,
                bool inverse);

/** The parts of a verification beside libcrypto's operations. */
void bench_snp(struct input *in, unsigned rounds);
void bench_tdx(struct input *in, unsigned rounds);
void bench_tpm(struct input *in, unsigned rounds);
void bench_log(struct input *in, unsigned rounds);

/** One bare P-384 verification, of the report of this document; callable from several threads. */
struct snp_bench;
struct snp_bench *snp_bare_new(struct input *in);
void snp_bare_once(const struct snp_bench *b);
void snp_bare_free(struct snp_bench *b);

/** POST /offchain-verify of a running agent beside the library; clients and threads in parallel. */
void bench_service(struct input *in, const struct agent_process *agent, unsigned rounds);

/** The whole answer of one document as text, by the library. A refusal ends the program. */
void library_answer(const struct input *in, struct verify_cache *cache);

#endif
