/* tee/emulator/emulator.h: each platform through its lowest interfaces. What it gives out is judged by
 * tests/interop/check_emulator.py, which knows none of our code; here are the kernel's rules, detection,
 * restarts, damage. */
#include "evidence.h"
#include "swtpm.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "tee/azure.h"
#include "tee/detect.h"
#include "tee/emulator/emulator.h"
#include "tee/report.h"
#include "tee/sev_guest_abi.h"
#include "tee/tdx_quote.h"
#include "tpm/tpm.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define GENOA_CHAIN    "https://kdsintf.amd.com/vcek/v1/Genoa/cert_chain"
#define START_FIRST_MS 20000 /* a loaded machine under sanitizers; the report says what it took */
#define START_LATER_MS 1000

#define OK(call)                                                                                             \
    do {                                                                                                     \
        struct err err = { 0 };                                                                              \
        char text_[ERR_TEXT_MAX];                                                                            \
        if ((call) < 0)                                                                                      \
            fail_msg("%s: %s", #call, err_text(&err, text_, sizeof(text_)));                                 \
    } while (0)

/* A machine that is switched on, with what a collector would hold. */
struct machine {
    char state[64], out[80];
    struct emulator *e;
    struct lower l;
    TSS2_TCTI_CONTEXT *tcti;
    struct tpm *tpm;
};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void folder_new(struct machine *m)
{
    snprintf(m->state, sizeof(m->state), "/tmp/emulator.XXXXXX");
    assert_non_null(mkdtemp(m->state));
    snprintf(m->out, sizeof(m->out), "%s/out", m->state);
    OK(dir_make(m->out, 0700, &err));
}

static void folder_drop(struct machine *m)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", m->state);
    assert_int_equal(system(command), 0);
    m->state[0] = '\0';
}

static void power_on(struct machine *m, const char *shape, const char *tcti, double limit)
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

static void power_off(struct machine *m)
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
static struct buf fetch(const struct machine *m, const char *url, unsigned status)
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

static const uint8_t report_data[64] = { 'a', 'n', 'y', ' ', 'd', 'a', 't', 'a', [63] = 0xA5 };

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

static void show(struct machine *m, const char *shape)
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

static void judge(const struct machine *m)
{
    char command[PATH_MAX + 128];
    snprintf(command, sizeof(command), "/usr/bin/python3 '%s' '%s' > '%s/verdict' 2>&1", CHECK_EMULATOR,
             m->out, m->out);
    if (system(command) == 0)
        return;
    snprintf(command, sizeof(command), "grep -v ^ok '%s/verdict' >&2", m->out);
    fail_msg("check_emulator.py says no (%d)", system(command));
}

static void detects_itself(struct machine *m)
{
    const struct shape *row = emulator_shape(m->e);
    struct detection d;
    detect(&m->l, m->tpm, &d);
    assert_ptr_equal(shape_find(d.tee, d.cloud, d.tpm, d.hcl), row);
    detect(&m->l, m->tpm, &d);
    assert_int_equal(d.tee, row->tee);
}

static struct sample state_file(const struct machine *m, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/emulator/%s", m->state, name);
    return sample_load_path(path);
}

/* The machine of the running test, so that one that fails is switched off too: libtpms is one TPM a process.
 */
static struct machine rig;

static int switch_off(void **state)
{
    (void)state;
    power_off(&rig);
    if (rig.state[0])
        folder_drop(&rig);
    rig = (struct machine){ 0 };
    return 0;
}

/* First start, everything shown and judged; second start: the same machine in the same boot. */
static void whole_life(const char *shape)
{
    struct tpm_pcrs before, after;
    char boot_id[64];
    folder_new(&rig);
    power_on(&rig, shape, NULL, START_FIRST_MS);
    detects_itself(&rig);
    show(&rig, shape);
    judge(&rig);
    struct sample roots = state_file(&rig, "roots.pem");
    snprintf(boot_id, sizeof(boot_id), "%s", rig.l.boot_id);
    if (rig.tpm)
        OK(tpm_pcr_read(rig.tpm, ALG_SHA256, TPM_PCRS_ALL, &before, &err));
    power_off(&rig);

    power_on(&rig, shape, NULL, START_LATER_MS);
    struct sample again = state_file(&rig, "roots.pem");
    assert_true(bytes_equal(sample_bytes(&roots), sample_bytes(&again)));
    assert_string_equal(rig.l.boot_id, boot_id);
    if (rig.tpm) {
        OK(tpm_pcr_read(rig.tpm, ALG_SHA256, TPM_PCRS_ALL, &after, &err));
        for (size_t i = 0; i < TPM_PCRS; i++)
            assert_true(bytes_equal(digest_bytes(&before.pcr[i]), digest_bytes(&after.pcr[i])));
    }
    detects_itself(&rig);
    if (emulator_shape(rig.e)->report == REPORT_KERNEL) {
        show(&rig, shape);
        judge(&rig);
    }
    power_off(&rig);
    sample_done(&roots);
    sample_done(&again);
    folder_drop(&rig);
}

#define LIFE(name, shape)                                                                                    \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        (void)state;                                                                                         \
        whole_life(shape);                                                                                   \
    }
LIFE(life_of_snp, "snp")
LIFE(life_of_tdx, "tdx")
LIFE(life_of_snp_vtpm, "snp-vtpm")
LIFE(life_of_tdx_vtpm, "tdx-vtpm")
LIFE(life_of_azure_snp, "azure-snp")
LIFE(life_of_azure_tdx, "azure-tdx")
LIFE(life_of_gcp_snp, "gcp-snp")
LIFE(life_of_gcp_tdx, "gcp-tdx")
LIFE(life_of_aws_snp, "aws-snp")

/* ---- The kernel's rules ---- */

static struct machine shared; /* a gcp-snp machine for the tests below */

static int shared_on(void **state)
{
    (void)state;
    folder_new(&shared);
    power_on(&shared, "gcp-snp", NULL, START_FIRST_MS);
    return 0;
}

static int shared_off(void **state)
{
    (void)state;
    power_off(&shared);
    folder_drop(&shared);
    return 0;
}

static ssize_t tsm_get(const char *attr, char out[static 4096])
{
    ssize_t n = shared.l.tsm.read(shared.l.tsm.ctx, "entry", attr, (uint8_t *)out, 4096 - 1);
    out[n > 0 ? n : 0] = '\0';
    return n;
}

static int tsm_put(const char *attr, const void *data, size_t n)
{
    return shared.l.tsm.write(shared.l.tsm.ctx, "entry", attr, bytes_of(data, n));
}

static void configfs_keeps_the_kernels_rules(void **state)
{
    (void)state;
    struct tsm_io *t = &shared.l.tsm;
    char text[4096];
    assert_int_equal(tsm_get("provider", text), -ENOENT);
    assert_int_equal(t->make(t->ctx, "entry"), 0);
    assert_int_equal(t->make(t->ctx, "entry"), -EEXIST);
    assert_int_equal(t->make(t->ctx, "../entry"), -EINVAL);
    assert_true(tsm_get("provider", text) > 0);
    assert_string_equal(text, "sev_guest\n");
    assert_true(tsm_get("generation", text) > 0);
    assert_string_equal(text, "0\n");
    assert_int_equal(tsm_get("outblob", text), -EINVAL); /* before inblob */
    assert_int_equal(tsm_put("inblob", report_data, 65), -EFBIG);
    assert_int_equal(tsm_put("inblob", report_data, 63), 0);
    assert_int_equal(tsm_get("outblob", text), -EINVAL); /* not 64 bytes */
    assert_int_equal(tsm_put("inblob", report_data, 64), 0);
    assert_int_equal(tsm_put("privlevel", "4", 1), -EINVAL);
    assert_int_equal(tsm_put("privlevel", "2\n", 2), 0);
    assert_int_equal(tsm_put("outblob", "x", 1), -EACCES);
    assert_int_equal(tsm_get("privlevel", text), -EACCES);
    assert_int_equal(tsm_get("service_guid", text), -ENOENT);
    assert_int_equal(tsm_get("outblob", text), 1184);
    assert_int_equal(text[0x30], 2);
    assert_true(tsm_get("generation", text) > 0);
    assert_string_equal(text, "3\n"); /* refused writes do not count */
    assert_true(tsm_get("privlevel_floor", text) > 0);
    assert_string_equal(text, "0\n");
    uint8_t small[16];
    assert_int_equal(t->read(t->ctx, "entry", "outblob", small, sizeof(small)), -EFBIG);
    assert_int_equal(t->remove(t->ctx, "entry"), 0);
    assert_int_equal(t->remove(t->ctx, "entry"), -ENOENT);
}

static int sev(unsigned long number, const void *request, uint8_t *response, uint64_t *info)
{
    struct sev_guest_request r = { .msg_version = 1,
                                   .request = (uint64_t)(uintptr_t)request,
                                   .response = (uint64_t)(uintptr_t)response };
    int rc = shared.l.sev_guest.call(shared.l.sev_guest.ctx, number, &r);
    *info = r.exit_info;
    return rc;
}

static void sev_guest_keeps_the_kernels_rules(void **state)
{
    (void)state;
    AUTO(free_u8) uint8_t *response = calloc(1, SEV_GUEST_RESPONSE_SIZE), *certs = calloc(1, 8192);
    struct sev_ext_report_request q = { .report = { .vmpl = 1 },
                                        .certs_address = (uint64_t)(uintptr_t)certs };
    uint64_t info;
    memcpy(q.report.user_data, report_data, 64);
    assert_int_equal(sev(SEV_GUEST_GET_REPORT, &q.report, response, &info), 0);
    assert_int_equal(le_uint(response, 4), 0);
    assert_int_equal(le_uint(response + 4, 4), 1184);
    assert_memory_equal(response + 0x20 + 0x50, report_data, 64);
    assert_int_equal(response[0x20 + 0x30], 1);
    q.report.vmpl = 4; /* the firmware answers, with an error status */
    assert_int_equal(sev(SEV_GUEST_GET_REPORT, &q.report, response, &info), 0);
    assert_int_equal(le_uint(response, 4), 0x16);
    q.report.vmpl = 0;
    q.certs_len = 4096;
    assert_int_equal(sev(SEV_GUEST_GET_EXT_REPORT, &q, response, &info),
                     -EIO); /* too small: told how large */
    assert_int_equal(info >> 32, SEV_VMM_INVALID_LEN);
    assert_int_equal(q.certs_len, 8192);
    assert_int_equal(sev(SEV_GUEST_GET_EXT_REPORT, &q, response, &info), 0);
    assert_int_equal(info, 0);
    assert_int_equal(certs[0], 0x63); /* GUID as printed */
    q.certs_len = 4095;
    assert_int_equal(sev(SEV_GUEST_GET_EXT_REPORT, &q, response, &info), -EINVAL);
    q.certs_len = 0x5000;
    assert_int_equal(sev(SEV_GUEST_GET_EXT_REPORT, &q, response, &info), -EINVAL);
    q.certs_len = 0; /* no certificates wanted */
    assert_int_equal(sev(SEV_GUEST_GET_EXT_REPORT, &q, response, &info), 0);
    assert_int_equal(sev(SEV_GUEST_GET_DERIVED_KEY, &q, response, &info), -EIO);
    assert_int_equal(sev(0x1234, &q, response, &info), -ENOTTY);
    assert_int_equal(sev(SEV_GUEST_GET_REPORT, NULL, response, &info), -EINVAL);
}

static void the_network_ends_at_the_machine(void **state)
{
    (void)state;
    const struct http_request away = {
        .method = "GET", .url = "https://example.com/", .deadline_ms = 1000, .max_body = 100
    };
    const struct http_request short_ = { .method = "GET",
                                         .url = "https://kdsintf.amd.com/vcek/v1/Genoa/crl",
                                         .deadline_ms = 1000,
                                         .max_body = 100 };
    struct http_response r;
    struct err err = { 0 };
    assert_int_equal(http_perform(&shared.l.http, &away, &r, &err), -1);
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    assert_int_equal(http_perform(&shared.l.http, &short_, &r, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    static const char *const unknown[] = {
        "https://kdsintf.amd.com/vcek/v1/Milan/cert_chain",
        "https://kdsintf.amd.com/vcek/v1/Genoa/",
        "https://kdsintf.amd.com/vcek/v1/Genoa/00?blSPL=10",
        "https://kdsintf.amd.com/",
        "https://api.trustedservices.intel.com/tdx/certification/v4/tcb?fmspc=00806f050000",
        "http://169.254.169.254/metadata/THIM/amd/certification",
    };
    for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
        AUTO(buf_done) struct buf body = fetch(&shared, unknown[i], 404);
        assert_int_equal(body.n, 0);
    }
}

#define THREADS 4
#define ROUNDS  25

static void *ask_often(void *arg)
{
    size_t *good = arg;
    for (size_t i = 0; i < ROUNDS; i++) {
        struct tee_report r;
        struct err err = { 0 };
        if (tee_report_get(&shared.l, TEE_SEV_SNP, report_data, &r, &err) < 0)
            continue;
        *good += r.report.n == 1184;
        tee_report_done(&r);
        const struct http_request request = {
            .method = "GET", .url = GENOA_CHAIN, .deadline_ms = 1000, .max_body = 1 << 16
        };
        struct http_response answer;
        if (http_perform(&shared.l.http, &request, &answer, &err) < 0)
            continue;
        *good += answer.status == 200;
        http_response_done(&answer);
    }
    return NULL;
}

static void serves_several_threads(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    size_t good[THREADS] = { 0 };
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &good[i]), 0);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(good[i], 2 * ROUNDS);
    }
}

/* ---- State ---- */

static void refuses(struct machine *m, const char *shape, const char *named)
{
    struct err err = { 0 };
    char text[ERR_TEXT_MAX];
    if (emulator_new(shape, m->state, NULL, &m->e, &err) == 0)
        fail_msg("a machine with a damaged %s starts", named);
    assert_int_equal(err.kind, ERR_INPUT);
    if (!strstr(err_text(&err, text, sizeof(text)), named))
        fail_msg("\"%s\" does not name %s", text, named);
}

static void names_damaged_files(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        long at; /* from the end when negative */
    } files[] = { { "ca/intel-root.key.pem", 60 },  { "ca/intel-root.der", -1 },
                  { "tdx/pck.der", 200 },           { "collateral/tcb_info.json", 60 },
                  { "collateral/pck_crl.der", 30 }, { "roots.pem", 40 } };
    folder_new(&rig);
    power_on(&rig, "tdx", NULL, START_FIRST_MS);
    power_off(&rig);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        char path[PATH_MAX];
        struct sample s = state_file(&rig, files[i].name);
        snprintf(path, sizeof(path), "%s/emulator/%s", rig.state, files[i].name);
        uint8_t *byte = s.p + (files[i].at < 0 ? s.n - 1 : (size_t)files[i].at);
        *byte ^= 0x04;
        OK(file_write_atomic(path, sample_bytes(&s), 0600, &err));
        refuses(&rig, "tdx", files[i].name);
        *byte ^= 0x04;
        OK(file_write_atomic(path, sample_bytes(&s), 0600, &err));
        sample_done(&s);
    }
    power_on(&rig, "tdx", NULL, START_LATER_MS);
    power_off(&rig);
    folder_drop(&rig);
}

/* Two shapes in one folder are two machines; the roots of both are listed, and each detects itself. */
static void holds_machines_of_several_shapes(void **state)
{
    (void)state;
    folder_new(&rig);
    power_on(&rig, "tdx", NULL, START_FIRST_MS);
    power_off(&rig);
    power_on(&rig, "azure-snp", NULL, START_FIRST_MS);
    detects_itself(&rig);
    show(&rig, "azure-snp");
    judge(&rig);
    power_off(&rig);
    power_on(&rig, "tdx", NULL, START_LATER_MS);
    detects_itself(&rig);
    power_off(&rig);
    folder_drop(&rig);
}

static void refuses_unknown_shapes(void **state)
{
    (void)state;
    struct emulator *e = NULL;
    struct err err = { 0 };
    assert_int_equal(emulator_new("none-vtpm", "/tmp", NULL, &e, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    assert_int_equal(emulator_new("snp", "/nonexistent/folder/deep/down", NULL, &e, &err), -1);
    emulator_free(NULL);
}

/* The host's boot id is what starts a new boot of the TPM in the process; removing its file does the same. */
static void boots_anew(void **state)
{
    (void)state;
    char boot_id[64], path[PATH_MAX];
    folder_new(&rig);
    power_on(&rig, "tdx-vtpm", NULL, START_FIRST_MS);
    snprintf(boot_id, sizeof(boot_id), "%s", rig.l.boot_id);
    struct digest extra = { .alg = ALG_SHA256, .n = 32 };
    OK(tpm_pcr_extend(rig.tpm, 15, &extra, 1, &err));
    power_off(&rig);
    snprintf(path, sizeof(path), "%s/emulator/tdx-vtpm/tpm/tpm2-boot", rig.state);
    assert_int_equal(unlink(path), 0);
    power_on(&rig, "tdx-vtpm", NULL, START_LATER_MS);
    assert_string_not_equal(rig.l.boot_id, boot_id);
    show(&rig, "tdx-vtpm");
    judge(&rig); /* PCR 15 is zero again and the log is the whole truth */
    power_off(&rig);
    folder_drop(&rig);
}

static void uses_an_external_tpm(void **state)
{
    (void)state;
    struct swtpm w;
    if (!swtpm_available())
        skip();
    swtpm_new(&w);
    folder_new(&rig);
    power_on(&rig, "gcp-snp", w.tcti, START_FIRST_MS);
    assert_string_equal(rig.l.tpm.kind, "external");
    detects_itself(&rig);
    show(&rig, "gcp-snp");
    judge(&rig);
    power_off(&rig);
    power_on(&rig, "gcp-snp", w.tcti, START_LATER_MS); /* nothing is measured or provisioned twice */
    show(&rig, "gcp-snp");
    judge(&rig);
    power_off(&rig);
    struct err err = { 0 };
    assert_int_equal(emulator_new("azure-snp", rig.state, w.tcti, &rig.e, &err),
                     -1); /* other PCRs than its own */
    assert_int_equal(err.kind, ERR_INPUT);
    swtpm_kill(&w); /* power-on reset */
    swtpm_start(&w);
    power_on(&rig, "azure-snp", w.tcti, START_FIRST_MS);
    show(&rig, "azure-snp");
    power_off(&rig);
    folder_drop(&rig);
    swtpm_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(life_of_gcp_snp, switch_off),
        cmocka_unit_test_teardown(life_of_snp, switch_off),
        cmocka_unit_test_teardown(life_of_tdx, switch_off),
        cmocka_unit_test_teardown(life_of_snp_vtpm, switch_off),
        cmocka_unit_test_teardown(life_of_tdx_vtpm, switch_off),
        cmocka_unit_test_teardown(life_of_azure_snp, switch_off),
        cmocka_unit_test_teardown(life_of_azure_tdx, switch_off),
        cmocka_unit_test_teardown(life_of_gcp_tdx, switch_off),
        cmocka_unit_test_teardown(life_of_aws_snp, switch_off),
        cmocka_unit_test_teardown(names_damaged_files, switch_off),
        cmocka_unit_test_teardown(holds_machines_of_several_shapes, switch_off),
        cmocka_unit_test_teardown(refuses_unknown_shapes, switch_off),
        cmocka_unit_test_teardown(boots_anew, switch_off),
        cmocka_unit_test_teardown(uses_an_external_tpm, switch_off),
    };
    const struct CMUnitTest rules[] = {
        cmocka_unit_test(configfs_keeps_the_kernels_rules),
        cmocka_unit_test(sev_guest_keeps_the_kernels_rules),
        cmocka_unit_test(the_network_ends_at_the_machine),
        cmocka_unit_test(serves_several_threads),
    };
    int rc = cmocka_run_group_tests_name("lives", tests, NULL, NULL);
    return cmocka_run_group_tests_name("rules", rules, shared_on, shared_off) | rc;
}
