/** evidence/collect_internal.h: what the parts of the collector share; not for users. */
#ifndef CVM_EVIDENCE_COLLECT_INTERNAL_H
#define CVM_EVIDENCE_COLLECT_INTERNAL_H

#include "base/clock.h"
#include "evidence/collect.h"
#include "tee/ak_chain.h"
#include "tee/report.h"
#include "tee/vek.h"

#include <pthread.h>
#include <stdatomic.h>

#define MISSING_MAX         8
#define QUOTE_TRIES         5     /* a PCR that moves between quote and read: again */
#define COLLECT_WAIT_MAX    20000 /* ms in a queue before a request is given up */
#define VEK_WAIT_MS         3000  /* how long an answer waits for a certificate on its way */
#define HCL_REFRESH_S       3600  /* Azure: age of the boot report */
#define FRESH_INTERVAL_MS   (1000 * COLLECT_FRESH_SECONDS)
#define BOOT_LOG_MAX        (4u << 20)
#define ATTEST_MAX          4096
#define SIGNATURE_MAX       2048
#define AK_MAX              8192
#define COLLATERAL_TEXT_MAX (2u << 20)

struct missing {
    const char *key; /* literal: the member of the document */
    char why[200];
};

/** Azure's hardware report as last read. */
struct hcl_state {
    struct buf hcl, td_quote;
    time_t read_at; /* CLOCK_REALTIME */
};

/** Public parts of the attestation key; replaced as a whole, under the lock. */
struct ak_identity {
    struct buf spki, public_area, cert;
    char cert_why[200], chain_why[200];
    struct ak_chain chain;
};

/** Intel's collateral of this platform, ready for a document. */
struct kept_collateral {
    struct buf json, pck_chain;
    time_t until; /* then it is made anew */
};

struct boot_log {
    struct buf b64;
    char why[200]; /* why b64 is empty */
};

struct collector {
    const struct lower *lower;
    const struct shape *shape;
    enum cloud_type cloud;
    char boot_id[64];
    struct worker *tpm_worker, *tee_worker, *aux_worker;
    struct vek_store *veks;
    struct collateral_service *collateral; /* NULL: none */

    /* the TPM worker's own */
    TSS2_TCTI_CONTEXT *tcti;
    struct tpm *tpm;
    struct tpm_ak ak;
    struct tpm_banks banks;
    struct tpm_pcrs pcr_cache[TPM_BANKS_MAX]; /* values of the last good quote of the bank */

    pthread_mutex_t lock; /* guards what follows */
    struct ak_identity id;
    struct hcl_state hcl;
    struct kept_collateral tdx;
    bool hcl_refreshing;
    int64_t fresh_at_ms; /* start of the last fresh report, monotonic */
    bool fresh_running;
    log_marks_fn *marks; /* written once, before requests come */
    void *marks_arg;
    struct rtmr_io rtmr3;
    char rtmr3_path[256], rtmr3_why[200];

    struct boot_log log_tpm, log_ccel; /* written once, at start */
    atomic_uint_fast64_t collected, failed, quote_retries, tpm_reopened;
};

/** One collection in flight, and its result. The parts run on their workers; the last one to end calls done.
 */
struct evidence {
    struct job tpm_job, tee_job;
    struct collector *c;
    collect_done_fn *done;
    void *arg;
    atomic_int pending;
    int64_t asked_at_ms;

    uint8_t magic[MAGIC_SIZE], nonce[NONCE_MAX], shown_nonce[256];
    size_t nonce_n, shown_nonce_n;
    char service[SERVICE_MAX + 1];
    uint16_t bank;
    bool fresh, outside;
    bool attestation;                      /* what was asked is this, and not magic and nonce */
    struct collect_attestation asked;      /* if attestation */
    uint8_t extra[MAGIC_SIZE + NONCE_MAX]; /* what quotes carry */
    size_t extra_n;
    uint8_t report_data[REPORT_DATA_SIZE];

    pthread_mutex_t lock; /* guards err and missing: both parts may write them */
    struct err err;       /* the first failure */
    struct missing missing[MISSING_MAX];
    size_t missing_n;

    struct log_marks marks, bound; /* of the quote; of the moment when the report was asked for */
    struct buf quote, sig;
    struct tpm_pcrs pcrs;
    struct {
        struct buf quote, sig;
        struct tpm_pcrs pcrs;
    } second; /* of an attestation: the SHA-384 bank's; empty: it is not active */
    struct buf ak_spki, ak_public, ak_cert;
    struct ak_chain ak_chain;
    struct tee_report tee; /* SNP report or TDX quote */
    struct vek_certs certs;
    struct buf collateral; /* JSON; empty: none */
    struct buf hcl;
    const char *report_label; /* "boot", "fresh", NULL */
    time_t report_time;
};

/** The marks now. */
void collector_marks(struct collector *c, struct log_marks *out);

/** Notes a member that the document will not have. */
void evidence_missing(struct evidence *e, const char *key, const char *why);

/** Ends a part: err NULL for success. The last part calls done. */
void evidence_part_done(struct evidence *e, const struct err *err);

/** True (with the part ended) if the request has waited too long, or the other part has failed already. */
bool evidence_given_up(struct evidence *e);

/* collect_tpm.c: on the TPM worker */
MUST_USE int collector_tpm_ready(struct collector *c, struct err *err);
void collector_tpm_drop(struct collector *c);
void collect_tpm_part(struct job *job);

/* collect_tee.c: on the TEE worker */
void collect_kernel_part(struct job *job);
void collect_certificates(struct evidence *e, bool thim);

/* collect_collateral.c: ends the part */
void collect_collateral(struct evidence *e);

/* collect_azure.c */
MUST_USE int collector_hcl_read(struct collector *c, struct err *err); /* on the TPM worker, at start */
void collector_hcl_refresh_if_old(struct collector *c);
void collect_hcl_part(struct job *job);
MUST_USE int collect_fresh_admit(struct collector *c, struct err *err);
void collect_fresh_over(struct collector *c);

/* collect_start.c */
void collector_read_logs(struct collector *c);

#endif
