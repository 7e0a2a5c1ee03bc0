/* tee/emulator/emulator.h: the kernel's rules at the lowest interfaces, damaged and shared state folders, new
 * boots, an external TPM. */
#include "emulator_rig.h"
#include "swtpm.h"

#include "base/auto.h"
#include "base/file.h"
#include "tee/report.h"
#include "tee/sev_guest_abi.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define GENOA_CHAIN "https://kdsintf.amd.com/vcek/v1/Genoa/cert_chain"

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
    assert_int_equal(err.kind, ERR_NOT_FOUND);
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
    int rc = cmocka_run_group_tests_name("state", tests, NULL, NULL);
    return cmocka_run_group_tests_name("rules", rules, shared_on, shared_off) | rc;
}
