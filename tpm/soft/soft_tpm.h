/** tpm/soft/soft_tpm.h: a TPM 2.0 in the process (libtpms) behind a TCTI, with its state in a folder. It
 * lives as long as the machine that it stands for: keys, NV memory and persistent objects for good, PCRs and
 * clocks until the host's boot id changes, so that a killed and restarted agent finds them as they were.
 *  libtpms is one TPM a process; one thread at a time may use it. For emulation only: the host sees all. */
#ifndef CVM_TPM_SOFT_SOFT_TPM_H
#define CVM_TPM_SOFT_SOFT_TPM_H

#include "base/err.h"

#include <stdbool.h>
#include <tss2/tss2_tcti.h>

struct soft_tpm;

/** Powers the TPM on and starts it up. Files in state_dir (mode 0600): "tpm2-state", "tpm2-boot" (removing
 * this one makes the next start a new boot), "tpm2-lock". An empty folder makes a new TPM; a damaged or lost
 * state file never does.
 *  @param state_dir  an existing folder
 *  @return 0, or -1: ERR_BUSY (another process uses the folder, or this process already has a soft TPM),
 *  ERR_INPUT (damaged state, the file named), ERR_NOT_FOUND (no such folder), ERR_IO */
MUST_USE int soft_tpm_new(const char *state_dir, struct soft_tpm **out, struct err *err);

/** Its TCTI, for tpm_open_tcti(); valid until soft_tpm_free(). Finalising it does nothing. */
TSS2_TCTI_CONTEXT *soft_tpm_tcti(struct soft_tpm *s);

/** True if soft_tpm_new() was a new boot: PCRs start at their initial values. */
bool soft_tpm_booted(const struct soft_tpm *s);

/** Random UUID text of the emulated boot, the same until the next one. */
const char *soft_tpm_boot_id(const struct soft_tpm *s);

/** Powers it off. No tpm_* call may be under way. NULL is fine. */
void soft_tpm_free(struct soft_tpm *s);

#endif
