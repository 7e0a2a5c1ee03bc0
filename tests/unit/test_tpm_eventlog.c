/* tpm/eventlog on recorded logs: replays against published and quoted registers, sizes and counts against the
 * manifest, decoded data against another parser's output. */
#include "evidence.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"
#include "tpm/eventlog.h"

#include <stdio.h>

#define GCE "gcp-vtpm/gce-cos-85-nonce9009"

static const struct log_case {
    const char *folder, *file, *values; /* values: published registers, NULL if there are none */
    enum tpm_eventlog_kind kind;
} cases[] = {
    { "eventlog-tpm/dstack-vtpm", "eventlog.bin", "replayed_pcrs.json", EVENTLOG_TPM },
    { "eventlog-tpm/gcp-cos-101-sev", "eventlog.bin", "expected_pcrs.json", EVENTLOG_TPM },
    { "eventlog-tpm/gcp-cos-93-sev", "eventlog.bin", "expected_pcrs.json", EVENTLOG_TPM },
    { "eventlog-tpm/gcp-rhel8-uefi", "eventlog.bin", "expected_pcrs.json", EVENTLOG_TPM },
    { "eventlog-tpm/gcp-sp800155", "eventlog.bin", "expected_pcrs.json", EVENTLOG_TPM },
    { "eventlog-tpm/gcp-ubuntu-2104-no-dbx", "eventlog.bin", "expected_pcrs.json", EVENTLOG_TPM },
    { "eventlog-tpm/gcp-ubuntu-2104-no-secure-boot", "eventlog.bin", "expected_pcrs.json", EVENTLOG_TPM },
    { "eventlog-tpm/gcp-ubuntu-2404-sevsnp", "eventlog.bin", "expected_pcrs.json", EVENTLOG_TPM },
    { "eventlog-tpm/gcp-ubuntu-2404-sevsnp", "eventlog.bin", "replayed_pcrs.json", EVENTLOG_TPM },
    { "eventlog-tpm/edge-option-rom", "eventlog.bin", NULL, EVENTLOG_TPM },
    { "eventlog-ccel/dstack-sample", "ccel.bin", "replayed.json", EVENTLOG_CCEL },
    { "eventlog-ccel/go-eventlog-event-log", "ccel.bin", "replayed.json", EVENTLOG_CCEL },
    { "eventlog-ccel/go-eventlog-unpadded", "ccel.bin", "replayed.json", EVENTLOG_CCEL },
    { "eventlog-ccel/trustee-gcp", "ccel.bin", "replayed.json", EVENTLOG_CCEL },
    { "eventlog-ccel/trustee-grub", "ccel.bin", "replayed.json", EVENTLOG_CCEL },
    { "eventlog-ccel/trustee-ovmf", "ccel.bin", "replayed.json", EVENTLOG_CCEL },
    { "gcp-tdx/cos-113-quote-ccel", "ccel.bin", NULL, EVENTLOG_CCEL },
    { GCE, "eventlog.bin", NULL, EVENTLOG_TPM },
    { "tdx/v4-90c06f-dstack-eventlog", "event_log.json", NULL, EVENTLOG_DSTACK },
    { "tdx/v4-b0c06f-dstack-example-eventlog", "event_log.json", NULL, EVENTLOG_DSTACK },
};

static struct sample load(const char *folder, const char *file)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    return sample_load(path);
}

static json_t *load_json(const char *folder, const char *file)
{
    AUTO(sample_done) struct sample s = load(folder, file);
    json_t *v = NULL;
    assert_int_equal(json_parse(sample_bytes(&s), 64 << 20, &v, &(struct err){ 0 }), 0);
    return v;
}

/* "facts" of a case in the manifest; a view. */
static const json_t *facts_of(const json_t *manifest, const char *id)
{
    size_t i;
    const json_t *entry;
    json_array_foreach(json_object_get(manifest, "cases"), i,
                       entry) if (strcmp(json_string_value(json_object_get(entry, "id")), id)
                                  == 0) return json_object_get(entry, "facts");
    fail_msg("no %s in the manifest", id);
    return NULL;
}

static void parse_or_fail(const struct sample *s, struct tpm_eventlog *log)
{
    struct err err = { 0 };
    char text[ERR_TEXT_MAX];
    if (tpm_eventlog_parse(sample_bytes(s), EVENTLOG_AUTO, log, &err) < 0)
        fail_msg("%s", err_text(&err, text, sizeof(text)));
}

static void replay_equals_published_values(void **state)
{
    (void)state;
    skip_without_evidence();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct log_case *c = &cases[i];
        AUTO(sample_done) struct sample s = load(c->folder, c->file);
        AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
        AUTO(json_drop) json_t *v = NULL;
        const char *bank;
        const json_t *registers;
        parse_or_fail(&s, &log);
        assert_int_equal(log.kind, c->kind);
        assert_int_equal(tpm_eventlog_check_separators(&log, &(struct err){ 0 }), 0);
        assert_true(tpm_eventlog_looks_like(sample_bytes(&s)));
        assert_int_equal(tpm_eventlog_json(&log, &v, &(struct err){ 0 }), 0);
        if (!c->values)
            continue;
        AUTO(json_drop) json_t *want = load_json(c->folder, c->values);
        assert_in_range(json_object_size(want), 1, 3);
        json_object_foreach(want, bank,
                            registers) if (!json_equal(registers,
                                                       json_object_get(json_object_get(v, "banks"), bank)))
            fail_msg("%s: bank %s differs", c->folder, bank);
    }
}

static void sizes_and_counts_are_those_of_the_manifest(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(json_drop) json_t *manifest = load_json(".", "manifest.json");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(sample_done) struct sample s = load(cases[i].folder, cases[i].file);
        AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
        const json_t *facts = facts_of(manifest, cases[i].folder), *n;
        parse_or_fail(&s, &log);
        if ((n = json_object_get(facts, "events")))
            assert_int_equal(log.count, json_integer_value(n));
        if ((n = json_object_get(facts, "bytes_used")) || (n = json_object_get(facts, "ccel_used_bytes")))
            assert_int_equal(log.used, json_integer_value(n));
    }
}

/* The quote of the same machine carries these PCRs (test_tpm_quote checks its signature and digest). */
static void gce_log_explains_the_quoted_pcrs(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = load(GCE, "eventlog.bin");
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    struct tpm_replay replay;
    static const char *const files[] = { "pcrs_sha1.json", "pcrs_sha256.json", "pcrs_sha384.json" };
    parse_or_fail(&s, &log);
    assert_int_equal(tpm_eventlog_replay(&log, &replay, &(struct err){ 0 }), 0);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        AUTO(sample_done) struct sample text = load(GCE, files[i]);
        struct tpm_pcrs pcrs;
        assert_int_equal(tpm_pcrs_parse(sample_bytes(&text), &pcrs, &(struct err){ 0 }), 0);
        const struct tpm_pcrs *bank = tpm_replay_bank(&replay, pcrs.alg);
        assert_non_null(bank);
        assert_in_range(bank->mask, 0xFF, TPM_PCRS_ALL);
        for (int p = 0; p < TPM_PCRS; p++)
            if (bank->mask >> p & 1)
                assert_true(bytes_equal(digest_bytes(&bank->pcr[p]), digest_bytes(&pcrs.pcr[p])));
    }
    assert_null(tpm_replay_bank(&replay, ALG_SHA512));
}

/* RTMRs of the quote next to the log. */
static void quoted_rtmrs_are_explained(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(json_drop) json_t *manifest = load_json(".", "manifest.json");
    static const int which[] = { 16, 18, 19 };
    for (size_t i = 0; i < ARRAY_SIZE(which); i++) {
        const struct log_case *c = &cases[which[i]];
        const json_t *rtmrs = json_object_get(facts_of(manifest, c->folder), "rtmr");
        AUTO(sample_done) struct sample s = load(c->folder, c->file);
        AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
        struct tpm_replay replay;
        int seen = 0;
        parse_or_fail(&s, &log);
        assert_int_equal(tpm_eventlog_replay(&log, &replay, &(struct err){ 0 }), 0);
        const struct tpm_pcrs *bank = tpm_replay_bank(&replay, ALG_SHA384);
        for (uint32_t p = 0; p < TPM_PCRS; p++) {
            char hex[97];
            int rtmr = tpm_eventlog_rtmr(&log, p);
            if (!(bank->mask >> p & 1))
                continue;
            assert_in_range(rtmr, 0, 3);
            assert_string_equal(hex_to(hex, digest_bytes(&bank->pcr[p])),
                                json_string_value(json_array_get(rtmrs, (size_t)rtmr)));
            seen++;
        }
        assert_int_equal(seen, c->kind == EVENTLOG_DSTACK ? 4 : 3);
    }
}

/* A cut log is refused, or it is the whole log up to the cut (which nothing but the registers can tell). */
static void check_cut(const struct tpm_eventlog *whole, const uint8_t *p, size_t n)
{
    AUTO(free_u8) uint8_t *cut = heap_copy(p, n);
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    struct err err = { 0 };
    if (tpm_eventlog_parse(bytes_of(cut, n), whole->kind, &log, &err) < 0) {
        assert_int_equal(err.kind, ERR_INPUT);
        return;
    }
    assert_in_range(log.count, 1, whole->count);
    assert_in_range(log.used, 1, whole->used);
    if (log.count < whole->count)
        assert_int_equal(log.used, whole->events[log.count].offset);
}

static void every_cut_is_refused_or_ends_at_an_event(void **state)
{
    (void)state;
    skip_without_evidence();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(sample_done) struct sample s = load(cases[i].folder, cases[i].file);
        AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
        parse_or_fail(&s, &log);
        size_t step = s.n > 4000 ? s.n / 500 : 1;
        for (size_t n = 0; n < s.n; n += step)
            check_cut(&log, s.p, n);
        for (size_t k = 0; k < log.count && cases[i].kind != EVENTLOG_DSTACK; k++)
            for (size_t n = log.events[k].offset; n < log.events[k].offset + 3 && n <= s.n; n++)
                check_cut(&log, s.p, n);
    }
}

/* Whatever one bit does, the JSON comes out or the log is refused. */
static void one_changed_bit_never_breaks_anything(void **state)
{
    (void)state;
    skip_without_evidence();
    static const int which[] = { 0, 10, 12, 14, 15, 19 };
    for (size_t i = 0; i < ARRAY_SIZE(which); i++) {
        const struct log_case *c = &cases[which[i]];
        AUTO(sample_done) struct sample s = load(c->folder, c->file);
        size_t step = s.n < 3000 ? 61 : s.n * 8 / 250 | 1;
        for (size_t bit = 0; bit < s.n * 8; bit += step) {
            AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
            AUTO(json_drop) json_t *v = NULL;
            struct err err = { 0 };
            s.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
            if (tpm_eventlog_parse(sample_bytes(&s), EVENTLOG_AUTO, &log, &err) == 0)
                assert_int_equal(tpm_eventlog_json(&log, &v, &err), 0);
            else
                assert_int_equal(err.kind, ERR_INPUT);
            s.p[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}

/* Data that the digest covers: true on real logs, false after one bit. The four false ones of GCE COS images
 * are authority events of an old shim, which measured something else than it logged. */
static void covered_data_is_told_from_changed_data(void **state)
{
    (void)state;
    skip_without_evidence();
    size_t yes = 0, no = 0;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        AUTO(sample_done) struct sample s = load(cases[i].folder, cases[i].file);
        AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
        parse_or_fail(&s, &log);
        for (size_t k = 0; k < log.count; k++) {
            struct tpm_event *e = &log.events[k];
            int matches = tpm_event_data_matches(&log, e);
            if (matches < 0)
                continue;
            no += matches == 0;
            yes += matches;
            assert_true(matches || e->type == EV_EFI_VARIABLE_AUTHORITY);
            if (e->data.n == 0)
                continue;
            AUTO(free_u8) uint8_t *changed = heap_copy(e->data.p, e->data.n);
            changed[e->data.n - 1] ^= 1;
            const struct tpm_event other = {
                .type = e->type, .digests = e->digests, .name = e->name, .data = bytes_of(changed, e->data.n)
            };
            assert_int_not_equal(tpm_event_data_matches(&log, &other), 1);
        }
    }
    assert_in_range(yes, 600, 1000);
    assert_int_equal(no, 4);
}

/* upstream_parse.json was written by another parser. */
static void names_are_those_that_another_parser_found(void **state)
{
    (void)state;
    skip_without_evidence();
    static const char *const folders[] = { "eventlog-ccel/trustee-grub", "eventlog-ccel/trustee-ovmf" };
    for (size_t f = 0; f < ARRAY_SIZE(folders); f++) {
        AUTO(json_drop) json_t *theirs = load_json(folders[f], "upstream_parse.json");
        AUTO(sample_done) struct sample s = load(folders[f], "ccel.bin");
        AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
        const json_t *list = json_object_get(theirs, "uefi_event_logs"), *event;
        size_t i, names = 0;
        parse_or_fail(&s, &log);
        assert_int_equal(json_array_size(list), log.count - 1); /* they leave the header event out */
        json_array_foreach(list, i, event)
        {
            const struct tpm_event *e = &log.events[i + 1];
            const json_t *details = json_object_get(event, "details");
            const char *name = json_string_value(json_object_get(details, "unicode_name"));
            const char *text = json_string_value(json_object_get(details, "string"));
            AUTO(json_drop) json_t *ours = tpm_event_decode(e);
            assert_int_equal(e->index, json_integer_value(json_object_get(event, "index")));
            assert_string_equal(tpm_event_type_name(e->type),
                                json_string_value(json_object_get(event, "type_name")));
            if (name)
                assert_string_equal(json_string_value(json_object_get(ours, "name")), name);
            if (text && json_object_get(ours, "text"))
                assert_string_equal(json_string_value(json_object_get(ours, "text")), text);
            else if (text)
                assert_string_equal(json_string_value(json_object_get(ours, "description")), text);
            names += name || text;
        }
        assert_in_range(names, 10, 100);
    }
}

static json_t *decoded_of(const char *folder, const char *file, size_t k)
{
    AUTO(sample_done) struct sample s = load(folder, file);
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    parse_or_fail(&s, &log);
    return tpm_event_decode(&log.events[k]);
}

static void known_data_reads_as_it_should(void **state)
{
    (void)state;
    skip_without_evidence();
    static const struct {
        const char *folder, *file;
        size_t event;
        const char *json;
    } want[] = {
        { "eventlog-ccel/trustee-grub", "ccel.bin", 3,
          "{\"guid\":\"8be4df61-93ca-11d2-aa0d-00e098032b8c\",\"name\":\"SecureBoot\",\"value_size\":1,"
          "\"secure_boot\":true}" },
        { "eventlog-ccel/trustee-grub", "ccel.bin", 32,
          "{\"image_location\":\"0x7d13c018\",\"image_length\":2656136,"
          "\"device_path\":\"\\\\EFI\\\\ubuntu\\\\grubx64.efi\"}" },
        { "eventlog-tpm/dstack-vtpm", "eventlog.bin", 29,
          "{\"text\":\".linux\",\"uki_section\":\".linux\"}" },
        { "eventlog-tpm/dstack-vtpm", "eventlog.bin", 10, "{\"separator\":\"00000000\",\"error\":false}" },
        { "eventlog-tpm/dstack-vtpm", "eventlog.bin", 43,
          "{\"tag\":\"0x8f3b22ec\",\"text\":\"Linux initrd\"}" },
        { "eventlog-tpm/dstack-vtpm", "eventlog.bin", 19,
          "{\"text\":\"Calling EFI Application from Boot Option\"}" },
        { "eventlog-tpm/gcp-ubuntu-2404-sevsnp", "eventlog.bin", 34,
          "{\"grub\":\"grub_cmd\",\"text\":\"set prefix=(hd0,gpt16)/grub\"}" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        AUTO(json_drop) json_t *v = decoded_of(want[i].folder, want[i].file, want[i].event);
        AUTO(buf_done) struct buf text = buf_new(4096);
        json_put(&text, v, false);
        buf_u8(&text, 0);
        assert_string_equal((const char *)text.p, want[i].json);
    }
}

static void json_has_the_members_of_the_contract(void **state)
{
    (void)state;
    skip_without_evidence();
    static const int which[] = { 0, 14, 18 };
    static const char *const index_name[] = { "pcr", "mr_index", "imr" };
    for (size_t i = 0; i < ARRAY_SIZE(which); i++) {
        AUTO(sample_done) struct sample s = load(cases[which[i]].folder, cases[which[i]].file);
        AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
        AUTO(json_drop) json_t *v = NULL;
        parse_or_fail(&s, &log);
        assert_int_equal(tpm_eventlog_json(&log, &v, &(struct err){ 0 }), 0);
        assert_int_equal(json_object_size(v), 3);
        assert_string_equal(json_string_value(json_object_get(v, "spec")),
                            i < 2 ? "Spec ID Event03" : "dstack");
        const json_t *event = json_array_get(json_object_get(v, "events"), 5);
        static const char *const members[] = { "index", "type", "type_name",           "digests",
                                               "size",  "data", "data_matches_digest", "decoded" };
        for (size_t k = 0; k < ARRAY_SIZE(members); k++)
            assert_non_null(json_object_get(event, members[k]));
        assert_int_equal(json_integer_value(json_object_get(event, "index")), 5);
        assert_true(json_is_integer(json_object_get(event, index_name[i])));
        assert_int_equal(json_string_length(json_object_get(event, "data")),
                         2 * json_integer_value(json_object_get(event, "size")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replay_equals_published_values),
        cmocka_unit_test(sizes_and_counts_are_those_of_the_manifest),
        cmocka_unit_test(gce_log_explains_the_quoted_pcrs),
        cmocka_unit_test(quoted_rtmrs_are_explained),
        cmocka_unit_test(every_cut_is_refused_or_ends_at_an_event),
        cmocka_unit_test(one_changed_bit_never_breaks_anything),
        cmocka_unit_test(covered_data_is_told_from_changed_data),
        cmocka_unit_test(names_are_those_that_another_parser_found),
        cmocka_unit_test(known_data_reads_as_it_should),
        cmocka_unit_test(json_has_the_members_of_the_contract),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
