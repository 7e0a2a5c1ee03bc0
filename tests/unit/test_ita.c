/* appraisal/ita_*.h over evidence of emulated machines (tests/data/collaterals), put into the shape of Intel
 * Trust Authority's requests: what holds becomes claims, and nothing that is changed does. */
#include "evidence.h"

#include "appraisal/ita_token.h"
#include "base/auto.h"
#include "base/enc.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The day on which the documents were made. */
#define CLOCK 1795305600

static struct verify_trust trusted, strict;

static struct sample load(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/collaterals/%s", CVM_TEST_DATA, name);
    return sample_load_path(path);
}

static int set_up(void **state)
{
    (void)state;
    AUTO(sample_done) struct sample roots = load("roots.pem");
    struct err err = { 0 };
    return verify_trust_add_extra(&trusted, sample_bytes(&roots), &err);
}

static int tear_down(void **state)
{
    (void)state;
    verify_trust_done(&trusted);
    return 0;
}

/* val of the nonce that the document was asked with: magic || nonce. */
static json_t *nonce_of(const json_t *document)
{
    AUTO(buf_done) struct buf val = buf_new(256);
    struct err err = { 0 };
    assert_int_equal(json_get_b64(document, "magic", &val, &err), 0);
    assert_int_equal(json_get_b64(document, "nonce", &val, &err), 0);
    return json_pack("{s:o}", "val", json_b64(buf_bytes(&val)));
}

static json_t *values_of(const json_t *tpm)
{
    AUTO(buf_done) struct buf all = buf_new(4096);
    const json_t *pcrs = json_object_get(json_object_get(tpm, "pcrs"), "pcrs");
    for (unsigned i = 0; i < 24; i++) {
        char key[4];
        struct err err = { 0 };
        snprintf(key, sizeof(key), "%u", i);
        assert_int_equal(json_get_b64(pcrs, key, &all, &err), 0);
    }
    return json_b64(buf_bytes(&all));
}

/* The request that a document's evidence makes; azure: with the runtime data. */
static json_t *request_of(const char *name, bool flat)
{
    AUTO(sample_done) struct sample s = load(name);
    AUTO(json_drop) json_t *d = NULL;
    struct err err = { 0 };
    assert_int_equal(json_parse(sample_bytes(&s), 1u << 24, &d, &err), 0);
    const json_t *snp = json_object_get(d, "sev_snp"), *tpm = json_object_get(d, "tpm");
    json_t *runtime = json_object_get(tpm, "var_data");
    json_t *tee =
        json_pack("{s:O,s:O,s:O}", "report", json_object_get(snp, "attestation_report"), "vek_cert",
                  json_object_get(snp, "vek_cert"), "cert_chain", json_object_get(snp, "cert_chain"));
    if (runtime)
        json_object_set(tee, "runtime_data", runtime);
    else
        json_object_set_new(tee, "verifier_nonce", nonce_of(d));
    json_t *out = flat ? json_incref(tee) : json_pack("{s:O}", "sevsnp", tee);
    json_decref(tee);
    if (!tpm || flat)
        return out;
    json_t *part =
        json_pack("{s:O,s:O,s:o,s:o}", "quote", json_object_get(tpm, "quote"), "signature",
                  json_object_get(tpm, "raw_sig"), "pcrs", values_of(tpm), "verifier_nonce", nonce_of(d));
    if (!runtime) {
        json_object_set(part, "ak_cert", json_object_get(tpm, "ak_cert"));
        json_object_set(part, "ak_cert_chain", json_object_get(tpm, "ak_cert_chain"));
    }
    json_object_set_new(out, "tpm", part);
    return out;
}

static int parse(const json_t *request, enum ita_route route, struct ita_request *out, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(1u << 24);
    json_put(&text, request, false);
    return ita_request_parse(buf_bytes(&text), route, out, err);
}

/* Judges and returns success; the claims of what holds go to *claims. */
static bool judge(const json_t *request, enum ita_route route, const struct verify_trust *trust,
                  json_t **claims, struct checks *checks)
{
    AUTO(ita_request_done) struct ita_request r = { .root = NULL };
    AUTO(ita_result_drop) struct ita_result *result = NULL;
    struct err err = { 0 };
    if (parse(request, route, &r, &err) < 0)
        return false;
    const struct ita_options options = { .trust = trust, .at = CLOCK };
    assert_int_equal(ita_judge(&r, &options, &result, &err), 0);
    if (claims)
        *claims = json_incref(result->claims);
    if (checks)
        *checks = result->checks;
    return checks_all_hold(&result->checks);
}

static struct checks found;

static void appraises_what_holds(void **state)
{
    (void)state;
    static const struct {
        bool flat, tpm;
    } rows[] = {
        { true, false },
        { false, true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(json_drop) json_t *claims = NULL;
        AUTO(json_drop) json_t *request = request_of("gcp-snp.json", rows[i].flat);
        if (!judge(request, ITA_V2, &trusted, &claims, &found)) {
            const struct check *c = checks_first_failed(&found);
            fail_msg("%zu: %s: %s", i, c ? c->name : "?", c ? c->detail : "?");
        }
        const json_t *snp = json_object_get(claims, "sevsnp");
        assert_string_equal(json_string_value(json_object_get(snp, "attester_type")), "AMD SEV-SNP");
        const json_t *pcrs = json_object_get(json_object_get(claims, "tpm"), "pcrs");
        assert_int_equal(json_array_size(pcrs), rows[i].tpm ? 24 : 0);
        assert_false(judge(request, ITA_V2, &strict, NULL, NULL)); /* an emulator's root */
    }
}

static void refuses_every_changed_member(void **state)
{
    (void)state;
    static const char *const paths[][2] = {
        { "sevsnp", "report" }, { "sevsnp", "vek_cert" }, { "tpm", "quote" },
        { "tpm", "signature" }, { "tpm", "pcrs" },        { "tpm", "ak_cert" },
    };
    for (size_t p = 0; p < ARRAY_SIZE(paths); p++) {
        AUTO(json_drop) json_t *request = request_of("gcp-snp.json", false);
        AUTO(buf_done) struct buf data = buf_new(1u << 20);
        json_t *part = json_object_get(request, paths[p][0]);
        struct err err = { 0 };
        assert_int_equal(json_get_b64(part, paths[p][1], &data, &err), 0);
        data.p[data.n / 2] ^= 4;
        json_object_set_new(part, paths[p][1], json_b64(buf_bytes(&data)));
        if (judge(request, ITA_V2, &trusted, NULL, NULL))
            fail_msg("%s.%s may be changed", paths[p][0], paths[p][1]);
    }
}

/* A key that nobody vouches for; another nonce. */
static void refuses_what_is_not_bound(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *request = request_of("gcp-snp.json", false);
    AUTO(json_drop) json_t *bare = json_deep_copy(request);
    AUTO(json_drop) json_t *stale = json_deep_copy(request);
    json_object_del(json_object_get(bare, "tpm"), "ak_cert");
    assert_false(judge(bare, ITA_V2, &trusted, NULL, &found));
    assert_false(checks_hold(&found, "tpm.ak_anchor"));
    json_object_set_new(json_object_get(stale, "sevsnp"), "verifier_nonce",
                        json_pack("{s:s}", "val", "AAAA"));
    assert_false(judge(stale, ITA_V2, &trusted, NULL, &found));
    assert_string_equal(checks_first_failed(&found)->name, "binding.nonce");
}

static void takes_the_flat_form(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *request = request_of("gcp-snp.json", true);
    AUTO(json_drop) json_t *claims = NULL;
    AUTO(json_drop) json_t *token = NULL;
    AUTO(ita_request_done) struct ita_request r = { .root = NULL };
    AUTO(ita_result_drop) struct ita_result *result = NULL;
    struct err err = { 0 };
    const struct ita_options options = { .trust = &trusted, .at = CLOCK };
    const struct ita_issuer issuer = { "test", "11111111-2222-4333-8444-555555555555", CLOCK };
    assert_true(judge(request, ITA_SNP_V1, &trusted, &claims, NULL));
    assert_int_equal(parse(request, ITA_SNP_V1, &r, &err), 0);
    assert_true(r.flat);
    assert_int_equal(ita_judge(&r, &options, &result, &err), 0);
    assert_int_equal(ita_token_claims(&r, result, NULL, 0, &issuer, &token, &err), 0);
    assert_string_equal(json_string_value(json_object_get(token, "ver")), "1.0.0");
    assert_non_null(json_object_get(token, "sevsnp_launchmeasurement")); /* flat */
    assert_int_equal(json_integer_value(json_object_get(token, "exp")), CLOCK + ITA_TOKEN_LIFE_S);
}

static void merges_what_policies_define(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *request = request_of("gcp-snp.json", false);
    AUTO(json_drop) json_t *one = json_pack("{s:i,s:i}", "a", 1, "b", 2);
    AUTO(json_drop) json_t *two = json_pack("{s:i,s:i}", "b", 2, "c", 3);
    AUTO(json_drop) json_t *three = json_pack("{s:s}", "c", "other");
    AUTO(ita_request_done) struct ita_request r = { .root = NULL };
    AUTO(ita_result_drop) struct ita_result *result = NULL;
    const struct ita_options options = { .trust = &trusted, .at = CLOCK };
    const struct ita_issuer issuer = { "test", "11111111-2222-4333-8444-555555555555", CLOCK };
    struct ita_applied applied[] = { { "id-1", 1, "h1", true, one },
                                     { "id-2", 7, "h2", false, two },
                                     { "id-3", 1, "h3", true, three } };
    struct err err = { 0 };
    assert_int_equal(parse(request, ITA_V2, &r, &err), 0);
    assert_int_equal(ita_judge(&r, &options, &result, &err), 0);
    json_t *token = NULL;
    assert_int_equal(ita_token_claims(&r, result, applied, 2, &issuer, &token, &err), 0);
    const json_t *unmatched = json_object_get(token, "policy_ids_unmatched");
    assert_int_equal(json_array_size(json_object_get(token, "policy_ids_matched")), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(unmatched, 0), "version")), "v7");
    assert_int_equal(json_object_size(json_object_get(token, "policy_defined_claims")), 3);
    json_decref(token);
    assert_int_equal(ita_token_claims(&r, result, applied, 3, &issuer, &token, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    assert_non_null(strstr(err.cause, "id-2 and id-3"));
    r.policy_must_match = true;
    err = (struct err){ 0 };
    assert_int_equal(ita_token_claims(&r, result, applied, 2, &issuer, &token, &err), -1);
    assert_int_equal(err.kind, ERR_DENIED);
}

static void refuses_bad_bodies(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
        enum ita_route route;
    } rows[] = {
        { "{}", "evidence", ITA_V2 },
        { "[]", "an object", ITA_V2 },
        { "{\"tdx\":{\"quote\":\"AA==\"},\"sevsnp\":{\"report\":\"AA==\"}}", "one TEE", ITA_V2 },
        { "{\"tdx\":{\"quote\":\"AA==\"},\"quote\":\"AA==\"}", "one quote", ITA_V2 },
        { "{\"quote\":\"AA==\",\"tdx\":{\"quote\":\"AA==\"}}", "one quote", ITA_V2 },
        { "{\"tdx\":{\"quote\":\"A*==\"}}", "tdx.quote", ITA_V2 },
        { "{\"tdx\":{\"qoute\":\"AA==\"}}", "tdx.qoute: no such member", ITA_V2 },
        { "{\"tdx\":{}}", "a quote", ITA_V2 },
        { "{\"tpm\":{\"quote\":\"AA==\",\"signature\":\"AA==\",\"pcrs\":\"AA==\"}}", "a TEE", ITA_V2 },
        { "{\"quote\":\"AA==\",\"tpm\":{\"quote\":\"AA==\"}}", "quote, signature and pcrs", ITA_V2 },
        { "{\"quote\":\"AA==\"}", "report", ITA_SNP_V1 },
        { "{\"quote\":\"AA==\"}", "runtime_data", ITA_V2_AZURE },
        { "{\"quote\":\"AA==\",\"policy_ids\":[1]}", "policy_ids: want text", ITA_V2 },
        { "{\"quote\":\"AA==\",\"policy_ids\":[\"a\",\"a\"]}", "twice", ITA_V2 },
        { "{\"quote\":\"AA==\",\"policy_ids\":[\"0\",\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\","
          "\"10\"]}",
          "11 policies", ITA_V2 },
        { "{\"quote\":\"AA==\",\"token_signing_alg\":\"HS256\"}", "PS384 or RS256", ITA_V2 },
        { "{\"quote\":\"AA==\",\"policy_must_match\":1}", "true or false", ITA_V2 },
        { "{\"quote\":\"AA==\",\"nonce\":\"AA==\",\"verifier_nonce\":\"AA==\"}", "one nonce", ITA_V2 },
        { "{\"quote\":\"AA==\",\"verifier_nonce\":{\"value\":\"AA==\"}}", "val, iat", ITA_V2 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct ita_request r = { .root = NULL };
        struct err err = { 0 };
        assert_int_equal(ita_request_parse(bytes_str(rows[i].text), rows[i].route, &r, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
        if (!strstr(err.cause, rows[i].why))
            fail_msg("%s: \"%s\", want \"%s\"", rows[i].text, err.cause, rows[i].why);
    }
}

static void refuses_every_cut(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *request = request_of("snp.json", false);
    AUTO(buf_done) struct buf text = buf_new(1u << 24);
    json_put(&text, request, false);
    for (size_t n = 0; n < text.n; n += n < 200 ? 1 : 37) {
        AUTO(free_u8) uint8_t *cut = heap_copy(text.p, n);
        struct ita_request r = { .root = NULL };
        assert_int_equal(ita_request_parse(bytes_of(cut, n), ITA_V2, &r, &(struct err){ 0 }), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appraises_what_holds),        cmocka_unit_test(refuses_every_changed_member),
        cmocka_unit_test(refuses_what_is_not_bound),   cmocka_unit_test(takes_the_flat_form),
        cmocka_unit_test(merges_what_policies_define), cmocka_unit_test(refuses_bad_bodies),
        cmocka_unit_test(refuses_every_cut),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
