/* tpm/eventlog on logs made here: what recorded logs do not have, limits, damage, and dstack's JSON. */
#include "evidence.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/json.h"
#include "tpm/eventlog.h"

#include <stdio.h>

static const char zeros[64];

static void put_sha1_event(struct buf *b, uint32_t pcr, uint32_t type, struct bytes data)
{
    struct digest d = { ALG_SHA1, 20, { 0 } };
    if (type != EV_NO_ACTION)
        assert_int_equal(digest_of(ALG_SHA1, data, &d, &(struct err){ 0 }), 0);
    buf_u32le(b, pcr);
    buf_u32le(b, type);
    buf_put(b, digest_bytes(&d));
    buf_u32le(b, (uint32_t)data.n);
    buf_put(b, data);
}

/* A header with count algorithms of the given ids, SHA-1 form and all. */
static void put_header(struct buf *b, uint32_t index, const uint16_t *algs, const uint16_t *sizes,
                       uint32_t count)
{
    AUTO(buf_done) struct buf spec = buf_new(512);
    buf_put(&spec, bytes_of("Spec ID Event03", 16));
    buf_put(&spec, bytes_of("\0\0\0\0\0\2\0\2", 8));
    buf_u32le(&spec, count);
    for (uint32_t i = 0; i < count; i++) {
        buf_u16le(&spec, algs[i]);
        buf_u16le(&spec, sizes[i]);
    }
    buf_u8(&spec, 0);
    put_sha1_event(b, index, EV_NO_ACTION, buf_bytes(&spec));
}

static void put_event(struct buf *b, uint32_t index, uint32_t type, uint16_t alg, struct bytes data)
{
    struct digest d;
    assert_int_equal(digest_of(alg, data, &d, &(struct err){ 0 }), 0);
    buf_u32le(b, index);
    buf_u32le(b, type);
    buf_u32le(b, 1);
    buf_u16le(b, alg);
    buf_put(b, digest_bytes(&d));
    buf_u32le(b, (uint32_t)data.n);
    buf_put(b, data);
}

static void put_one_bank(struct buf *b, uint32_t index, uint16_t alg)
{
    put_header(b, index, &alg, (const uint16_t[]){ (uint16_t)digest_size(alg) }, 1);
}

static int parse(const struct buf *b, enum tpm_eventlog_kind kind, struct tpm_eventlog *log, struct err *err)
{
    *err = (struct err){ 0 };
    return tpm_eventlog_parse(buf_bytes(b), kind, log, err);
}

static void refused(const struct buf *b, enum tpm_eventlog_kind kind, enum err_kind why, const char *says)
{
    struct tpm_eventlog log = { 0 };
    struct err err;
    assert_int_equal(parse(b, kind, &log, &err), -1);
    assert_int_equal(err.kind, why);
    if (!strstr(err.cause, says))
        fail_msg("\"%s\" does not say \"%s\"", err.cause, says);
    assert_null(log.events);
}

/* tests/data/tpm/log_sha1.bin: registers computed with hashlib. */
static void sha1_log_with_startup_locality(void **state)
{
    (void)state;
    struct sample s = sample_load_path(CVM_TEST_DATA "/tpm/log_sha1.bin");
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    struct tpm_replay replay;
    char hex[41];
    assert_int_equal(tpm_eventlog_parse(sample_bytes(&s), EVENTLOG_AUTO, &log, &(struct err){ 0 }), 0);
    assert_true(tpm_eventlog_looks_like(sample_bytes(&s)));
    assert_string_equal(log.spec, "sha1-only");
    assert_int_equal(log.used, 425);
    assert_int_equal(log.count, 11);
    assert_int_equal(tpm_eventlog_replay(&log, &replay, &(struct err){ 0 }), 0);
    assert_int_equal(replay.n, 1);
    assert_int_equal(replay.bank[0].mask, 0x1FF);
    assert_string_equal(hex_to(hex, digest_bytes(&replay.bank[0].pcr[0])),
                        "f100d81ba82d3dab2a8e5b4c5c1334636608a6f9");
    assert_string_equal(hex_to(hex, digest_bytes(&replay.bank[0].pcr[8])),
                        "028af46695d6013268807b40fc468994ef29a27c");
    assert_int_equal(tpm_event_data_matches(&log, &log.events[2]),
                     1); /* grub: the text without its terminator */
    sample_done(&s);
}

static void startup_locality_after_an_extend_is_refused(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = buf_new(4096);
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    struct tpm_replay replay;
    struct err err;
    put_sha1_event(&b, 0, EV_SEPARATOR, bytes_of(zeros, 4));
    put_sha1_event(&b, 0, EV_NO_ACTION, bytes_of("StartupLocality\0\3", 17));
    assert_int_equal(parse(&b, EVENTLOG_AUTO, &log, &err), 0);
    assert_int_equal(tpm_eventlog_replay(&log, &replay, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
}

static void older_spec_ids_name_a_sha1_log(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = buf_new(4096);
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    struct err err;
    put_sha1_event(&b, 0, EV_NO_ACTION, bytes_of("Spec ID Event02\0\0\0\0\0\0\2\1\2\0", 25));
    put_sha1_event(&b, 0, EV_SEPARATOR, bytes_of(zeros, 4));
    assert_int_equal(parse(&b, EVENTLOG_AUTO, &log, &err), 0);
    assert_string_equal(log.spec, "Spec ID Event02");
    assert_int_equal(log.format, EVENTLOG_SHA1_ONLY);
}

/* Facts of the format: eight equal bytes end a log, and only more of them may follow. */
static void padding_ends_a_log(void **state)
{
    (void)state;
    for (int byte = 0; byte <= 0xFF; byte += 0xFF)
        for (size_t n = 0; n <= 40; n++) {
            AUTO(buf_done) struct buf b = buf_new(4096);
            AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
            struct err err;
            put_one_bank(&b, 1, ALG_SHA384);
            put_event(&b, 1, EV_SEPARATOR, ALG_SHA384, bytes_of(zeros, 4));
            size_t used = b.n;
            buf_fill(&b, (uint8_t)byte, n);
            assert_int_equal(parse(&b, EVENTLOG_AUTO, &log, &err), 0);
            assert_int_equal(log.used, used);
            assert_int_equal(log.kind, EVENTLOG_CCEL);
            if (n < 9)
                continue;
            b.p[b.n - 1] ^= 0x10;
            refused(&b, EVENTLOG_CCEL, ERR_INPUT, "after the log's end marker");
        }
}

static void registers_have_limits(void **state)
{
    (void)state;
    static const struct {
        enum tpm_eventlog_kind kind;
        uint32_t last;
    } kinds[] = { { EVENTLOG_TPM, 23 }, { EVENTLOG_CCEL, 4 } };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        AUTO(buf_done) struct buf good = buf_new(4096), bad = buf_new(4096);
        AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
        struct err err;
        put_one_bank(&good, 0, ALG_SHA384);
        put_event(&good, kinds[i].last, EV_IPL, ALG_SHA384, bytes_str("x"));
        assert_int_equal(parse(&good, kinds[i].kind, &log, &err), 0);
        put_one_bank(&bad, 0, ALG_SHA384);
        put_event(&bad, kinds[i].last + 1, EV_IPL, ALG_SHA384, bytes_str("x"));
        refused(&bad, kinds[i].kind, ERR_INPUT, "register");
    }
}

/* MRTD is not made of events; a TPM log with SHA-384 alone is told by its PCRs above 4. */
static void ccel_index_zero_extends_nothing(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = buf_new(4096);
    AUTO(tpm_eventlog_done) struct tpm_eventlog ccel = { 0 }, tpm = { 0 };
    struct tpm_replay replay;
    struct err err;
    put_one_bank(&b, 0, ALG_SHA384);
    put_event(&b, 0, EV_IPL, ALG_SHA384, bytes_str("x"));
    put_event(&b, 2, EV_IPL, ALG_SHA384, bytes_str("x"));
    assert_int_equal(parse(&b, EVENTLOG_AUTO, &ccel, &err), 0);
    assert_int_equal(ccel.kind, EVENTLOG_CCEL);
    assert_int_equal(tpm_eventlog_replay(&ccel, &replay, &err), 0);
    assert_int_equal(replay.bank[0].mask, 4);
    assert_int_equal(tpm_eventlog_rtmr(&ccel, 0), -1);
    assert_int_equal(tpm_eventlog_rtmr(&ccel, 2), 1);
    put_event(&b, 7, EV_SEPARATOR, ALG_SHA384, bytes_of(zeros, 4));
    assert_int_equal(parse(&b, EVENTLOG_AUTO, &tpm, &err), 0);
    assert_int_equal(tpm.kind, EVENTLOG_TPM);
    assert_int_equal(tpm_eventlog_replay(&tpm, &replay, &err), 0);
    assert_int_equal(replay.bank[0].mask, 0x85);
    assert_int_equal(tpm_eventlog_rtmr(&tpm, 2), -1);
}

static void false_separators_are_found(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        const char *data;
        size_t n;
        int rc;
    } logs[] = {
        { EV_SEPARATOR, "\0\0\0\0", 4, 0 },
        { EV_SEPARATOR, "\377\377\377\377", 4, 0 },
        { EV_IPL, "x", 1, 0 },
        { EV_SEPARATOR, "x", 1, -1 },
        { EV_IPL, "\0\0\0\0", 4, -1 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(logs); i++) {
        AUTO(buf_done) struct buf b = buf_new(512);
        AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
        struct err err;
        put_one_bank(&b, 0, ALG_SHA256);
        put_event(&b, 4, logs[i].type, ALG_SHA256, bytes_of(logs[i].data, logs[i].n));
        assert_int_equal(parse(&b, EVENTLOG_AUTO, &log, &err), 0);
        assert_int_equal(tpm_eventlog_check_separators(&log, &err), logs[i].rc);
        assert_int_equal(err.kind, logs[i].rc ? ERR_DENIED : ERR_NONE);
    }
}

static void malformed_headers_are_refused(void **state)
{
    (void)state;
    static const uint16_t algs[] = { 1, 2, 3, 5, 6, 7, 8, 9, 10 }, sizes[] = { 1, 2, 3, 5, 6, 7, 8, 9, 10 };
    for (uint32_t n = 0; n <= EVENTLOG_ALGS_MAX + 1; n++) {
        AUTO(buf_done) struct buf b = buf_new(4096);
        AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
        struct err err;
        put_header(&b, 0, algs, sizes, n);
        if (n == 0 || n > EVENTLOG_ALGS_MAX)
            refused(&b, EVENTLOG_AUTO, ERR_INPUT, "algorithms in the log's header");
        else
            assert_int_equal(parse(&b, EVENTLOG_AUTO, &log, &err), 0);
    }
    AUTO(buf_done)
    struct buf twice = buf_new(512), size = buf_new(512), zero = buf_new(512), cut = buf_new(512);
    put_header(&twice, 0, (const uint16_t[]){ 11, 11 }, (const uint16_t[]){ 32, 32 }, 2);
    refused(&twice, EVENTLOG_AUTO, ERR_INPUT, "twice");
    put_header(&size, 0, (const uint16_t[]){ 11 }, (const uint16_t[]){ 20 }, 1);
    refused(&size, EVENTLOG_AUTO, ERR_INPUT, "digests of 20 bytes");
    put_header(&zero, 0, (const uint16_t[]){ 0x99 }, (const uint16_t[]){ 0 }, 1);
    refused(&zero, EVENTLOG_AUTO, ERR_INPUT, "digests of 0 bytes");
    put_sha1_event(&cut, 0, EV_NO_ACTION, bytes_of("Spec ID Event03\0\0\0\0\0\0\2\0\2\1\0\0\0", 28));
    refused(&cut, EVENTLOG_AUTO, ERR_INPUT, "Spec ID event cut short");
}

static void malformed_events_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *says;
    } bad[] = {
        { "\0\0\0\0\4\0\0\0\2\0\0\0", 12, "2 digests at offset" },
        { "\0\0\0\0\4\0\0\0\377\377\377\377", 12, "digests at offset" },
        { "\0\0\0\0\4\0\0\0\1\0\0\0\x0B\0", 14, "not in the log's header" },
        { "\0\0\0\0\4\0\0\0\0\0\0\0\377\377\377\377", 16, "says 4294967295 bytes of data, 0 are left" },
        { "\0\0\0\0\4\0\0\0\0\0\0\0\5\0\0\0abcd", 20, "says 5 bytes of data, 4 are left" },
        { "\377\377\377\377\4\0\0\0\0\0\0\0\0\0\0\0", 16, "half an end marker" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO(buf_done) struct buf b = buf_new(512);
        put_one_bank(&b, 0, ALG_SHA384);
        buf_put(&b, bytes_of(bad[i].bytes, bad[i].n));
        refused(&b, EVENTLOG_AUTO, ERR_INPUT, bad[i].says);
    }
    AUTO(buf_done) struct buf twice = buf_new(512);
    put_header(&twice, 0, (const uint16_t[]){ 4, 11 }, (const uint16_t[]){ 20, 32 }, 2);
    buf_put(&twice, bytes_of("\0\0\0\0\4\0\0\0\2\0\0\0", 12));
    for (int i = 0; i < 2; i++) {
        buf_u16le(&twice, 4);
        buf_put(&twice, bytes_of(zeros, 20));
    }
    refused(&twice, EVENTLOG_AUTO, ERR_INPUT, "there twice");
}

static void events_have_a_maximum(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = buf_new(EVENTLOG_SIZE_MAX + 1);
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    struct err err;
    for (int i = 0; i < EVENTLOG_EVENTS_MAX; i++)
        put_sha1_event(&b, 3, EV_NO_ACTION, bytes_of(zeros, 0));
    assert_int_equal(parse(&b, EVENTLOG_AUTO, &log, &err), 0);
    assert_int_equal(log.count, EVENTLOG_EVENTS_MAX);
    put_sha1_event(&b, 3, EV_NO_ACTION, bytes_of(zeros, 0));
    refused(&b, EVENTLOG_AUTO, ERR_TOO_LARGE, "more than");
    buf_fill(&b, 0, EVENTLOG_SIZE_MAX + 1 - b.n);
    refused(&b, EVENTLOG_AUTO, ERR_TOO_LARGE, "at most");
}

/* An algorithm that only the header's size makes readable: shown, not replayed. */
static void unknown_hashes_are_carried(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = buf_new(512);
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    AUTO(json_drop) json_t *v = NULL;
    struct err err;
    put_header(&b, 0, (const uint16_t[]){ 0x27 }, (const uint16_t[]){ 32 }, 1); /* SHA3-256 */
    buf_put(&b, bytes_of("\1\0\0\0\4\0\0\0\1\0\0\0\x27\0", 14));
    buf_put(&b, bytes_of(zeros, 32));
    buf_u32le(&b, 0);
    assert_int_equal(parse(&b, EVENTLOG_AUTO, &log, &err), 0);
    assert_int_equal(tpm_eventlog_json(&log, &v, &err), 0);
    assert_int_equal(json_object_size(json_object_get(v, "banks")), 0);
    const json_t *event = json_array_get(json_object_get(v, "events"), 1);
    assert_non_null(json_object_get(json_object_get(event, "digests"), "0x0027"));
    assert_int_equal(tpm_event_data_matches(&log, &log.events[1]), 0);
}

/* Bytes of names and texts reach the JSON as UTF-8 whatever they are. */
static void hostile_text_stays_json(void **state)
{
    (void)state;
    static const char utf16[] = "a\0\x3D\xD8\x00\xDE\x00\xD8z\0\0\0"; /* a, U+1F600, a lone surrogate, z */
    AUTO(buf_done) struct buf variable = buf_new(512), b = buf_new(4096), text = buf_new(8192);
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    AUTO(json_drop) json_t *v = NULL;
    struct err err;
    buf_put(&variable, bytes_of(zeros, 16));
    buf_u64le(&variable, 5);
    buf_u64le(&variable, 3);
    buf_put(&variable, bytes_of(utf16, 10));
    buf_put(&variable, bytes_of("\xFF\"a", 3));
    put_one_bank(&b, 1, ALG_SHA384);
    put_event(&b, 1, EV_EFI_VARIABLE_DRIVER_CONFIG, ALG_SHA384, buf_bytes(&variable));
    put_event(&b, 1, EV_IPL, ALG_SHA384, bytes_of("grub_cmd: \xC3\x28\xED\xA0\x80", 15));
    put_event(&b, 1, EV_EFI_ACTION, ALG_SHA384, bytes_of("\x01\x02", 2));
    assert_int_equal(parse(&b, EVENTLOG_AUTO, &log, &err), 0);
    assert_int_equal(tpm_eventlog_json(&log, &v, &err), 0);
    json_put(&text, v, false);
    assert_false(text.failed);
    const json_t *events = json_object_get(v, "events");
    const json_t *decoded = json_object_get(json_array_get(events, 1), "decoded");
    assert_string_equal(json_string_value(json_object_get(decoded, "name")),
                        "a\xF0\x9F\x98\x80\xEF\xBF\xBDz");
    assert_true(json_is_null(json_object_get(json_array_get(events, 3), "decoded")));
}

/* The digest of the first event of RTMR3 in a recorded log is SHA-384 over type, name and payload; with the
 * digest left out the log replays the same. */
static void dstack_digests_may_be_left_out(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load("tdx/v4-90c06f-dstack-eventlog/event_log.json");
    AUTO(json_drop) json_t *list = NULL;
    AUTO(tpm_eventlog_done) struct tpm_eventlog with = { 0 }, without = { 0 };
    AUTO(buf_done) struct buf text = buf_new(1 << 20);
    struct tpm_replay a, b;
    struct err err;
    size_t i, emptied = 0;
    json_t *event;
    assert_int_equal(json_parse(sample_bytes(&s), 1 << 20, &list, &err), 0);
    json_array_foreach(list, i, event) if (json_integer_value(json_object_get(event, "imr")) == 3)
    {
        json_object_set_new(event, "digest", json_string(""));
        emptied++;
    }
    assert_in_range(emptied, 3, 50);
    json_put(&text, list, true);
    assert_int_equal(tpm_eventlog_parse(sample_bytes(&s), EVENTLOG_AUTO, &with, &err), 0);
    assert_int_equal(parse(&text, EVENTLOG_AUTO, &without, &err), 0);
    assert_int_equal(tpm_eventlog_replay(&with, &a, &err), 0);
    assert_int_equal(tpm_eventlog_replay(&without, &b, &err), 0);
    assert_int_equal(a.bank[0].mask, 15);
    for (int r = 0; r < 4; r++)
        assert_true(bytes_equal(digest_bytes(&a.bank[0].pcr[r]), digest_bytes(&b.bank[0].pcr[r])));
}

static void malformed_dstack_logs_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "[",
        "[1]",
        "[{}]",
        "[{\"imr\":4,\"event_type\":1,\"digest\":\"\",\"event\":\"\",\"event_payload\":\"\"}]",
        "[{\"imr\":-1,\"event_type\":1,\"digest\":\"\",\"event\":\"\",\"event_payload\":\"\"}]",
        "[{\"imr\":\"0\",\"event_type\":1,\"digest\":\"\",\"event\":\"\",\"event_payload\":\"\"}]",
        "[{\"imr\":0,\"event_type\":4294967296,\"digest\":\"\",\"event\":\"\",\"event_payload\":\"\"}]",
        "[{\"imr\":0,\"event_type\":1,\"event\":\"\",\"event_payload\":\"\"}]",
        "[{\"imr\":0,\"event_type\":1,\"digest\":\"00\",\"event\":\"\",\"event_payload\":\"\"}]",
        "[{\"imr\":0,\"event_type\":1,\"digest\":\"\",\"event\":\"\",\"event_payload\":\"0\"}]",
        "[{\"imr\":0,\"event_type\":1,\"digest\":\"\",\"event\":\"\",\"event_payload\":\"zz\"}]",
        "[{\"imr\":0,\"event_type\":1,\"digest\":\"\",\"event\":7,\"event_payload\":\"\"}]",
    };
    struct tpm_eventlog log = { 0 };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err err = { 0 };
        assert_int_equal(tpm_eventlog_parse(bytes_str(bad[i]), EVENTLOG_AUTO, &log, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
    AUTO(tpm_eventlog_done) struct tpm_eventlog good = { 0 };
    assert_int_equal(tpm_eventlog_parse(bytes_str(
                                            " [{\"imr\":0,\"event_type\":1,\"digest\":\"\",\"event\":\"\","
                                            "\"event_payload\":\"\"}]"),
                                        EVENTLOG_AUTO, &good, &(struct err){ 0 }),
                     0);
    AUTO(free_u8) uint8_t *big = malloc(EVENTLOG_JSON_MAX + 1);
    memset(big, '[', EVENTLOG_JSON_MAX + 1);
    struct err err = { 0 };
    assert_int_equal(tpm_eventlog_parse(bytes_of(big, EVENTLOG_JSON_MAX + 1), EVENTLOG_AUTO, &log, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
}

static void other_files_do_not_look_like_logs(void **state)
{
    (void)state;
    skip_without_evidence();
    static const char *const others[] = { "snp/milan-v3-oak/report.bin",
                                          "gcp-tdx/cos-113-quote-ccel/quote.bin",
                                          "azure-snp/milan-v2-report-vtpm/hcl_report.bin",
                                          "gcp-vtpm/gce-cos-85-nonce9009/quote_sha1.msg",
                                          "gcp-vtpm/gce-cos-85-nonce9009/quote_sha1.sig",
                                          "gcp-vtpm/gce-cos-85-nonce9009/attestation.pb",
                                          "gcp-vtpm/gce-cos-85-nonce9009/ak_pub.pem",
                                          "gcp-snp/vtpm-33-byte-nonce/ak_cert.der",
                                          "manifest.json" };
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        AUTO(sample_done) struct sample s = sample_load(others[i]);
        if (tpm_eventlog_looks_like(sample_bytes(&s)))
            fail_msg("%s looks like a log", others[i]);
    }
    assert_false(tpm_eventlog_looks_like(bytes_of(zeros, 0)));
    assert_false(tpm_eventlog_looks_like(bytes_of(zeros, sizeof(zeros))));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha1_log_with_startup_locality),
        cmocka_unit_test(startup_locality_after_an_extend_is_refused),
        cmocka_unit_test(older_spec_ids_name_a_sha1_log),
        cmocka_unit_test(padding_ends_a_log),
        cmocka_unit_test(registers_have_limits),
        cmocka_unit_test(ccel_index_zero_extends_nothing),
        cmocka_unit_test(false_separators_are_found),
        cmocka_unit_test(malformed_headers_are_refused),
        cmocka_unit_test(malformed_events_are_refused),
        cmocka_unit_test(events_have_a_maximum),
        cmocka_unit_test(unknown_hashes_are_carried),
        cmocka_unit_test(hostile_text_stays_json),
        cmocka_unit_test(dstack_digests_may_be_left_out),
        cmocka_unit_test(malformed_dstack_logs_are_refused),
        cmocka_unit_test(other_files_do_not_look_like_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
