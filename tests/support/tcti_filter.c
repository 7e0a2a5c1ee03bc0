#include "tcti_filter.h"

#include "base/bytes.h"

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command)
{
    struct tcti_filter *f = (struct tcti_filter *)context;
    if (f->broken)
        return f->broken;
    f->refusing = f->refusals > 0;
    f->last = size >= 10 ? (TPM2_CC)be_uint(command + 6, 4) : 0;
    if (f->refusing) {
        f->refusals--;
        return TSS2_RC_SUCCESS;
    }
    f->commands++;
    if (f->seen)
        buf_put(f->seen, bytes_of(command, size));
    return Tss2_Tcti_Transmit(f->below, size, command);
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *response, int32_t timeout)
{
    struct tcti_filter *f = (struct tcti_filter *)context;
    if (f->refusing) {
        const uint8_t refusal[] = {
            0x80, 0x01, 0, 0, 0, 10, 0, 0, (uint8_t)(f->refusal_rc >> 8), (uint8_t)f->refusal_rc
        };
        *size = sizeof(refusal);
        if (response)
            memcpy(response, refusal, sizeof(refusal));
        return TSS2_RC_SUCCESS;
    }
    TSS2_RC rc = Tss2_Tcti_Receive(f->below, size, response, timeout);
    if (!rc && response && f->seen)
        buf_put(f->seen, bytes_of(response, *size));
    if (rc || !response || (f->only && f->only != f->last))
        return rc;
    size_t cut = f->cut < *size ? f->cut : *size;
    *size -= cut;
    memset(response + *size, 0xEE, cut);
    if (f->flip && (f->flip - 1) / 8 < *size)
        response[(f->flip - 1) / 8] ^= (uint8_t)(1u << (f->flip - 1) % 8);
    return rc;
}

static void finalize(TSS2_TCTI_CONTEXT *context)
{
    (void)context; /* the TPM below has its own owner */
}

struct tcti_filter tcti_filter_over(TSS2_TCTI_CONTEXT *below)
{
    return (struct tcti_filter){
        .tcti = { .v1 = { .magic = 0x66696c746572,
                          .version = 2,
                          .transmit = transmit,
                          .receive = receive,
                          .finalize = finalize } },
        .below = below,
    };
}
