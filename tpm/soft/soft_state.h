/** tpm/soft/soft_state.h: the files of the soft TPM. */
#ifndef CVM_TPM_SOFT_SOFT_STATE_H
#define CVM_TPM_SOFT_SOFT_STATE_H

#include "base/buf.h"

#include <limits.h>

#define SOFT_BLOB_MAX (1u << 20) /* permanent or volatile state; an unused TPM has some kilobytes of each */
#define SOFT_UUID     40

struct soft_state {
    char state_path[PATH_MAX], boot_path[PATH_MAX];
    int lock;                      /* -1 when not held */
    struct buf permanent;          /* secrets: wiped on release; empty for a TPM still to be made */
    struct buf volatile_;          /* empty unless host_boot and the running kernel's boot id agree */
    char host_boot[SOFT_UUID + 1]; /* the running kernel's */
    char boot_id[SOFT_UUID + 1];   /* of the emulated boot, empty where a new one begins */
};

/** Locks the folder and reads what is in it. @return as soft_tpm_new(); soft_state_done() in any case */
MUST_USE int soft_state_open(struct soft_state *s, const char *folder, struct err *err);

/** Stores permanent and volatile state as one: a kill between two files could not tear them.
 *  @param durable  fsync too; else safe against kills only, which is enough for what a reboot discards */
MUST_USE int soft_state_store(struct soft_state *s, struct bytes permanent, struct bytes volatile_,
                              bool durable, struct err *err);

/** Makes a boot id and remembers that it belongs to the running kernel's boot. */
MUST_USE int soft_state_new_boot(struct soft_state *s, struct err *err);

/** Unlocks, wipes and frees. */
void soft_state_done(struct soft_state *s);

#endif
