#include "tpm/device_guard.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <errno.h>
#include <time.h>

#define GUARD_MAGIC  0x63766d2d67756172
#define HANDLES_MAX  4
#define HEADER_BYTES 10 /* tag, size, response code (Part 1, 18.11) */

static struct tpm_guard *guard_of(TSS2_TCTI_CONTEXT *context)
{
    return (struct tpm_guard *)context;
}

static TSS2_RC guard_transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command)
{
    guard_of(context)->told = false;
    return Tss2_Tcti_Transmit(guard_of(context)->below, size, command);
}

/* A TCTI without handles to poll (in the process, mostly) is taken at its word. */
static bool answer_arrives(const struct tpm_guard *g)
{
    TSS2_TCTI_POLL_HANDLE handles[HANDLES_MAX];
    size_t n = HANDLES_MAX;
    if (Tss2_Tcti_GetPollHandles(g->below, handles, &n) || n == 0 || n > HANDLES_MAX)
        return true;
    for (size_t i = 0; i < n; i++) {
        if (handles[i].fd < 0)
            return true;
        handles[i].events = POLLIN; /* some TCTIs ask for POLLOUT, too, which is always there */
    }
    int64_t deadline = (int64_t)clock_ms() + g->wait_ms;
    for (;;) {
        int64_t left = deadline - (int64_t)clock_ms();
        int rc = poll(handles, n, left > 0 ? (int)left : 0);
        if (rc >= 0 || errno != EINTR)
            return rc != 0; /* an error shows itself in the receive that follows */
    }
}

static TSS2_RC guard_receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *response, int32_t timeout)
{
    struct tpm_guard *g = guard_of(context);
    bool complete = g->told;
    g->told = false;
    if (timeout == TSS2_TCTI_TIMEOUT_BLOCK && !complete && !answer_arrives(g))
        return TSS2_TCTI_RC_IO_ERROR;
    TSS2_RC rc = Tss2_Tcti_Receive(g->below, size, response, timeout);
    if (!rc && !response)
        g->told = *size == HEADER_BYTES;
    if (rc || !response)
        return rc;
    return *size >= HEADER_BYTES && be_uint(response + 2, 4) == *size ? TSS2_RC_SUCCESS
                                                                      : TSS2_TCTI_RC_MALFORMED_RESPONSE;
}

static void guard_finalize(TSS2_TCTI_CONTEXT *context)
{
    (void)context; /* the TCTI below has its own owner */
}

static TSS2_RC guard_cancel(TSS2_TCTI_CONTEXT *context)
{
    return Tss2_Tcti_Cancel(guard_of(context)->below);
}

static TSS2_RC guard_poll_handles(TSS2_TCTI_CONTEXT *context, TSS2_TCTI_POLL_HANDLE *handles, size_t *n)
{
    return Tss2_Tcti_GetPollHandles(guard_of(context)->below, handles, n);
}

static TSS2_RC guard_locality(TSS2_TCTI_CONTEXT *context, uint8_t locality)
{
    return Tss2_Tcti_SetLocality(guard_of(context)->below, locality);
}

static TSS2_RC guard_sticky(TSS2_TCTI_CONTEXT *context, TPM2_HANDLE *handle, uint8_t sticky)
{
    return Tss2_Tcti_MakeSticky(guard_of(context)->below, handle, sticky);
}

void tpm_guard_init(struct tpm_guard *g, TSS2_TCTI_CONTEXT *below, int wait_ms)
{
    *g = (struct tpm_guard){
        .tcti = { .v1 = { .magic = GUARD_MAGIC,
                          .version = 2,
                          .transmit = guard_transmit,
                          .receive = guard_receive,
                          .finalize = guard_finalize,
                          .cancel = guard_cancel,
                          .getPollHandles = guard_poll_handles,
                          .setLocality = guard_locality },
                  .makeSticky = guard_sticky },
        .below = below,
        .wait_ms = wait_ms,
    };
}
