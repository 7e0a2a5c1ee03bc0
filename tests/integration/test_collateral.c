/* tee/collateral.h: what was fetched is kept, expires, is damaged, and is read without a network. */
#include "collateral_rig.h"

#include <stdio.h>

/* ---- time ---- */

static void fill(struct party *p)
{
    struct collateral_tdx t = { 0 };
    struct err err = { 0 };
    struct collateral_service *c = open_source(&p->source);
    assert_int_equal(collateral_tdx(c, bytes_of(platform, 6), COLLATERAL_CA_PLATFORM, &t, &err), 0);
    assert_true(t.complete);
    collateral_tdx_done(&t);
    collateral_free(c);
}

static void what_has_expired_is_fetched_anew(void **state)
{
    (void)state;
    struct party p;
    struct recorded new;
    party_new(&p, OLD, IN_2025);
    recorded_load(&new, NEW);
    fill(&p);
    p.source.at = IN_2026;
    p.rules[RULE_TCB].body = sample_bytes(&new.tcb_info);
    p.rules[RULE_TCB].header_value = new.tcb_header;
    struct collateral_service *c = open_source(&p.source);
    expect(c, &tcb_info, &new.tcb_info);
    expect_refusal(c, &qe_identity, ERR_DENIED, "expired on 2025-07-19"); /* the server's is as old */
    collateral_free(c);
    assert_int_equal(atomic_load(&p.rules[RULE_TCB].hits), 2);
    c = open_offline(&p);
    expect(c, &tcb_info, &new.tcb_info);
    collateral_free(c);
    recorded_done(&new);
    party_done(&p);
}

static void what_has_expired_is_handed_out_only_on_demand(void **state)
{
    (void)state;
    struct party p;
    struct collateral_item item = { 0 };
    struct err err = { 0 };
    party_new(&p, OLD, IN_2025);
    fill(&p);
    p.source.at = AFTER_2025;
    p.source.pcs_url = NOWHERE;
    for (int offline = 0; offline < 2; offline++) {
        p.source.offline = offline;
        p.source.allow_expired = false;
        struct collateral_service *c = open_source(&p.source);
        expect_refusal(c, &tcb_info, ERR_DENIED, "expired on 2025-07-19");
        expect(c, &root_crl, &p.recorded.root_crl);
        collateral_free(c);
        p.source.allow_expired = true;
        c = open_source(&p.source);
        assert_int_equal(collateral_get(c, &tcb_info, &item, &err), 0);
        assert_true(item.expired);
        assert_false(item.fetched);
        collateral_item_done(&item);
        collateral_free(c);
    }
    party_done(&p);
}

static void a_failed_refresh_leaves_what_is_there(void **state)
{
    (void)state;
    struct party p;
    struct collateral_item item = { 0 };
    struct err err = { 0 };
    party_new(&p, OLD, IN_2025);
    fill(&p);
    struct collateral_service *c = open_source(&p.source);
    assert_int_equal(collateral_refresh(c, &tcb_info, &item, &err), 0);
    assert_true(item.fetched);
    collateral_item_done(&item);
    p.rules[RULE_TCB].body = bytes_str("{}");
    assert_int_equal(collateral_refresh(c, &tcb_info, &item, &err), 0);
    assert_false(item.fetched);
    collateral_item_done(&item);
    collateral_free(c);
    c = open_offline(&p);
    expect(c, &tcb_info, &p.recorded.tcb_info);
    collateral_free(c);
    party_done(&p);
}

/* ---- the folder ---- */

static void damage_file(const char *path)
{
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, -40, SEEK_END), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
    fputc(c ^ 1, f);
    fclose(f);
}

static void empty_file(const char *path)
{
    assert_int_equal(truncate(path, 0), 0);
}

static void damaged_files_are_fetched_again(void **state)
{
    (void)state;
    static void (*const damages[])(const char *path) = { damage_file, empty_file };
    struct party p;
    party_new(&p, OLD, IN_2025);
    fill(&p);
    for (unsigned i = 0; i < ARRAY_SIZE(damages); i++) {
        each_file(p.dir, damages[i]);
        struct collateral_service *c = open_offline(&p);
        expect_refusal(c, &tcb_info, ERR_NOT_FOUND, "tcb_info-B0C06F000000.json is not in");
        expect_refusal(c, &root_crl, ERR_NOT_FOUND, "root_ca_crl.der is not in");
        collateral_free(c);
        fill(&p);
        for (size_t k = 0; k < RULES; k++)
            assert_int_equal(atomic_load(&p.rules[k].hits), 2 + i);
    }
    party_done(&p);
}

static void the_file_of_another_platform_is_none(void **state)
{
    (void)state;
    struct party p;
    struct recorded other;
    char path[512];
    struct err err = { 0 };
    party_new(&p, OLD, IN_2025);
    recorded_load(&other, OTHER);
    file_path(&p, "tcb_info-B0C06F000000.json", path);
    assert_int_equal(file_write_atomic(path, sample_bytes(&other.tcb_info), 0644, &err), 0);
    file_path(&p, "tcb_info-B0C06F000000-chain.pem", path);
    assert_int_equal(file_write_atomic(path, sample_bytes(&other.tcb_chain), 0644, &err), 0);
    struct collateral_service *c = open_offline(&p);
    expect_refusal(c, &tcb_info, ERR_NOT_FOUND, "is not in");
    collateral_free(c);
    c = open_source(&p.source);
    expect(c, &tcb_info, &p.recorded.tcb_info);
    collateral_free(c);
    recorded_done(&other);
    party_done(&p);
}

/* A folder of PCS files as verify-tdx takes it is read too, for its own platform. */
static void a_folder_of_pcs_files_is_read(void **state)
{
    (void)state;
    AUTO(tdx_collateral_drop) struct tdx_collateral *all = NULL, *some = NULL;
    struct err err = { 0 };
    char dir[512];
    skip_without_evidence();
    snprintf(dir, sizeof(dir), "%s/%s", test_evidence(), OLD);
    assert_int_equal(collateral_dir_tdx(dir, bytes_of(platform, 6), COLLATERAL_CA_PLATFORM, &all, &err), 0);
    assert_non_null(all->tcb_info.raw);
    assert_non_null(all->pck_crl);
    assert_int_equal(all->pck_crl_chain.n, 2);
    assert_int_equal(collateral_dir_tdx(dir, bytes_of("\1\2\3\4\5\6", 6), COLLATERAL_CA_PROCESSOR, &some,
                                        &err),
                     0);
    assert_null(some->tcb_info.raw);
    assert_null(some->pck_crl);
    assert_non_null(some->qe_identity.raw);
}

static int no_network(void *ctx, const struct http_request *request, struct http_response *out,
                      struct err *err)
{
    (void)ctx, (void)out, (void)err;
    fail_msg("asked for %s", request->url);
    return -1;
}

static void offline_asks_nobody(void **state)
{
    (void)state;
    struct party p;
    struct collateral_service *c = NULL;
    struct vek_certs certs = { 0 };
    struct err err = { 0 };
    party_new(&p, OLD, IN_2025);
    struct sample report = load("snp/genoa-v3-tinfoil", "report.bin");
    p.source.http = (struct http){ no_network, NULL };
    p.source.thim_url = NOWHERE;
    p.source.wait_ms = 5000;
    p.source.offline = true;
    c = open_source(&p.source);
    expect_refusal(c, &tcb_info, ERR_NOT_FOUND, "is not in /tmp/");
    assert_int_equal(collateral_vek(c, sample_bytes(&report), &certs, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    collateral_free(c);
    p.source.dir = "/nonexistent/folder";
    assert_int_equal(collateral_new(&p.source, &c, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    sample_done(&report);
    party_done(&p);
}

static void a_folder_that_cannot_be_written_is_done_without(void **state)
{
    (void)state;
    struct party p;
    party_new(&p, OLD, IN_2025);
    p.source.dir = "/proc/nowhere";
    struct collateral_service *c = open_source(&p.source);
    for (int i = 0; i < 2; i++)
        expect(c, &tcb_info, &p.recorded.tcb_info);
    assert_int_equal(atomic_load(&p.rules[RULE_TCB].hits), 1);
    collateral_free(c);
    party_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_expired_is_fetched_anew),
        cmocka_unit_test(what_has_expired_is_handed_out_only_on_demand),
        cmocka_unit_test(a_failed_refresh_leaves_what_is_there),
        cmocka_unit_test(damaged_files_are_fetched_again),
        cmocka_unit_test(the_file_of_another_platform_is_none),
        cmocka_unit_test(a_folder_of_pcs_files_is_read),
        cmocka_unit_test(offline_asks_nobody),
        cmocka_unit_test(a_folder_that_cannot_be_written_is_done_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
