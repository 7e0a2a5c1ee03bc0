/* Golden measurements: what is read, what is refused and where, and the comparison with a machine. */
#include "evidence.h"

#include "base/auto.h"
#include "base/enc.h"
#include "policy/golden_compare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define H16          "000102030405060708090a0b0c0d0e0f"
#define H32          "1112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30"
#define X32          "2112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30"
#define Z32          "0000000000000000000000000000000000000000000000000000000000000000"
#define H48          H32 H16
#define Z48          Z32 "00000000000000000000000000000000"
#define DOC(inner)   "{\"golden_measurement\":{" inner "}}"
#define PCRS(values) DOC("\"tpm\":{\"bank\":\"sha256\",\"pcrs\":{" values "}}")
#define EVENTS(n, match, list)                                                                               \
    DOC("\"tpm\":{\"events\":{\"" n "\":{\"match\":\"" match "\",\"digests\":[" list "]}}}")
#define LIST(entry)    DOC("\"pcrs\":[{" entry "}]")
#define CONTENT        "\"content_sha384\":\"" H48 "\""
#define RECORD(t, n)   "{\"type\":\"" t "\",\"name\":\"" n "\"," CONTENT "}"
#define WORKLOAD(list) DOC("\"workload\":{\"scheme\":\"cvm-agent-v1\",\"events\":[" list "]}")

static const char full[] =
    DOC("\"version\":1,\"platform\":{\"tee\":\"sev_snp\",\"cloud\":\"gcp\"},"
        "\"sev_snp\":{\"measurement\":\"" H48 "\",\"policy\":\"0x30000\",\"vmpl\":0,\"family_id\":\"" H16
        "\",\"image_id\":\"" H16 "\",\"host_data\":\"" H32 "\",\"id_key_digest\":\"" Z48
        "\",\"author_key_digest\":\"" Z48
        "\",\"minimum_tcb\":{\"bootloader\":3,\"tee\":0,\"snp\":8,\"microcode\":115}},"
        "\"tpm\":{\"bank\":\"sha256\",\"pcrs\":{\"0\":\"" H32 "\",\"11\":\"0x" H32 "\",\"23\":\"" Z32
        "\"},\"events\":{}},\"workload\":null");

static struct digest digest_from(const char *hex)
{
    struct digest d = { .alg = ALG_SHA256, .n = 32 };
    assert_int_equal(hex_decode_fixed(bytes_str(hex), d.b, 32, NULL), 0);
    return d;
}

static void set_hex(struct registers *r, enum register_id id, const char *hex)
{
    uint8_t raw[REGISTER_SIZE_MAX];
    assert_int_equal(hex_decode_fixed(bytes_str(hex), raw, strlen(hex) / 2, NULL), 0);
    assert_int_equal(registers_set(r, id, bytes_of(raw, strlen(hex) / 2), NULL), 0);
}

static void set_pcr(struct registers *r, unsigned i, const char *hex)
{
    r->pcr[i] = digest_from(hex);
    r->pcr_mask |= 1u << i;
}

/* The machine that the document above describes, and registers that it does not mention. */
static struct registers machine(void)
{
    struct registers r = { .tee = "sev_snp", .cloud = "gcp", .bank = ALG_SHA256 };
    set_hex(&r, REG_SNP_MEASUREMENT, H48);
    assert_int_equal(registers_set_number(&r, REG_SNP_POLICY, 0x30000, NULL), 0);
    assert_int_equal(registers_set_number(&r, REG_SNP_VMPL, 0, NULL), 0);
    set_hex(&r, REG_SNP_FAMILY_ID, H16);
    set_hex(&r, REG_SNP_IMAGE_ID, H16);
    set_hex(&r, REG_SNP_HOST_DATA, H32);
    set_hex(&r, REG_SNP_ID_KEY_DIGEST, Z48);
    set_hex(&r, REG_SNP_AUTHOR_KEY_DIGEST, Z48);
    r.tcb = (struct register_tcb){ .mask = 0x0F, .svn = { 4, 0, 8, 116 } };
    set_pcr(&r, 0, H32);
    set_pcr(&r, 1, X32);
    set_pcr(&r, 11, H32);
    set_pcr(&r, 23, Z32);
    return r;
}

struct answer {
    struct checks *checks;
    json_t *not_checked;
};

static void answer_done(struct answer *a)
{
    free(a->checks);
    json_decref(a->not_checked);
}

static struct answer compare(const char *document, const struct registers *r)
{
    struct answer a = { calloc(1, sizeof(*a.checks)), json_array() };
    AUTO(golden_done) struct golden g = { 0 };
    struct err err = { 0 };
    if (golden_parse(bytes_str(document), &g, &err) < 0)
        fail_msg("%s", err.cause);
    golden_compare(&g, r, a.checks, a.not_checked);
    assert_int_equal(a.checks->n, 3);
    return a;
}

static void expect(const char *document, const struct registers *r, const char *check,
                   enum check_result result, const char *says)
{
    AUTO(answer_done) struct answer a = compare(document, r);
    const struct check *c = checks_find(a.checks, check);
    assert_non_null(c);
    if (c->result != result || !strstr(c->detail, says))
        fail_msg("%s is %d, \"%s\"; wanted %d, \"%s\"", check, c->result, c->detail, result, says);
}

static bool lists(const struct answer *a, const char *name)
{
    size_t i;
    json_t *v;
    json_array_foreach(a->not_checked, i, v) if (strcmp(json_string_value(v), name) == 0) return true;
    return false;
}

static void a_machine_as_described_matches(void **state)
{
    (void)state;
    AUTO(registers_done) struct registers r = machine();
    AUTO(answer_done) struct answer a = compare(full, &r);
    assert_true(checks_hold(a.checks, "golden.tee"));
    assert_true(checks_hold(a.checks, "golden.pcrs"));
    assert_true(checks_hold(a.checks, "golden.workload"));
    assert_int_equal(a.checks->warnings_n, 1);
    assert_string_equal(a.checks->warnings[0], "no workload measured");
    assert_int_equal(json_array_size(a.not_checked), 1);
    assert_true(lists(&a, "PCR 1 (sha256)"));
}

static void every_pinned_register_has_to_match(void **state)
{
    (void)state;
    for (unsigned id = REG_SNP_MEASUREMENT; id <= REG_SNP_AUTHOR_KEY_DIGEST; id++) {
        AUTO(registers_done) struct registers r = machine();
        char name[REGISTER_NAME_MAX];
        for (unsigned bit = 0; bit < 8u * r.value[id].n; bit += 5) {
            r.value[id].b[bit / 8] ^= (uint8_t)(1u << bit % 8);
            expect(full, &r, "golden.tee", CHECK_FAILED, register_name(id, name));
            expect(full, &r, "golden.tee", CHECK_FAILED, "the golden measurement says ");
            r.value[id].b[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        r.value[id].n = 0;
        expect(full, &r, "golden.tee", CHECK_FAILED, "does not have it");
    }
    AUTO(registers_done) struct registers r = machine();
    r.pcr[11] = digest_from(X32);
    expect(full, &r, "golden.pcrs", CHECK_FAILED,
           "PCR 11 (sha256) is " X32 ", the golden measurement says " H32);
    r.pcr[0] = digest_from(X32);
    expect(full, &r, "golden.pcrs", CHECK_FAILED, "PCR 0 (sha256) is");
    expect(full, &r, "golden.pcrs", CHECK_FAILED, "(and 1 more)");
}

static void zero_matches_only_zero(void **state)
{
    (void)state;
    AUTO(registers_done) struct registers r = machine();
    set_pcr(&r, 11, Z32);
    expect(full, &r, "golden.pcrs", CHECK_FAILED, "PCR 11 (sha256) is " Z32);
    set_pcr(&r, 11, H32);
    set_pcr(&r, 23, H32);
    expect(full, &r, "golden.pcrs", CHECK_FAILED, "PCR 23 (sha256) is " H32);
    expect(full, &r, "golden.workload", CHECK_FAILED, "nothing was measured");
    expect(PCRS("\"23\":\"" Z32 "\""), &r, "golden.pcrs", CHECK_FAILED, "PCR 23");
    AUTO(registers_done) struct registers zero = machine();
    AUTO(answer_done) struct answer a = compare(PCRS("\"23\":\"" Z32 "\""), &zero);
    assert_true(checks_hold(a.checks, "golden.pcrs"));
    assert_int_equal(a.checks->warnings_n, 1);
    assert_int_equal(checks_find(a.checks, "golden.workload")->result, CHECK_NOT_APPLICABLE);
    assert_true(lists(&a, "workload"));
}

/* On Azure the processor measures Microsoft's part only. */
static void azure_without_pcrs_is_warned_of(void **state)
{
    (void)state;
    static const char bare[] = "{\"version\":1,\"sev_snp\":{\"vmpl\":0}}";
    AUTO(registers_done) struct registers r = machine();
    AUTO(answer_done) struct answer elsewhere = compare(bare, &r);
    assert_int_equal(elsewhere.checks->warnings_n, 0);
    strcpy(r.cloud, "azure");
    AUTO(answer_done) struct answer a = compare(bare, &r);
    assert_int_equal(a.checks->warnings_n, 1);
    assert_non_null(strstr(a.checks->warnings[0], "pins no PCR"));
    AUTO(answer_done) struct answer pinned = compare(PCRS("\"11\":\"" H32 "\""), &r);
    assert_int_equal(pinned.checks->warnings_n, 0);
}

static void platforms_do_not_mix(void **state)
{
    (void)state;
    AUTO(registers_done) struct registers r = machine();
    strcpy(r.cloud, "azure");
    expect(full, &r, "golden.tee", CHECK_FAILED,
           "platform.cloud is azure, the golden measurement is for gcp");
    strcpy(r.cloud, "gcp");
    strcpy(r.tee, "tdx");
    expect(full, &r, "golden.tee", CHECK_FAILED,
           "platform.tee is tdx, the golden measurement is for sev_snp");
    /* without "platform" the registers say which TEE the document is for */
    expect(DOC("\"sev_snp\":{\"vmpl\":0}"), &r, "golden.tee", CHECK_FAILED, "platform.tee is tdx");
    expect(DOC("\"snp\":{\"measurement\":\"" H48 "\"}"), &r, "golden.tee", CHECK_FAILED,
           "platform.tee is tdx");
}

static void tcb_components_are_minimums(void **state)
{
    (void)state;
    static const struct {
        uint8_t svn[TCB_PARTS], mask;
        enum check_result result;
        const char *says;
    } rows[] = {
        { { 3, 0, 8, 115, 0 }, 0x0F, CHECK_OK, "as in" },
        { { 255, 255, 255, 255, 0 }, 0x0F, CHECK_OK, "as in" },
        { { 2, 9, 9, 200, 0 },
          0x0F,
          CHECK_FAILED,
          "sev_snp.tcb.bootloader is 2, the golden measurement wants at least 3" },
        { { 9, 9, 9, 114, 9 }, 0x1F, CHECK_FAILED, "sev_snp.tcb.microcode is 114" },
        { { 9, 9, 9, 200, 9 }, 0x1B, CHECK_FAILED, "sev_snp.tcb.snp has a minimum" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(registers_done) struct registers r = machine();
        memcpy(r.tcb.svn, rows[i].svn, sizeof(rows[i].svn));
        r.tcb.mask = rows[i].mask;
        expect(full, &r, "golden.tee", rows[i].result, rows[i].says);
    }
    AUTO(registers_done) struct registers r = machine();
    expect(DOC("\"sev_snp\":{\"minimum_tcb\":{\"fmc\":0}}"), &r, "golden.tee", CHECK_FAILED,
           "sev_snp.tcb.fmc");
}

static void banks_have_to_be_the_same_and_never_sha1(void **state)
{
    (void)state;
    AUTO(registers_done) struct registers r = machine();
    static const char sha1[] =
        DOC("\"tpm\":{\"bank\":\"sha1\",\"pcrs\":{\"0\":\"1112131415161718191a1b1c1d1e1f2021222324\"}}");
    expect(sha1, &r, "golden.pcrs", CHECK_FAILED, "SHA-1 bank never");
    r.bank = ALG_SHA384;
    expect(full, &r, "golden.pcrs", CHECK_FAILED,
           "another bank than the golden measurement (golden sha256, quote sha384)");
    r.bank = ALG_SHA1;
    expect(full, &r, "golden.pcrs", CHECK_FAILED, "SHA-1 bank never");
    expect(sha1, &r, "golden.pcrs", CHECK_FAILED, "SHA-1 bank never");
    expect(full, &r, "golden.workload", CHECK_FAILED, "SHA-1");
    r.bank = 0;
    r.pcr_mask = 0;
    expect(full, &r, "golden.pcrs", CHECK_FAILED, "no TPM quote");
    expect(full, &r, "golden.workload", CHECK_FAILED, "neither PCR 23 nor a workload log");
    r.workload.known = true;
    expect(full, &r, "golden.workload", CHECK_OK, "no workload measured");
    r.bank = ALG_SHA256;
    expect(full, &r, "golden.pcrs", CHECK_FAILED, "PCR 0 is pinned, and the quote does not have it");
    expect(full, &r, "golden.workload", CHECK_FAILED,
           "PCR 23 (sha256) has to be zero, and the quote does not");
    expect(DOC("\"sev_snp\":{\"vmpl\":0}"), &r, "golden.pcrs", CHECK_NOT_APPLICABLE, "pins none");
}

static void add_events(struct registers *r, unsigned pcr, const char *const *hex, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct digest d = digest_from(hex[i]);
        assert_int_equal(registers_add_event(r, pcr, &d, NULL), 0);
    }
}

#define A "\"aaaa131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30\""
#define B "\"bbbb131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30\""
#define C "\"cccc131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30\""
#define D "\"dddd131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30\""

static void events_match_in_four_ways(void **state)
{
    (void)state;
    static const char *const log[] = { "aaaa131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30",
                                       "bbbb131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30",
                                       "aaaa131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30",
                                       "cccc131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f30" };
    static const struct {
        const char *document;
        bool ok;
        const char *says;
    } rows[] = {
        { EVENTS("4", "exact", A "," B "," A "," C), true, "" },
        { EVENTS("4", "exact", A "," B "," A), false, "the log has 4 events, wanted are exactly 3" },
        { EVENTS("4", "exact", A "," B "," A "," C "," C), false, "wanted are exactly 5" },
        { EVENTS("4", "exact", A "," A "," B "," C), false, "event 1 is bbbb" },
        { EVENTS("4", "exact", ""), false, "wanted are exactly 0" },
        { EVENTS("4", "subset", C "," A), true, "" },
        { EVENTS("4", "subset", A "," C "," A), true, "" },
        { EVENTS("4", "subset", A "," A "," A), false, "no event (left) with digest aaaa" },
        { EVENTS("4", "subset", D), false, "digest dddd" },
        { EVENTS("4", "sequence", B "," C), true, "" },
        { EVENTS("4", "sequence", A "," A "," C), true, "" },
        { EVENTS("4", "sequence", C "," B), false, "after the first 1 of the wanted events" },
        { EVENTS("4", "sequence", B "," B), false, "digest bbbb" },
        { LIST("\"index\":\"0x4\",\"pcr\":\"0x" Z32 "\",\"measure_events\":[" B "," C
               "],\"measure_events_idx\":[\"0x1\",3]"),
          true, "" },
        { LIST("\"index\":4,\"pcr\":\"" Z32 "\",\"measure_events\":[" B "],\"measure_events_idx\":[0]"),
          false, "event 0 is aaaa" },
        { LIST("\"index\":4,\"pcr\":\"" Z32 "\",\"measure_events\":[" B "],\"measure_events_idx\":[4]"),
          false, "wanted is one at place 4" },
        { LIST("\"index\":4,\"pcr\":\"" X32 "\",\"measure_events\":[" B "],\"measure_events_idx\":[1]"),
          false, "PCR 4 (sha256) is " H32 },
        { LIST("\"index\":4,\"pcr\":\"" Z32 "\",\"measure_events\":[" B
               "],\"measure_events_idx\":[1],\"measure_pcr\":true"),
          false, "PCR 4 (sha256) is " H32 },
    };
    AUTO(registers_done) struct registers r = machine();
    set_pcr(&r, 4, H32);
    add_events(&r, 4, log, ARRAY_SIZE(log));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        expect(rows[i].document, &r, "golden.pcrs", rows[i].ok ? CHECK_OK : CHECK_FAILED, rows[i].says);
    r.events[4].known = false;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        expect(rows[i].document, &r, "golden.pcrs", CHECK_FAILED, "PCR 4 (sha256)");
    r.pcr_mask &= ~(1u << 4); /* a log is nothing without the register */
    expect(rows[0].document, &r, "golden.pcrs", CHECK_FAILED, "the quote does not have it");
}

static void set_workload(struct registers *r, const char *records)
{
    AUTO(json_drop) json_t *v = NULL;
    assert_int_equal(json_parse(bytes_str(records), 1 << 20, &v, NULL), 0);
    assert_int_equal(registers_set_workload(r, v, NULL), 0);
}

static void workloads_match_event_by_event(void **state)
{
    (void)state;
    static const char wanted[] = WORKLOAD(RECORD("image", "web") "," RECORD("compose", "docker-compose.yml"));
    AUTO(registers_done) struct registers r = machine();
    set_pcr(&r, 23, H32);
    set_workload(&r, "[" RECORD("image", "web") "," RECORD("compose", "docker-compose.yml") "]");
    expect(wanted, &r, "golden.workload", CHECK_FAILED, "no signed register holds the replay");
    r.workload.rooted = true;
    expect(wanted, &r, "golden.workload", CHECK_OK, "2 workload events");
    expect(full, &r, "golden.workload", CHECK_FAILED, "PCR 23 (sha256) is");
    expect(WORKLOAD(RECORD("image", "web")), &r, "golden.workload", CHECK_FAILED,
           "lacks: compose \"docker-compose.yml\"");
    expect(WORKLOAD(RECORD("image", "db")), &r, "golden.workload", CHECK_FAILED,
           "event 0 is image \"web\", the golden measurement says image \"db\"");
    r.workload.item[1].content_sha384[47] ^= 1;
    expect(wanted, &r, "golden.workload", CHECK_FAILED,
           "event 1, compose \"docker-compose.yml\", has another content");
    set_workload(&r, "[" RECORD("image", "web") "]");
    assert_true(r.workload.rooted);
    expect(wanted, &r, "golden.workload", CHECK_FAILED, "also has compose");
    /* what was replaced by an update counts no more; a livepatch is PCR 16's */
    set_workload(&r,
                 "[" RECORD("image", "old") "," RECORD("update", "00") "," RECORD("image", "web") "," RECORD(
                     "livepatch", "m") "," RECORD("compose", "docker-compose.yml") "]");
    expect(wanted, &r, "golden.workload", CHECK_OK, "");
    set_workload(&r, "[]");
    expect(wanted, &r, "golden.workload", CHECK_FAILED, "the workload has 0 events");
    set_pcr(&r, 23, Z32);
    expect(full, &r, "golden.workload", CHECK_OK, "no workload measured");
}

static void tdx_registers_match(void **state)
{
    (void)state;
    static const char ours[] =
        DOC("\"tdx\":{\"mr_td\":\"" H48 "\",\"rtmr1\":\"" Z48 "\",\"xfam\":\"0001020304050607\"}");
    static const char automata[] =
        DOC("\"tdx\":{\"mrtd\":\"0x" H48 "\",\"rtmr1\":\"0x" Z48 "\"},\"pcrs\":[]");
    struct registers r = { .tee = "tdx" };
    set_hex(&r, REG_TDX_MR_TD, H48);
    set_hex(&r, REG_TDX_RTMR1, Z48);
    set_hex(&r, REG_TDX_RTMR3, Z48);
    set_hex(&r, REG_TDX_XFAM, "0001020304050607");
    expect(ours, &r, "golden.tee", CHECK_OK, "4 values");
    expect(automata, &r, "golden.tee", CHECK_OK, "3 values");
    AUTO(answer_done) struct answer a = compare(automata, &r);
    assert_true(lists(&a, "tdx.rtmr3"));
    assert_true(lists(&a, "tdx.xfam"));
    set_hex(&r, REG_TDX_RTMR1, H48);
    expect(ours, &r, "golden.tee", CHECK_FAILED, "tdx.rtmr1 is " H48);
}

static void automata_documents_are_read(void **state)
{
    (void)state;
    AUTO(registers_done) struct registers r = machine();
    expect(LIST("\"index\":\"0xb\",\"pcr\":\"0x" H32 "\",\"measure_events\":[],\"measure_events_idx\":[]"),
           &r, "golden.pcrs", CHECK_OK, "1 PCRs");
    expect(LIST("\"index\":\"0x17\",\"pcr\":\"0x" Z32 "\",\"measure_pcr\":true"), &r, "golden.pcrs", CHECK_OK,
           "");
    expect(LIST("\"index\":\"0xb\",\"pcr\":\"0x" H32 "\",\"all_events\":[\"0x" Z32
                "\"],\"measure_pcr\":true"),
           &r, "golden.pcrs", CHECK_OK, "1 PCRs");
    expect(LIST("\"index\":\"0xb\",\"pcr\":\"0x" Z32 "\",\"measure_pcr\":true"), &r, "golden.pcrs",
           CHECK_FAILED, "PCR 11");
    expect("{\"golden_measurement\":{\"pcrs\":[{\"index\":11,\"pcr\":\"" Z32
           "\",\"measure_pcr\":false}],\"snp\":{\"measurement\":\"0x" H48 "\"}}}",
           &r, "golden.pcrs", CHECK_NOT_APPLICABLE, "pins none");
    expect("{\"pcrs\":{\"11\":\"" H32 "\"},\"snp_measurement\":\"" H48 "\"}", &r, "golden.tee", CHECK_OK,
           "2 values");
    expect("{\"version\":1,\"tpm\":{\"pcrs\":{\"11\":\"" H32 "\"}}}", &r, "golden.pcrs", CHECK_OK, "");
}

static void the_recorded_document_is_read(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(golden_done) struct golden g = { 0 };
    struct sample s = sample_load("golden/automata-azure-snp/golden_measurement.json");
    struct err err = { 0 };
    assert_int_equal(golden_parse(sample_bytes(&s), &g, &err), 0);
    assert_int_equal(g.want.pcr_mask, 1 << 0 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 11);
    assert_int_equal(g.want.bank, ALG_SHA256);
    assert_int_equal(g.want.value[REG_SNP_MEASUREMENT].n, 48);
    assert_int_equal(g.want.value[REG_SNP_MEASUREMENT].b[0], 0x0B);
    assert_string_equal(g.want.tee, "sev_snp");
    assert_true(golden_uses_pcrs(&g));
    for (size_t n = 0; n + 1 < s.n; n++) { /* the last byte is a line break */
        AUTO(free_u8) uint8_t *cut = heap_copy(s.p, n);
        struct golden part = { 0 };
        assert_int_equal(golden_parse(bytes_of(cut, n), &part, &err), -1);
    }
    sample_done(&s);
}

static void refusals_name_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *document, *says;
    } rows[] = {
        { "", "not JSON" },
        { "[]", "a JSON object" },
        { "null", "a JSON object" },
        { "{}", "pins nothing" },
        { DOC(""), "pins nothing" },
        { DOC("\"version\":1,\"platform\":{\"tee\":\"none\",\"cloud\":\"none\"},\"workload\":null"),
          "pins nothing" },
        { DOC("\"tpm\":{\"bank\":\"sha256\",\"pcrs\":{},\"events\":{}}"), "pins nothing" },
        { EVENTS("4", "subset", ""), "pins nothing" },
        { "{\"golden_measurement\":\"VTkSpUU0IDH72CAuELG1xVe3QrYdchmahcnkbiOD80I=\"}",
          "the hash that goes on a chain" },
        { "{\"golden_measurement\":null}", "golden_measurement is not an object" },
        { "{\"golden_measurement\":{\"sev_snp\":{\"vmpl\":0}},\"more\":1}", "\"more\" beside" },
        { "{\"golden_measurement\":{\"sev_snp\":{\"vmpl\":0}},\"error\":\"no\"}", "\"error\" beside" },
        { "{\"golden_measurement\":{\"sev_snp\":{\"vmpl\":0}},\"signature\":1}", "\"signature\" beside" },
        { DOC("\"version\":2,\"sev_snp\":{\"vmpl\":0}"), "golden_measurement.version" },
        { DOC("\"version\":\"1\",\"sev_snp\":{\"vmpl\":0}"), "golden_measurement.version" },
        { DOC("\"Version\":1"), "golden_measurement.Version is not a member" },
        { DOC("\"platform\":{\"tee\":\"sgx\"}"), "golden_measurement.platform.tee is none of" },
        { DOC("\"platform\":{\"cloud\":\"google\"}"), "golden_measurement.platform.cloud is none of" },
        { DOC("\"platform\":{\"emulated\":false}"), "golden_measurement.platform.emulated is not" },
        { DOC("\"platform\":{\"tee\":\"tdx\"},\"sev_snp\":{\"vmpl\":0}"),
          "platform.tee is tdx, but the registers are of sev_snp" },
        { DOC("\"sev_snp\":{\"vmpl\":0},\"tdx\":{\"mr_td\":\"" H48 "\"}"), "both sev_snp and tdx" },
        { DOC("\"sev_snp\":{\"vmpl\":0},\"tdx\":{}"), "both sev_snp and tdx" },
        { DOC("\"sev_snp\":[]"), "golden_measurement.sev_snp is not an object" },
        { DOC("\"sev_snp\":{\"measurment\":\"" H48 "\"}"),
          "golden_measurement.sev_snp.measurment is not a register" },
        { DOC("\"sev_snp\":{\"mr_td\":\"" H48 "\"}"), "golden_measurement.sev_snp.mr_td is not" },
        { DOC("\"sev_snp\":{\"measurement\":\"" H32 "\"}"), "golden_measurement.sev_snp.measurement: " },
        { DOC("\"sev_snp\":{\"measurement\":\"" H48 "00\"}"), "golden_measurement.sev_snp.measurement: " },
        { DOC("\"sev_snp\":{\"measurement\":\"\"}"), "golden_measurement.sev_snp.measurement: " },
        { DOC("\"sev_snp\":{\"measurement\":null}"),
          "golden_measurement.sev_snp.measurement is not a string" },
        { DOC("\"sev_snp\":{\"policy\":\"30000\"}"), "golden_measurement.sev_snp.policy is not a number" },
        { DOC("\"sev_snp\":{\"policy\":\"0x\"}"), "golden_measurement.sev_snp.policy" },
        { DOC("\"sev_snp\":{\"policy\":\"0x0x1\"}"), "golden_measurement.sev_snp.policy" },
        { DOC("\"sev_snp\":{\"policy\":\"0x11112222333344445\"}"), "golden_measurement.sev_snp.policy" },
        { DOC("\"sev_snp\":{\"policy\":-1}"), "golden_measurement.sev_snp.policy" },
        { DOC("\"sev_snp\":{\"policy\":1.0}"), "golden_measurement.sev_snp.policy" },
        { DOC("\"sev_snp\":{\"vmpl\":4294967296}"), "golden_measurement.sev_snp.vmpl" },
        { DOC("\"sev_snp\":{\"vmpl\":99999999999999999999}"), "not JSON" },
        { DOC("\"sev_snp\":{\"minimum_tcb\":{\"ucode\":1}}"), "minimum_tcb.ucode is not a component" },
        { DOC("\"sev_snp\":{\"minimum_tcb\":{\"snp\":256}}"),
          "minimum_tcb.snp is not a number from 0 to 255" },
        { DOC("\"sev_snp\":{\"minimum_tcb\":7}"), "minimum_tcb is not an object" },
        { DOC("\"tdx\":{\"mr_td\":\"" H48 "\",\"mrtd\":\"" H48 "\"}"), "tdx.mr_td is given twice" },
        { DOC("\"tdx\":{\"minimum_tcb\":{}}"), "golden_measurement.tdx.minimum_tcb is not a register" },
        { DOC("\"tdx\":{\"xfam\":\"00\"}"), "golden_measurement.tdx.xfam: " },
        { PCRS("\"24\":\"" H32 "\""), "golden_measurement.tpm.pcrs.24: PCR numbers are 0 to 23" },
        { PCRS("\"01\":\"" H32 "\""), "golden_measurement.tpm.pcrs.01: PCR numbers" },
        { PCRS("\"1\":\"" H16 "\""), "golden_measurement.tpm.pcrs.1: " },
        { PCRS("\"1\":\"" H48 "\""), "golden_measurement.tpm.pcrs.1: " },
        { PCRS("\"1\":\"" H32 "\",\"1\":\"" H32 "\""), "not JSON" },
        { PCRS("\"1\":\"\\u0000\""), "not JSON" },
        { DOC("\"tpm\":{\"bank\":\"md5\"}"), "golden_measurement.tpm.bank is none of" },
        { DOC("\"tpm\":{\"bank\":11}"), "golden_measurement.tpm.bank is none of" },
        { DOC("\"tpm\":{\"bank\":\"sha384\",\"pcrs\":{\"1\":\"" H32 "\"}}"),
          "golden_measurement.tpm.pcrs.1: " },
        { DOC("\"tpm\":{\"quote\":\"\"}"), "golden_measurement.tpm.quote is not" },
        { DOC("\"tpm\":[]"), "golden_measurement.tpm is not an object" },
        { DOC("\"tpm\":{\"pcrs\":[]}"), "golden_measurement.tpm.pcrs is not an object" },
        { EVENTS("4", "prefix", A), "golden_measurement.tpm.events.4.match is none of exact" },
        { EVENTS("24", "exact", A), "golden_measurement.tpm.events.24: PCR numbers" },
        { EVENTS("4", "exact", "\"aa\""), "golden_measurement.tpm.events.4.digests[0]: " },
        { EVENTS("4", "exact", A ",null"), "golden_measurement.tpm.events.4.digests[1] is not a string" },
        { DOC("\"tpm\":{\"events\":{\"4\":{\"match\":\"exact\"}}}"),
          "golden_measurement.tpm.events.4 is not {" },
        { DOC("\"tpm\":{\"events\":{\"4\":{\"match\":\"exact\",\"digests\":[],\"x\":1}}}"),
          "golden_measurement.tpm.events.4 is not {" },
        { DOC("\"tpm\":{},\"pcrs\":[]"), "given twice, in two forms" },
        { DOC("\"pcrs\":7"), "golden_measurement.pcrs is neither" },
        { LIST("\"index\":\"0x10\",\"pcr\":\"0x" Z32 "\",\"measure_events\":[],\"measure_events_idx\":[]"),
          "pcrs[0]: PCR 16 is zero without events" },
        { LIST("\"index\":24,\"pcr\":\"" H32 "\""), "pcrs[0].index is not a number from 0 to 23" },
        { LIST("\"index\":4,\"pcr\":\"" H32 "\"},{\"index\":\"0x4\",\"pcr\":\"" H32 "\""),
          "pcrs[1]: PCR 4 is given twice" },
        { LIST("\"index\":4"), "pcrs[0] has no index, or no pcr" },
        { LIST("\"index\":4,\"pcr\":\"" H32 "\",\"every_event\":[]"), "pcrs[0].every_event is not" },
        { LIST("\"index\":4,\"pcr\":\"" H32 "\",\"measure_events\":[" A "]"), "differ in length" },
        { LIST("\"index\":4,\"pcr\":\"" H32 "\",\"measure_events_idx\":{}"),
          "measure_events_idx is not an array" },
        { LIST("\"index\":4,\"pcr\":\"" H32 "\",\"measure_events\":[" A "],\"measure_events_idx\":[-1]"),
          "measure_events_idx is not a number" },
        { LIST("\"index\":4,\"pcr\":\"" H32 "\",\"measure_pcr\":false"),
          "has a value, and measure_pcr false" },
        { LIST("\"index\":4,\"pcr\":\"" H32 "\",\"measure_pcr\":1"), "measure_pcr is neither" },
        { LIST("\"index\":4,\"pcr\":\"" Z32 "\",\"all_events\":[\"" H32 "\"]"), "add \"measure_pcr\"" },
        { LIST("\"index\":4,\"pcr\":\"" H32 "\",\"all_events\":{}"), "all_events is not a member" },
        { DOC("\"pcrs\":[4]"), "pcrs[0] has no index" },
        { DOC("\"workload\":7"), "golden_measurement.workload is not an object" },
        { DOC("\"workload\":{}"), "golden_measurement.workload is neither null" },
        { DOC("\"workload\":{\"scheme\":\"v2\",\"events\":[]}"), "golden_measurement.workload.scheme" },
        { WORKLOAD("7"), "events[0].type" },
        { WORKLOAD("{\"type\":\"image\",\"name\":\"a\"}"), "events[0].content_sha384 is not there" },
        { WORKLOAD("{\"type\":\"image\",\"name\":\"a\",\"content_sha384\":\"00\"}"),
          "events[0].content_sha384: " },
        { WORKLOAD(RECORD("image", "a") ",{\"x\":1}"), "workload.events[1].x is not a member" },
        { WORKLOAD(RECORD("a-type-that-is-longer-than-any-of-the-scheme", "a")),
          "events[0].type has more than 32 bytes" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct golden g = { 0 };
        struct err err = { 0 };
        if (golden_parse(bytes_str(rows[i].document), &g, &err) == 0)
            fail_msg("accepted: %s", rows[i].document);
        if (!strstr(err.cause, rows[i].says))
            fail_msg("\"%s\" does not say \"%s\"", err.cause, rows[i].says);
        assert_true(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
        assert_int_equal(g.want.pcr_mask, 0);
    }
}

static void maxima_hold(void **state)
{
    (void)state;
    struct golden g = { 0 };
    struct err err = { 0 };
    AUTO(buf_done) struct buf text = buf_new(16 << 20);
    buf_fill(&text, '[', JSON_DEPTH_MAX + 1);
    assert_int_equal(golden_parse(buf_bytes(&text), &g, &err), -1);
    assert_non_null(strstr(err.cause, "nested deeper"));
    text.n = 0;
    buf_fill(&text, ' ', GOLDEN_SIZE_MAX + 1);
    assert_int_equal(golden_parse(buf_bytes(&text), &g, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    AUTO(registers_done) struct registers r = { 0 };
    struct digest d = digest_from(H32);
    for (size_t i = 0; i < REGISTER_EVENTS_MAX; i++)
        assert_int_equal(registers_add_event(&r, 7, &d, &err), 0);
    assert_int_equal(registers_add_event(&r, 7, &d, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    assert_int_equal(registers_set(&r, REG_SNP_MEASUREMENT, bytes_of(d.b, 32), &err), -1);
    assert_int_equal(registers_set_number(&r, REG_SNP_VMPL, 1ull << 32, &err), -1);
    assert_int_equal(registers_set_number(&r, REG_SNP_MEASUREMENT, 1, &err), -1);
    AUTO(json_drop) json_t *many = json_array();
    for (size_t i = 0; i <= WORKLOAD_EVENTS_MAX; i++)
        assert_int_equal(json_array_append_new(many, json_null()), 0);
    assert_int_equal(registers_set_workload(&r, many, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
}

/* A single changed digit either is refused or makes the machine that matched fail. */
static void one_changed_digit_is_noticed(void **state)
{
    (void)state;
    AUTO(registers_done) struct registers r = machine();
    const char *end = full + strlen(full);
    for (const char *p = full; (p = strpbrk(p, "0123456789abcdef")) != NULL && p < end; p++) {
        AUTO(free_str) char *changed = strdup(full);
        AUTO(golden_done) struct golden g = { 0 };
        AUTO(answer_done) struct answer a = { calloc(1, sizeof(*a.checks)), json_array() };
        changed[p - full] = *p == '9' ? '8' : '9'; /* up: a lower minimum would be harmless */
        if (golden_parse(bytes_str(changed), &g, NULL) < 0)
            continue;
        golden_compare(&g, &r, a.checks, a.not_checked);
        if (!checks_first_failed(a.checks))
            fail_msg("not noticed at %zu: %.60s", (size_t)(p - full), changed + (p - full));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_machine_as_described_matches),
        cmocka_unit_test(every_pinned_register_has_to_match),
        cmocka_unit_test(zero_matches_only_zero),
        cmocka_unit_test(azure_without_pcrs_is_warned_of),
        cmocka_unit_test(platforms_do_not_mix),
        cmocka_unit_test(tcb_components_are_minimums),
        cmocka_unit_test(banks_have_to_be_the_same_and_never_sha1),
        cmocka_unit_test(events_match_in_four_ways),
        cmocka_unit_test(workloads_match_event_by_event),
        cmocka_unit_test(tdx_registers_match),
        cmocka_unit_test(automata_documents_are_read),
        cmocka_unit_test(the_recorded_document_is_read),
        cmocka_unit_test(refusals_name_the_place),
        cmocka_unit_test(maxima_hold),
        cmocka_unit_test(one_changed_digit_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
