/** tpm/device_internal.h: what the device_*.c files share; nobody else includes it. */
#ifndef CVM_TPM_DEVICE_INTERNAL_H
#define CVM_TPM_DEVICE_INTERNAL_H

#include "base/auto.h"
#include "tpm/device_guard.h"
#include "tpm/tpm.h"

#include <tss2/tss2_esys.h>

struct tpm {
    struct tpm_guard guard;
    ESYS_CONTEXT *esys;
    TSS2_TCTI_CONTEXT *tcti; /* ours to finalise, or NULL when the caller owns it */
    uint16_t nv_chunk;       /* TPM_PT_NV_BUFFER_MAX */
    struct tpm_banks banks;
};

/** Sets *err from a failed call: what was tried, the decoded reason, the code, what to do. Returns -1. */
__attribute__((format(printf, 3, 4))) int tpm_fail(struct err *err, TSS2_RC rc, const char *fmt, ...);

/** How long a TPM may keep saying "again" before the command counts as failed. ESYS itself submits a command
 * that got RETRY, YIELDED or TESTING five times without a pause, and NV_RATE never. */
#define TPM_AGAIN_MS 10000

struct tpm_wait {
    int64_t deadline; /* monotonic milliseconds, 0 before the first wait */
    unsigned pause;
};

/** After a command: true, having slept a little, when it should be sent again. */
bool tpm_wait_again(struct tpm_wait *wait, TSS2_RC rc);

/** Runs one ESYS call until the TPM has stopped asking for patience; the value is its last TSS2_RC. */
#define TPM_CALL(call)                                                                                       \
    __extension__({                                                                                          \
        struct tpm_wait wait_ = { 0, 0 };                                                                    \
        TSS2_RC rc_;                                                                                         \
        do {                                                                                                 \
            rc_ = (call);                                                                                    \
        } while (tpm_wait_again(&wait_, rc_));                                                               \
        rc_;                                                                                                 \
    })

/** Three optional sessions of an ESYS call: none, or the empty password. */
#define NO_SESSIONS    ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE
#define EMPTY_PASSWORD ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE

/** For AUTO(esys_drop): frees what an ESYS call allocated. */
static inline void esys_drop(void *pointer)
{
    void *p;
    memcpy(&p, pointer, sizeof(p)); /* the pointer's own type is the caller's */
    Esys_Free(p);
}

/** An ESYS handle that must not outlive a function: a transient object is flushed, the rest only forgotten.
 */
struct tpm_object {
    ESYS_CONTEXT *esys;
    ESYS_TR tr; /* ESYS_TR_NONE when empty */
    bool transient;
};

static inline struct tpm_object tpm_object_none(struct tpm *t)
{
    return (struct tpm_object){ t->esys, ESYS_TR_NONE, false };
}

/** For AUTO(tpm_object_drop). */
void tpm_object_drop(struct tpm_object *object);

/** Hands the handle out; the cleanup then does nothing. */
static inline ESYS_TR tpm_object_take(struct tpm_object *object)
{
    ESYS_TR tr = object->tr;
    object->tr = ESYS_TR_NONE;
    return tr;
}

/** Finds a persistent object or NV index. @return 0, or -1 with ERR_NOT_FOUND; what: "NV index", "key" */
MUST_USE int tpm_object_find(struct tpm *t, uint32_t handle, const char *what, struct tpm_object *out,
                             struct err *err);

/** @return 0, or -1 with ERR_NOT_FOUND naming the banks that are active */
MUST_USE int tpm_bank_require(const struct tpm *t, uint16_t alg, struct err *err);

/** The PCRs of mask in one bank. */
TPML_PCR_SELECTION tpm_pcr_selection(uint16_t alg, uint32_t mask);

#endif
