/* Response codes to error kinds, and patience with a busy TPM. */
#include "base/clock.h"
#include "tpm/device_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <time.h>
#include <tss2/tss2_rc.h>

struct verdict {
    TSS2_RC code; /* without the number of the handle, session or parameter */
    enum err_kind kind;
    bool fatal; /* the connection, or what was loaded through it, is gone */
    const char *advice;
};

/* TCG TPM 2.0 Library, Part 2, 6.6.3 */
static const struct verdict tpm_verdicts[] = {
    { TPM2_RC_INITIALIZE, ERR_UNAVAILABLE, true, "the TPM was reset: open it again" },
    { TPM2_RC_FAILURE, ERR_UNAVAILABLE, true, "the TPM is in failure mode: restart the VM" },
    { TPM2_RC_REFERENCE_H0, ERR_UNAVAILABLE, true, "the TPM lost a loaded key: open it again" },
    { TPM2_RC_HANDLE, ERR_NOT_FOUND, false, "no such key or NV index in this TPM" },
    { TPM2_RC_NV_UNINITIALIZED, ERR_NOT_FOUND, false, "the NV index exists but was never written" },
    { TPM2_RC_NV_DEFINED, ERR_BUSY, false, "undefine it first" },
    { TPM2_RC_NV_SPACE, ERR_TOO_LARGE, false, "the TPM's NV memory is full" },
    { TPM2_RC_NV_SIZE, ERR_TOO_LARGE, false, NULL },
    { TPM2_RC_NV_RANGE, ERR_TOO_LARGE, false, "more data than the NV index holds" },
    { TPM2_RC_SIZE, ERR_TOO_LARGE, false, NULL },
    { TPM2_RC_NV_LOCKED, ERR_DENIED, false, "the NV index is locked until the next boot" },
    { TPM2_RC_NV_AUTHORIZATION, ERR_DENIED, false, NULL },
    { TPM2_RC_AUTH_FAIL, ERR_DENIED, false, "the key or hierarchy has a password: clear it" },
    { TPM2_RC_BAD_AUTH, ERR_DENIED, false, "the key or hierarchy has a password: clear it" },
    { TPM2_RC_AUTH_UNAVAILABLE, ERR_DENIED, false, NULL },
    { TPM2_RC_POLICY_FAIL, ERR_DENIED, false, NULL },
    { TPM2_RC_HIERARCHY, ERR_DENIED, false, "the hierarchy is disabled" },
    { TPM2_RC_LOCALITY, ERR_DENIED, false, NULL },
    { TPM2_RC_LOCKOUT, ERR_UNAVAILABLE, false, "wait, or reset the lockout with tpm2_dictionarylockout -c" },
    { TPM2_RC_OBJECT_MEMORY, ERR_UNAVAILABLE, false, "another program fills the TPM: use /dev/tpmrm0" },
    { TPM2_RC_OBJECT_HANDLES, ERR_UNAVAILABLE, false, "another program fills the TPM: use /dev/tpmrm0" },
    { TPM2_RC_SESSION_MEMORY, ERR_UNAVAILABLE, false, "another program fills the TPM: use /dev/tpmrm0" },
    { TPM2_RC_MEMORY, ERR_UNAVAILABLE, false, NULL },
    { TPM2_RC_RETRY, ERR_UNAVAILABLE, false, "the TPM stayed busy" },
    { TPM2_RC_YIELDED, ERR_UNAVAILABLE, false, "the TPM stayed busy" },
    { TPM2_RC_TESTING, ERR_UNAVAILABLE, false, "the TPM is still testing itself" },
    { TPM2_RC_NV_RATE, ERR_UNAVAILABLE, false, "the TPM limits NV writes: try again later" },
    { TPM2_RC_NV_UNAVAILABLE, ERR_UNAVAILABLE, false, NULL },
    { TPM2_RC_CANCELED, ERR_UNAVAILABLE, false, NULL },
};

/* Codes of the software stack, the same number in each of its layers. */
static const struct verdict stack_verdicts[] = {
    { TSS2_BASE_RC_MEMORY, ERR_IO, false, "out of memory" },
    { TSS2_BASE_RC_BAD_VALUE, ERR_INPUT, false, NULL },
    { TSS2_BASE_RC_BAD_SEQUENCE, ERR_UNAVAILABLE, true, "open the TPM again" },
    { TSS2_BASE_RC_GENERAL_FAILURE, ERR_UNAVAILABLE, true, "open the TPM again" },
    { TSS2_BASE_RC_MALFORMED_RESPONSE, ERR_UNAVAILABLE, true, "the TPM answers nonsense: open it again" },
    { TSS2_BASE_RC_INSUFFICIENT_RESPONSE, ERR_UNAVAILABLE, true, "the TPM answers nonsense: open it again" },
};

static const struct verdict gone = { 0, ERR_UNAVAILABLE, true,
                                     "the TPM does not answer: is its device or emulator still there?" };
static const struct verdict nonsense /* what does not unmarshal */
    = { 0, ERR_UNAVAILABLE, true, "the TPM answers nonsense: open it again" };
static const struct verdict refused = { 0, ERR_IO, false, NULL };

static const struct verdict *find(const struct verdict *table, size_t n, TSS2_RC code)
{
    for (size_t i = 0; i < n; i++) {
        if (table[i].code == code)
            return &table[i];
    }
    return &refused;
}

static bool from_tpm(TSS2_RC rc)
{
    TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;
    return layer == TSS2_TPM_RC_LAYER || layer == TSS2_RESMGR_TPM_RC_LAYER;
}

/* Part 2, 6.6.2: format one codes carry which handle, session or parameter in bits 6 and 8 to 11. */
static TSS2_RC plain_code(TSS2_RC rc)
{
    TSS2_RC code = rc & 0xFFF;
    if (code & TPM2_RC_FMT1)
        return code & 0x0BF;
    return code >= TPM2_RC_REFERENCE_H0 && code <= TPM2_RC_REFERENCE_S6 ? TPM2_RC_REFERENCE_H0 : code;
}

static const struct verdict *verdict_of(TSS2_RC rc)
{
    if (from_tpm(rc))
        return find(tpm_verdicts, ARRAY_SIZE(tpm_verdicts), plain_code(rc));
    if ((rc & TSS2_RC_LAYER_MASK) == TSS2_TCTI_RC_LAYER)
        return &gone;
    if ((rc & TSS2_RC_LAYER_MASK) == TSS2_MU_RC_LAYER)
        return &nonsense;
    return find(stack_verdicts, ARRAY_SIZE(stack_verdicts), rc & 0xFFFF);
}

int tpm_fail(struct err *err, TSS2_RC rc, const char *fmt, ...)
{
    const struct verdict *v = verdict_of(rc);
    char what[96];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    if (v->advice)
        return err_set(err, v->kind, rc, "%s: %s (%s, %#" PRIx32 ")", what, v->advice, Tss2_RC_Decode(rc),
                       rc);
    return err_set(err, v->kind, rc, "%s: %s (%#" PRIx32 ")", what, Tss2_RC_Decode(rc), rc);
}

bool tpm_error_is_fatal(const struct err *err)
{
    /* other kinds carry an errno, or were our own refusals */
    return (err->kind == ERR_UNAVAILABLE || err->kind == ERR_IO) && err->code != 0
           && verdict_of(err->code)->fatal;
}

static bool asks_for_patience(TSS2_RC rc)
{
    TSS2_RC code = from_tpm(rc) ? plain_code(rc) : 0;
    return code == TPM2_RC_RETRY || code == TPM2_RC_YIELDED || code == TPM2_RC_TESTING
           || code == TPM2_RC_NV_RATE;
}

bool tpm_wait_again(struct tpm_wait *wait, TSS2_RC rc)
{
    if (!asks_for_patience(rc))
        return false;
    if (!wait->deadline)
        *wait = (struct tpm_wait){ (int64_t)clock_ms() + TPM_AGAIN_MS, 2 };
    else if ((int64_t)clock_ms() >= wait->deadline)
        return false;
    usleep(wait->pause * 1000);
    wait->pause = wait->pause < 100 ? wait->pause * 2 : wait->pause;
    return true;
}
