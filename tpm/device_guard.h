/** tpm/device_guard.h: a TCTI over another one that does not wait for ever and lets only whole answers
 * through. ESYS waits without limit, and believes the size inside an answer however many bytes came. */
#ifndef CVM_TPM_DEVICE_GUARD_H
#define CVM_TPM_DEVICE_GUARD_H

#include <stdbool.h>
#include <tss2/tss2_tcti.h>

/** Above the two minutes that Linux gives the slowest command (drivers/char/tpm/tpm-interface.c). */
#define TPM_ANSWER_MS 150000

struct tpm_guard {
    TSS2_TCTI_CONTEXT_COMMON_V2 tcti; /* first: a TCTI context is a pointer to it */
    TSS2_TCTI_CONTEXT *below;         /* not owned */
    int wait_ms;
    bool told; /* the size of the answer was asked for, and it is a header alone: the TCTI below has all of it
                */
};

/** A guard in place; it needs no release. */
void tpm_guard_init(struct tpm_guard *g, TSS2_TCTI_CONTEXT *below, int wait_ms);

#endif
