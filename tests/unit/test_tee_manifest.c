/* Every recorded TEE structure against the facts that were collected independently beside it (manifest.json).
 */
#include "evidence.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "tee/cert_table.h"
#include "tee/hcl_report.h"
#include "tee/snp_report.h"
#include "tee/tdreport.h"
#include "tee/vek_cert.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

static int decode_snp(struct bytes raw, json_t **out, struct err *err)
{
    struct snp_report r;
    return snp_report_parse(raw, &r, err) < 0 ? -1 : snp_report_json(&r, out, err);
}

static int decode_vek(struct bytes raw, json_t **out, struct err *err)
{
    AUTO(x509_drop) X509 *cert = NULL;
    struct vek_cert v;
    if (x509_parse(raw, &cert, err) < 0 || vek_cert_parse(cert, &v, err) < 0)
        return -1;
    return vek_cert_json(&v, out, err);
}

static int decode_quote(struct bytes raw, json_t **out, struct err *err)
{
    struct tdx_quote q;
    return tdx_quote_parse(raw, &q, err) < 0 ? -1 : tdx_quote_json(&q, out, err);
}

static int decode_tdreport(struct bytes raw, json_t **out, struct err *err)
{
    struct tdreport t;
    return tdreport_parse(raw, &t, err) < 0 ? -1 : tdreport_json(&t, out, err);
}

static int decode_hcl(struct bytes raw, json_t **out, struct err *err)
{
    struct hcl_report h;
    return hcl_report_parse(raw, &h, err) < 0 ? -1 : hcl_report_json(&h, out, err);
}

static int decode_table(struct bytes raw, json_t **out, struct err *err)
{
    struct cert_table t;
    return cert_table_parse(raw, &t, err) < 0 ? -1 : cert_table_json(&t, out, err);
}

/* The manifest's names where they are not the vendor's; the same everywhere they occur. */
static const struct {
    const char *fact, *ours;
} renamed[] = {
    { "report_version", "version" },
    { "policy_debug", "policy_decoded.debug" },
    { "policy_smt", "policy_decoded.smt" },
    { "policy_migrate_ma", "policy_decoded.migrate_ma" },
    { "bl", "bootloader" },
    { "ucode", "microcode" },
};

/* Facts about other files of the same case, or words for people. */
static const char *const elsewhere[] = { "note",
                                         "vek_ext",
                                         "vek_validity",
                                         "cert_table",
                                         "provider",
                                         "collateral",
                                         "event_log_replays_to_rtmr",
                                         "ccel_replay_matches_rtmr0_2",
                                         "ccel_original_len",
                                         "ccel_used_bytes",
                                         "nonce_is_report_data" };

/* Which decoder a file needs, where its facts lie (a path in "facts" and one in our JSON), and, where they
 * are not in an object of their own, the member by which they are told from those of other files of that
 * name. */
static const struct subject {
    const char *file, *facts, *ours, *marker;
    int (*decode)(struct bytes raw, json_t **out, struct err *err);
} subjects[] = {
    { "report.bin", "", "", "report_version", decode_snp },
    { "snp_report.bin", "snp", "", NULL, decode_snp },
    { "quote.bin", "", "", "quote_version", decode_quote },
    { "quote.bin", "quote", "", NULL, decode_quote },
    { "tdreport.bin", "", "", "tdreport_len", decode_tdreport },
    { "tdreport.bin", "tdreport", "", NULL, decode_tdreport },
    { "vcek.der", "vek_ext", "", NULL, decode_vek },
    { "vcek.der", "snp.vek_ext", "", NULL, decode_vek },
    { "vlek.der", "vek_ext", "", NULL, decode_vek },
    { "auxblob.bin", "cert_table", "entries", NULL, decode_table },
    { "hcl_report.bin", "hcl", "", NULL, decode_hcl },
    { "hcl_report.bin", "vm_configuration", "vm_configuration", NULL, decode_hcl },
    { "hcl_report.bin", "user_data", "user_data", NULL, decode_hcl },
    { "hcl_report.bin", "snp", "snp_report", NULL, decode_hcl },
    { "hcl_report.bin", "tdreport", "tdreport", NULL, decode_hcl },
};

static unsigned compared;

/* Follows "a.b.c"; "" is the value itself. */
static json_t *at_path(json_t *v, const char *path)
{
    char key[64];
    while (v && *path) {
        size_t n = strcspn(path, ".");
        assert_true(n < sizeof(key));
        memcpy(key, path, n);
        key[n] = '\0';
        v = json_object_get(v, key);
        path += n + (path[n] == '.');
    }
    return v;
}

static const char *our_name(const char *fact)
{
    for (size_t i = 0; i < ARRAY_SIZE(renamed); i++)
        if (!strcmp(fact, renamed[i].fact))
            return renamed[i].ours;
    return fact;
}

static bool is_elsewhere(const char *fact)
{
    for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++)
        if (!strcmp(fact, elsewhere[i]))
            return true;
    return false;
}

/* Texts in either case: the manifest has user-data in upper-case hex, as the paravisor writes it. Serial
 * numbers are numbers there, without leading zeros. */
static bool same_value(const char *where, const json_t *fact, const json_t *ours)
{
    const char *want = json_string_value(fact), *have = json_string_value(ours);
    if (!want || !have)
        return json_equal(fact, ours);
    if (strstr(where, ".serial") && *have == '0')
        have++;
    return strcasecmp(want, have) == 0;
}

static void compare(const char *where, const json_t *fact, json_t *ours)
{
    const char *key;
    json_t *member;
    size_t i;
    char path[256];
    if (!ours)
        fail_msg("%s: not in our JSON", where);
    if (json_is_object(fact)) {
        json_object_foreach((json_t *)(uintptr_t)fact, key, member)
        {
            if (is_elsewhere(key))
                continue;
            snprintf(path, sizeof(path), "%s.%s", where, key);
            compare(path, member, at_path(ours, json_object_get(ours, key) ? key : our_name(key)));
        }
    } else if (json_is_array(fact)) {
        assert_int_equal(json_array_size(fact), json_array_size(ours));
        json_array_foreach(fact, i, member)
        {
            snprintf(path, sizeof(path), "%s[%zu]", where, i);
            compare(path, member, json_array_get(ours, i));
        }
    } else {
        compared++;
        if (!same_value(where, fact, ours))
            fail_msg("%s: manifest %s, ours %s", where, json_dumps(fact, JSON_ENCODE_ANY),
                     json_dumps(ours, JSON_ENCODE_ANY));
    }
}

/* The manifest has the product in lower case, and for version 2 from the certificate's issuer. */
static void take_product(const char *where, json_t *facts, json_t *ours)
{
    const char *fact = json_string_value(json_object_get(facts, "product"));
    const char *have = json_string_value(json_object_get(ours, "product"));
    if (!fact || !have)
        return;
    bool v2 = json_integer_value(json_object_get(ours, "version")) == 2;
    if (strcasecmp(fact, have) != 0 && !(v2 && !*have))
        fail_msg("%s: product %s, ours %s", where, fact, have);
    json_object_del(facts, "product");
}

/* One quote was stored without the tail that its facts count: what must follow is what the file has. */
static void trim_tail(const json_t *file, json_t *facts)
{
    json_int_t size = json_integer_value(json_object_get(file, "size"));
    json_t *len = json_object_get(facts, "quote_len");
    if (len)
        json_object_set_new(facts, "trailing_bytes", json_integer(size - json_integer_value(len)));
}

static unsigned check_subject(const struct subject *s, const json_t *c)
{
    char path[256];
    const char *dir = json_string_value(json_object_get(c, "dir"));
    json_t *facts = at_path(json_object_get(c, "facts"), s->facts), *ours = NULL;
    struct err err = { 0 };
    if (!json_object_get(json_object_get(c, "files"), s->file) || !facts
        || (s->marker && !json_object_get(facts, s->marker)))
        return 0;
    snprintf(path, sizeof(path), "%s/%s", dir, s->file);
    AUTO(sample_done) struct sample raw = sample_load(path);
    if (s->decode(sample_bytes(&raw), &ours, &err) < 0)
        fail_msg("%s: %s", path, err.cause);
    json_t *copy = json_deep_copy(facts);
    trim_tail(json_object_get(json_object_get(c, "files"), s->file), copy);
    take_product(path, copy, at_path(ours, s->ours));
    compare(path, copy, at_path(ours, s->ours));
    json_decref(copy);
    json_decref(ours);
    return 1;
}

static void agrees_with_the_manifest(void **state)
{
    json_t *manifest = NULL, *c;
    unsigned checked[ARRAY_SIZE(subjects)] = { 0 };
    size_t i;
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample text = sample_load("manifest.json");
    assert_int_equal(json_parse(sample_bytes(&text), FILE_MAX_DEFAULT, &manifest, &(struct err){ 0 }), 0);
    json_array_foreach(json_object_get(manifest, "cases"), i, c)
    {
        for (size_t k = 0; k < ARRAY_SIZE(subjects); k++)
            checked[k] += check_subject(&subjects[k], c);
    }
    for (size_t k = 0; k < ARRAY_SIZE(subjects); k++) {
        print_message("%s facts.%s: %u files\n", subjects[k].file, subjects[k].facts, checked[k]);
        assert_true(checked[k] > 0);
    }
    print_message("%u facts compared\n", compared);
    json_decref(manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(agrees_with_the_manifest) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
