/* tpm/pcrs: PCR files, and the digest over selected values. */
#include "evidence.h"

#include "base/auto.h"
#include "base/json.h"
#include "tpm/pcrs.h"

#include <stdlib.h>

/* Two banks: the order of the selection list, not of the values given (TPM 2.0 Part 3, TPM2_Quote). */
static void pcr_digest_follows_the_selection_order(void **state)
{
    (void)state;
    struct tpm_pcrs banks[2] = { { .alg = ALG_SHA1, .mask = 3 },
                                 { .alg = ALG_SHA256, .mask = TPM_PCRS_ALL } };
    for (int i = 0; i < TPM_PCRS; i++) {
        banks[0].pcr[i] = (struct digest){ ALG_SHA1, 20, { (uint8_t)i } };
        banks[1].pcr[i] = (struct digest){ ALG_SHA256, 32, { (uint8_t)(0x80 + i) } };
    }
    const struct tpm_selection select[] = { { ALG_SHA256, 0x800001, 2 }, { ALG_SHA1, 2, 1 } };
    uint8_t want[32], concat[32 + 32 + 20] = { 0x80 };
    concat[32] = 0x80 + 23;
    concat[64] = 1;
    sha256(bytes_of(concat, sizeof(concat)), want);
    struct digest d;
    assert_int_equal(tpm_pcr_digest(select, 2, banks, 2, ALG_SHA256, &d, &(struct err){ 0 }), 0);
    assert_memory_equal(d.b, want, 32);
    struct err err = { 0 };
    assert_int_equal(tpm_pcr_digest(select, 2, banks + 1, 1, ALG_SHA256, &d, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    const struct tpm_selection beyond[] = { { ALG_SHA256, 0x1000000, 1 } };
    assert_int_equal(tpm_pcr_digest(beyond, 1, banks, 2, ALG_SHA256, &d, &err), -1);
    banks[1].mask = 1;
    assert_int_equal(tpm_pcr_digest(select, 2, banks, 2, ALG_SHA256, &d, &err), -1);
}

static void pcr_files_read_and_write_alike(void **state)
{
    (void)state;
    static const char text[] =
        "{\"alg\":\"sha1\",\"pcrs\":{\"0\":\"000102030405060708090a0b0c0d0e0f10111213\","
        "\"23\":\"FF0102030405060708090a0b0c0d0e0f10111213\"}}";
    struct tpm_pcrs p, q;
    assert_int_equal(tpm_pcrs_parse(bytes_str(text), &p, &(struct err){ 0 }), 0);
    assert_int_equal(p.alg, ALG_SHA1);
    assert_int_equal(p.mask, 0x800001);
    assert_int_equal(p.pcr[23].b[0], 0xFF);
    AUTO(json_drop) json_t *v = tpm_pcrs_json(&p);
    AUTO(buf_done) struct buf out = buf_new(4096);
    json_put(&out, v, false);
    assert_int_equal(tpm_pcrs_parse(buf_bytes(&out), &q, &(struct err){ 0 }), 0);
    assert_int_equal(p.mask, q.mask);
    for (int i = 0; i < TPM_PCRS; i++)
        assert_true(bytes_equal(digest_bytes(&p.pcr[i]), digest_bytes(&q.pcr[i])));
}

static void bad_pcr_files_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"alg\":\"md5\",\"pcrs\":{}}",
        "{\"alg\":11,\"pcrs\":{}}",
        "{\"alg\":\"sha256\",\"pcrs\":[]}",
        "{\"alg\":\"sha1\",\"pcrs\":{\"24\":\"000102030405060708090a0b0c0d0e0f10111213\"}}",
        "{\"alg\":\"sha1\",\"pcrs\":{\"00\":\"000102030405060708090a0b0c0d0e0f10111213\"}}",
        "{\"alg\":\"sha1\",\"pcrs\":{\"-1\":\"000102030405060708090a0b0c0d0e0f10111213\"}}",
        "{\"alg\":\"sha1\",\"pcrs\":{\"0\":\"000102030405060708090a0b0c0d0e0f101112\"}}",
        "{\"alg\":\"sha1\",\"pcrs\":{\"0\":\"g00102030405060708090a0b0c0d0e0f10111213\"}}",
        "{\"alg\":\"sha1\",\"pcrs\":{\"0\":0}}",
    };
    struct tpm_pcrs p = { .alg = 7 };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err err = { 0 };
        assert_int_equal(tpm_pcrs_parse(bytes_str(bad[i]), &p, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
        assert_int_equal(p.alg, 7);
        assert_int_equal(tpm_pcrs_parse_bank(bytes_str(bad[i]), 0, &p, &err), -1);
        assert_int_equal(p.alg, 7);
    }
    AUTO(free_u8) uint8_t *big = calloc(1, TPM_PCRS_FILE_MAX + 1);
    struct err err = { 0 };
    assert_int_equal(tpm_pcrs_parse(bytes_of(big, TPM_PCRS_FILE_MAX + 1), &p, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
}

#define SHA1_ONES   "1111111111111111111111111111111111111111"
#define SHA256_TWOS "2222222222222222222222222222222222222222222222222222222222222222"

static void one_of_several_banks_is_read(void **state)
{
    (void)state;
    static const char both[] = "{\"sha1\":{\"3\":\"" SHA1_ONES "\"},\"sha256\":{\"0\":\"" SHA256_TWOS "\"}}";
    static const char one[] = "{\"sha1\":{\"3\":\"" SHA1_ONES "\"}}";
    struct tpm_pcrs p;
    struct err err = { 0 };
    assert_int_equal(tpm_pcrs_parse_bank(bytes_str(both), 0, &p, &err), 0);
    assert_int_equal(p.alg, ALG_SHA256);
    assert_int_equal(p.mask, 1);
    assert_int_equal(p.pcr[0].b[31], 0x22);
    assert_int_equal(tpm_pcrs_parse_bank(bytes_str(both), ALG_SHA1, &p, &err), 0);
    assert_int_equal(p.alg, ALG_SHA1);
    assert_int_equal(p.mask, 1 << 3);
    assert_int_equal(tpm_pcrs_parse_bank(bytes_str(one), 0, &p, &err), 0);
    assert_int_equal(p.alg, ALG_SHA1);
    assert_int_equal(tpm_pcrs_parse_bank(bytes_str(one), ALG_SHA256, &p, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pcr_digest_follows_the_selection_order),
        cmocka_unit_test(pcr_files_read_and_write_alike),
        cmocka_unit_test(bad_pcr_files_are_refused),
        cmocka_unit_test(one_of_several_banks_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
