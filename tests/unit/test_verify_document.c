/* evidence/verify_document.h and verify.h over documents of emulated machines (tests/data/collaterals,
 * written by the agent): every cut is refused with its place, every member's type is enforced, and nothing
 * that is changed verifies. */
#include "evidence.h"

#include "base/auto.h"
#include "base/json.h"
#include "evidence/verify.h"

#include <limits.h>
#include <stdio.h>

static struct sample load(const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/collaterals/%s", CVM_TEST_DATA, name);
    return sample_load_path(path);
}

static json_t *load_json(const char *name)
{
    AUTO(sample_done) struct sample s = load(name);
    json_t *root = NULL;
    assert_int_equal(json_parse(sample_bytes(&s), DOCUMENT_MAX, &root, &(struct err){ 0 }), 0);
    return root;
}

static int parse_json(json_t *root, struct document *out, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(DOCUMENT_MAX);
    json_put(&text, root, false);
    return document_parse(buf_bytes(&text), out, err);
}

static void reads_documents(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum tee_type tee;
        bool tpm, var_data, ccel;
    } rows[] = {
        { "snp.json", TEE_SEV_SNP, false, false, false },
        { "gcp-snp.json", TEE_SEV_SNP, true, false, false },
        { "azure-snp.json", TEE_SEV_SNP, true, true, false },
        { "tdx-vtpm.json", TEE_TDX, true, false, true },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(sample_done) struct sample s = load(rows[i].name);
        AUTO(document_done) struct document d = { .root = NULL };
        assert_int_equal(document_parse(sample_bytes(&s), &d, &(struct err){ 0 }), 0);
        assert_int_equal(d.tee, rows[i].tee);
        assert_int_equal(d.has_tpm, rows[i].tpm);
        assert_int_equal(d.var_data.n > 0, rows[i].var_data);
        assert_int_equal(d.boot_log_ccel.n > 0, rows[i].ccel);
        assert_int_equal(d.nonce.n, 4);
        assert_memory_equal(d.nonce.p, "1234", 4);
        assert_memory_equal(d.magic.p, "Internal/collaterals", 20);
        assert_int_equal(d.unknown_n, 0);
        assert_true(d.platform.said && d.platform.emulated);
        if (rows[i].tpm)
            assert_true(d.pcrs.alg == ALG_SHA256 && d.pcrs.mask == TPM_PCRS_ALL);
    }
}

static void refuses_every_cut(void **state)
{
    (void)state;
    AUTO(sample_done) struct sample s = load("snp.json");
    size_t end = s.n;
    while (s.p[end - 1] != '}')
        end--;
    for (size_t n = 0; n < end; n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(s.p, n);
        struct document d;
        struct err err = { 0 };
        assert_int_equal(document_parse(bytes_of(cut, n), &d, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
        assert_non_null(strstr(err.cause, "line"));
    }
}

/* Sets document.path = value (stolen) and expects the refusal to name the member. */
static void refuse_member(const char *holder, const char *key, json_t *value, const char *named)
{
    AUTO(json_drop) json_t *root = load_json("azure-snp.json");
    struct document d;
    struct err err = { 0 };
    json_object_set_new(*holder ? json_object_get(root, holder) : root, key, value);
    assert_int_equal(parse_json(root, &d, &err), -1);
    assert_true(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
    if (!strstr(err.cause, named))
        fail_msg("%s.%s: \"%s\" does not name \"%s\"", holder, key, err.cause, named);
}

static void refuses_wrong_types(void **state)
{
    (void)state;
    static const struct {
        const char *holder, *key;
    } rows[] = {
        { "", "version" },
        { "", "platform" },
        { "", "sev_snp" },
        { "", "tpm" },
        { "", "magic" },
        { "", "nonce" },
        { "", "service" },
        { "", "uuid" },
        { "", "boot_log_tpm" },
        { "", "boot_log_ccel" },
        { "", "workload_log" },
        { "", "journal_log" },
        { "", "tls_spki_sha256" },
        { "platform", "tee" },
        { "platform", "cloud" },
        { "platform", "emulated" },
        { "sev_snp", "attestation_report" },
        { "sev_snp", "vek_cert" },
        { "sev_snp", "cert_chain" },
        { "sev_snp", "vek_certs" },
        { "tpm", "quote" },
        { "tpm", "raw_sig" },
        { "tpm", "pcrs" },
        { "tpm", "ak_pub" },
        { "tpm", "ak_public" },
        { "tpm", "ak_cert" },
        { "tpm", "ak_cert_chain" },
        { "tpm", "tpm_certs" },
        { "tpm", "var_data" },
        { "tpm", "report" },
        { "tpm", "report_time" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        refuse_member(rows[i].holder, rows[i].key, json_integer(17), rows[i].key);
        refuse_member(rows[i].holder, rows[i].key, json_null(), rows[i].key);
        refuse_member(rows[i].holder, rows[i].key, json_string(""), rows[i].key);
        refuse_member(rows[i].holder, rows[i].key, json_pack("[i]", 1), rows[i].key);
    }
}

static void refuses_wrong_sizes(void **state)
{
    (void)state;
    refuse_member("", "magic", json_string("AAAA"), "magic");
    refuse_member("", "nonce", json_string("A"), "nonce");
    refuse_member("", "uuid", json_string("AAAA"), "uuid");
    refuse_member("", "version", json_integer(2), "version");
    refuse_member("tpm", "report", json_string("new"), "report");
    refuse_member("", "tdx", json_pack("{s:s}", "attestation_report", "AAAA"), "both sev_snp and tdx");
    refuse_member("tpm", "pcrs", json_pack("{s:i,s:{}}", "hash", 11, "pcrs"), "pcrs");
    refuse_member("tpm", "pcrs", json_pack("{s:i,s:{s:s}}", "hash", 11, "pcrs", "24", "AAAA"), "24");
    refuse_member("tpm", "pcrs", json_pack("{s:i,s:{s:s}}", "hash", 11, "pcrs", "00", "AAAA"), "00");
    refuse_member("tpm", "pcrs", json_pack("{s:i,s:{s:s}}", "hash", 11, "pcrs", "0", "AAAA"), "pcrs.0");
    refuse_member("tpm", "pcrs", json_pack("{s:i,s:{s:s}}", "hash", 99, "pcrs", "0", "AAAA"), "pcrs");
    json_t *many = json_array();
    for (size_t i = 0; i <= DOCUMENT_CHAIN_MAX; i++)
        json_array_append_new(many, json_string("AAAA"));
    refuse_member("sev_snp", "cert_chain", many, "cert_chain");
    json_t *events = json_array();
    for (size_t i = 0; i <= DOCUMENT_EVENTS_MAX; i++)
        json_array_append_new(events, json_object());
    refuse_member("", "workload_log", events, "workload_log");
}

static void lists_unknown_members(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *root = load_json("gcp-snp.json");
    AUTO(document_done) struct document d = { .root = NULL };
    json_object_set_new(root, "gpu", json_object());
    json_object_set_new(json_object_get(root, "tpm"), "ek_cert", json_string("x"));
    assert_int_equal(parse_json(root, &d, &(struct err){ 0 }), 0);
    assert_int_equal(d.unknown_n, 2);
    assert_string_equal(d.unknown[0], "gpu");
    assert_string_equal(d.unknown[1], "tpm.ek_cert");
}

/* Standard, URL-safe, with and without padding: the same bytes. */
static void reads_base64_variants(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *root = load_json("gcp-snp.json");
    AUTO(document_done) struct document before = { .root = NULL }, after = { .root = NULL };
    assert_int_equal(parse_json(root, &before, &(struct err){ 0 }), 0);
    json_t *snp = json_object_get(root, "sev_snp");
    AUTO(free_str) char *text = strdup(json_string_value(json_object_get(snp, "attestation_report")));
    for (char *c = text; *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    text[strcspn(text, "=")] = 0;
    json_object_set_new(snp, "attestation_report", json_string(text));
    assert_int_equal(parse_json(root, &after, &(struct err){ 0 }), 0);
    assert_true(bytes_equal(before.tee_report, after.tee_report));
}

/* Some writers escape every slash, or any character they like: still the same bytes. */
static void reads_escaped_slashes(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *root = load_json("gcp-snp.json");
    AUTO(document_done) struct document before = { .root = NULL }, after = { .root = NULL };
    AUTO(buf_done) struct buf text = buf_new(DOCUMENT_MAX), escaped = buf_new(DOCUMENT_MAX);
    assert_int_equal(parse_json(root, &before, &(struct err){ 0 }), 0);
    json_put(&text, root, false);
    for (size_t i = 0, slashes = 0; i < text.n; i++) {
        bool slash = text.p[i] == '/';
        slashes += slash;
        if (slash)
            buf_str(&escaped, slashes % 2 ? "\\/" : "\\u002f");
        else
            buf_u8(&escaped, text.p[i]);
    }
    assert_int_equal(document_parse(buf_bytes(&escaped), &after, &(struct err){ 0 }), 0);
    assert_true(bytes_equal(before.tee_report, after.tee_report));
    assert_true(bytes_equal(before.boot_log_tpm, after.boot_log_tpm));
}

/* The names that stand for long strings inside the reader cannot be given from outside. */
static void long_strings_have_no_names(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *root = load_json("gcp-snp.json");
    struct document d;
    struct err err = { 0 };
    json_object_set_new(json_object_get(root, "tpm"), "ak_pub",
                        json_string("\x01"
                                    "0"));
    assert_int_equal(parse_json(root, &d, &err), -1);
    assert_non_null(strstr(err.cause, "tpm.ak_pub"));
}

/* A document without platform and version, as automata's agents write them. */
static void reads_automata_documents(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *root = load_json("gcp-snp.json");
    AUTO(document_done) struct document d = { .root = NULL };
    static const char *const ours[] = { "version",     "platform", "workload_log",
                                        "journal_log", "missing",  "tls_spki_sha256" };
    for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
        json_object_del(root, ours[i]);
    json_object_del(json_object_get(root, "tpm"), "ak_public");
    assert_int_equal(parse_json(root, &d, &(struct err){ 0 }), 0);
    assert_false(d.platform.said);
    assert_null(d.workload_log);
}

/* ---- verified, and not once anything is changed ---- */

/* The documents are of November 22, 2026; their certificates live long. */
#define CLOCK 1795352400

struct judged {
    bool success;
    bool ak_bound, root;
};

static struct judged judge(json_t *root, const struct verify_trust *trust, struct verify_cache *cache)
{
    struct document d;
    struct err err = { 0 };
    AUTO(verify_result_drop) struct verify_result *r = NULL;
    const struct verify_options options = { .trust = trust,
                                            .cache = cache,
                                            .at = CLOCK,
                                            .nonce = bytes_str("1234"),
                                            .pinned_rtmr1 = bytes_of(NULL, 0),
                                            .pinned_rtmr2 = bytes_of(NULL, 0),
                                            .accept_tcb = TDX_ACCEPT_DEFAULT };
    if (parse_json(root, &d, &err) < 0)
        return (struct judged){ false, false, false };
    assert_int_equal(verify_document(&d, &options, &r, &err), 0);
    assert_false(r->checks.overflow);
    return (struct judged){ verify_success(r), checks_hold(&r->checks, "binding.ak"),
                            checks_hold(&r->checks, "platform.hardware_root") };
}

static void trust_given(struct verify_trust *trust)
{
    AUTO(sample_done) struct sample roots = load("roots.pem");
    struct err err = { 0 };
    if (verify_trust_add_extra(trust, sample_bytes(&roots), &err) < 0)
        fail_msg("%s", err.cause);
}

static void verifies_below_given_roots_only(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *root = load_json("gcp-snp.json");
    AUTO(verify_trust_done) struct verify_trust none = { 0 }, given = { 0 };
    trust_given(&given);
    struct judged yes = judge(root, &given, NULL), no = judge(root, &none, NULL);
    assert_true(yes.success && yes.root && yes.ak_bound);
    assert_false(no.success || no.root);
}

static void a_cache_changes_nothing(void **state)
{
    (void)state;
    AUTO(json_drop) json_t *root = load_json("gcp-snp.json");
    AUTO(verify_trust_done) struct verify_trust none = { 0 }, given = { 0 };
    struct verify_cache *cache = NULL;
    trust_given(&given);
    assert_int_equal(verify_cache_new(4, &cache, &(struct err){ 0 }), 0);
    for (int i = 0; i < 3; i++) {
        assert_true(judge(root, &given, cache).success);
        assert_false(judge(root, &none, cache).success);
    }
    verify_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_documents),          cmocka_unit_test(refuses_every_cut),
        cmocka_unit_test(refuses_wrong_types),      cmocka_unit_test(refuses_wrong_sizes),
        cmocka_unit_test(lists_unknown_members),    cmocka_unit_test(reads_base64_variants),
        cmocka_unit_test(reads_escaped_slashes),    cmocka_unit_test(long_strings_have_no_names),
        cmocka_unit_test(reads_automata_documents), cmocka_unit_test(verifies_below_given_roots_only),
        cmocka_unit_test(a_cache_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
