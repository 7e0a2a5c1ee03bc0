/** tests/support/tcti_filter.h: a TCTI between ESYS and a TPM that counts commands and spoils answers. */
#ifndef CVM_TESTS_TCTI_FILTER_H
#define CVM_TESTS_TCTI_FILTER_H

#include "base/buf.h"

#include <stdbool.h>
#include <tss2/tss2_tcti.h>

struct tcti_filter {
    TSS2_TCTI_CONTEXT_COMMON_V2 tcti; /* first: a TCTI context is a pointer to it */
    TSS2_TCTI_CONTEXT *below;
    unsigned commands; /* that reached the TPM */
    unsigned refusals; /* so many commands are answered with refusal_rc, without the TPM */
    TSS2_RC refusal_rc;
    TSS2_RC broken; /* if set, transmit returns it */
    size_t cut;     /* bytes taken off the end of each response, its size field left alone */
    size_t flip;    /* 1 + the bit of each response that is turned over, 0 for none */
    TPM2_CC only;   /* cut and flip answers of this command only, 0 for all */
    TPM2_CC last;
    bool refusing;
    struct buf *seen; /* if set, receives all commands and responses */
};

/** A filter that does nothing yet. */
struct tcti_filter tcti_filter_over(TSS2_TCTI_CONTEXT *below);

static inline TSS2_TCTI_CONTEXT *tcti_filter_context(struct tcti_filter *f)
{
    return (TSS2_TCTI_CONTEXT *)f;
}

#endif
