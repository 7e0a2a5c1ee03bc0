/* The device layer over a line that is slow, silent, broken or lying. */
#include "machine.h"

#include "base/auto.h"
#include "tpm/device_guard.h"

#include <limits.h>
#include <unistd.h>

#define INDEX 0x01400002u

static void commands_are_few(void **state)
{
    (void)state;
    struct tcti_filter f;
    struct err err = { 0 };
    struct tpm_ak ak;
    AUTO(buf_done) struct buf attest = buf_new(1024), sig = buf_new(1024);
    struct machine m = machine_on_through(&f);
    check(tpm_ak_load(m.t, TPM_AK_PRIMARY, 0, &ak, &err), &err);
    f.commands = 0;
    check(tpm_quote(m.t, &ak, ALG_SHA256, TPM_PCRS_ALL, bytes_str("nonce"), &attest, &sig, &err), &err);
    assert_int_equal(f.commands, 1);
    machine_pcrs(m.t, ALG_SHA256);
    assert_int_equal(f.commands, 1 + 3);
    machine_extend(m.t, 23);
    assert_int_equal(f.commands, 1 + 3 + 1);
    tpm_ak_done(m.t, &ak);
    machine_off(&m);
}

static void a_busy_tpm_is_waited_for(void **state)
{
    static const TSS2_RC busy[] = { TPM2_RC_RETRY, TPM2_RC_YIELDED, TPM2_RC_TESTING, TPM2_RC_NV_RATE };
    (void)state;
    struct tcti_filter f;
    struct machine m = machine_on_through(&f);
    for (size_t i = 0; i < ARRAY_SIZE(busy); i++) {
        f.refusals = 20; /* ESYS alone gives up after a handful */
        f.refusal_rc = busy[i];
        machine_extend(m.t, 23);
        assert_int_equal(f.refusals, 0);
    }
    machine_off(&m);
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
    struct machine m = machine_on_through(&f);
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
    machine_off(&m);
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
    struct machine m = machine_on();
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
    machine_off(&m);
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
    struct machine m = machine_on_through(&f);
    f.commands = 0;
    disturbances = 2;
    real_transmit = f.tcti.v1.transmit;
    f.tcti.v1.transmit = disturbing_transmit;
    check(tpm_pcr_read(m.t, ALG_SHA256, TPM_PCRS_ALL, &pcrs, &err), &err);
    assert_true(f.commands > 3);
    f.tcti.v1.transmit = real_transmit;
    struct tpm_pcrs calm = machine_pcrs(m.t, ALG_SHA256);
    assert_memory_equal(&pcrs, &calm, sizeof(calm));
    f.tcti.v1.transmit = disturbing_transmit;
    f.commands = 0;
    disturbances = INT_MAX;
    assert_int_equal(tpm_pcr_read(m.t, ALG_SHA256, TPM_PCRS_ALL, &pcrs, &err), -1);
    assert_int_equal(err.kind, ERR_BUSY);
    machine_off(&m);
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
    struct machine m = machine_on_through(&f);
    assert_int_equal(pipe(silent), 0);
    f.tcti.v1.getPollHandles = silent_handles;
    tpm_guard_init(&g, tcti_filter_context(&f), 50);
    assert_int_equal(Tss2_Tcti_Receive((TSS2_TCTI_CONTEXT *)&g, &n, answer, -1), TSS2_TCTI_RC_IO_ERROR);
    close(silent[0]);
    close(silent[1]);
    machine_off(&m);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, machine_dir, machine_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(commands_are_few),
        TEST(a_busy_tpm_is_waited_for),
        TEST(errors_say_whether_to_open_again),
        TEST(spoiled_answers_do_no_harm),
        TEST(a_silent_tpm_is_not_waited_for),
        TEST(pcrs_of_one_reading_belong_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
