/* tpm/soft/soft_tpm.h: boots, kills, damage and locks; and the device layer under a spoiled line. */
#include "evidence.h"
#include "tcti_filter.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/worker.h"
#include "tpm/device_guard.h"
#include "tpm/soft/soft_tpm.h"
#include "tpm/tpm.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <tss2/tss2_tpm2_types.h>

#define INDEX 0x01400002u

static char dir[64], state_path[96], boot_path[96];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/soft-tpm.XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(state_path, sizeof(state_path), "%s/tpm2-state", dir);
    snprintf(boot_path, sizeof(boot_path), "%s/tpm2-boot", dir);
    return 0;
}

static int remove_dir(void **state)
{
    char command[96];
    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    return system(command);
}

static void check(int rc, const struct err *err)
{
    if (rc < 0)
        fail_msg("%s", err->cause);
}

/* A machine that is switched on: the TPM and a connection to it. */
struct machine {
    struct soft_tpm *s;
    struct tpm *t;
};

static struct machine power_on(void)
{
    struct machine m = { NULL, NULL };
    struct err err = { 0 };
    check(soft_tpm_new(dir, &m.s, &err), &err);
    check(tpm_open_tcti(soft_tpm_tcti(m.s), &m.t, &err), &err);
    return m;
}

static void power_off(struct machine *m)
{
    tpm_close(m->t);
    soft_tpm_free(m->s);
}

static void extend(struct tpm *t, unsigned pcr)
{
    struct err err = { 0 };
    const struct digest digests[] = { { .alg = ALG_SHA256, .n = 32, .b = { 1, 2 } },
                                      { .alg = ALG_SHA384, .n = 48, .b = { 3 } } };
    check(tpm_pcr_extend(t, pcr, digests, 2, &err), &err);
}

static struct tpm_pcrs pcrs_of(struct tpm *t, uint16_t alg)
{
    struct err err = { 0 };
    struct tpm_pcrs pcrs;
    check(tpm_pcr_read(t, alg, TPM_PCRS_ALL, &pcrs, &err), &err);
    return pcrs;
}

static struct buf own_key(struct tpm *t)
{
    struct err err = { 0 };
    struct tpm_ak ak;
    struct buf spki = buf_new(1024);
    check(tpm_ak_load(t, TPM_AK_PRIMARY, 0, &ak, &err), &err);
    buf_put(&spki, buf_bytes(&ak.spki));
    tpm_ak_done(t, &ak);
    return spki;
}

static unsigned open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;
    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void restarts_keep_pcrs_and_boots_reset_them(void **state)
{
    struct err err = { 0 };
    char boot_id[64];
    struct stat st;
    (void)state;
    unsigned files = open_files();
    struct machine m = power_on();
    assert_true(soft_tpm_booted(m.s));
    snprintf(boot_id, sizeof(boot_id), "%s", soft_tpm_boot_id(m.s));
    assert_int_equal(strlen(boot_id), 36);
    AUTO(buf_done) struct buf key = own_key(m.t);
    check(tpm_nv_define(m.t, INDEX, 64, &err), &err);
    check(tpm_nv_write(m.t, INDEX, bytes_str("kept"), &err), &err);
    extend(m.t, 15);
    extend(m.t, 23);
    struct tpm_pcrs small = pcrs_of(m.t, ALG_SHA256), large = pcrs_of(m.t, ALG_SHA384), now;
    power_off(&m);
    assert_int_equal(open_files(), files);
    assert_int_equal(stat(state_path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    m = power_on(); /* the agent's restart */
    assert_false(soft_tpm_booted(m.s));
    assert_string_equal(soft_tpm_boot_id(m.s), boot_id);
    now = pcrs_of(m.t, ALG_SHA256);
    assert_memory_equal(&now, &small, sizeof(now));
    now = pcrs_of(m.t, ALG_SHA384);
    assert_memory_equal(&now, &large, sizeof(now));
    power_off(&m);

    assert_int_equal(unlink(boot_path), 0); /* the machine's */
    m = power_on();
    assert_true(soft_tpm_booted(m.s));
    assert_string_not_equal(soft_tpm_boot_id(m.s), boot_id);
    now = pcrs_of(m.t, ALG_SHA256);
    assert_true(bytes_zero(digest_bytes(&now.pcr[15])) && bytes_zero(digest_bytes(&now.pcr[23])));
    AUTO(buf_done) struct buf again = own_key(m.t), nv = buf_new(64);
    assert_true(bytes_equal(buf_bytes(&key), buf_bytes(&again)));
    check(tpm_nv_read(m.t, INDEX, &nv, &err), &err);
    assert_memory_equal(nv.p, "kept", 4);
    power_off(&m);
}

static void another_host_boot_is_a_new_boot(void **state)
{
    struct err err = { 0 };
    (void)state;
    struct machine m = power_on();
    extend(m.t, 15);
    power_off(&m);
    const char *other = "11111111-2222-3333-4444-555555555555\n66666666-7777-8888-9999-aaaaaaaaaaaa\n";
    check(file_write_atomic(boot_path, bytes_str(other), 0600, &err), &err);
    m = power_on();
    assert_true(soft_tpm_booted(m.s));
    struct tpm_pcrs now = pcrs_of(m.t, ALG_SHA256);
    assert_true(bytes_zero(digest_bytes(&now.pcr[15])));
    power_off(&m);
}

/* The child extends and is killed in the middle of it, again and again: each time every PCR bank tells of the
 * same number of extensions, at least as many as the child had reported. */
static void a_kill_loses_nothing(void **state)
{
    (void)state;
    struct err err = { 0 };
    struct digest expected = { .alg = ALG_SHA256, .n = 32 };
    const uint8_t event[32] = { 1, 2 };
    unsigned done = 0;
    for (int round = 0; round < 5; round++) {
        int report[2];
        char byte;
        assert_int_equal(pipe(report), 0);
        pid_t child = fork();
        if (child == 0) {
            struct machine m = power_on();
            for (;;) {
                extend(m.t, 15);
                if (write(report[1], "x", 1) != 1)
                    _exit(1);
            }
        }
        close(report[1]);
        for (int i = 0; i < 20 + round; i++)
            assert_int_equal(read(report[0], &byte, 1), 1);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        unsigned reported = done + 20 + (unsigned)round;
        while (read(report[0], &byte, 1) == 1)
            reported++;
        close(report[0]);
        struct machine m = power_on();
        assert_int_equal(soft_tpm_booted(m.s), false);
        struct tpm_pcrs now = pcrs_of(m.t, ALG_SHA256);
        while (done < reported || memcmp(expected.b, now.pcr[15].b, 32) != 0) {
            check(digest_extend(&expected, bytes_of(event, sizeof(event)), &err), &err);
            assert_true(++done <= reported + 1);
        }
        power_off(&m);
    }
}

static int refused(enum err_kind kind, const char *names)
{
    struct soft_tpm *s = NULL;
    struct err err = { 0 };
    if (soft_tpm_new(dir, &s, &err) == 0) {
        soft_tpm_free(s);
        return 0;
    }
    assert_int_equal(err.kind, kind);
    assert_non_null(strstr(err.cause, names));
    assert_null(s);
    return 1;
}

static void damage_is_named_and_never_a_new_tpm(void **state)
{
    struct err err = { 0 };
    (void)state;
    struct machine m = power_on();
    power_off(&m);
    struct sample good = sample_load_path(state_path);
    const size_t step = good.n / 97 + 1;
    for (size_t n = 0; n < good.n; n += step) {
        AUTO(free_u8) uint8_t *copy = heap_copy(good.p, good.n);
        check(file_write_atomic(state_path, bytes_of(copy, n), 0600, &err), &err);
        assert_true(refused(ERR_INPUT, state_path));
        copy[n] ^= 0x10;
        check(file_write_atomic(state_path, bytes_of(copy, good.n), 0600, &err), &err);
        assert_true(refused(ERR_INPUT, state_path));
    }
    unlink(state_path);
    assert_true(refused(ERR_INPUT, state_path));
    check(file_write_atomic(state_path, sample_bytes(&good), 0600, &err), &err);
    check(file_write_atomic(boot_path, bytes_str("nonsense\n"), 0600, &err), &err);
    assert_true(refused(ERR_INPUT, boot_path));
    unlink(boot_path);
    assert_false(refused(ERR_NONE, ""));
    sample_done(&good);
    remove_dir(NULL);
    assert_true(refused(ERR_NOT_FOUND, dir));
}

static void one_tpm_a_folder_and_a_process(void **state)
{
    (void)state;
    int ready[2], leave[2];
    char byte;
    assert_int_equal(pipe(ready) | pipe(leave), 0);
    pid_t child = fork();
    if (child == 0) {
        struct machine m = power_on();
        if (write(ready[1], "x", 1) == 1 && read(leave[0], &byte, 1) == 1)
            power_off(&m);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_true(refused(ERR_BUSY, dir));
    assert_int_equal(write(leave[1], "x", 1), 1);
    waitpid(child, NULL, 0);
    struct machine m = power_on();
    assert_true(refused(ERR_BUSY, "this process"));
    power_off(&m);
    close(ready[0]), close(ready[1]), close(leave[0]), close(leave[1]);
    soft_tpm_free(NULL);
}

/* The agent's TPM thread has a small stack; RSA keys are the deepest that libtpms goes. */
static int make_rsa_key(void *arg, struct err *err)
{
    static const uint8_t template_[] = {
        0x00, 0x01, 0x00, 0x0B, 0x00, 0x05, 0x00, 0x72, 0x00, 0x00,             /* RSA, SHA-256, attributes */
        0x00, 0x10, 0x00, 0x14, 0x00, 0x0B, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, /* NULL, RSASSA, 2048 bits */
        0x00, 0x00,
    };
    struct machine *m = arg;
    AUTO(buf_done) struct buf area = buf_new(1024);
    *m = power_on();
    return tpm_primary_provision(m->t, true, bytes_of(template_, sizeof(template_)), 0x81000003, &area, err);
}

static void works_on_a_worker_thread(void **state)
{
    (void)state;
    struct worker *w = NULL;
    struct machine m;
    struct err err = { 0 };
    check(worker_start("tpm", 4, 2, &w, &err), &err);
    check(worker_call(w, make_rsa_key, &m, &err), &err);
    worker_stop(w);
    power_off(&m);
}

/* ---- the device layer over a line that can be spoiled ---- */

static struct machine power_on_through(struct tcti_filter *f)
{
    struct machine m = { NULL, NULL };
    struct err err = { 0 };
    check(soft_tpm_new(dir, &m.s, &err), &err);
    *f = tcti_filter_over(soft_tpm_tcti(m.s));
    check(tpm_open_tcti(tcti_filter_context(f), &m.t, &err), &err);
    return m;
}

static void commands_are_few(void **state)
{
    (void)state;
    struct tcti_filter f;
    struct err err = { 0 };
    struct tpm_ak ak;
    AUTO(buf_done) struct buf attest = buf_new(1024), sig = buf_new(1024);
    struct machine m = power_on_through(&f);
    check(tpm_ak_load(m.t, TPM_AK_PRIMARY, 0, &ak, &err), &err);
    f.commands = 0;
    check(tpm_quote(m.t, &ak, ALG_SHA256, TPM_PCRS_ALL, bytes_str("nonce"), &attest, &sig, &err), &err);
    assert_int_equal(f.commands, 1);
    pcrs_of(m.t, ALG_SHA256);
    assert_int_equal(f.commands, 1 + 3);
    extend(m.t, 23);
    assert_int_equal(f.commands, 1 + 3 + 1);
    tpm_ak_done(m.t, &ak);
    power_off(&m);
}

static void a_busy_tpm_is_waited_for(void **state)
{
    static const TSS2_RC busy[] = { TPM2_RC_RETRY, TPM2_RC_YIELDED, TPM2_RC_TESTING, TPM2_RC_NV_RATE };
    (void)state;
    struct tcti_filter f;
    struct machine m = power_on_through(&f);
    for (size_t i = 0; i < ARRAY_SIZE(busy); i++) {
        f.refusals = 20; /* ESYS alone gives up after a handful */
        f.refusal_rc = busy[i];
        extend(m.t, 23);
        assert_int_equal(f.refusals, 0);
    }
    power_off(&m);
}

static void errors_say_whether_to_open_again(void **state)
{
    static const struct {
        TSS2_RC rc;
        enum err_kind kind;
        bool fatal;
    } cases[] = {
        { TPM2_RC_INITIALIZE, ERR_UNAVAILABLE, true },
        { TPM2_RC_FAILURE, ERR_UNAVAILABLE, true },
        { TPM2_RC_REFERENCE_H1, ERR_UNAVAILABLE, true },
        { TPM2_RC_HANDLE + TPM2_RC_1, ERR_NOT_FOUND, false },
        { TPM2_RC_BAD_AUTH + TPM2_RC_S + TPM2_RC_1, ERR_DENIED, false },
        { TPM2_RC_LOCALITY, ERR_DENIED, false },
        { TPM2_RC_LOCKOUT, ERR_UNAVAILABLE, false },
    };
    (void)state;
    struct tcti_filter f;
    struct err err = { 0 };
    const struct digest d = { .alg = ALG_SHA256, .n = 32 };
    struct machine m = power_on_through(&f);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        f.refusals = 1;
        f.refusal_rc = cases[i].rc;
        assert_int_equal(tpm_pcr_extend(m.t, 23, &d, 1, &err), -1);
        assert_int_equal(err.kind, cases[i].kind);
        assert_int_equal(tpm_error_is_fatal(&err), cases[i].fatal);
        assert_int_equal(err.code, cases[i].rc);
    }
    f.broken = TSS2_TCTI_RC_IO_ERROR;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tpm_pcr_extend(m.t, 23, &d, 1, &err), -1);
        assert_int_equal(err.kind, ERR_UNAVAILABLE);
        assert_true(tpm_error_is_fatal(&err));
    }
    power_off(&m);
}

struct attempt {
    TPM2_CC command;
    int (*run)(struct tpm *t, struct err *err);
};

static int try_pcr_read(struct tpm *t, struct err *err)
{
    struct tpm_pcrs pcrs;
    return tpm_pcr_read(t, ALG_SHA256, 0x0101, &pcrs, err);
}

static int try_nv_read(struct tpm *t, struct err *err)
{
    AUTO(buf_done) struct buf out = buf_new(64);
    return tpm_nv_read(t, INDEX, &out, err);
}

static int try_key_and_quote(struct tpm *t, struct err *err)
{
    struct tpm_ak ak;
    AUTO(buf_done) struct buf attest = buf_new(1024), sig = buf_new(1024);
    if (tpm_ak_load(t, TPM_AK_PRIMARY, 0, &ak, err) < 0)
        return -1;
    int rc = tpm_quote(t, &ak, ALG_SHA256, 1, bytes_str("n"), &attest, &sig, err);
    tpm_ak_done(t, &ak);
    return rc;
}

/* Whatever a TPM answers, nothing crashes and a shortened answer is never taken for a whole one. */
static void spoiled_answers_do_no_harm(void **state)
{
    static const struct attempt attempts[] = {
        { TPM2_CC_GetCapability, NULL },
        { TPM2_CC_PCR_Read, try_pcr_read },
        { TPM2_CC_NV_ReadPublic, try_nv_read },
        { TPM2_CC_NV_Read, try_nv_read },
        { TPM2_CC_CreatePrimary, try_key_and_quote },
        { TPM2_CC_Quote, try_key_and_quote },
    };
    (void)state;
    struct err err = { 0 };
    struct machine m = power_on();
    check(tpm_nv_define(m.t, INDEX, 16, &err), &err);
    check(tpm_nv_write(m.t, INDEX, bytes_str("0123456789abcdef"), &err), &err);
    for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
        size_t step = attempts[i].run == try_key_and_quote ? 29 : 5;
        for (size_t bit = 1; bit < 8 * 120; bit += step) {
            for (int cut = 0; cut < 2; cut++) {
                struct tcti_filter f = tcti_filter_over(soft_tpm_tcti(m.s));
                struct tpm *t = NULL;
                if (attempts[i].run)
                    check(tpm_open_tcti(tcti_filter_context(&f), &t, &err), &err);
                f.only = attempts[i].command;
                if (cut)
                    f.cut = 1 + bit / 8;
                else
                    f.flip = bit;
                int rc = attempts[i].run ? attempts[i].run(t, &err)
                                         : tpm_open_tcti(tcti_filter_context(&f), &t, &err);
                if (cut)
                    assert_int_equal(rc, -1);
                tpm_close(t);
            }
        }
    }
    power_off(&m);
}

/* A bank that changes between two of the commands of one reading. */
static TSS2_RC (*real_transmit)(TSS2_TCTI_CONTEXT *, size_t, const uint8_t *);
static int disturbances;

static TSS2_RC disturbing_transmit(TSS2_TCTI_CONTEXT *context, size_t size, const uint8_t *command)
{
    static const uint8_t extend_pcr_8[] = {
        0x80, 0x02, 0, 0, 0, 65, 0, 0, 0x01, 0x82, 0, 0, 0, 8, 0, 0,    0,
        9,    0x40, 0, 0, 9, 0,  0, 0, 0,    0,    0, 0, 0, 1, 0, 0x0B, [33 ... 64] = 7,
    };
    struct tcti_filter *f = (struct tcti_filter *)context;
    uint8_t answer[4096];
    size_t n = sizeof(answer);
    if (f->commands % 3 == 1 && disturbances > 0) {
        disturbances--;
        assert_int_equal(Tss2_Tcti_Transmit(f->below, sizeof(extend_pcr_8), extend_pcr_8), 0);
        assert_int_equal(Tss2_Tcti_Receive(f->below, &n, answer, -1), 0);
        assert_memory_equal(answer + 6, "\0\0\0\0", 4);
    }
    return real_transmit(context, size, command);
}

static void pcrs_of_one_reading_belong_together(void **state)
{
    (void)state;
    struct tcti_filter f;
    struct err err = { 0 };
    struct tpm_pcrs pcrs;
    struct machine m = power_on_through(&f);
    f.commands = 0;
    disturbances = 2;
    real_transmit = f.tcti.v1.transmit;
    f.tcti.v1.transmit = disturbing_transmit;
    check(tpm_pcr_read(m.t, ALG_SHA256, TPM_PCRS_ALL, &pcrs, &err), &err);
    assert_true(f.commands > 3);
    f.tcti.v1.transmit = real_transmit;
    struct tpm_pcrs calm = pcrs_of(m.t, ALG_SHA256);
    assert_memory_equal(&pcrs, &calm, sizeof(calm));
    f.tcti.v1.transmit = disturbing_transmit;
    f.commands = 0;
    disturbances = INT_MAX;
    assert_int_equal(tpm_pcr_read(m.t, ALG_SHA256, TPM_PCRS_ALL, &pcrs, &err), -1);
    assert_int_equal(err.kind, ERR_BUSY);
    power_off(&m);
}

/* A TPM that never answers: a pipe that nobody writes to. */
static int silent[2];

static TSS2_RC silent_handles(TSS2_TCTI_CONTEXT *context, TSS2_TCTI_POLL_HANDLE *handles, size_t *n)
{
    (void)context;
    handles[0] = (TSS2_TCTI_POLL_HANDLE){ .fd = silent[0], .events = POLLIN };
    *n = 1;
    return TSS2_RC_SUCCESS;
}

static void a_silent_tpm_is_not_waited_for(void **state)
{
    (void)state;
    struct tcti_filter f;
    struct tpm_guard g;
    uint8_t answer[64];
    size_t n = sizeof(answer);
    struct machine m = power_on_through(&f);
    assert_int_equal(pipe(silent), 0);
    f.tcti.v1.getPollHandles = silent_handles;
    tpm_guard_init(&g, tcti_filter_context(&f), 50);
    assert_int_equal(Tss2_Tcti_Receive((TSS2_TCTI_CONTEXT *)&g, &n, answer, -1), TSS2_TCTI_RC_IO_ERROR);
    close(silent[0]);
    close(silent[1]);
    power_off(&m);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(restarts_keep_pcrs_and_boots_reset_them),
        TEST(another_host_boot_is_a_new_boot),
        TEST(a_kill_loses_nothing),
        TEST(damage_is_named_and_never_a_new_tpm),
        TEST(one_tpm_a_folder_and_a_process),
        TEST(works_on_a_worker_thread),
        TEST(commands_are_few),
        TEST(a_busy_tpm_is_waited_for),
        TEST(errors_say_whether_to_open_again),
        TEST(spoiled_answers_do_no_harm),
        TEST(a_silent_tpm_is_not_waited_for),
        TEST(pcrs_of_one_reading_belong_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
