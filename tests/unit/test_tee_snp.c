/* SNP reports: every length, every bit, every version. */
#include "evidence.h"

#include "base/auto.h"
#include "base/json.h"
#include "tee/snp_report.h"

#include <stdlib.h>

#define GENOA "snp/genoa-v3-tsm-certtable/report.bin"
#define V5    "snp/genoa-v5-model-a0/report.bin"
#define V2    "snp/milan-v2-nodebug/report.bin"
#define TURIN "snp/turin-v5-oak/report.bin"

static int parse(struct bytes raw, struct snp_report *out)
{
    struct err err = { 0 };
    int rc = snp_report_parse(raw, out, &err);
    assert_true(rc == 0 || (err.kind == ERR_INPUT && err.cause[0]));
    return rc;
}

static json_t *report_json(const struct snp_report *r)
{
    json_t *o = NULL;
    assert_int_equal(snp_report_json(r, &o, &(struct err){ 0 }), 0);
    return o;
}

/* The names that writers use are where the parser reads. */
static void offsets_are_those_of_the_parser(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load(V5);
    struct snp_report r;
    assert_int_equal(parse(sample_bytes(&s), &r), 0);
    const struct {
        struct bytes view;
        size_t at, n;
    } views[] = {
        { r.family_id, SNP_OFF_FAMILY_ID, 16 },
        { r.image_id, SNP_OFF_IMAGE_ID, 16 },
        { r.current_tcb, SNP_OFF_CURRENT_TCB, 8 },
        { r.report_data, SNP_OFF_REPORT_DATA, 64 },
        { r.measurement, SNP_OFF_MEASUREMENT, 48 },
        { r.host_data, SNP_OFF_HOST_DATA, 32 },
        { r.id_key_digest, SNP_OFF_ID_KEY_DIGEST, 48 },
        { r.author_key_digest, SNP_OFF_AUTHOR_KEY_DIGEST, 48 },
        { r.report_id, SNP_OFF_REPORT_ID, 32 },
        { r.report_id_ma, SNP_OFF_REPORT_ID_MA, 32 },
        { r.reported_tcb, SNP_OFF_REPORTED_TCB, 8 },
        { r.chip_id, SNP_OFF_CHIP_ID, 64 },
        { r.committed_tcb, SNP_OFF_COMMITTED_TCB, 8 },
        { r.launch_tcb, SNP_OFF_LAUNCH_TCB, 8 },
        { r.signature_r, SNP_OFF_SIGNATURE_R, SNP_SCALAR_FIELD },
        { r.signature_s, SNP_OFF_SIGNATURE_S, SNP_SCALAR_FIELD },
    };
    for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
        assert_ptr_equal(views[i].view.p, s.p + views[i].at);
        assert_int_equal(views[i].view.n, views[i].n);
    }
    const struct {
        uint64_t value;
        size_t at, n;
    } numbers[] = {
        { r.version, SNP_OFF_VERSION, 4 },
        { r.guest_svn, SNP_OFF_GUEST_SVN, 4 },
        { r.policy, SNP_OFF_POLICY, 8 },
        { r.vmpl, SNP_OFF_VMPL, 4 },
        { r.signature_algo, SNP_OFF_SIGNATURE_ALGO, 4 },
        { r.platform_info, SNP_OFF_PLATFORM_INFO, 8 },
        { r.flags, SNP_OFF_FLAGS, 4 },
        { r.cpuid_fam_id, SNP_OFF_CPUID_FAM_ID, 1 },
        { r.cpuid_mod_id, SNP_OFF_CPUID_MOD_ID, 1 },
        { r.cpuid_step, SNP_OFF_CPUID_STEP, 1 },
        { r.current.build, SNP_OFF_CURRENT_VERSION, 1 },
        { r.committed.build, SNP_OFF_COMMITTED_VERSION, 1 },
        { r.launch_mit_vector, SNP_OFF_LAUNCH_MIT_VECTOR, 8 },
        { r.current_mit_vector, SNP_OFF_CURRENT_MIT_VECTOR, 8 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        assert_int_equal(numbers[i].value, le_uint(s.p + numbers[i].at, numbers[i].n));
}

static void refuses_every_other_length(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load(GENOA);
    struct snp_report r;
    for (size_t n = 0; n < s.n; n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(s.p, n);
        assert_int_equal(parse(bytes_of(cut, n), &r), -1);
    }
    AUTO(free_u8) uint8_t *longer = calloc(1, 5000);
    memcpy(longer, s.p, s.n);
    for (size_t n = s.n + 1; n <= 5000; n++)
        assert_int_equal(parse(bytes_of(longer, n), &r), -1);
}

/* Whatever bit is turned: refused, or seen in the JSON. */
static void sees_every_bit(void **state)
{
    static const char *const files[] = { V5, V2, GENOA, TURIN };
    (void)state;
    skip_without_evidence();
    for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
        AUTO(sample_done) struct sample s = sample_load(files[f]);
        struct snp_report r;
        assert_int_equal(parse(sample_bytes(&s), &r), 0);
        assert_true(r.reserved_zero);
        AUTO(json_drop) json_t *before = report_json(&r);
        for (size_t bit = 0; bit < s.n * 8; bit += f == 0 ? 1 : 7) { /* every byte of the others */
            s.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            if (parse(sample_bytes(&s), &r) == 0) {
                AUTO(json_drop) json_t *after = report_json(&r);
                assert_false(json_equal(before, after));
            }
            s.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
}

static void versions_are_a_range(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load(GENOA);
    struct snp_report r;
    struct err err = { 0 };
    for (unsigned v = 0; v < 256; v++) {
        s.p[0] = (uint8_t)v;
        assert_int_equal(parse(sample_bytes(&s), &r), v >= 2 && v <= 5 ? 0 : -1);
    }
    s.p[0] = 6;
    assert_int_equal(snp_report_parse(sample_bytes(&s), &r, &err), -1);
    assert_non_null(strstr(err.cause, "version 6"));
}

static void takes_the_ioctl_response(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load(GENOA);
    uint8_t rsp[SNP_RESPONSE_SIZE] = { 0 };
    struct snp_report r;
    rsp[4] = SNP_REPORT_SIZE & 0xFF;
    rsp[5] = SNP_REPORT_SIZE >> 8;
    memcpy(rsp + SNP_RESPONSE_HEADER, s.p, s.n);
    struct bytes whole = bytes_of(rsp, sizeof(rsp));
    assert_int_equal(parse(whole, &r), 0);
    assert_ptr_equal(r.raw.p, rsp + SNP_RESPONSE_HEADER);
    assert_int_equal(parse(bytes_of(rsp, SNP_RESPONSE_HEADER + SNP_REPORT_SIZE), &r), 0);
    static const size_t damage[] = {
        0, 4, 8, 31, SNP_RESPONSE_HEADER + SNP_REPORT_SIZE, SNP_RESPONSE_SIZE - 1
    };
    for (size_t i = 0; i < ARRAY_SIZE(damage); i++) {
        rsp[damage[i]] ^= 0x16;
        assert_int_equal(parse(whole, &r), -1);
        rsp[damage[i]] ^= 0x16;
    }
}

static void products_and_tcbs(void **state)
{
    (void)state;
    static const struct {
        uint8_t family, model;
        const char *name;
    } models[] = { { 0x19, 0x01, "Milan" }, { 0x19, 0x0F, "Milan" }, { 0x19, 0x11, "Genoa" },
                   { 0x19, 0x20, "" },      { 0x19, 0xA0, "Genoa" }, { 0x1A, 0x02, "Turin" },
                   { 0x1A, 0x11, "Turin" }, { 0x1A, 0x12, "" },      { 0x1A, 0x50, "Venice" },
                   { 0x17, 0x01, "" } };
    for (size_t i = 0; i < ARRAY_SIZE(models); i++)
        assert_string_equal(snp_product_name(snp_product_of(models[i].family, models[i].model)),
                            models[i].name);
    assert_int_equal(snp_product_by_name(bytes_str("Milan-B0")), SNP_MILAN);
    assert_int_equal(snp_product_by_name(bytes_str("genoa")), SNP_GENOA);
    assert_int_equal(snp_product_by_name(bytes_str("")), SNP_UNKNOWN);
    assert_int_equal(snp_product_by_name(bytes_str("Milano")), SNP_UNKNOWN);
    const uint8_t raw[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    struct snp_tcb milan = snp_tcb_decode(SNP_MILAN, bytes_of(raw, 8));
    struct snp_tcb turin = snp_tcb_decode(SNP_TURIN, bytes_of(raw, 8));
    assert_true(milan.bootloader == 1 && milan.tee == 2 && milan.snp == 7 && milan.microcode == 8
                && !milan.has_fmc);
    assert_true(turin.fmc == 1 && turin.bootloader == 2 && turin.tee == 3 && turin.snp == 4
                && turin.microcode == 8);
    uint8_t back[8];
    snp_tcb_encode(SNP_TURIN, &turin, back);
    assert_memory_equal(back, ((const uint8_t[]){ 1, 2, 3, 4, 0, 0, 0, 8 }), 8);
    struct snp_tcb lower = milan;
    lower.tee--;
    assert_true(snp_tcb_at_least(&milan, &lower) && !snp_tcb_at_least(&lower, &milan));
}

static void version_2_knows_turin_by_its_chip_id(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load(V2);
    struct snp_report r;
    assert_int_equal(parse(sample_bytes(&s), &r), 0);
    assert_int_equal(r.product, SNP_UNKNOWN);
    memset(s.p + SNP_OFF_CHIP_ID + 8, 0, 56);
    assert_int_equal(parse(sample_bytes(&s), &r), 0);
    assert_int_equal(r.product, SNP_TURIN);
    memset(s.p + SNP_OFF_CHIP_ID, 0, 8); /* masked: says nothing */
    assert_int_equal(parse(sample_bytes(&s), &r), 0);
    assert_int_equal(r.product, SNP_UNKNOWN);
}

static void signatures_that_are_none(void **state)
{
    (void)state;
    skip_without_evidence();
    static const struct {
        size_t at, n;
        uint8_t value;
    } damage[] = {
        { SNP_OFF_SIGNATURE_ALGO, 1, 2 },
        { SNP_OFF_FLAGS, 1, SNP_KEY_NONE << 2 },
        { SNP_OFF_FLAGS, 1, 2 << 2 }, /* reserved signing key */
        { SNP_OFF_SIGNATURE_R, SNP_SCALAR_FIELD, 0 },
        { SNP_OFF_SIGNATURE_S, SNP_SCALAR_FIELD, 0 },
        { SNP_OFF_SIGNATURE_R + SNP_SCALAR_SIZE, 1, 1 },
        { SNP_OFF_SIGNATURE_S + SNP_SCALAR_FIELD - 1, 1, 1 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(damage); i++) {
        AUTO(sample_done) struct sample s = sample_load(GENOA);
        AUTO(buf_done) struct buf der = buf_new(256);
        struct snp_report r;
        memset(s.p + damage[i].at, damage[i].value, damage[i].n);
        assert_int_equal(parse(sample_bytes(&s), &r), 0);
        assert_int_equal(snp_report_signature_der(&r, &der, &(struct err){ 0 }), -1);
        assert_int_equal(der.n, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_are_those_of_the_parser),
        cmocka_unit_test(refuses_every_other_length),
        cmocka_unit_test(sees_every_bit),
        cmocka_unit_test(versions_are_a_range),
        cmocka_unit_test(takes_the_ioctl_response),
        cmocka_unit_test(products_and_tcbs),
        cmocka_unit_test(version_2_knows_turin_by_its_chip_id),
        cmocka_unit_test(signatures_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
