/** workload/log_internal.h: what the parts of workload/log share; not for users. */
#ifndef CVM_WORKLOAD_LOG_INTERNAL_H
#define CVM_WORKLOAD_LOG_INTERNAL_H

#include "workload/log.h"

#include <jansson.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

/* The records as in documents; with their chain and the first line, as on disk. */
#define LOG_FILE_MAX (64u << 20)
#define LOG_DISK_MAX (LOG_FILE_MAX + (MEASURED_EVENTS_MAX + 1) * 128u + 65536)
#define LOG_TEXT_MAX 200

/** One event, wherever it came from. */
struct log_event {
    const char *type, *name;
    const uint8_t *content_sha384;
    uint32_t pcrs; /* mask */
};

/** Values of all registers of a log: what a replay gives, or what they held. */
struct log_values {
    struct digest pcr[MEASURED_REGISTERS_MAX][TPM_BANKS_MAX]; /* as log->pcrs and log->banks */
    struct digest rtmr3;
};

struct measured_log {
    pthread_mutex_t writer; /* one record at a time: append, extend; guards all but what lock guards */
    pthread_mutex_t lock;   /* for readers: guards json, count, history, changes, shown */
    struct buf json;        /* the records as in documents, comma separated; grows only */
    size_t count;
    struct digest history; /* SHA-256, of every event from zero */
    unsigned changes;      /* that are going on, each in the other */
    struct measured_mark shown;

    char path[PATH_MAX], boot_id[64];
    int fd;
    uint8_t chain[32]; /* of the last line */
    unsigned pcrs[MEASURED_REGISTERS_MAX];
    size_t pcr_count;
    uint32_t reset, touched; /* masks of PCRs */
    struct tpm_banks banks;  /* empty without TPM */
    bool has_rtmr3;
    struct rtmr_io rtmr3;
    struct log_values start, now, before; /* before: without the last record */
    uint32_t last_pcrs;                   /* of the last record */
    bool last_restarts;                   /* it was an update or rollback */
    struct digest last[TPM_BANKS_MAX], last_rtmr3;
    bool owed; /* the last record may be missing in some register */
    _Atomic(enum measured_verdict) verdict;
    _Atomic(const char *) text; /* one of: */
    char text_open[LOG_TEXT_MAX], text_later[LOG_TEXT_MAX];
};

/** The row of a PCR, or -1. */
int log_slot(const struct measured_log *log, unsigned pcr);

/** True for `update` and `rollback`: what runs is measured from zero after them. */
bool log_restarts(const char *type);

/** Takes an event into the replay. @return 0, or -1 with nothing changed */
MUST_USE int log_step(struct measured_log *log, const struct log_event *e, struct err *err);

/** Takes a record, as documents show it, into json, count and history. */
void log_keep(struct measured_log *log, const struct log_event *e, struct bytes record);

/* ---- log_file.c ---- */

/** Reads the file of this boot, or begins one with the start values that are in log->start.
 *  @param began  set if it was begun now */
MUST_USE int log_load(struct measured_log *log, bool *found, struct err *err);
MUST_USE int log_begin(struct measured_log *log, struct err *err);

/** Writes and syncs one record. @param record  as documents show it: {...} */
MUST_USE int log_append(struct measured_log *log, struct bytes record, struct err *err);

/* ---- log_registers.c ---- */

/** What the registers hold now. */
MUST_USE int log_read(const struct measured_log *log, struct tpm *tpm, struct log_values *out,
                      struct err *err);

/** Extends the last record into every register it belongs to. */
MUST_USE int log_extend(struct measured_log *log, struct tpm *tpm, struct err *err);

/** Compares, and extends the last record where it is missing. Sets verdict and text.
 *  @return 0 also when they disagree */
MUST_USE int log_settle(struct measured_log *log, struct tpm *tpm, struct err *err);

#endif
