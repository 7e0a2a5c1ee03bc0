/* base/pb.h, base/pb_json.h and evidence/attestation.h: a real attest.Attestation and, for the parts that it
 * lacks, made ones (tests/data/attestation: .pb and .json are the same message, .raw is the report or quote
 * in it; encoded by a separate program). */
#include "evidence.h"

#include "base/auto.h"
#include "base/enc.h"
#include "evidence/attestation.h"
#include "tee/tdx_quote.h"

#include <limits.h>
#include <stdio.h>

static const char gce[] = "gcp-vtpm/gce-cos-85-nonce9009/attestation.pb";

static struct sample load_data(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/attestation/%s", CVM_TEST_DATA, name);
    return sample_load_path(path);
}

static int next(const char *hex, struct pb_field *f, struct err *err)
{
    uint8_t raw[64];
    size_t n = strlen(hex) / 2;
    assert_int_equal(hex_decode_fixed(bytes_str(hex), raw, n, err), 0);
    struct reader r = reader_of(bytes_of(raw, n));
    int rc = pb_next(&r, f, err);
    if (rc > 0)
        f->data = bytes_of(NULL, f->data.n); /* raw goes away */
    return rc;
}

static void reads_every_wire_type(void **state)
{
    (void)state;
    struct pb_field f;
    struct err err = { 0 };
    assert_int_equal(next("", &f, &err), 0);
    assert_int_equal(next("089601", &f, &err), 1);
    assert_true(f.number == 1 && f.wire == PB_VARINT && f.value == 150);
    assert_int_equal(next("08ffffffffffffffffff01", &f, &err), 1);
    assert_true(f.value == UINT64_MAX);
    assert_int_equal(next("110100000000000080", &f, &err), 1);
    assert_true(f.number == 2 && f.wire == PB_FIXED64 && f.value == 0x8000000000000001);
    assert_int_equal(next("1d01020304", &f, &err), 1);
    assert_true(f.number == 3 && f.wire == PB_FIXED32 && f.value == 0x04030201);
    assert_int_equal(next("2203616263", &f, &err), 1);
    assert_true(f.number == 4 && f.wire == PB_BYTES && f.data.n == 3);
    assert_int_equal(next("f8ffffff0f00", &f, &err), 1);
    assert_true(f.number == (1u << 29) - 1);
}

static void refuses_what_is_no_field(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "08",                       /* a number without bytes */
        "0896",                     /* cut in a number */
        "08ffffffffffffffffff02",   /* 65 bits */
        "08ffffffffffffffffffff01", /* eleven bytes */
        "0000",                     /* field 0 */
        "80808080100a",             /* field 2^29 */
        "0b",                       /* a group begins */
        "0c",                       /* a group ends */
        "0e00",                     /* wire type 6 */
        "1101000000",               /* cut in 64 bits */
        "1d0102",                   /* cut in 32 bits */
        "2204616263",               /* one byte short */
        "22ffffffffffffffffff0161", /* a length near 2^64 */
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct pb_field f;
        struct err err = { 0 };
        if (next(bad[i], &f, &err) != -1)
            fail_msg("%s was read", bad[i]);
        assert_int_equal(err.kind, ERR_INPUT);
    }
}

static void writes_what_it_reads(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = buf_new(256);
    struct pb_field f;
    struct err err = { 0 };
    pb_put_uint(&b, 5, 0);
    pb_put_uint(&b, 200, UINT64_MAX);
    pb_put_bytes(&b, 2, bytes_str("hello"));
    struct reader r = reader_of(buf_bytes(&b));
    assert_int_equal(pb_next(&r, &f, &err), 1);
    assert_true(f.number == 5 && f.value == 0);
    assert_int_equal(pb_next(&r, &f, &err), 1);
    assert_true(f.number == 200 && f.value == UINT64_MAX);
    assert_int_equal(pb_next(&r, &f, &err), 1);
    assert_true(f.number == 2 && bytes_equal(f.data, bytes_str("hello")));
    assert_int_equal(pb_next(&r, &f, &err), 0);
}

static void reads_the_real_one(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load(gce);
    AUTO(sample_done) struct sample ak = sample_load("gcp-vtpm/gce-cos-85-nonce9009/ak_pub.tpmt");
    AUTO(sample_done) struct sample quote = sample_load("gcp-vtpm/gce-cos-85-nonce9009/quote_sha256.msg");
    AUTO(sample_done) struct sample sig = sample_load("gcp-vtpm/gce-cos-85-nonce9009/quote_sha256.sig");
    AUTO(sample_done) struct sample log = sample_load("gcp-vtpm/gce-cos-85-nonce9009/eventlog.bin");
    AUTO(attestation_done) struct attestation a = { 0 };
    struct err err = { 0 };
    bool seen = false;
    assert_true(attestation_looks(sample_bytes(&s)));
    assert_int_equal(attestation_parse(sample_bytes(&s), &a, &err), 0);
    assert_true(bytes_equal(a.ak_pub, sample_bytes(&ak)));
    assert_true(bytes_equal(a.event_log, sample_bytes(&log)));
    assert_int_equal(a.quote_count, 3);
    for (size_t i = 0; i < a.quote_count; i++) {
        assert_int_equal(a.quotes[i].pcrs.mask, TPM_PCRS_ALL);
        if (a.quotes[i].pcrs.alg != ALG_SHA256)
            continue;
        seen = true;
        assert_true(bytes_equal(a.quotes[i].quote, sample_bytes(&quote)));
        assert_true(bytes_equal(a.quotes[i].raw_sig, sample_bytes(&sig)));
    }
    assert_true(seen);
    assert_int_equal(a.snp_report.n + a.tdx_quote.n, 0);
}

/* Every cut of the first 2000 bytes, then every 37th: field borders lie close together at the start only. */
static void every_cut_is_refused_or_whole(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load(gce);
    size_t read = 0;
    for (size_t n = 0; n < s.n; n += n < 2000 ? 1 : 37) {
        AUTO(free_u8) uint8_t *cut = heap_copy(s.p, n);
        AUTO(attestation_done) struct attestation a = { 0 };
        struct err err = { 0 };
        if (attestation_parse(bytes_of(cut, n), &a, &err) == 0)
            read++; /* cut between two fields */
        else
            assert_int_equal(err.kind, ERR_INPUT);
    }
    assert_in_range(read, 1, 8);
}

static void one_bit_of_damage_is_survived(void **state)
{
    (void)state;
    AUTO(sample_done) struct sample s = load_data("snp.pb");
    for (size_t bit = 0; bit < 8 * s.n; bit++) {
        AUTO(free_u8) uint8_t *copy = heap_copy(s.p, s.n);
        AUTO(attestation_done) struct attestation a = { 0 };
        struct err err = { 0 };
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (attestation_parse(bytes_of(copy, s.n), &a, &err) < 0)
            assert_int_equal(err.kind, ERR_INPUT);
    }
}

static void puts_reports_together_again(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        { "snp.pb", "snp.raw" },
        { "snp.json", "snp.raw" },
        { "tdx.pb", "tdx.raw" },
        { "tdx.json", "tdx.raw" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        AUTO(sample_done) struct sample s = load_data(names[i][0]), raw = load_data(names[i][1]);
        AUTO(attestation_done) struct attestation a = { 0 };
        struct err err = { 0 };
        assert_true(attestation_looks(sample_bytes(&s)));
        if (attestation_parse(sample_bytes(&s), &a, &err) < 0)
            fail_msg("%s: %s", names[i][0], err.cause);
        struct bytes made = buf_bytes(i < 2 ? &a.snp_report : &a.tdx_quote);
        assert_int_equal(made.n, raw.n);
        assert_memory_equal(made.p, raw.p, raw.n);
        assert_int_equal(a.quotes[0].pcrs.mask, 1u | 1u << 23);
        assert_int_equal(a.intermediate_count, i < 2 ? 2 : 0);
    }
}

/* The JSON written by another program, and ours from the binary form, are the same document. */
static void writes_protojson(void **state)
{
    (void)state;
    static const char *const names[][2] = { { "snp.pb", "snp.json" }, { "tdx.pb", "tdx.json" } };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        AUTO(sample_done) struct sample pb = load_data(names[i][0]), text = load_data(names[i][1]);
        AUTO(json_drop) json_t *ours = NULL, *theirs = NULL;
        struct err err = { 0 };
        assert_int_equal(pb_to_json(&attestation_message, sample_bytes(&pb), PB_PROTOJSON, &ours, &err), 0);
        assert_int_equal(json_parse(sample_bytes(&text), 1 << 20, &theirs, &err), 0);
        assert_true(json_equal(ours, theirs));
    }
}

static int parse_json(const char *text, struct err *err)
{
    AUTO(attestation_done) struct attestation a = { 0 };
    return attestation_parse(bytes_str(text), &a, err);
}

static void json_has_two_spellings_and_no_more(void **state)
{
    (void)state;
    struct err err = { 0 };
    assert_int_equal(parse_json("{\"akPub\":\"AAEACw==\",\"quotes\":null,\"other\":[1]}", &err), 0);
    assert_int_equal(parse_json("{\"ak_pub\":\"AAEACw\"}", &err), 0);
    assert_int_equal(parse_json("{\"ak_pub\":\"AAEACw\",\"instance_info\":{\"instance_id\":7}}", &err), 0);
    assert_int_equal(parse_json("{\"akPub\":\"AAEACw==\",\"quotes\":[{\"pcrs\":{\"hash\":11,\"pcrs\":{}}}]}",
                                &err),
                     0);
    static const char *const bad[] = {
        "{}",
        "{\"akPub\":\"AAEACw==\",\"ak_pub\":\"AAEACw==\"}",
        "{\"akPub\":7}",
        "{\"akPub\":\"?\"}",
        "{\"akPub\":\"AAEACw==\",\"quotes\":{}}",
        "{\"akPub\":\"AAEACw==\",\"quotes\":[{\"pcrs\":{\"hash\":\"MD5\"}}]}",
        "{\"akPub\":\"AAEACw==\",\"quotes\":[{\"pcrs\":{\"hash\":11,\"pcrs\":{\"24\":\"AA==\"}}}]}",
        "{\"akPub\":\"AAEACw==\",\"quotes\":[{\"pcrs\":{\"hash\":11,\"pcrs\":{\"0\":\"AA==\"}}}]}",
        "{\"akPub\":\"AAEACw==\",\"instanceInfo\":{\"instanceId\":-1}}",
        "{\"akPub\":\"AAEACw==\",\"instanceInfo\":{\"instanceId\":\"18446744073709551616\"}}",
        "{\"akPub\":\"AAEACw==\",\"sevSnpAttestation\":{\"report\":{\"vmpl\":4294967296}}}",
        "{\"akPub\":\"AAEACw==\",\"sevSnpAttestation\":{\"report\":{\"measurement\":\"AA==\"}}}",
        "{\"akPub\":\"AAEACw==\",\"sevSnpAttestation\":{},\"tdxAttestation\":{}}",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (parse_json(bad[i], &err) != -1)
            fail_msg("read: %s", bad[i]);
}

static void members_come_once(void **state)
{
    (void)state;
    static const uint8_t twice[] = { 0x0A, 1, 'a', 0x0A, 1, 'b' };
    static const uint8_t as_number[] = { 0x08, 1 };
    AUTO(buf_done) struct buf many = buf_new(4096);
    AUTO(attestation_done) struct attestation a = { 0 };
    struct err err = { 0 };
    assert_int_equal(attestation_parse(bytes_of(twice, sizeof(twice)), &a, &err), -1);
    assert_non_null(strstr(err.cause, "twice"));
    assert_int_equal(attestation_parse(bytes_of(as_number, sizeof(as_number)), &a, &err), -1);
    assert_non_null(strstr(err.cause, "wire type"));
    for (int i = 0; i <= ATTESTATION_QUOTES_MAX; i++)
        pb_put_bytes(&many, 2, bytes_of(NULL, 0));
    assert_int_equal(attestation_parse(buf_bytes(&many), &a, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
}

/* A recorded report or quote, made a message and put together again, is the same; the signature still covers
 * it. */
static void recorded_evidence_survives_its_message(void **state)
{
    static const char *const reports[] = { "snp/milan-v2-vlek-aws/report.bin", "snp/milan-v3-oak/report.bin",
                                           "snp/genoa-v5-model-a0/report.bin", "snp/turin-v5-oak/report.bin",
                                           "azure-snp/genoa-v3-report-vtpm/snp_report.bin" };
    static const char *const quotes[] = { "gcp-tdx/automata-sdk-v4/quote.bin",
                                          "tdx/v4-50806f-debug/quote.bin",
                                          "tdx/v5-90c06f-alibaba-uptodate/quote.bin",
                                          "tdx/v5-90c06f-no-tcb-level/quote.bin" };
    (void)state;
    skip_without_evidence();
    for (size_t i = 0; i < ARRAY_SIZE(reports); i++) {
        struct sample s = sample_load(reports[i]);
        AUTO(buf_done) struct buf message = buf_new(65536);
        AUTO(buf_done) struct buf again = buf_new(65536);
        struct err err = { 0 };
        assert_int_equal(attestation_put_snp_report(bytes_of(s.p, 1184), &message, &err), 0);
        assert_int_equal(attestation_snp_report(buf_bytes(&message), &again, &err), 0);
        assert_int_equal(again.n, 1184);
        assert_memory_equal(again.p, s.p, 1184);
        assert_int_equal(attestation_put_snp_report(bytes_of(s.p, 1183), &message, &err), -1);
        sample_done(&s);
    }
    for (size_t i = 0; i < ARRAY_SIZE(quotes); i++) {
        struct sample s = sample_load(quotes[i]);
        AUTO(buf_done) struct buf message = buf_new(1 << 20);
        AUTO(buf_done) struct buf again = buf_new(1 << 20);
        AUTO(buf_done) struct buf behind = buf_new(1024);
        struct tdx_quote q;
        struct err err = { 0 };
        attestation_put_behind(ATTESTATION_ASKED, bytes_str("asked"), &behind);
        assert_int_equal(tdx_quote_parse(sample_bytes(&s), &q, &err), 0);
        assert_int_equal(attestation_put_tdx_quote(sample_bytes(&s), buf_bytes(&behind), &message, &err), 0);
        assert_int_equal(attestation_tdx_quote(buf_bytes(&message), &again, &err), 0);
        assert_true(again.n > q.quote_len);
        assert_memory_equal(again.p, s.p, q.quote_len);
        sample_done(&s);
    }
}

static void what_is_bound_is_pinned_here(void **state)
{
    static const uint8_t zero[64];
    uint8_t out[64];
    char hex[129];
    struct err err = { 0 };
    (void)state;
    assert_int_equal(attestation_bind_v1(bytes_of(zero, 64), bytes_of(zero, 32), out, &err), 0);
    assert_string_equal(hex_to(hex, bytes_of(out, 64)),
                        "5034350c0eb0ef5f44577b0cf50306962a22c674e5e16f374dc079b15b8f018deaeb1fe2a976ba50984d"
                        "be83f0a532403cde60f1865a616f79abf0840fe3b190");
    assert_int_equal(attestation_bind_cocos(bytes_of(zero, 64), bytes_str("key"), out, &err), 0);
    assert_string_equal(hex_to(hex, bytes_of(out, 64)),
                        "19a15b27b397921ea5c5cc4d6f5455694010e1966fde6ec226cf40092e711a411760b351160594f29659"
                        "a4cee2af6f8a36d36b375562a3518118031860bd9d78");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_wire_type),
        cmocka_unit_test(refuses_what_is_no_field),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(reads_the_real_one),
        cmocka_unit_test(every_cut_is_refused_or_whole),
        cmocka_unit_test(one_bit_of_damage_is_survived),
        cmocka_unit_test(puts_reports_together_again),
        cmocka_unit_test(writes_protojson),
        cmocka_unit_test(json_has_two_spellings_and_no_more),
        cmocka_unit_test(members_come_once),
        cmocka_unit_test(recorded_evidence_survives_its_message),
        cmocka_unit_test(what_is_bound_is_pinned_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
