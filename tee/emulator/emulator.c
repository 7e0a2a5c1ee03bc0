#include "tee/emulator/emulator.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/file.h"
#include "tee/emulator/emu.h"
#include "tpm/soft/soft_tpm.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

/* ---- The TEE behind the kernel's interfaces ---- */

static int snp_tsm(void *ctx, const uint8_t inblob[static TSM_INBLOB], unsigned privlevel, struct buf *out,
                   struct buf *aux)
{
    struct emulator *e = ctx;
    return sev_guest_tsm(&e->sev_guest, inblob, privlevel, out, aux);
}

static int tdx_tsm(void *ctx, const uint8_t inblob[static TSM_INBLOB], unsigned privlevel, struct buf *out,
                   struct buf *aux)
{
    struct emulator *e = ctx;
    struct err ignored = { 0 };
    (void)privlevel;
    (void)aux;
    return tdx_machine_quote(e->tdx, inblob, out, &ignored) < 0 ? -EIO : 0;
}

static int snp_hardware(void *ctx, const uint8_t report_data[static 64], uint8_t out[static HCL_REPORT_AREA],
                        struct err *err)
{
    struct emulator *e = ctx;
    return snp_machine_report(e->snp, report_data, 0, out, err);
}

static int tdx_hardware(void *ctx, const uint8_t report_data[static 64], uint8_t out[static HCL_REPORT_AREA],
                        struct err *err)
{
    struct emulator *e = ctx;
    return tdx_machine_tdreport(e->tdx, report_data, out, err);
}

static int sev_call(void *ctx, unsigned long request, void *arg)
{
    struct emulator *e = ctx;
    return e->platform->sev_device ? sev_guest_ioctl(&e->sev_guest, request, arg) : -ENOENT;
}

static void cpuid_get(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct emulator *e = ctx;
    memset(out, 0, 4 * sizeof(out[0]));
    for (size_t i = 0; i < e->platform->cpuid_count; i++) {
        const struct cpuid_row *row = &e->platform->cpuid[i];
        if (row->leaf == leaf && row->subleaf == subleaf)
            memcpy(out, row->out, sizeof(row->out));
    }
}

/* ---- Start ---- */

/* Keys of the processor are looked for while the TPM makes its own. */
struct snp_start {
    struct emulator *e;
    struct err err;
    int rc;
};

static void *snp_start_run(void *arg)
{
    struct snp_start *s = arg;
    s->rc = snp_machine_new(&s->e->store, s->e->shape->name, s->e->platform->snp, &s->e->snp, &s->err);
    return NULL;
}

static int hardware_start(struct emulator *e, struct err *err)
{
    struct snp_start s = { .e = e };
    pthread_t thread;
    if (!e->platform->snp) {
        if (tdx_machine_new(&e->store, e->shape->name, e->platform->tdx, e->rtmrs, &e->tdx, err) < 0)
            return -1;
        return e->shape->tpm ? emulator_tpm_start(e, err) : 0;
    }
    if (pthread_create(&thread, NULL, snp_start_run, &s) != 0)
        return err_set(err, ERR_IO, 0, "cannot start a thread");
    int rc = e->shape->tpm ? emulator_tpm_start(e, err) : 0;
    pthread_join(thread, NULL);
    if (rc == 0 && s.rc < 0)
        *err = s.err;
    return rc < 0 || s.rc < 0 ? -1 : 0;
}

static int interfaces_start(struct emulator *e, struct err *err)
{
    const struct tsm_driver sev = { "sev_guest", true, snp_tsm, e }, tdx = { "tdx_guest", false, tdx_tsm, e };
    if (e->snp) {
        e->cert_table = buf_new(STORE_FILE_MAX);
        if (e->platform->certs != CERTS_NONE)
            snp_machine_table(e->snp, e->platform->certs == CERTS_CHAIN, &e->cert_table);
        if (buf_check(&e->cert_table, "the certificate table", err) < 0)
            return -1;
        e->sev_guest = (struct sev_guest){ e->snp, buf_bytes(&e->cert_table) };
    }
    if (e->shape->report == REPORT_HCL) {
        const struct hcl_hardware hardware = { e->snp ? 2 : 4, e->snp ? snp_hardware : tdx_hardware, e };
        if (emulator_paravisor_start(e, &hardware, err) < 0)
            return -1;
    }
    return tsm_fs_new(!e->platform->configfs ? NULL : e->snp ? &sev : &tdx, &e->tsm, err);
}

/* Without a TPM the boot is the host's own. */
static int boot_id_derive(struct emulator *e, struct err *err)
{
    char host[64], text[128];
    uint8_t hash[32];
    if (file_read_line(HOST_BOOT_ID, host, sizeof(host), err) < 0)
        return -1;
    snprintf(text, sizeof(text), EMULATOR_ORGANISATION " %s %s", e->shape->name, host);
    sha256(bytes_str(text), hash);
    hash[6] = (uint8_t)(0x40 | (hash[6] & 0x0F)); /* RFC 4122, version 4 */
    hash[8] = (uint8_t)(0x80 | (hash[8] & 0x3F));
    uuid_text(hash, e->boot_id);
    return 0;
}

static int start(struct emulator *e, const char *state_dir, struct err *err)
{
    if (store_open(&e->store, state_dir, err) < 0 || store_folder(&e->store, "ca", err) < 0
        || store_folder(&e->store, e->shape->name, err) < 0)
        return -1;
    e->log = buf_new(BOOT_LOG_MAX);
    e->ccel = buf_new(BOOT_CCEL_SIZE);
    if (e->platform->tdx && e->platform->tdx->measured
        && boot_ccel(&e->platform->boot, &e->ccel, e->rtmrs, err) < 0)
        return -1;
    if (hardware_start(e, err) < 0 || interfaces_start(e, err) < 0)
        return -1;
    if (!e->shape->tpm && boot_id_derive(e, err) < 0)
        return -1;
    return emulator_rtmr3_start(e, err) < 0 ? -1 : emulator_files_write(e, err);
}

int emulator_new(const char *shape, const char *state_dir, const char *external_tcti, struct emulator **out,
                 struct err *err)
{
    const struct platform *platform = platform_by_name(shape);
    const struct shape *row = shape_by_name(shape);
    struct err local = { 0 };
    if (!platform || !row)
        return err_set(err, ERR_NOT_FOUND, 0, "there is no emulated platform %.40s", shape);
    struct emulator *e = calloc(1, sizeof(*e));
    if (!e)
        return err_set(err, ERR_IO, 0, "out of memory");
    e->shape = row;
    e->platform = platform;
    if (external_tcti && !(e->external_tcti = strdup(external_tcti))) {
        emulator_free(e);
        return err_set(err, ERR_IO, 0, "out of memory");
    }
    if (start(e, state_dir, &local) < 0) {
        emulator_free(e);
        if (err)
            *err = local;
        return err_while(err, "start the emulated platform");
    }
    *out = e;
    return 0;
}

struct lower emulator_lower(struct emulator *e)
{
    const char *kind = e->external_tcti ? "external" : "emulated";
    return (struct lower){
        .sys = e->sys,
        .dev = e->dev,
        .proc = e->proc,
        .tsm = tsm_fs_io(e->tsm),
        .sev_guest = { sev_call, e },
        .cpuid = { cpuid_get, e },
        .tpm = { emulator_tcti_open, emulator_tcti_close, e, e->shape->tpm ? kind : NULL },
        .http = emulator_http(e),
        .imds_url = "http://169.254.169.254",
        .kds_url = "https://kdsintf.amd.com",
        .boot_id = e->boot_id,
        .rtmr3 = e->rtmr3.read ? &e->rtmr3 : NULL,
        .emulated = true,
    };
}

const struct shape *emulator_shape(const struct emulator *e)
{
    return e->shape;
}

void emulator_free(struct emulator *e)
{
    if (!e)
        return;
    tsm_fs_free(e->tsm);
    paravisor_free(e->paravisor);
    soft_tpm_free(e->soft);
    snp_machine_free(e->snp);
    tdx_machine_free(e->tdx);
    ak_ca_done(&e->ca);
    buf_done(&e->cert_table);
    buf_done(&e->log);
    buf_done(&e->ccel);
    free(e->external_tcti);
    free(e);
}
