/* The machine's TPM: power, boot measurements, provisioning, and the way to it. */
#include "base/auto.h"
#include "base/digest.h"
#include "base/file.h"
#include "tee/emulator/emu.h"
#include "tpm/eventlog.h"
#include "tpm/soft/soft_tpm.h"

#include <openssl/rand.h>
#include <string.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>
#include <unistd.h>

#define NV_USER_DATA 0x01400002u

/* ---- The TCTI ---- */

static int inner_open(struct emulator *e, TSS2_TCTI_CONTEXT **out, struct err *err)
{
    if (!e->external_tcti) {
        *out = soft_tpm_tcti(e->soft);
        return 0;
    }
    TSS2_RC rc = Tss2_TctiLdr_Initialize(e->external_tcti, out);
    if (rc != TSS2_RC_SUCCESS)
        return err_set(err, ERR_UNAVAILABLE, rc, "TPM at %s does not open: %s", e->external_tcti,
                       Tss2_RC_Decode(rc));
    return 0;
}

static void inner_close(struct emulator *e, TSS2_TCTI_CONTEXT *tcti)
{
    if (e->external_tcti)
        Tss2_TctiLdr_Finalize(&tcti);
}

int emulator_tcti_open(void *emulator, TSS2_TCTI_CONTEXT **out, struct err *err)
{
    struct emulator *e = emulator;
    TSS2_TCTI_CONTEXT *inner = NULL, *filter;
    if (inner_open(e, &inner, err) < 0)
        return -1;
    if (!e->paravisor) {
        *out = inner;
        return 0;
    }
    filter = paravisor_tcti(e->paravisor, inner);
    if (!filter) {
        inner_close(e, inner);
        return err_set(err, ERR_IO, 0, "out of memory");
    }
    *out = filter;
    return 0;
}

void emulator_tcti_close(void *emulator, TSS2_TCTI_CONTEXT *tcti)
{
    struct emulator *e = emulator;
    inner_close(e, e->paravisor ? paravisor_tcti_free(tcti) : tcti);
}

/* Runs fn over a connection to the TPM itself, without the paravisor. */
static int with_tpm(struct emulator *e, int (*fn)(struct emulator *e, struct tpm *tpm, struct err *err),
                    struct err *err)
{
    TSS2_TCTI_CONTEXT *tcti = NULL;
    struct tpm *tpm = NULL;
    if (inner_open(e, &tcti, err) < 0)
        return -1;
    int rc = tpm_open_tcti(tcti, &tpm, err);
    if (rc == 0)
        rc = fn(e, tpm, err);
    tpm_close(tpm);
    inner_close(e, tcti);
    return rc;
}

/* ---- Start ---- */

static int boot_id_set(struct emulator *e, bool fresh, struct err *err)
{
    AUTO(buf_done) struct buf kept = buf_new(64);
    char file[64];
    uint8_t id[16];
    snprintf(file, sizeof(file), "%s/boot-id", e->shape->name);
    if (!fresh && store_get(&e->store, file, &kept, err) == 0 && kept.n == sizeof(id)) {
        memcpy(id, kept.p, sizeof(id));
    } else {
        if (RAND_bytes(id, sizeof(id)) != 1)
            return err_set(err, ERR_IO, 0, "libcrypto has no random numbers");
        if (store_put(&e->store, file, bytes_of(id, sizeof(id)), 0600, err) < 0)
            return -1;
    }
    uuid_text(id, e->boot_id);
    return 0;
}

/* Where the machine's own firmware log lies; cvm-agent-setup leaves a copy for the agent's user. */
static const char *const host_logs[] = { "/sys/kernel/security/tpm0/binary_bios_measurements",
                                         "/run/cvm-agent/boot/binary_bios_measurements" };

static int log_agrees(struct bytes raw, struct tpm *tpm, const struct tpm_banks *banks, struct err *err)
{
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    struct tpm_replay replay;
    struct tpm_pcrs now;
    if (tpm_eventlog_parse(raw, EVENTLOG_TPM, &log, err) < 0 || tpm_eventlog_replay(&log, &replay, err) < 0
        || tpm_pcr_read(tpm, banks->alg[0], FIRMWARE_PCRS, &now, err) < 0)
        return -1;
    const struct tpm_pcrs *replayed = tpm_replay_bank(&replay, banks->alg[0]);
    for (size_t i = 0; i < 8; i++)
        if (!replayed || !bytes_equal(digest_bytes(&replayed->pcr[i]), digest_bytes(&now.pcr[i])))
            return err_set(err, ERR_INPUT, 0, "PCR %zu is not what the machine's boot log says", i);
    return 0;
}

/* An external TPM may be the one that this very machine booted with: then its boot is the one that is told,
 * and nothing is measured. Its firmware's log has to explain the PCRs. */
static int adopt_boot(struct emulator *e, struct tpm *tpm, const struct tpm_banks *banks, struct err *err)
{
    AUTO(free_u8) uint8_t *raw = NULL;
    char id[64];
    size_t n = 0, i = 0;
    while (i < ARRAY_SIZE(host_logs) && file_read(host_logs[i], BOOT_LOG_MAX, &raw, &n, err) < 0)
        i++;
    if (i == ARRAY_SIZE(host_logs) || log_agrees(bytes_of(raw, n), tpm, banks, err) < 0)
        return -1;
    e->log.n = 0;
    buf_put(&e->log, bytes_of(raw, n));
    if (buf_check(&e->log, "the boot log", err) < 0)
        return -1;
    return file_read_line(HOST_BOOT_ID, id, sizeof(id), err) < 0
               ? -1
               : path_set(e->boot_id, sizeof(e->boot_id), err, "%s", id);
}

/* Measures the emulated boot into a TPM that has none yet. */
static int measure_boot(struct emulator *e, struct tpm *tpm, const struct tpm_banks *banks, bool *fresh,
                        struct err *err)
{
    char text[ERR_TEXT_MAX];
    struct err why = { 0 };
    if (boot_measure(&e->platform->boot, tpm, banks, fresh, err) < 0) {
        if (!e->external_tcti || err->kind != ERR_INPUT)
            return -1;
        if (adopt_boot(e, tpm, banks, &why) == 0)
            return 1;
        return err_set(
            err, ERR_INPUT, 0,
            "the TPM's PCRs 0 to 7 hold another boot: reset the TPM (TPM2_Startup after power-on); it is not "
            "this machine's own either: %.120s",
            err_text(&why, text, sizeof(text)));
    }
    return boot_log(&e->platform->boot, banks, &e->log, err);
}

static int measure(struct emulator *e, struct tpm *tpm, struct err *err)
{
    struct tpm_banks banks;
    bool fresh;
    e->log.n = 0;
    if (tpm_banks_get(tpm, &banks, err) < 0)
        return -1;
    int rc = measure_boot(e, tpm, &banks, &fresh, err);
    if (rc != 0)
        return rc > 0 ? 0 : -1;
    if (e->external_tcti)
        return boot_id_set(e, fresh, err);
    return path_set(e->boot_id, sizeof(e->boot_id), err, "%s", soft_tpm_boot_id(e->soft));
}

static int provision_google(struct emulator *e, struct tpm *tpm, struct err *err)
{
    return google_provision(&e->ca, &e->store, e->shape->name, tpm, err);
}

static int soft_start(struct emulator *e, struct err *err)
{
    char folder[64], path[PATH_MAX], boot[PATH_MAX];
    snprintf(folder, sizeof(folder), "%s/tpm", e->shape->name);
    if (store_folder(&e->store, folder, err) < 0
        || path_set(path, sizeof(path), err, "%s/%s", e->store.dir, folder) < 0
        || soft_tpm_new(path, &e->soft, err) < 0)
        return -1;
    if (with_tpm(e, measure, err) == 0)
        return 0;
    if (err->kind != ERR_INPUT)
        return -1;
    /* The process was killed while it measured: PCRs cannot go back, but this machine can boot again. */
    soft_tpm_free(MOVE(e->soft));
    if (path_set(boot, sizeof(boot), err, "%s/tpm2-boot", path) < 0)
        return -1;
    (void)!unlink(boot);
    if (soft_tpm_new(path, &e->soft, err) < 0)
        return -1;
    return with_tpm(e, measure, err);
}

int emulator_tpm_start(struct emulator *e, struct err *err)
{
    if ((e->external_tcti ? with_tpm(e, measure, err) : soft_start(e, err)) < 0)
        return err_while(err, "start the emulated machine's TPM");
    if (e->shape->cloud != CLOUD_GCP)
        return 0;
    if (google_ca_load(&e->ca, &e->store, err) < 0)
        return -1;
    return with_tpm(e, provision_google, err);
}

/* ---- Azure ---- */

struct azure_parts {
    struct buf ak, ek, user_data;
};

static int provision_azure(struct emulator *e, struct tpm *tpm, struct azure_parts *a, struct err *err)
{
    struct err ignored = { 0 };
    if (azure_provision(&e->ca, &e->store, e->shape->name, tpm, &a->ak, &a->ek, err) < 0)
        return -1;
    if (tpm_nv_read(tpm, NV_USER_DATA, &a->user_data, &ignored) < 0)
        a->user_data.n = 0; /* not written yet */
    return 0;
}

int emulator_paravisor_start(struct emulator *e, const struct hcl_hardware *hardware, struct err *err)
{
    AUTO(buf_done) struct buf ak = buf_new(4096), ek = buf_new(4096), user_data = buf_new(4096);
    struct azure_parts parts = { ak, ek, user_data };
    TSS2_TCTI_CONTEXT *tcti = NULL;
    struct tpm *tpm = NULL;
    if (azure_ca_load(&e->ca, &e->store, err) < 0 || inner_open(e, &tcti, err) < 0)
        return -1;
    int rc = tpm_open_tcti(tcti, &tpm, err);
    if (rc == 0)
        rc = provision_azure(e, tpm, &parts, err);
    tpm_close(tpm);
    inner_close(e, tcti);
    ak = parts.ak;
    ek = parts.ek;
    user_data = parts.user_data;
    if (rc < 0)
        return -1;
    return paravisor_new(&e->store, e->shape->name, hardware, buf_bytes(&ak), buf_bytes(&ek),
                         buf_bytes(&user_data), &e->paravisor, err);
}
