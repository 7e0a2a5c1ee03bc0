/* policy/golden_compare.h: registers against a golden measurement. */
#include "golden_rig.h"

#include <string.h>

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
