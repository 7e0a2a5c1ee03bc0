/* policy/golden.h: documents in all their forms, and those that are refused. */
#include "golden_rig.h"

#include <stdlib.h>
#include <string.h>

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
        cmocka_unit_test(automata_documents_are_read),  cmocka_unit_test(the_recorded_document_is_read),
        cmocka_unit_test(refusals_name_the_place),      cmocka_unit_test(maxima_hold),
        cmocka_unit_test(one_changed_digit_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
