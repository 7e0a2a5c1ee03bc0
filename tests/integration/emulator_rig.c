/* See emulator_rig.h. What a machine gives out is saved to files for tests/interop/check_emulator.py. */
#include "emulator_rig.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "tee/azure.h"
#include "tee/detect.h"
#include "tee/report.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

void folder_new(struct machine *m)
{
    snprintf(m->state, sizeof(m->state), "/tmp/emulator.XXXXXX");
    assert_non_null(mkdtemp(m->state));
    snprintf(m->out, sizeof(m->out), "%s/out", m->state);
    OK(dir_make(m->out, 0700, &err));
}

void folder_drop(struct machine *m)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", m->state);
    assert_int_equal(system(command), 0);
    m->state[0] = '\0';
}

void power_on(struct machine *m, const char *shape, const char *tcti, double limit)
{
    double start = now_ms();
    OK(emulator_new(shape, m->state, tcti, &m->e, &err));
    double took = now_ms() - start;
    printf("%s: start took %.1f ms\n", shape, took);
    assert_true(took < limit);
    m->l = emulator_lower(m->e);
    assert_true(m->l.emulated);
    if (!m->l.tpm.kind)
        return;
    OK(m->l.tpm.open(m->l.tpm.ctx, &m->tcti, &err));
    OK(tpm_open_tcti(m->tcti, &m->tpm, &err));
}

void power_off(struct machine *m)
{
    tpm_close(m->tpm);
    if (m->tcti)
        m->l.tpm.close(m->l.tpm.ctx, m->tcti);
    emulator_free(m->e);
    m->tpm = NULL;
    m->tcti = NULL;
    m->e = NULL;
}

static void save(const struct machine *m, const char *name, struct bytes data)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", m->out, name);
    OK(file_write_atomic(path, data, 0600, &err));
}

static void save_copy(const struct machine *m, const char *from, const char *name)
{
    AUTO(free_u8) uint8_t *p = NULL;
    size_t n;
    OK(file_read(from, FILE_MAX_DEFAULT, &p, &n, &err));
    save(m, name, bytes_of(p, n));
}

/* Fetches an address from the emulated network; the body stays the caller's. */
struct buf fetch(const struct machine *m, const char *url, unsigned status)
{
    const struct http_request request = {
        .method = "GET", .url = url, .headers = { "Metadata: true" }, .deadline_ms = 1000, .max_body = 1 << 20
    };
    struct http_response r;
    OK(http_perform(&m->l.http, &request, &r, &err));
    if (r.status != status)
        fail_msg("%s: %u, not %u", url, r.status, status);
    return r.body;
}

static void save_url(const struct machine *m, const char *url, const char *name)
{
    AUTO(buf_done) struct buf body = fetch(m, url, 200);
    save(m, name, buf_bytes(&body));
}

static void save_nv(const struct machine *m, uint32_t index, const char *name)
{
    AUTO(buf_done) struct buf nv = buf_new(TPM_NV_MAX);
    OK(tpm_nv_read(m->tpm, index, &nv, &err));
    save(m, name, buf_bytes(&nv));
}

static void save_key(const struct machine *m, enum tpm_ak_source source, uint32_t handle, const char *name)
{
    struct tpm_ak ak = { 0 };
    OK(tpm_ak_load(m->tpm, source, handle, &ak, &err));
    save(m, name, buf_bytes(&ak.public_area));
    tpm_ak_done(m->tpm, &ak);
}

/* ---- What each kind of platform shows ---- */

const uint8_t report_data[64] = { 'a', 'n', 'y', ' ', 'd', 'a', 't', 'a', [63] = 0xA5 };

static void show_report(struct machine *m, enum tee_type tee)
{
    struct tee_report r;
    OK(tee_report_get(&m->l, tee, report_data, &r, &err));
    save(m, tee == TEE_TDX ? "quote.bin" : "report.bin", buf_bytes(&r.report));
    if (tee == TEE_SEV_SNP)
        save(m, "auxblob.bin", buf_bytes(&r.certs));
    save(m, "report_data", bytes_of(report_data, sizeof(report_data)));
    tee_report_done(&r);
}

static void show_kds(struct machine *m, const char *shape)
{
    static const struct {
        const char *shape, *line, *leaf_query;
        size_t hwid;
    } rows[] = { { "snp", "vcek/v1/Turin", "fmcSPL=00&blSPL=01&teeSPL=00&snpSPL=02&ucodeSPL=71", 8 },
                 { "snp-vtpm", "vcek/v1/Genoa", "blSPL=10&teeSPL=00&snpSPL=23&ucodeSPL=84", 64 },
                 { "gcp-snp", "vcek/v1/Genoa", "blSPL=10&teeSPL=00&snpSPL=23&ucodeSPL=84", 64 },
                 { "aws-snp", "vlek/v1/Milan", NULL, 0 } };
    AUTO(free_u8) uint8_t *report = NULL;
    size_t n;
    char url[512], path[PATH_MAX], hwid[129];
    snprintf(path, sizeof(path), "%s/report.bin", m->out);
    OK(file_read(path, 1184, &report, &n, &err));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (strcmp(rows[i].shape, shape) != 0)
            continue;
        snprintf(url, sizeof(url), "%s/%s/cert_chain", m->l.kds_url, rows[i].line);
        save_url(m, url, "kds_chain.pem");
        snprintf(url, sizeof(url), "%s/%s/crl", m->l.kds_url, rows[i].line);
        save_url(m, url, "kds_crl.der");
        if (!rows[i].leaf_query)
            continue;
        hex_to(hwid, bytes_of(report + 0x1A0, rows[i].hwid));
        snprintf(url, sizeof(url), "%s/%s/%s?%s", m->l.kds_url, rows[i].line, hwid, rows[i].leaf_query);
        save_url(m, url, "vcek.der");
        url[strlen(url) - 1]++; /* another microcode */
        AUTO(buf_done) struct buf none = fetch(m, url, 404);
        assert_int_equal(none.n, 0);
    }
}

static void show_collateral(struct machine *m)
{
    static const char *const files[] = { "tcb_info.json", "tcb_signing_chain.pem",    "qe_identity.json",
                                         "pck_crl.der",   "pck_crl_issuer_chain.pem", "root_ca_crl.der" };
    char path[PATH_MAX];
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        snprintf(path, sizeof(path), "%s/emulator/collateral/%s", m->state, files[i]);
        save_copy(m, path, files[i]);
    }
    /* the PCS answers with the same */
    save_url(m, "https://api.trustedservices.intel.com/tdx/certification/v4/tcb?fmspc=00806f050000",
             "tcb_info.json");
    save_url(m, "https://api.trustedservices.intel.com/tdx/certification/v4/qe/identity", "qe_identity.json");
    save_url(m, "https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
             "pck_crl.der");
    save_url(m, "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der", "root_ca_crl.der");
}

static void show_ccel(struct machine *m)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/firmware/acpi/tables/data/CCEL", m->l.sys);
    save_copy(m, path, "ccel.bin");
    snprintf(path, sizeof(path), "%s/firmware/acpi/tables/CCEL", m->l.sys);
    save_copy(m, path, "ccel_table.bin");
}

static void show_tpm(struct machine *m)
{
    AUTO(buf_done) struct buf text = buf_new(1 << 16);
    struct tpm_banks banks;
    char path[PATH_MAX];
    OK(tpm_banks_get(m->tpm, &banks, &err));
    for (size_t b = 0; b < banks.n; b++) {
        struct tpm_pcrs pcrs;
        OK(tpm_pcr_read(m->tpm, banks.alg[b], TPM_PCRS_ALL, &pcrs, &err));
        for (size_t i = 0; i < TPM_PCRS; i++) {
            buf_printf(&text, "%u %zu ", banks.alg[b], i);
            hex_put(&text, digest_bytes(&pcrs.pcr[i]));
            buf_str(&text, "\n");
        }
    }
    save(m, "pcrs.txt", buf_bytes(&text));
    snprintf(path, sizeof(path), "%s/kernel/security/tpm0/binary_bios_measurements", m->l.sys);
    save_copy(m, path, "eventlog.bin");
}

static void show_google(struct machine *m)
{
    save_nv(m, 0x01C10000, "nv_01c10000.bin");
    save_nv(m, 0x01C10002, "nv_01c10002.bin");
    save_key(m, TPM_AK_NV_TEMPLATE, 0x01C10001, "ak_rsa_public.bin");
    save_key(m, TPM_AK_NV_TEMPLATE, 0x01C10003, "ak_ecc_public.bin");
    save_url(m,
             "http://privateca-content-00000000-0000-0000-0000-000000000000.storage.googleapis.com/emulated/"
             "ca.crt",
             "google_intermediate.der");
}

static void show_td_quote(struct machine *m, const char *name)
{
    AUTO(free_u8) uint8_t *hcl = NULL;
    AUTO(buf_done) struct buf quote = buf_new(1 << 16);
    char from[PATH_MAX], to[64];
    size_t n;
    snprintf(from, sizeof(from), "%s/%s.bin", m->out, name);
    snprintf(to, sizeof(to), "%s_quote.bin", name);
    OK(file_read(from, 4096, &hcl, &n, &err));
    OK(azure_td_quote(&m->l, bytes_of(hcl + 32, 1024), 1000, &quote, &err));
    save(m, to, buf_bytes(&quote));
}

static int visit(void *ctx, int (*fn)(struct tpm *tpm, void *arg, struct err *err), void *arg,
                 struct err *err)
{
    struct machine *m = ctx;
    return fn(m->tpm, arg, err);
}

static void show_azure(struct machine *m, enum tee_type tee)
{
    AUTO(buf_done) struct buf fresh = buf_new(AZURE_HCL_MAX);
    uint8_t user_data[AZURE_USER_DATA];
    for (size_t i = 0; i < sizeof(user_data); i++)
        user_data[i] = (uint8_t)(0xC0 + i);
    save_nv(m, AZURE_NV_HCL_REPORT, "hcl.bin");
    if (tee == TEE_TDX)
        show_td_quote(m, "hcl");
    OK(azure_hcl_refresh(visit, m, user_data, 5000, &fresh, &err));
    save(m, "hcl_fresh.bin", buf_bytes(&fresh));
    save(m, "user_data", bytes_of(user_data, sizeof(user_data)));
    if (tee == TEE_TDX)
        show_td_quote(m, "hcl_fresh");
    else
        save_url(m, "http://169.254.169.254/metadata/THIM/amd/certification", "thim.json");
    save_nv(m, 0x01C101D0, "nv_01c101d0.bin");
    save_key(m, TPM_AK_PERSISTENT, 0x81000003, "ak_public.bin");
}

void show(struct machine *m, const char *shape)
{
    const struct shape *row = emulator_shape(m->e);
    char path[PATH_MAX];
    save(m, "shape", bytes_str(shape));
    snprintf(path, sizeof(path), "%s/emulator/roots.pem", m->state);
    save_copy(m, path, "roots.pem");
    if (row->report == REPORT_KERNEL)
        show_report(m, row->tee);
    if (row->report == REPORT_KERNEL && row->tee == TEE_SEV_SNP)
        show_kds(m, shape);
    if (row->report == REPORT_KERNEL && row->tee == TEE_TDX) {
        show_collateral(m);
        show_ccel(m);
    }
    if (m->tpm)
        show_tpm(m);
    if (row->cloud == CLOUD_GCP)
        show_google(m);
    if (row->report == REPORT_HCL)
        show_azure(m, row->tee);
}

void judge(const struct machine *m)
{
    char command[PATH_MAX + 128];
    snprintf(command, sizeof(command), "/usr/bin/python3 '%s' '%s' > '%s/verdict' 2>&1", CHECK_EMULATOR,
             m->out, m->out);
    if (system(command) == 0)
        return;
    snprintf(command, sizeof(command), "grep -v ^ok '%s/verdict' >&2", m->out);
    fail_msg("check_emulator.py says no (%d)", system(command));
}

void detects_itself(struct machine *m)
{
    const struct shape *row = emulator_shape(m->e);
    struct detection d;
    detect(&m->l, m->tpm, &d);
    assert_ptr_equal(shape_find(d.tee, d.cloud, d.tpm, d.hcl), row);
    detect(&m->l, m->tpm, &d);
    assert_int_equal(d.tee, row->tee);
}

struct sample state_file(const struct machine *m, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/emulator/%s", m->state, name);
    return sample_load_path(path);
}

struct machine rig;

int switch_off(void **state)
{
    (void)state;
    power_off(&rig);
    if (rig.state[0])
        folder_drop(&rig);
    rig = (struct machine){ 0 };
    return 0;
}
