/* evidence/attestation.h: either form is read or refused with an input error; what was read becomes JSON, and
 * that JSON the same evidence again. */
#include "evidence/attestation.h"
#include "tee/tdx_quote.h"

#include <string.h>

#include "fuzz.h"

static bool same(struct bytes a, struct bytes b)
{
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

static void check_round_trip(const struct attestation *a)
{
    struct err err = { 0 };
    struct attestation b;
    json_t *json = NULL;
    struct buf text = buf_new(64u << 20);
    CHECK(pb_to_json(&attestation_message, a->message, PB_PROTOJSON, &json, &err) == 0);
    json_put(&text, json, false);
    json_decref(json);
    if (!text.failed && attestation_parse(buf_bytes(&text), &b, &err) == 0) {
        CHECK(same(a->ak_pub, b.ak_pub) && same(a->event_log, b.event_log));
        CHECK(a->quote_count == b.quote_count && a->intermediate_count == b.intermediate_count);
        CHECK(same(buf_bytes(&a->snp_report), buf_bytes(&b.snp_report)));
        CHECK(same(buf_bytes(&a->tdx_quote), buf_bytes(&b.tdx_quote)));
        attestation_done(&b);
    }
    buf_done(&text);
}

/* A report or quote that parses comes back out of the message that is made from it. */
static void check_made(const struct attestation *a)
{
    struct buf message = buf_new(16u << 20), again = buf_new(16u << 20);
    struct tdx_quote q;
    struct err err = { 0 };
    if (a->snp_report.n && a->snp_report.p[0] >= 3 && a->snp_report.p[0] <= 5) {
        CHECK(attestation_put_snp_report(buf_bytes(&a->snp_report), &message, &err) == 0);
        CHECK(attestation_snp_report(buf_bytes(&message), &again, &err) == 0);
        CHECK(again.n == a->snp_report.n);
    }
    message.n = again.n = 0;
    if (a->tdx_quote.n && tdx_quote_parse(buf_bytes(&a->tdx_quote), &q, &err) == 0
        && q.certification_data.n == q.pck_chain.n) {
        CHECK(attestation_put_tdx_quote(buf_bytes(&a->tdx_quote), bytes_of(NULL, 0), &message, &err) == 0);
        CHECK(attestation_tdx_quote(buf_bytes(&message), &again, &err) == 0);
        CHECK(again.n >= q.quote_len && !memcmp(again.p, a->tdx_quote.p, q.quote_len));
    }
    buf_done(&message);
    buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct attestation a;
    struct err err = { 0 };
    (void)attestation_looks(bytes_of(data, size));
    if (attestation_parse(bytes_of(data, size), &a, &err) < 0) {
        CHECK(err.cause[0] && (err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE));
        return 0;
    }
    CHECK(a.snp_report.n == 0 || a.snp_report.n == 1184);
    check_round_trip(&a);
    check_made(&a);
    attestation_done(&a);
    return 0;
}
