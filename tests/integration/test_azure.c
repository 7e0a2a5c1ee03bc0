/* tee/azure.h: fresh HCL reports from a paravisor in a struct, metadata services on loopback; real bytes. */
#include "fake_nv.h"
#include "http_server.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/json.h"
#include "tee/azure.h"
#include "tee/hcl_report.h"

#include <stdlib.h>
#include <string.h>

#define HCL   "azure-snp/milan-v3-report-vtpm/hcl_report.bin"
#define TD    "azure-tdx/v4-00806f-ita/"
#define QUOTE 0x30 /* the body of a version 4 quote */

static struct tpm paravisor(void)
{
    skip_without_evidence();
    return (struct tpm){ .hcl = sample_load(HCL), .user_data_size = 64, .lag = 3 };
}

static int visit(void *ctx, int (*fn)(struct tpm *tpm, void *arg, struct err *err), void *arg,
                 struct err *err)
{
    return fn(ctx, arg, err);
}

static int refresh(struct tpm *t, unsigned deadline_ms, struct buf *out, struct err *err)
{
    uint8_t data[64];
    memset(data, 0xC3, sizeof(data));
    return azure_hcl_refresh(visit, t, data, deadline_ms, out, err);
}

static void a_fresh_report_is_waited_for(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        unsigned defined, undefined;
    } rows[] = { { 64, 0, 0 }, { 0, 1, 0 }, { 32, 1, 1 } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct tpm t = paravisor();
        AUTO(buf_done) struct buf out = buf_new(AZURE_HCL_MAX);
        struct err err = { 0 };
        t.user_data_size = rows[i].size;
        if (refresh(&t, 5000, &out, &err) < 0)
            fail_msg("%s", err.cause);
        assert_int_equal(t.user_data_size, 64);
        assert_int_equal(t.defined, rows[i].defined);
        assert_int_equal(t.undefined, rows[i].undefined);
        assert_int_equal(t.reads, 4);
        assert_non_null(memmem(out.p, out.n, "c3c3c3c3", 8));
        assert_int_equal(out.n, t.hcl.n);
        sample_done(&t.hcl);
    }
}

static void a_report_that_stays_old_is_not_taken(void **state)
{
    (void)state;
    struct tpm t = paravisor();
    AUTO(buf_done) struct buf out = buf_new(AZURE_HCL_MAX);
    struct err err = { 0 };
    uint64_t start = clock_ms();
    t.deaf = true;
    assert_int_equal(refresh(&t, 300, &out, &err), -1);
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    assert_true(clock_ms() - start < 1000);
    assert_int_equal(out.n, 0);
    uint8_t *key = memmem(t.hcl.p, t.hcl.n, "user-data", 9);
    key[8] = '4';
    assert_int_equal(refresh(&t, 100, &out, &err), -1);
    assert_non_null(strstr(err.cause, "too old"));
    t.hcl.p[0] ^= 1;
    assert_int_equal(refresh(&t, 100, &out, &err), -1);
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    sample_done(&t.hcl);
    assert_int_equal(azure_hcl_read(&t, &out, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
}

/* ---- metadata services ---- */

static void put_quote(struct buf *json, struct bytes quote)
{
    buf_str(json, "{\"quote\":\"");
    b64url_put(json, quote);
    buf_str(json, "\"}");
}

static void the_quote_for_our_tdreport(void **state)
{
    (void)state;
    skip_without_evidence();
    struct sample quote = sample_load(TD "quote.bin"), report = sample_load(TD "tdreport.bin");
    AUTO(buf_done)
    struct buf json = buf_new(AZURE_JSON_MAX), out = buf_new(AZURE_JSON_MAX), sent = buf_new(AZURE_JSON_MAX);
    put_quote(&json, sample_bytes(&quote));
    struct http_rule rules[] = { { .path = "/acc/tdquote", .status = 200, .body = buf_bytes(&json) } };
    struct http_server *server = http_server_start(rules, 1);
    struct lower l = { .http = http_curl(), .imds_url = http_server_url(server) };
    struct err err = { 0 };
    AUTO(json_drop) json_t *posted = NULL;
    if (azure_td_quote(&l, sample_bytes(&report), 2000, &out, &err) < 0)
        fail_msg("%s", err.cause);
    assert_true(bytes_equal(buf_bytes(&out), sample_bytes(&quote)));
    assert_true(http_server_saw_metadata_header(server));
    assert_int_equal(json_parse(http_server_posted(server), AZURE_JSON_MAX, &posted, &err), 0);
    assert_int_equal(json_get_b64(posted, "report", &sent, &err), 0);
    assert_true(bytes_equal(buf_bytes(&sent), sample_bytes(&report)));
    http_server_stop(server);
    sample_done(&quote);
    sample_done(&report);
}

static void a_quote_for_anything_else_is_refused(void **state)
{
    (void)state;
    skip_without_evidence();
    struct sample report = sample_load(TD "tdreport.bin");
    static const struct {
        size_t at;
        enum err_kind kind;
        const char *text;
    } rows[] = { { QUOTE + 0x88 + 5, ERR_IO, "MRTD" },
                 { QUOTE + 0x208 + 63, ERR_IO, "report_data" },
                 { 0, ERR_INPUT, "" } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct sample quote = sample_load(TD "quote.bin");
        AUTO(buf_done) struct buf json = buf_new(AZURE_JSON_MAX), out = buf_new(AZURE_JSON_MAX);
        struct err err = { 0 };
        quote.p[rows[i].at] ^= 0x80;
        put_quote(&json, sample_bytes(&quote));
        assert_int_equal(azure_td_quote_parse(buf_bytes(&json), sample_bytes(&report), &out, &err), -1);
        assert_int_equal(err.kind, rows[i].kind);
        assert_non_null(strstr(err.cause, rows[i].text));
        assert_int_equal(out.n, 0);
        sample_done(&quote);
    }
    sample_done(&report);
}

static void every_cut_of_an_answer_is_refused(void **state)
{
    (void)state;
    skip_without_evidence();
    struct sample quote = sample_load(TD "quote.bin"), report = sample_load(TD "tdreport.bin");
    AUTO(buf_done) struct buf json = buf_new(AZURE_JSON_MAX), out = buf_new(AZURE_JSON_MAX);
    struct err err = { 0 };
    put_quote(&json, sample_bytes(&quote));
    for (size_t n = 0; n < json.n; n += n < 64 || n > json.n - 64 ? 1 : 61) {
        AUTO(free_u8) uint8_t *cut = heap_copy(json.p, n);
        assert_int_equal(azure_td_quote_parse(bytes_of(cut, n), sample_bytes(&report), &out, &err), -1);
        assert_int_equal(out.n, 0);
    }
    sample_done(&quote);
    sample_done(&report);
}

static void a_service_that_does_not_answer(void **state)
{
    (void)state;
    struct http_rule rules[] = {
        { .path = "/acc/tdquote", .status = 200, .body = bytes_str("{}"), .times = 1 },
        { .path = "/acc/tdquote", .status = 429, .body = bytes_str(""), .times = 1 },
        { .path = "/acc/tdquote", .status = 200, .body = bytes_str("{}"), .delay_ms = 800 }
    };
    static const enum err_kind kinds[] = { ERR_INPUT, ERR_UNAVAILABLE, ERR_UNAVAILABLE };
    struct http_server *server = http_server_start(rules, ARRAY_SIZE(rules));
    struct lower l = { .http = http_curl(), .imds_url = http_server_url(server) };
    const uint8_t report[1024] = { 0x81 };
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        AUTO(buf_done) struct buf out = buf_new(AZURE_JSON_MAX);
        struct err err = { 0 };
        assert_int_equal(azure_td_quote(&l, bytes_of(report, sizeof(report)), 300, &out, &err), -1);
        assert_int_equal(err.kind, kinds[i]);
    }
    http_server_stop(server);
}

static void thim_answers_that_are_none(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "[]",
        "{}",
        "{\"vcekCert\":\"\",\"certificateChain\":\"\"}",
        "{\"vcekCert\":5,\"certificateChain\":5}",
        "{\"vcekCert\":\"-----BEGIN CERTIFICATE-----\\n\",\"certificateChain\":\"\"}"
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct azure_thim t = { 0 };
        struct err err = { 0 };
        assert_int_equal(azure_thim_parse(bytes_str(rows[i]), &t, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
        assert_null(t.vcek.p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_report_is_waited_for),
        cmocka_unit_test(a_report_that_stays_old_is_not_taken),
        cmocka_unit_test(the_quote_for_our_tdreport),
        cmocka_unit_test(a_quote_for_anything_else_is_refused),
        cmocka_unit_test(every_cut_of_an_answer_is_refused),
        cmocka_unit_test(a_service_that_does_not_answer),
        cmocka_unit_test(thim_answers_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
