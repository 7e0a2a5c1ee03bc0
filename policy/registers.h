/** policy/registers.h: what a golden measurement is compared with: the registers of one machine, without the
 * evidence that they came from. Whoever verified the evidence fills it; nothing here judges where a value
 * came from. */
#ifndef CVM_POLICY_REGISTERS_H
#define CVM_POLICY_REGISTERS_H

#include "base/digest.h"

#include <jansson.h>

#define REGISTER_PCRS     24
#define REGISTER_SIZE_MAX 48
#define REGISTER_NAME_MAX 32 /* room for "PCR 11 (sha256)", "sev_snp.author_key_digest" */

/** Events of one PCR, and of a workload: more are refused. */
#define REGISTER_EVENTS_MAX 16384
#define WORKLOAD_EVENTS_MAX 65536
/** Longest type of a workload event, and longest name. */
#define WORKLOAD_TYPE_MAX 32
#define WORKLOAD_NAME_MAX 4096

/** The PCR that says which workload runs. */
#define WORKLOAD_PCR 23

/** Registers that the TEE's hardware signs. */
enum register_id {
    REG_SNP_MEASUREMENT,
    REG_SNP_POLICY,
    REG_SNP_VMPL,
    REG_SNP_FAMILY_ID,
    REG_SNP_IMAGE_ID,
    REG_SNP_HOST_DATA,
    REG_SNP_ID_KEY_DIGEST,
    REG_SNP_AUTHOR_KEY_DIGEST,
    REG_TDX_MR_TD,
    REG_TDX_MR_SEAM,
    REG_TDX_MR_SIGNER_SEAM,
    REG_TDX_TD_ATTRIBUTES,
    REG_TDX_XFAM,
    REG_TDX_MR_CONFIG_ID,
    REG_TDX_MR_OWNER,
    REG_TDX_MR_OWNER_CONFIG,
    REG_TDX_RTMR0,
    REG_TDX_RTMR1,
    REG_TDX_RTMR2,
    REG_TDX_RTMR3,
    REGISTERS
};

struct register_info {
    const char *tee;   /* "sev_snp" or "tdx": also the member of documents that holds it */
    const char *name;  /* "measurement" */
    const char *alias; /* how the automata documents call it, or NULL */
    uint8_t size;      /* bytes */
    bool number;       /* shown as a number; big-endian here */
};

struct register_value {
    uint8_t n; /* 0: not known, or not pinned */
    uint8_t b[REGISTER_SIZE_MAX];
};

/** SNP TCB components; compared one by one, never as one number. */
enum tcb_part { TCB_BOOTLOADER, TCB_TEE, TCB_SNP, TCB_MICROCODE, TCB_FMC, TCB_PARTS };

struct register_tcb {
    uint8_t mask; /* bit i: svn[i] is known */
    uint8_t svn[TCB_PARTS];
};

/** The digests that were extended into one PCR, in order. */
struct event_digests {
    bool known; /* of a machine: there is a log for it, and its replay gives this PCR */
    size_t n, cap;
    struct digest *item; /* owned */
};

struct workload_event {
    char *type, *name; /* owned */
    uint8_t content_sha384[48];
};

/** The events of what runs now, in order (contract, section 6). */
struct workload_events {
    bool known;
    bool rooted; /* of a machine: a signed register holds the replay of the log */
    size_t n;
    struct workload_event *item; /* owned */
};

/** Begin with { 0 }; end with registers_done(). */
struct registers {
    char tee[16], cloud[16]; /* "sev_snp", "gcp", ... as documents write them; empty: not known */
    struct register_value value[REGISTERS];
    struct register_tcb tcb; /* of a machine: the reported TCB */
    uint16_t bank;           /* TCG algorithm id of the PCRs below; 0: no TPM */
    uint32_t pcr_mask;
    struct digest pcr[REGISTER_PCRS];
    struct event_digests events[REGISTER_PCRS]; /* in the same bank */
    struct workload_events workload;
};

/** Frees what the lists own; for AUTO(registers_done). */
void registers_done(struct registers *r);

const struct register_info *register_info(enum register_id id);

/** "bootloader", "tee", "snp", "microcode", "fmc". */
const char *tcb_part_name(enum tcb_part part);

/** Sets a register from its bytes, which must have its size: a mistake of the program otherwise, reported as
 * ERR_INPUT. */
MUST_USE int registers_set(struct registers *r, enum register_id id, struct bytes value, struct err *err);

/** Sets a register that is a number. */
MUST_USE int registers_set_number(struct registers *r, enum register_id id, uint64_t value, struct err *err);

/** Appends one event's digest to a PCR's list and marks the list known. */
MUST_USE int registers_add_event(struct registers *r, unsigned pcr, const struct digest *digest,
                                 struct err *err);

/** Reads a JSON array of workload log records and keeps the events of what runs now: those after the last
 * update or rollback, without those that PCR 23 does not get (update, rollback, livepatch). Of each record
 * type, name and content_sha384 count. Marks the list known.
 *  @return 0, or -1 with ERR_INPUT naming the record and member, or ERR_TOO_LARGE; r is unchanged then */
MUST_USE int registers_set_workload(struct registers *r, const json_t *records, struct err *err);

/** "sev_snp.measurement" into out. Returns out. */
char *register_name(enum register_id id, char out[static REGISTER_NAME_MAX]);

/** "PCR 11 (sha256)" into out. Returns out. */
char *pcr_name(unsigned pcr, uint16_t bank, char out[static REGISTER_NAME_MAX]);

/** The value for people: hex, or 0x... for a number, into out. Returns out. */
#define REGISTER_TEXT_MAX (2 * REGISTER_SIZE_MAX + 3)
char *register_text(enum register_id id, const struct register_value *v, char out[static REGISTER_TEXT_MAX]);

/** True if the two are known and equal. */
bool register_equal(const struct register_value *a, const struct register_value *b);

bool workload_event_equal(const struct workload_event *a, const struct workload_event *b);

#endif
