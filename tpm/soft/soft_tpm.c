#include "tpm/soft/soft_tpm.h"

#include "base/auto.h"
#include "base/log.h"
#include "tpm/soft/soft_state.h"

#include <errno.h>
#include <libtpms/tpm_error.h>
#include <libtpms/tpm_library.h>
#include <libtpms/tpm_memory.h>
#include <libtpms/tpm_nvfilename.h>
#include <stdatomic.h>
#include <sys/random.h>

#define TCTI_MAGIC   0x63766d2d74706d32 /* ours to choose: it tells TCTIs apart */
#define COMMAND_MIN  10                 /* tag, size, command code */
#define STIR_BYTES   64
#define LOCALITY_MAX 4

struct soft_tpm {
    TSS2_TCTI_CONTEXT_COMMON_V2 tcti; /* first: a TCTI context is a pointer to it */
    struct soft_state state;
    bool booted;
    bool powered; /* libtpms is initialised and to be terminated */
    bool restore; /* volatile state is to be handed to libtpms once */
    bool permanent_changed, unsaved;
    bool answered; /* a response waits to be received */
    uint8_t locality;
    unsigned char *response; /* libtpms' buffer, kept between commands */
    uint32_t response_n, response_cap;
};

/* libtpms keeps its TPM in globals, and its callbacks have no argument of ours: hence this one. */
static _Atomic(struct soft_tpm *) the_one;

static TPM_RESULT load_blob(const struct buf *from, unsigned char **data, uint32_t *length)
{
    if (from->n == 0)
        return TPM_RETRY; /* there is none */
    TPM_RESULT rc = TPM_Malloc(data, (uint32_t)from->n);
    if (rc)
        return rc;
    memcpy(*data, from->p, from->n);
    *length = (uint32_t)from->n;
    return TPM_SUCCESS;
}

static TPM_RESULT nv_load(unsigned char **data, uint32_t *length, uint32_t tpm_number, const char *name)
{
    struct soft_tpm *s = the_one;
    (void)tpm_number;
    if (strcmp(name, TPM_PERMANENT_ALL_NAME) == 0)
        return load_blob(&s->state.permanent, data, length);
    if (strcmp(name, TPM_VOLATILESTATE_NAME) == 0 && s->restore)
        return load_blob(&s->state.volatile_, data, length);
    return TPM_RETRY;
}

/* Called in the middle of a command: the file is written after it, together with the volatile state. */
static TPM_RESULT nv_store(const unsigned char *data, uint32_t length, uint32_t tpm_number, const char *name)
{
    struct soft_tpm *s = the_one;
    (void)tpm_number;
    if (strcmp(name, TPM_PERMANENT_ALL_NAME) != 0)
        return TPM_SUCCESS; /* volatile state is fetched when it is wanted */
    buf_wipe(&s->state.permanent);
    buf_put(&s->state.permanent, bytes_of(data, length));
    s->permanent_changed = true;
    return s->state.permanent.failed ? TPM_FAIL : TPM_SUCCESS;
}

static TPM_RESULT nv_delete(uint32_t tpm_number, const char *name, TPM_BOOL must_exist)
{
    (void)tpm_number;
    (void)name;
    return must_exist ? TPM_FAIL : TPM_SUCCESS;
}

static TPM_RESULT nothing_to_do(void)
{
    return TPM_SUCCESS;
}

static TPM_RESULT get_locality(TPM_MODIFIER_INDICATOR *locality, uint32_t tpm_number)
{
    (void)tpm_number;
    *locality = the_one->locality;
    return TPM_SUCCESS;
}

static TPM_RESULT get_presence(TPM_BOOL *presence, uint32_t tpm_number)
{
    (void)tpm_number;
    *presence = FALSE;
    return TPM_SUCCESS;
}

/* Commands after which nothing is worth storing: what they change is gone after a restart anyway (sessions,
 * transient objects) or made anew (random numbers). All others cost one small file. */
static const TPM2_CC keeps_nothing[] = {
    TPM2_CC_Quote,         TPM2_CC_PCR_Read,         TPM2_CC_GetCapability, TPM2_CC_ReadPublic,
    TPM2_CC_NV_Read,       TPM2_CC_NV_ReadPublic,    TPM2_CC_Sign,          TPM2_CC_GetRandom,
    TPM2_CC_CreatePrimary, TPM2_CC_FlushContext,     TPM2_CC_ReadClock,     TPM2_CC_GetTime,
    TPM2_CC_Certify,       TPM2_CC_StartAuthSession, TPM2_CC_Load,          TPM2_CC_VerifySignature,
};

static bool worth_storing(const struct soft_tpm *s, uint32_t command)
{
    if (s->permanent_changed || s->unsaved)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(keeps_nothing); i++) {
        if (keeps_nothing[i] == command)
            return false;
    }
    return true;
}

static int store(struct soft_tpm *s, struct err *err)
{
    unsigned char *blob = NULL;
    uint32_t n = 0;
    TPM_RESULT rc = TPMLIB_VolatileAll_Store(&blob, &n);
    if (rc)
        return err_set(err, ERR_IO, rc, "libtpms cannot give its volatile state: %#" PRIx32, rc);
    s->unsaved = soft_state_store(&s->state, buf_bytes(&s->state.permanent), bytes_of(blob, n),
                                  s->permanent_changed, err)
                 < 0;
    s->permanent_changed = s->permanent_changed && s->unsaved;
    explicit_bzero(blob, n);
    TPM_Free(blob);
    return s->unsaved ? -1 : 0;
}

/* One command through libtpms; its response is then in s->response. */
static int process(struct soft_tpm *s, struct bytes command, struct err *err)
{
    uint8_t copy[TPM2_MAX_COMMAND_SIZE]; /* libtpms takes it writable */
    if (command.n < COMMAND_MIN || command.n > sizeof(copy))
        return err_set(err, ERR_INPUT, 0, "a TPM command of %zu bytes", command.n);
    memcpy(copy, command.p, command.n);
    TPM_RESULT rc = TPMLIB_Process(&s->response, &s->response_n, &s->response_cap, copy, (uint32_t)command.n);
    explicit_bzero(copy, command.n);
    if (rc)
        return err_set(err, ERR_IO, rc, "libtpms fails with %#" PRIx32, rc);
    if (s->response_n < COMMAND_MIN)
        return err_set(err, ERR_IO, 0, "libtpms answers %" PRIu32 " bytes", s->response_n);
    return worth_storing(s, (uint32_t)be_uint(command.p + 6, 4)) ? store(s, err) : 0;
}

static TSS2_RC tcti_transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command)
{
    struct soft_tpm *s = (struct soft_tpm *)context;
    struct err err = { 0 };
    if (!s || !command)
        return TSS2_TCTI_RC_BAD_REFERENCE;
    if (s->answered)
        return TSS2_TCTI_RC_BAD_SEQUENCE;
    if (process(s, bytes_of(command, size), &err) < 0) {
        log_err(LOG_LEVEL_ERROR, "soft_tpm", &err); /* a TCTI returns numbers only */
        return err.kind == ERR_INPUT ? TSS2_TCTI_RC_BAD_VALUE : TSS2_TCTI_RC_IO_ERROR;
    }
    s->answered = true;
    return TSS2_RC_SUCCESS;
}

static TSS2_RC tcti_receive(TSS2_TCTI_CONTEXT *context, size_t *size, uint8_t *response, int32_t timeout)
{
    struct soft_tpm *s = (struct soft_tpm *)context;
    (void)timeout; /* the answer is there since transmit */
    if (!s || !size)
        return TSS2_TCTI_RC_BAD_REFERENCE;
    if (!s->answered)
        return TSS2_TCTI_RC_BAD_SEQUENCE;
    if (!response) {
        *size = s->response_n;
        return TSS2_RC_SUCCESS;
    }
    if (*size < s->response_n) {
        *size = s->response_n;
        return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    }
    memcpy(response, s->response, s->response_n);
    *size = s->response_n;
    s->answered = false;
    return TSS2_RC_SUCCESS;
}

static void tcti_finalize(TSS2_TCTI_CONTEXT *context)
{
    (void)context; /* soft_tpm_free() does */
}

static TSS2_RC tcti_cancel(TSS2_TCTI_CONTEXT *context)
{
    const struct soft_tpm *s = (const struct soft_tpm *)context;
    if (!s)
        return TSS2_TCTI_RC_BAD_REFERENCE;
    return s->answered ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_BAD_SEQUENCE; /* too late: it has already run */
}

static TSS2_RC tcti_poll_handles(TSS2_TCTI_CONTEXT *context, TSS2_TCTI_POLL_HANDLE *handles, size_t *n)
{
    (void)handles;
    if (!context || !n)
        return TSS2_TCTI_RC_BAD_REFERENCE;
    *n = 0;
    return TSS2_RC_SUCCESS;
}

static TSS2_RC tcti_locality(TSS2_TCTI_CONTEXT *context, uint8_t locality)
{
    struct soft_tpm *s = (struct soft_tpm *)context;
    if (!s)
        return TSS2_TCTI_RC_BAD_REFERENCE;
    if (locality > LOCALITY_MAX)
        return TSS2_TCTI_RC_BAD_VALUE;
    s->locality = locality;
    return TSS2_RC_SUCCESS;
}

static TSS2_RC tcti_sticky(TSS2_TCTI_CONTEXT *context, TPM2_HANDLE *handle, uint8_t sticky)
{
    (void)context;
    (void)handle;
    (void)sticky;
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static const TSS2_TCTI_CONTEXT_COMMON_V2 tcti_functions = {
    .v1 = { .magic = TCTI_MAGIC,
            .version = 2,
            .transmit = tcti_transmit,
            .receive = tcti_receive,
            .finalize = tcti_finalize,
            .cancel = tcti_cancel,
            .getPollHandles = tcti_poll_handles,
            .setLocality = tcti_locality },
    .makeSticky = tcti_sticky,
};

/* A command of our own. what: for the error */
static int send_own(struct soft_tpm *s, const struct buf *command, const char *what, struct err *err)
{
    if (buf_check(command, what, err) < 0 || process(s, buf_bytes(command), err) < 0)
        return -1;
    uint32_t rc = (uint32_t)be_uint(s->response + 6, 4);
    return rc ? err_set(err, ERR_IO, rc, "soft TPM: %s: %#" PRIx32, what, rc) : 0;
}

static int start_up(struct soft_tpm *s, struct err *err)
{
    AUTO(buf_done) struct buf command = buf_new(64);
    buf_u16be(&command, TPM2_ST_NO_SESSIONS);
    buf_u32be(&command, 12);
    buf_u32be(&command, TPM2_CC_Startup);
    buf_u16be(&command, TPM2_SU_CLEAR);
    return send_own(s, &command, "start up", err);
}

/* The stored state has the random number generator as it was, too. Without new entropy a restarted TPM would
 * use the same nonces again for other ECDSA signatures, which gives the keys away. */
static int stir_random(struct soft_tpm *s, struct err *err)
{
    AUTO(buf_wipe) struct buf command = buf_new(128);
    uint8_t entropy[STIR_BYTES];
    if (getrandom(entropy, sizeof(entropy), 0) != sizeof(entropy))
        return err_set(err, ERR_IO, (uint32_t)errno, "no random bytes from the kernel");
    buf_u16be(&command, TPM2_ST_NO_SESSIONS);
    buf_u32be(&command, COMMAND_MIN + 2 + STIR_BYTES);
    buf_u32be(&command, TPM2_CC_StirRandom);
    buf_tpm2b(&command, bytes_of(entropy, sizeof(entropy)));
    explicit_bzero(entropy, sizeof(entropy));
    return send_own(s, &command, "stir random", err);
}

static int power_on(struct soft_tpm *s, struct err *err)
{
    struct libtpms_callbacks callbacks = {
        .sizeOfStruct = sizeof(callbacks),
        .tpm_nvram_init = nothing_to_do,
        .tpm_nvram_loaddata = nv_load,
        .tpm_nvram_storedata = nv_store,
        .tpm_nvram_deletename = nv_delete,
        .tpm_io_init = nothing_to_do,
        .tpm_io_getlocality = get_locality,
        .tpm_io_getphysicalpresence = get_presence,
    };
    TPM_RESULT rc = TPMLIB_ChooseTPMVersion(TPMLIB_TPM_VERSION_2);
    if (rc == TPM_SUCCESS)
        rc = TPMLIB_RegisterCallbacks(&callbacks);
    if (rc)
        return err_set(err, ERR_IO, rc, "libtpms cannot be a TPM 2.0: %#" PRIx32, rc);
    s->restore = s->state.volatile_.n > 0;
    rc = TPMLIB_MainInit();
    if (rc)
        return err_set(err, ERR_INPUT, rc, "%s: libtpms does not take this state: %#" PRIx32,
                       s->state.state_path, rc);
    s->powered = true;
    return 0;
}

int soft_tpm_new(const char *state_dir, struct soft_tpm **out, struct err *err)
{
    struct soft_tpm *s = calloc(1, sizeof(*s)), *nobody = NULL;
    if (!s)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a soft TPM");
    s->state.lock = -1;
    if (!atomic_compare_exchange_strong(&the_one, &nobody, s)) {
        free(s);
        return err_set(err, ERR_BUSY, 0, "this process already has a soft TPM");
    }
    s->tcti = tcti_functions;
    bool failed = soft_state_open(&s->state, state_dir, err) < 0 || power_on(s, err) < 0;
    s->booted = !s->restore;
    if (failed
        || (s->booted ? start_up(s, err) < 0 || soft_state_new_boot(&s->state, err) < 0
                      : stir_random(s, err) < 0)) {
        soft_tpm_free(s);
        return err_while(err, "start the soft TPM");
    }
    s->restore = false;
    buf_wipe(&s->state.volatile_);
    *out = s;
    return 0;
}

TSS2_TCTI_CONTEXT *soft_tpm_tcti(struct soft_tpm *s)
{
    return (TSS2_TCTI_CONTEXT *)s;
}

bool soft_tpm_booted(const struct soft_tpm *s)
{
    return s->booted;
}

const char *soft_tpm_boot_id(const struct soft_tpm *s)
{
    return s->state.boot_id;
}

void soft_tpm_free(struct soft_tpm *s)
{
    if (!s)
        return;
    if (s->powered)
        TPMLIB_Terminate();
    TPM_Free(s->response);
    soft_state_done(&s->state);
    the_one = NULL;
    free(s);
}
