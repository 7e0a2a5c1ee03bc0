/* tee/report_sev_guest.c through its ioctl function: sizes, throttling, failures. */
#include "evidence.h"

#include "base/auto.h"
#include "tee/cert_table.h"
#include "tee/report.h"
#include "tee/sev_guest_abi.h"
#include "tee/snp_report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 16

/* What one call does; the last step repeats. */
struct step {
    int rc;
    uint32_t vmm, firmware, status, certs_needed;
    bool other_data;
};

struct machine {
    struct step steps[CALLS_MAX];
    size_t steps_n, calls;
    unsigned long numbers[CALLS_MAX];
    uint32_t certs_len[CALLS_MAX], vmpl;
    struct sample report, certs;
    bool no_plain;
};

static int device(void *ctx, unsigned long number, void *arg)
{
    struct machine *m = ctx;
    struct sev_guest_request *r = arg;
    assert_int_equal(r->msg_version, SEV_GUEST_MSG_VERSION);
    assert_true(m->calls < CALLS_MAX);
    const struct step *s = &m->steps[m->calls < m->steps_n ? m->calls : m->steps_n - 1];
    bool extended = number == SEV_GUEST_GET_EXT_REPORT;
    struct sev_ext_report_request *q = (void *)(uintptr_t)r->request;
    uint8_t *response = (uint8_t *)(uintptr_t)r->response;
    m->numbers[m->calls] = number;
    m->certs_len[m->calls++] = extended ? q->certs_len : 0;
    m->vmpl = q->report.vmpl;
    r->exit_info = (uint64_t)s->vmm << 32 | s->firmware;
    if (extended)
        assert_true(q->certs_len % 4096 == 0 && q->certs_len <= SEV_GUEST_CERTS_MAX);
    if (extended && s->certs_needed > q->certs_len) {
        q->certs_len = s->certs_needed;
        r->exit_info = (uint64_t)SEV_VMM_INVALID_LEN << 32;
        return -EIO;
    }
    if (s->rc || (!extended && m->no_plain))
        return s->rc ? s->rc : -ENOTTY;
    memcpy(response, &s->status, 4);
    memcpy(response + 4, &(uint32_t){ SNP_REPORT_SIZE }, 4);
    memcpy(response + 32, m->report.p, SNP_REPORT_SIZE);
    if (!s->other_data)
        memcpy(response + 32 + SNP_OFF_REPORT_DATA, q->report.user_data, 64);
    if (extended && m->certs.n && m->certs.n <= q->certs_len)
        memcpy((void *)(uintptr_t)q->certs_address, m->certs.p, m->certs.n);
    return 0;
}

static struct lower lower_of(struct machine *m)
{
    return (struct lower){
        .sys = "/nonexistent", .dev = "/nonexistent", .proc = "/proc", .sev_guest = { device, m }
    };
}

static struct machine machine_of(const struct step *steps, size_t n)
{
    struct machine m = { .steps_n = n };
    memcpy(m.steps, steps, n * sizeof(*steps));
    m.report = sample_load("snp/genoa-v3-tsm-certtable/report.bin");
    m.certs = sample_load("snp/genoa-v3-tsm-certtable/auxblob.bin");
    return m;
}

static void machine_done(struct machine *m)
{
    sample_done(&m->report);
    sample_done(&m->certs);
}

static int ask(struct machine *m, struct tee_report *out, struct err *err)
{
    struct lower l = lower_of(m);
    uint8_t data[64];
    memset(data, 0x5A, sizeof(data));
    return tee_report_get(&l, TEE_SEV_SNP, data, out, err);
}

static void learns_the_size_of_growing_certificates(void **state)
{
    (void)state;
    skip_without_evidence();
    struct machine m =
        machine_of((struct step[]){ { .certs_needed = 5000 }, { .certs_needed = 9000 }, { .rc = 0 } }, 3);
    AUTO(tee_report_done) struct tee_report r = { 0 };
    struct err err = { 0 };
    struct cert_table table;
    assert_int_equal(ask(&m, &r, &err), 0);
    assert_int_equal(m.calls, 3);
    assert_int_equal(m.certs_len[0], 4096);
    assert_int_equal(m.certs_len[1], 8192);
    assert_int_equal(m.certs_len[2], 12288);
    assert_string_equal(r.via, "sev-guest");
    assert_int_equal(r.report.n, SNP_REPORT_SIZE);
    assert_int_equal(cert_table_parse(buf_bytes(&r.certs), &table, &err), 0);
    assert_int_equal(m.vmpl, 0);
    machine_done(&m);
}

static void more_certificates_than_the_driver_allows(void **state)
{
    (void)state;
    skip_without_evidence();
    struct machine m = machine_of((struct step[]){ { .certs_needed = SEV_GUEST_CERTS_MAX + 1 } }, 1);
    AUTO(tee_report_done) struct tee_report r = { 0 };
    struct err err = { 0 };
    assert_int_equal(ask(&m, &r, &err), 0);
    assert_int_equal(m.numbers[m.calls - 1], SEV_GUEST_GET_REPORT);
    assert_int_equal(r.certs.n, 0);
    machine_done(&m);
}

static void throttling_is_waited_out(void **state)
{
    (void)state;
    skip_without_evidence();
    struct machine m =
        machine_of((struct step[]){ { .rc = -EIO, .vmm = SEV_VMM_BUSY }, { .rc = -EAGAIN }, { .rc = 0 } }, 3);
    AUTO(tee_report_done) struct tee_report r = { 0 };
    struct err err = { 0 };
    assert_int_equal(ask(&m, &r, &err), 0);
    assert_int_equal(m.calls, 3);
    machine_done(&m);
}

static void a_wiped_key_is_named_with_its_remedy(void **state)
{
    (void)state;
    skip_without_evidence();
    struct machine m = machine_of((struct step[]){ { .rc = -ENOTTY } }, 1);
    AUTO(tee_report_done) struct tee_report r = { 0 };
    struct err err = { 0 };
    assert_int_equal(ask(&m, &r, &err), -1);
    assert_int_equal(err.kind, ERR_IO);
    assert_non_null(strstr(err.cause, "VMPCK"));
    assert_non_null(strstr(err.cause, "reboot"));
    assert_int_equal(m.calls, 2);
    machine_done(&m);
}

static void without_the_extended_request_the_plain_one(void **state)
{
    (void)state;
    skip_without_evidence();
    static const struct step first[] = { { .rc = -ENOTTY },
                                         { .rc = -EINVAL },
                                         { .rc = -EIO, .firmware = 0x15 } };
    for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
        struct machine m = machine_of((struct step[]){ first[i], { .rc = 0 } }, 2);
        AUTO(tee_report_done) struct tee_report r = { 0 };
        struct err err = { 0 };
        assert_int_equal(ask(&m, &r, &err), 0);
        assert_int_equal(m.numbers[0], SEV_GUEST_GET_EXT_REPORT);
        assert_int_equal(m.numbers[1], SEV_GUEST_GET_REPORT);
        machine_done(&m);
    }
}

static void refusals(void **state)
{
    (void)state;
    skip_without_evidence();
    static const struct {
        struct step step;
        enum err_kind kind;
        const char *text;
    } rows[] = {
        { { .rc = -ENOENT }, ERR_NOT_FOUND, "" },
        { { .rc = -EACCES }, ERR_DENIED, "permission" },
        { { .status = 0x16 }, ERR_IO, "0x16" },
        { { .status = 0x27 }, ERR_IO, "VMPL" },
        { { .other_data = true }, ERR_IO, "other data" },
        { { .rc = -EIO, .firmware = 0x1D }, ERR_IO, "0x1d" },
        { { .rc = -EFAULT }, ERR_IO, "" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct machine m = machine_of(&rows[i].step, 1);
        AUTO(tee_report_done) struct tee_report r = { 0 };
        struct err err = { 0 };
        assert_int_equal(ask(&m, &r, &err), -1);
        assert_int_equal(err.kind, rows[i].kind);
        assert_non_null(strstr(err.cause, rows[i].text));
        assert_null(r.report.p);
        machine_done(&m);
    }
}

static void a_host_without_certificates(void **state)
{
    (void)state;
    skip_without_evidence();
    struct machine m = machine_of((struct step[]){ { .rc = 0 } }, 1);
    sample_done(&m.certs);
    AUTO(tee_report_done) struct tee_report r = { 0 };
    struct err err = { 0 };
    assert_int_equal(ask(&m, &r, &err), 0);
    assert_int_equal(r.certs.n, 0);
    machine_done(&m);
}

static void no_interface_at_all(void **state)
{
    (void)state;
    struct lower l = { .sys = "/nonexistent", .dev = "/nonexistent", .proc = "/proc" };
    AUTO(tee_report_done) struct tee_report r = { 0 };
    struct err err = { 0 };
    const uint8_t data[64] = { 0 };
    static const enum tee_type tees[] = { TEE_NONE, TEE_TDX, TEE_SEV_SNP };
    for (size_t i = 0; i < ARRAY_SIZE(tees); i++) {
        assert_int_equal(tee_report_get(&l, tees[i], data, &r, &err), -1);
        assert_int_equal(err.kind, ERR_NOT_FOUND);
    }
    assert_int_equal(tee_report_cleanup(&l), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_the_size_of_growing_certificates),
        cmocka_unit_test(more_certificates_than_the_driver_allows),
        cmocka_unit_test(throttling_is_waited_out),
        cmocka_unit_test(a_wiped_key_is_named_with_its_remedy),
        cmocka_unit_test(without_the_extended_request_the_plain_one),
        cmocka_unit_test(refusals),
        cmocka_unit_test(a_host_without_certificates),
        cmocka_unit_test(no_interface_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
