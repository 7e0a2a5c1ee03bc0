/* configfs-tsm as a file system: the real lower end, its faults, and what tee_report_get() makes of them. */
#include "evidence.h"
#include "fuse_tsm.h"

#include "base/auto.h"
#include "tee/detect.h"
#include "tee/report.h"
#include "tee/snp_report.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define TDX_REPORT_DATA (0x30 + 0x208) /* version 4 */

static struct fuse_tsm *fs;
static struct lower_system storage;
static struct lower lower;
static char root[] = "/tmp/cvm-tsm-XXXXXX", sys[64], none[64];
static struct sample snp_report, snp_certs, td_quote;

static int set_up(void **state)
{
    char folder[128];
    (void)state;
    assert_non_null(mkdtemp(root));
    snprintf(sys, sizeof(sys), "%s/sys", root);
    snprintf(none, sizeof(none), "%s/none", root);
    snprintf(folder, sizeof(folder), "%s/kernel", sys);
    mkdir(sys, 0700);
    mkdir(folder, 0700);
    snprintf(folder, sizeof(folder), "%s/kernel/config", sys);
    mkdir(folder, 0700);
    snprintf(folder, sizeof(folder), "%s/kernel/config/tsm/report", sys);
    lower = lower_system(&storage, sys, none, "/proc", NULL, NULL);
    if (test_evidence()) {
        snp_report = sample_load("snp/genoa-v3-tsm-certtable/report.bin");
        snp_certs = sample_load("snp/genoa-v3-tsm-certtable/auxblob.bin");
        td_quote = sample_load("tdx/v4-b0c06f-uptodate/quote.bin");
    }
    fs = fuse_tsm_mount(folder); /* last: its process sees the samples as they are now */
    return 0;
}

static int tear_down(void **state)
{
    char folder[128];
    static const char *const below[] = { "sys/kernel/config/tsm", "sys/kernel/config", "sys/kernel", "sys",
                                         "" };
    (void)state;
    if (fs)
        fuse_tsm_unmount(fs);
    for (size_t i = 0; i < ARRAY_SIZE(below); i++) {
        snprintf(folder, sizeof(folder), "%s/%s", root, below[i]);
        rmdir(folder);
    }
    sample_done(&snp_report);
    sample_done(&snp_certs);
    sample_done(&td_quote);
    return 0;
}

static struct fuse_tsm_script *machine(const char *provider)
{
    skip_without_evidence();
    if (!fs) {
        fprintf(stderr, "SKIPPED: no FUSE here\n");
        skip();
    }
    fuse_tsm_reset(fs);
    struct fuse_tsm_script *s = fuse_tsm_script(fs);
    bool tdx = !strcmp(provider, "tdx_guest");
    s->provider = provider;
    s->report = sample_bytes(tdx ? &td_quote : &snp_report);
    s->report_data_offset = tdx ? TDX_REPORT_DATA : SNP_OFF_REPORT_DATA;
    s->certs = sample_bytes(&snp_certs);
    s->has_auxblob = !tdx;
    s->privlevel_floor = tdx ? -1 : 0;
    return s;
}

static int ask(enum tee_type tee, uint8_t fill, struct tee_report *out, struct err *err)
{
    uint8_t data[64];
    memset(data, fill, sizeof(data));
    return tee_report_get(&lower, tee, data, out, err);
}

/* Every entry is gone and none was opened with O_TRUNC, however the request ended. */
static void assert_clean(void)
{
    const struct fuse_tsm_seen *seen = fuse_tsm_seen(fs);
    assert_int_equal(atomic_load(&seen->live), 0);
    assert_int_equal(atomic_load(&seen->made), atomic_load(&seen->removed));
    assert_int_equal(atomic_load(&seen->truncating_opens), 0);
}

static void assert_answers(enum tee_type tee, unsigned entries)
{
    AUTO(tee_report_done) struct tee_report r = { 0 };
    struct err err = { 0 };
    if (ask(tee, 0x77, &r, &err) < 0)
        fail_msg("%s", err.cause);
    assert_string_equal(r.via, "configfs-tsm");
    assert_int_equal(r.report.n, tee == TEE_TDX ? td_quote.n : snp_report.n);
    assert_int_equal(r.report.p[tee == TEE_TDX ? TDX_REPORT_DATA : SNP_OFF_REPORT_DATA], 0x77);
    assert_int_equal(r.certs.n, tee == TEE_TDX ? 0 : snp_certs.n);
    assert_int_equal(atomic_load(&fuse_tsm_seen(fs)->made), entries);
    assert_clean();
}

static void assert_fails(enum tee_type tee, enum err_kind kind, const char *text)
{
    AUTO(tee_report_done) struct tee_report r = { 0 };
    struct err err = { 0 };
    assert_int_equal(ask(tee, 0x77, &r, &err), -1);
    if (err.kind != kind || !strstr(err.cause, text))
        fail_msg("kind %d, \"%s\": want %d, \"%s\"", err.kind, err.cause, kind, text);
    assert_null(r.report.p);
    assert_clean();
}

static void snp_report_with_certificates(void **state)
{
    (void)state;
    machine("sev_guest");
    assert_answers(TEE_SEV_SNP, 1);
    assert_int_equal(atomic_load(&fuse_tsm_seen(fs)->privlevel_writes), 0);
}

static void tdx_quote_of_the_kernel(void **state)
{
    (void)state;
    machine("tdx_guest");
    assert_answers(TEE_TDX, 1);
}

static void privilege_floor_is_honoured(void **state)
{
    (void)state;
    machine("sev_guest")->privlevel_floor = 2;
    assert_answers(TEE_SEV_SNP, 1);
    assert_int_equal(atomic_load(&fuse_tsm_seen(fs)->privlevel), 2);
}

static void another_writer_costs_a_fresh_entry(void **state)
{
    (void)state;
    machine("sev_guest")->disturbed = 2;
    assert_answers(TEE_SEV_SNP, 3);
}

static void a_write_lost_at_close_is_made_again(void **state)
{
    (void)state;
    machine("tdx_guest")->lost_writes = 2;
    assert_answers(TEE_TDX, 3);
}

static void errors_that_pass(void **state)
{
    (void)state;
    struct fuse_tsm_script *s = machine("tdx_guest");
    s->read_error[0] = ETIMEDOUT;
    s->read_error[1] = EBUSY;
    s->read_error[2] = EINTR;
    assert_answers(TEE_TDX, 4);
}

static void a_writer_that_never_stops_is_given_up(void **state)
{
    (void)state;
    machine("sev_guest")->disturbed = 1000;
    assert_fails(TEE_SEV_SNP, ERR_IO, "generation");
    assert_int_equal(atomic_load(&fuse_tsm_seen(fs)->made), 8);
}

static void failures_say_what_to_do(void **state)
{
    (void)state;
    machine("tdx_guest")->empty = true;
    assert_fails(TEE_TDX, ERR_UNAVAILABLE, "QGS");
    machine("sev_guest")->empty = true;
    assert_fails(TEE_SEV_SNP, ERR_UNAVAILABLE, "empty report");
    machine("tdx_guest")->read_error[0] = EIO;
    assert_fails(TEE_TDX, ERR_UNAVAILABLE, "QGS");
    machine("sev_guest")->lost_writes = 3;
    assert_fails(TEE_SEV_SNP, ERR_IO, "refused");
    machine("sev_guest")->other_data = true;
    assert_fails(TEE_SEV_SNP, ERR_IO, "other data");
    machine("sev_guest")->read_error[0] = ENOTTY;
    assert_fails(TEE_SEV_SNP, ERR_IO, "VMPCK");
    machine("sev_guest")->make_error = EACCES;
    assert_fails(TEE_SEV_SNP, ERR_DENIED, "cvm-agent-setup");
    machine("sev_guest")->provider_error = ENXIO;
    assert_fails(TEE_SEV_SNP, ERR_NOT_FOUND, "provider");
    machine("tdx_guest");
    assert_fails(TEE_SEV_SNP, ERR_NOT_FOUND, "tdx_guest");
    machine("arm_cca_guest");
    assert_fails(TEE_TDX, ERR_NOT_FOUND, "arm_cca_guest");
}

static void an_answer_of_another_length_is_refused(void **state)
{
    (void)state;
    struct fuse_tsm_script *s = machine("sev_guest");
    s->report.n--;
    assert_fails(TEE_SEV_SNP, ERR_INPUT, "");
    s = machine("tdx_guest");
    s->report.n = 700;
    assert_fails(TEE_TDX, ERR_INPUT, "");
}

static void *ask_often(void *arg)
{
    for (uint8_t i = 0; i < 10; i++) {
        AUTO(tee_report_done) struct tee_report r = { 0 };
        struct err err = { 0 };
        assert_int_equal(ask(TEE_SEV_SNP, (uint8_t)(*(uint8_t *)arg + i), &r, &err), 0);
        assert_int_equal(r.report.p[SNP_OFF_REPORT_DATA], *(uint8_t *)arg + i);
    }
    return NULL;
}

static void parallel_requests_do_not_meet(void **state)
{
    (void)state;
    machine("sev_guest");
    pthread_t threads[4];
    uint8_t starts[4] = { 0, 50, 100, 150 };
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &starts[i]), 0);
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&fuse_tsm_seen(fs)->made), 40);
    assert_clean();
}

static void entries_of_the_dead_are_removed(void **state)
{
    (void)state;
    machine("sev_guest");
    char dead[64], living[64];
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    snprintf(dead, sizeof(dead), "cvm-agent-%ld-0-00000000", (long)pid);
    snprintf(living, sizeof(living), "cvm-agent-%ld-0-00000000", (long)getppid());
    static const char *const others[] = { "someone", "cvm-agent-x-0", "cvm-agent-" };
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        assert_int_equal(lower.tsm.make(lower.tsm.ctx, others[i]), 0);
    assert_int_equal(lower.tsm.make(lower.tsm.ctx, dead), 0);
    assert_int_equal(lower.tsm.make(lower.tsm.ctx, living), 0);
    assert_int_equal(lower.tsm.make(lower.tsm.ctx, dead), -EEXIST);
    assert_int_equal(tee_report_cleanup(&lower), 1);
    assert_int_equal(atomic_load(&fuse_tsm_seen(fs)->live), 4);
    assert_int_equal(tee_report_cleanup(&lower), 0);
}

static void the_kernels_limits(void **state)
{
    (void)state;
    machine("sev_guest");
    uint8_t big[65] = { 0 }, out[8];
    assert_int_equal(lower.tsm.make(lower.tsm.ctx, "limits"), 0);
    assert_int_equal(lower.tsm.write(lower.tsm.ctx, "limits", "inblob", bytes_of(big, 65)), -EFBIG);
    assert_int_equal(lower.tsm.read(lower.tsm.ctx, "limits", "outblob", out, 8), -EINVAL);
    assert_int_equal(lower.tsm.write(lower.tsm.ctx, "limits", "inblob", bytes_of(big, 64)), 0);
    assert_int_equal(lower.tsm.read(lower.tsm.ctx, "limits", "outblob", out, 8), -EFBIG);
    assert_int_equal(lower.tsm.read(lower.tsm.ctx, "limits", "nothing", out, 8), -ENOENT);
    assert_int_equal(lower.tsm.remove(lower.tsm.ctx, "limits"), 0);
    assert_clean();
}

static void detection_leaves_no_entry(void **state)
{
    (void)state;
    machine("tdx_guest");
    struct detection d;
    detect(&lower, NULL, &d);
    assert_int_equal(d.tee, TEE_TDX);
    assert_string_equal(d.via, "configfs-tsm");
    assert_clean();
}

/* The kernel towards a process without root's rights: it may not make entries, or it may and cannot write
 * into them. */
static struct tsm_io kernel;
static bool may_make;

static int make_unprivileged(void *ctx, const char *entry)
{
    return may_make ? kernel.make(ctx, entry) : -EACCES;
}

static int write_unprivileged(void *ctx, const char *entry, const char *attr, struct bytes data)
{
    return strcmp(entry, "cvm-agent") == 0 ? kernel.write(ctx, entry, attr, data) : -EACCES;
}

static void without_root_the_entry_of_setup_is_asked(void **state)
{
    (void)state;
    machine("sev_guest");
    kernel = lower.tsm;
    lower.tsm.make = make_unprivileged;
    lower.tsm.write = write_unprivileged;
    for (int i = 0; i < 2; i++) {
        struct err err = { 0 };
        AUTO(tee_report_done) struct tee_report r = { 0 }, again = { 0 };
        struct detection d;
        may_make = i;
        assert_int_equal(ask(TEE_SEV_SNP, 0x11, &r, &err), -1);
        assert_int_equal(err.kind, ERR_DENIED);
        assert_non_null(strstr(err.cause, "cvm-agent-setup"));
        assert_int_equal(kernel.make(kernel.ctx, "cvm-agent"), 0); /* what cvm-agent-setup does */
        assert_int_equal(ask(TEE_SEV_SNP, 0x22, &r, &err), 0);
        assert_int_equal(ask(TEE_SEV_SNP, 0x33, &again, &err), 0);
        assert_int_equal(again.report.p[SNP_OFF_REPORT_DATA], 0x33);
        detect(&lower, NULL, &d);
        assert_int_equal(d.tee, TEE_SEV_SNP);
        assert_int_equal(kernel.remove(kernel.ctx, "cvm-agent"), 0);
    }
    lower.tsm = kernel;
    assert_clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snp_report_with_certificates),
        cmocka_unit_test(tdx_quote_of_the_kernel),
        cmocka_unit_test(privilege_floor_is_honoured),
        cmocka_unit_test(another_writer_costs_a_fresh_entry),
        cmocka_unit_test(a_write_lost_at_close_is_made_again),
        cmocka_unit_test(errors_that_pass),
        cmocka_unit_test(a_writer_that_never_stops_is_given_up),
        cmocka_unit_test(failures_say_what_to_do),
        cmocka_unit_test(an_answer_of_another_length_is_refused),
        cmocka_unit_test(parallel_requests_do_not_meet),
        cmocka_unit_test(entries_of_the_dead_are_removed),
        cmocka_unit_test(the_kernels_limits),
        cmocka_unit_test(detection_leaves_no_entry),
        cmocka_unit_test(without_root_the_entry_of_setup_is_asked),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
