/** tpm/eventlog.h: measured boot logs: TCG PC Client TPM logs (crypto-agile or SHA-1 only), CCEL of TDX
 * guests, and dstack's JSON form. A log is a hint: only its replay, compared with signed registers, makes it
 * worth something, and an event's data only if its digest covers it. Source: TCG PC Client Platform Firmware
 * Profile 1.05, sections 10.2 to 10.5 (little-endian); UEFI 2.10, section 38.4 (CC event log). */
#ifndef CVM_TPM_EVENTLOG_H
#define CVM_TPM_EVENTLOG_H

#include "tpm/pcrs.h"

/** Largest log and most events; real ones have some hundred events in less than 100 KiB. */
#define EVENTLOG_SIZE_MAX   (16u << 20)
#define EVENTLOG_EVENTS_MAX 16384

/** Largest JSON log: reading JSON takes some twenty times its size in memory; real ones have 8 KiB. */
#define EVENTLOG_JSON_MAX (1u << 20)

/** Hash algorithms in one log; more are refused. */
#define EVENTLOG_ALGS_MAX TPM_BANKS_MAX

enum tpm_eventlog_kind {
    EVENTLOG_AUTO,  /* for tpm_eventlog_parse() only: look and decide */
    EVENTLOG_TPM,   /* index = PCR */
    EVENTLOG_CCEL,  /* index = RTMR + 1; index 0 is MRTD, which no event extends */
    EVENTLOG_DSTACK /* JSON; index ("imr") = RTMR */
};

enum tpm_eventlog_format { EVENTLOG_AGILE, EVENTLOG_SHA1_ONLY, EVENTLOG_JSON };

/** Event types that code decides on; tpm_event_type_name() knows all of them. */
#define EV_NO_ACTION                  0x00000003u
#define EV_SEPARATOR                  0x00000004u
#define EV_ACTION                     0x00000005u
#define EV_EVENT_TAG                  0x00000006u
#define EV_S_CRTM_VERSION             0x00000008u
#define EV_IPL                        0x0000000Du
#define EV_NONHOST_INFO               0x00000011u
#define EV_DSTACK_RUNTIME             0x08000001u
#define EV_EFI_VARIABLE_DRIVER_CONFIG 0x80000001u
#define EV_EFI_VARIABLE_BOOT          0x80000002u
#define EV_EFI_BOOT_APPLICATION       0x80000003u
#define EV_EFI_GPT_EVENT              0x80000006u
#define EV_EFI_ACTION                 0x80000007u
#define EV_EFI_VARIABLE_BOOT2         0x8000000Cu
#define EV_EFI_VARIABLE_AUTHORITY     0x800000E0u

struct tpm_event {
    size_t offset;        /* of the event in the log; the number of the element in a JSON log */
    uint32_t index;       /* register, see enum tpm_eventlog_kind */
    uint32_t type;        /* EV_... */
    struct bytes digests; /* as they lie in the log; read them with tpm_event_digest() */
    struct bytes data;
    struct bytes name; /* JSON logs: the event's name; else empty */
};

struct tpm_eventlog {
    enum tpm_eventlog_kind kind; /* never EVENTLOG_AUTO */
    enum tpm_eventlog_format format;
    char spec[24]; /* "Spec ID Event03", "Spec ID Event02", "sha1-only", "dstack" */
    size_t alg_count;
    struct {
        uint16_t alg;
        uint16_t size;
    } algs[EVENTLOG_ALGS_MAX]; /* in the header's order */
    struct tpm_event *events;  /* owned; the header event first */
    size_t count;
    size_t used;      /* bytes up to the end marker, or all */
    uint8_t *storage; /* owned; what JSON logs decode to */
};

/** One digest of an event. */
struct tpm_event_digest {
    uint16_t alg;
    struct bytes value;
};

/** Registers as the log extends them: for each bank the values of those registers that have events. */
struct tpm_replay {
    size_t n;
    struct tpm_pcrs bank[EVENTLOG_ALGS_MAX]; /* pcr[i]: register i as numbered in the log */
};

/** Parses a whole log in one pass. After an end marker only padding of the same byte may follow.
 *  @param raw   must outlive *out, which keeps views into it
 *  @param kind  EVENTLOG_AUTO takes a log of SHA-384 alone with no index above 4 for a CCEL, text for
 * dstack's
 *  @param out   free with tpm_eventlog_done(); written only on success
 *  @return 0, or -1 with ERR_INPUT and the byte offset (cut short, an algorithm that the header lacks, ...),
 * or ERR_TOO_LARGE */
MUST_USE int tpm_eventlog_parse(struct bytes raw, enum tpm_eventlog_kind kind, struct tpm_eventlog *out,
                                struct err *err);

/** Frees what parsing allocated; for AUTO(tpm_eventlog_done). */
void tpm_eventlog_done(struct tpm_eventlog *log);

/** True if the bytes begin as a log does: a Spec ID header, a SHA-1 log of known event types, or dstack's
 * JSON. It may still fail to parse. */
bool tpm_eventlog_looks_like(struct bytes raw);

/** The digests of an event, at most EVENTLOG_ALGS_MAX. @return how many */
size_t tpm_event_digests(const struct tpm_eventlog *log, const struct tpm_event *event,
                         struct tpm_event_digest out[static EVENTLOG_ALGS_MAX]);

/** The digest of one algorithm. @return false if the event has none */
bool tpm_event_digest(const struct tpm_eventlog *log, const struct tpm_event *event, uint16_t alg,
                      struct bytes *out);

/** Extends every event into its register, bank by bank. EV_NO_ACTION extends nothing, but StartupLocality
 * sets where PCR 0 starts. Banks whose hash we do not have are left out.
 *  @return 0, or -1: ERR_INPUT (StartupLocality after PCR 0 was extended), ERR_IO (libcrypto) */
MUST_USE int tpm_eventlog_replay(const struct tpm_eventlog *log, struct tpm_replay *out, struct err *err);

/** Looks for events that play a separator or hide one: a separator ends what the firmware vouches for in its
 * PCR, so an event with a separator's digest and another type (or a separator whose digest is over something
 * else) makes the events around it look like what they are not.
 *  @return 0, or -1 with ERR_DENIED and the offset of the event */
MUST_USE int tpm_eventlog_check_separators(const struct tpm_eventlog *log, struct err *err);

/** The values of one bank, or NULL if the log does not have it. */
const struct tpm_pcrs *tpm_replay_bank(const struct tpm_replay *replay, uint16_t alg);

/** Number of the RTMR that index stands for in this log, or -1 (MRTD, or a TPM log). */
int tpm_eventlog_rtmr(const struct tpm_eventlog *log, uint32_t index);

/** "EV_SEPARATOR" and so on; NULL for a type that nobody defined. */
const char *tpm_event_type_name(uint32_t type);

/** Whether the digests cover the data, for types whose digest is over the data (grub's EV_IPL: over the text
 * after its prefix; EV_EFI_VARIABLE_BOOT: over the whole structure or the value alone, as firmwares differ).
 *  @return 1 yes for every digest, 0 no, -1 this type's digest is over something else */
int tpm_event_data_matches(const struct tpm_eventlog *log, const struct tpm_event *event);

/** What the data says, as a new JSON object whose members depend on the type; JSON null where nothing is
 * known, the data is malformed or memory is short: a reading aid, never a check. */
json_t *tpm_event_decode(const struct tpm_event *event);

/** {"spec":text,"banks":{"sha256":{"0":hex,...}},"events":[...]}. Each event: "index" (running number), "pcr"
 * (TPM log), "mr_index" (CCEL) or "imr" (dstack), "type", "type_name" (null if unknown), "digests":{alg:hex},
 * "size", "data" (hex), "event" (dstack: the name), "data_matches_digest" (true, false, null), "decoded".
 *  @param out  a new reference
 *  @return 0, or -1 as tpm_eventlog_replay(), or ERR_IO when memory is short */
MUST_USE int tpm_eventlog_json(const struct tpm_eventlog *log, json_t **out, struct err *err);

#endif
