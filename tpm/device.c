/* Opening, closing, and what the TPM says about itself. */
#include "tpm/device_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <tss2/tss2_sys.h>
#include <tss2/tss2_tctildr.h>

#define FLUSH_ROUNDS_MAX 8

/* tss2 writes its own error lines to standard error, also for conditions that we handle. Before main(), since
 * setenv() is not safe once there are threads; an environment that sets the variable wins. */
__attribute__((constructor)) static void silence_tss2(void)
{
    setenv("TSS2_LOG", "all+NONE", 0);
}

void tpm_object_drop(struct tpm_object *object)
{
    if (object->tr == ESYS_TR_NONE)
        return;
    if (object->transient)
        (void)TPM_CALL(Esys_FlushContext(object->esys, object->tr));
    else
        Esys_TR_Close(object->esys, &object->tr); /* BAD_TR where ESYS has let go of it already: fine */
    object->tr = ESYS_TR_NONE;
}

int tpm_object_find(struct tpm *t, uint32_t handle, const char *what, struct tpm_object *out, struct err *err)
{
    ESYS_TR tr;
    TSS2_RC rc = TPM_CALL(Esys_TR_FromTPMPublic(t->esys, handle, NO_SESSIONS, &tr));
    if (rc)
        return tpm_fail(err, rc, "%s %#" PRIx32, what, handle);
    *out = (struct tpm_object){ t->esys, tr, false };
    return 0;
}

/* The answer says itself which member of a union it filled: another than asked for is not read. */
static TSS2_RC capability(struct tpm *t, TPM2_CAP cap, uint32_t property, uint32_t count,
                          TPMS_CAPABILITY_DATA **out)
{
    TPMS_CAPABILITY_DATA *data = NULL;
    TSS2_RC rc = TPM_CALL(Esys_GetCapability(t->esys, NO_SESSIONS, cap, property, count, NULL, &data));
    if (!rc && data->capability != cap) {
        Esys_Free(data);
        return TSS2_ESYS_RC_MALFORMED_RESPONSE;
    }
    if (!rc)
        *out = data;
    return rc;
}

/* The first command, which also finds a TPM that nobody has started yet (a bare swtpm). Somebody else may
 * start it at the same moment: INITIALIZE from Startup then means that it is done. */
static int read_banks(struct tpm *t, struct err *err)
{
    AUTO(esys_drop) TPMS_CAPABILITY_DATA *data = NULL;
    TSS2_RC rc = capability(t, TPM2_CAP_PCRS, 0, TPM2_NUM_PCR_BANKS, &data);
    if (rc == TPM2_RC_INITIALIZE) {
        rc = TPM_CALL(Esys_Startup(t->esys, TPM2_SU_CLEAR));
        if (rc && rc != TPM2_RC_INITIALIZE)
            return tpm_fail(err, rc, "start the TPM");
        rc = capability(t, TPM2_CAP_PCRS, 0, TPM2_NUM_PCR_BANKS, &data);
    }
    if (rc)
        return tpm_fail(err, rc, "list PCR banks");
    const TPML_PCR_SELECTION *list = &data->data.assignedPCR;
    struct tpm_banks banks = { 0 };
    for (uint32_t i = 0; i < list->count; i++) {
        const TPMS_PCR_SELECTION *bank = &list->pcrSelections[i];
        if (bank->sizeofSelect < 3 || le_uint(bank->pcrSelect, 3) != TPM_PCRS_ALL)
            continue;
        if (banks.n == TPM_BANKS_MAX)
            return err_set(err, ERR_TOO_LARGE, 0, "the TPM has more than %d PCR banks", TPM_BANKS_MAX);
        banks.alg[banks.n++] = bank->hash;
    }
    t->banks = banks;
    return 0;
}

static int read_nv_chunk(struct tpm *t, struct err *err)
{
    AUTO(esys_drop) TPMS_CAPABILITY_DATA *data = NULL;
    TSS2_RC rc = capability(t, TPM2_CAP_TPM_PROPERTIES, TPM2_PT_NV_BUFFER_MAX, 1, &data);
    if (rc)
        return tpm_fail(err, rc, "read the NV buffer size");
    const TPML_TAGGED_TPM_PROPERTY *list = &data->data.tpmProperties;
    uint32_t value = list->count && list->tpmProperty[0].property == TPM2_PT_NV_BUFFER_MAX
                         ? list->tpmProperty[0].value
                         : TPM2_MAX_DIGEST_BUFFER;
    if (value == 0)
        return err_set(err, ERR_IO, 0, "the TPM gives an NV buffer of 0 bytes");
    t->nv_chunk = (uint16_t)(value < TPM2_MAX_NV_BUFFER_SIZE ? value : TPM2_MAX_NV_BUFFER_SIZE);
    return 0;
}

/* All handles of one range, whoever made them. Over the SYS layer, because ESYS wants to read an object
 * before it flushes it. */
static int flush_range(struct tpm *t, TPM2_HANDLE first, struct err *err)
{
    TSS2_SYS_CONTEXT *sys;
    TSS2_RC rc = Esys_GetSysContext(t->esys, &sys);
    for (int round = 0; !rc && round < FLUSH_ROUNDS_MAX; round++) {
        AUTO(esys_drop) TPMS_CAPABILITY_DATA *data = NULL;
        rc = capability(t, TPM2_CAP_HANDLES, first, TPM2_MAX_CAP_HANDLES, &data);
        if (rc || data->data.handles.count == 0)
            break;
        for (uint32_t i = 0; i < data->data.handles.count; i++)
            (void)TPM_CALL(
                Tss2_Sys_FlushContext(sys, data->data.handles.handle[i])); /* listed again if not */
    }
    return rc ? tpm_fail(err, rc, "flush what an earlier program left in the TPM") : 0;
}

static int flush_leftovers(struct tpm *t, bool sessions, struct err *err)
{
    /* spelled out: TPM2_TRANSIENT_FIRST shifts a signed 0x80 out of range */
    if (flush_range(t, (TPM2_HANDLE)TPM2_HT_TRANSIENT << TPM2_HR_SHIFT, err) < 0)
        return -1;
    if (!sessions)
        return 0;
    return flush_range(t, TPM2_LOADED_SESSION_FIRST, err) < 0
                   || flush_range(t, TPM2_ACTIVE_SESSION_FIRST, err) < 0
               ? -1
               : 0;
}

static int open_over(TSS2_TCTI_CONTEXT *tcti, bool flush_sessions, struct tpm **out, struct err *err)
{
    struct tpm *t = calloc(1, sizeof(*t));
    if (!t)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a TPM connection");
    tpm_guard_init(&t->guard, tcti, TPM_ANSWER_MS);
    TSS2_RC rc = Esys_Initialize(&t->esys, (TSS2_TCTI_CONTEXT *)&t->guard, NULL);
    int failed = rc ? tpm_fail(err, rc, "start ESYS") : 0;
    if (failed || read_banks(t, err) < 0 || read_nv_chunk(t, err) < 0
        || flush_leftovers(t, flush_sessions, err) < 0) {
        tpm_close(t);
        return -1;
    }
    *out = t;
    return 0;
}

int tpm_open_tcti(TSS2_TCTI_CONTEXT *tcti, struct tpm **out, struct err *err)
{
    return open_over(tcti, true, out, err) < 0 ? err_while(err, "open TPM") : 0;
}

/* The device TCTI opens its file without close-on-exec: programs that we start must not inherit the TPM. */
static void close_on_exec(TSS2_TCTI_CONTEXT *tcti)
{
    TSS2_TCTI_POLL_HANDLE handles[4];
    size_t n = ARRAY_SIZE(handles);
    if (Tss2_Tcti_GetPollHandles(tcti, handles, &n))
        return;
    for (size_t i = 0; i < n && i < ARRAY_SIZE(handles); i++)
        fcntl(handles[i].fd, F_SETFD, FD_CLOEXEC);
}

static int refuse_tcti(const char *name, TSS2_RC rc, struct err *err)
{
    static const char device[] = "device:";
    const char *path = strncmp(name, device, sizeof(device) - 1) == 0 ? name + sizeof(device) - 1 : NULL;
    if (path && *path && access(path, R_OK | W_OK) < 0) {
        const char *advice =
            errno == ENOENT ? "this machine shows no TPM there" : "the user needs access (group tss)";
        return err_set(err, ERR_UNAVAILABLE, rc, "%s: %s: %s", name, strerror(errno), advice);
    }
    TSS2_RC code = rc & 0xFFFF;
    if (code == TSS2_BASE_RC_BAD_VALUE || code == TSS2_BASE_RC_NOT_SUPPORTED)
        return err_set(err, ERR_INPUT, rc, "%s: not a TCTI name (device:PATH, swtpm:path=SOCKET, ...)", name);
    return tpm_fail(err, rc, "%s", name);
}

int tpm_open(const char *name, struct tpm **out, struct err *err)
{
    TSS2_TCTI_CONTEXT *tcti = NULL;
    if (!*name)
        return err_set(err, ERR_INPUT, 0, "open TPM: the TCTI name is empty");
    TSS2_RC rc = Tss2_TctiLdr_Initialize(name, &tcti);
    if (rc) {
        refuse_tcti(name, rc, err);
        return err_while(err, "open TPM");
    }
    close_on_exec(tcti);
    /* A resource manager cleans up after its clients, hides their objects, but lists their sessions
     * (Linux, drivers/char/tpm/tpm2-space.c): those are in use by others, such as systemd-pcrextend. */
    bool managed = strstr(name, "tpmrm") || strncmp(name, "tabrmd", 6) == 0;
    if (open_over(tcti, !managed, out, err) < 0) {
        Tss2_TctiLdr_Finalize(&tcti);
        return err_while(err, "open TPM");
    }
    (*out)->tcti = tcti;
    return 0;
}

void tpm_close(struct tpm *t)
{
    if (!t)
        return;
    if (t->esys)
        Esys_Finalize(&t->esys);
    if (t->tcti)
        Tss2_TctiLdr_Finalize(&t->tcti);
    free(t);
}
