/** evidence/collect.h: collecting evidence. One collector owns the machine's devices: the TPM on one worker
 * thread, the TEE report device on another, certificate fetches on a third. A request runs on them side by
 * side; nobody waits. */
#ifndef CVM_EVIDENCE_COLLECT_H
#define CVM_EVIDENCE_COLLECT_H

#include "base/buf.h"
#include "base/worker.h"
#include "tee/lower.h"
#include "tee/shape.h"
#include "tee/vek.h"
#include "tpm/tpm.h"

#define NONCE_MAX   30
#define MAGIC_SIZE  20
#define SERVICE_MAX 128
/* Azure: at most one fresh report in so many seconds. */
#define COLLECT_FRESH_SECONDS 5

struct collector;
struct collateral_service;

struct collector_options {
    const struct lower *lower;             /* kept by the caller as long as the collector */
    const struct shape *shape;             /* NULL: detect */
    const char *cache_dir;                 /* VEK certificates; NULL: no disk cache */
    const struct chain_pool *pool;         /* built-in vendor CAs; NULL: none */
    struct collateral_service *collateral; /* of TDX documents; kept by the caller; NULL: they have none */
    unsigned queue, queue_outside;         /* depth of each device's queue; 128 and 64 */
};

/** Opens the devices, detects the shape, loads the AK, reads the logs, flushes what an earlier instance left
 * in the TPM. A device that is there but does not answer is not an error: it is retried at each request.
 *  @return 0, or -1: ERR_NOT_FOUND with what was looked for, when there is no TEE and no TPM */
MUST_USE int collector_new(const struct collector_options *options, struct collector **out, struct err *err);

/** Drains and closes. Requests still queued get ERR_UNAVAILABLE. */
void collector_free(struct collector *c);

const struct shape *collector_shape(const struct collector *c);

/** The cloud as the machine's DMI names it; a machine without a cloud's usual parts has a shape without
 * cloud. */
enum cloud_type collector_cloud(const struct collector *c);
const char *collector_tpm_kind(const struct collector *c); /* "device", "external", "emulated", "none" */
const char *collector_boot_id(const struct collector *c);

/** How far the agent's logs go at one moment. */
struct log_marks {
    size_t workload, journal; /* their own units; LOG_MARK_NONE: not open */
    uint64_t generation;      /* of the workload log; odd: it is being written */
    uint8_t replay[32];       /* SHA-256 of the workload log: what a shape without TPM binds in report_data */
};
#define LOG_MARK_NONE SIZE_MAX

/** Asks for the marks: where a quote is made, on the TPM's worker, so that the quote and the logs beside it
 * belong together; on a shape without TPM where the report's data is made. Set it before the first request.
 * Without it the marks are LOG_MARK_NONE and the replay zero. */
typedef void log_marks_fn(void *arg, struct log_marks *out);
void collector_set_log_marks(struct collector *c, log_marks_fn *fn, void *arg);

/** How RTMR3 is reached on this machine, or NULL with the reason, a constant, in *why (NULL: not a TDX guest
 * that has it). Lives as long as the collector. */
const struct rtmr_io *collector_rtmr3(const struct collector *c, const char **why);

/** Runs fn on the TPM's worker, nobody waits: then done, on the same thread, with what fn returned.
 *  @param outside  counts against the outside share of the queue
 *  @return 0, or -1 and neither is called: ERR_LIMITED, ERR_UNAVAILABLE */
MUST_USE int collector_tpm_submit(struct collector *c, int (*fn)(struct tpm *tpm, void *arg, struct err *err),
                                  void (*done)(void *arg, int rc, const struct err *err), void *arg,
                                  bool outside, struct err *err);

struct evidence;

/** The marks of the moment that the evidence is of. */
const struct log_marks *evidence_log_marks(const struct evidence *e);

/** What POST /attestation asks (contract, section 2): what the report binds is made from these, by a rule of
 * the shape; the quotes carry the nonce. */
#define ATTESTATION_REPORT_DATA 64
#define ATTESTATION_NONCE       32
struct collect_attestation {
    uint8_t report_data[ATTESTATION_REPORT_DATA], nonce[ATTESTATION_NONCE];
    bool raw; /* the report has report_data as it is: only where the measured policy says so */
};

/** What is asked. All bytes are copied. */
struct collect_request {
    const struct collect_attestation
        *attestation;   /* NULL: a document; else magic, nonce, bank are not used */
    struct bytes magic; /* MAGIC_SIZE bytes */
    struct bytes nonce; /* 1..NONCE_MAX bytes: what the quote and the report bind */
    struct bytes
        shown_nonce; /* what the document says; empty: nonce (a service's socket binds another, contract 2) */
    const char *service; /* NULL unless asked on a service's socket */
    uint16_t bank;       /* ALG_SHA256, ALG_SHA384 */
    bool fresh;          /* Azure: a new HCL report bound to this nonce */
    bool outside;        /* counts against the outside share of the queues */
};

/** Called once, on a worker thread: evidence (owned by the callee: evidence_free) or NULL and the error. */
typedef void collect_done_fn(void *arg, struct evidence *evidence, const struct err *err);

/** Starts a collection. @return 0 and done will be called; or -1 and it will not: ERR_LIMITED, ERR_INPUT (no
 * such bank), ERR_UNAVAILABLE */
MUST_USE int collector_submit(struct collector *c, const struct collect_request *request,
                              collect_done_fn *done, void *arg, struct err *err);

/** As collector_submit(), waiting for the answer: for tools and tests. */
MUST_USE int collector_run(struct collector *c, const struct collect_request *request, struct evidence **out,
                           struct err *err);

void evidence_free(struct evidence *e);

/** Runs fn on the TPM's worker, waiting (start-up: journal events). The TPM is NULL when the shape has none.
 */
MUST_USE int collector_with_tpm(struct collector *c, int (*fn)(struct tpm *tpm, void *arg, struct err *err),
                                void *arg, struct err *err);

/** What the agent adds to a document; logs are complete JSON values, NULL: not open, said in "missing". */
struct document_extras {
    const char *workload_log, *journal_log;
    const char *no_mirror, *no_rtmr3; /* reasons for "missing"; NULL: not missing */
    const char *tls_spki_sha256;      /* hex text */
};

/** Appends the collaterals document of contract section 3. */
MUST_USE int evidence_document(const struct collector *c, const struct evidence *e,
                               const struct document_extras *extras, struct buf *out, struct err *err);

/** Appends what POST /attestation answers: an attest.Attestation where there is a TPM, else the bare report
 * or quote; as JSON its ProtoJSON form (of the bare ones sevsnp.Attestation or tdx.QuoteV4), indented by
 * tabs.
 *  @param e  of a request with attestation
 *  @return 0, or -1: ERR_UNAVAILABLE (the machine's report cannot be read) */
MUST_USE int evidence_attestation(const struct collector *c, const struct evidence *e, bool json,
                                  struct buf *out, struct err *err);

/** Appends the golden measurement document of contract section 4: {"golden_measurement":{...}}.
 *  @param pcrs  mask of the PCRs to pin; 0: the contract's default set
 *  @param all   1, 5, 6 and 10 too */
MUST_USE int evidence_golden(const struct collector *c, const struct evidence *e, uint32_t pcrs, bool all,
                             const char *workload_log, struct buf *out, struct err *err);

/** Counters for /metrics. */
struct collector_stats {
    uint64_t collected, failed, quote_retries, tpm_reopened, vek_hits, vek_misses, vek_fetch_failures;
    unsigned tpm_waiting, tee_waiting;
};
void collector_stats_get(struct collector *c, struct collector_stats *out);

#endif
