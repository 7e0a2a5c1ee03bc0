/* tee/collateral.h: real collateral from a scripted PCS, PCCS and KDS; what is served badly or late. */
#include "collateral_rig.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- what goes well ---- */

static void the_set_of_a_platform_is_fetched_once_and_kept(void **state)
{
    (void)state;
    struct party p;
    struct collateral_tdx t = { 0 };
    struct err err = { 0 };
    AUTO(tdx_collateral_drop) struct tdx_collateral *opened = NULL, *again = NULL;
    party_new(&p, OLD, IN_2025);
    struct collateral_service *c = open_source(&p.source);
    const struct bytes fmspc = bytes_of(platform, 6);
    assert_int_equal(collateral_tdx(c, fmspc, COLLATERAL_CA_PLATFORM, &t, &err), 0);
    assert_true(t.complete);
    assert_false(t.expired);
    assert_int_equal(collateral_tdx_open(&t, &opened, &err), 0);
    assert_non_null(opened->tcb_info.raw);
    assert_int_equal(opened->qe_identity_chain.n, 2);
    assert_non_null(opened->root_ca_crl);
    collateral_tdx_done(&t);
    assert_int_equal(collateral_tdx(c, fmspc, COLLATERAL_CA_PLATFORM, &t, &err), 0);
    assert_false(t.item[TDX_SET_TCB_INFO].fetched);
    collateral_tdx_done(&t);
    collateral_free(c);
    for (size_t i = 0; i < RULES; i++)
        assert_int_equal(atomic_load(&p.rules[i].hits), 1);

    c = open_offline(&p); /* after a restart, from the files */
    expect(c, &tcb_info, &p.recorded.tcb_info);
    expect(c, &qe_identity, &p.recorded.qe_identity);
    expect(c, &pck_crl, &p.recorded.pck_crl);
    expect(c, &root_crl, &p.recorded.root_crl);
    collateral_free(c);
    assert_int_equal(collateral_dir_tdx(p.dir, fmspc, COLLATERAL_CA_PLATFORM, &again, &err), 0);
    assert_int_equal(again->tcb_info.raw_n, opened->tcb_info.raw_n);
    assert_int_equal(count_files(&p), 7);
    party_done(&p);
}

/* CRLs of a PCCS are hexadecimal text; its address may be given with the path of the API. */
static void a_pccs_is_as_good(void **state)
{
    (void)state;
    struct party p;
    char url[128];
    party_new(&p, OLD, IN_2025);
    AUTO(free_str) char *hex = hex_str(sample_bytes(&p.recorded.pck_crl));
    AUTO(free_str) char *root_hex = hex_str(sample_bytes(&p.recorded.root_crl));
    p.rules[RULE_PCK_CRL].body = bytes_str(hex);
    p.rules[RULE_ROOT_CRL].body = bytes_str(root_hex);
    p.rules[RULE_TCB].header = "SGX-TCB-Info-Issuer-Chain";
    snprintf(url, sizeof(url), "%s/sgx/certification/v4/", http_server_url(p.server));
    p.source.pcs_url = url;
    struct collateral_service *c = open_source(&p.source);
    expect(c, &pck_crl, &p.recorded.pck_crl);
    expect(c, &root_crl, &p.recorded.root_crl);
    expect(c, &tcb_info, &p.recorded.tcb_info);
    collateral_free(c);
    party_done(&p);
}

static void a_throttling_service_is_waited_for(void **state)
{
    (void)state;
    struct party p;
    party_new(&p, OLD, IN_2025);
    p.rules[RULE_ROOT_CRL] = p.rules[RULE_TCB]; /* its place is taken by a rule that comes first and ends */
    p.rules[RULE_TCB] = (struct http_rule){
        .path = "/tdx/certification/v4/tcb", .status = 429, .retry_after = "1", .times = 1
    };
    p.source.wait_ms = 5000;
    struct collateral_service *c = open_source(&p.source);
    uint64_t begun = clock_ms();
    expect(c, &tcb_info, &p.recorded.tcb_info);
    assert_in_range(clock_ms() - begun, 1000, 4000);
    collateral_free(c);
    party_done(&p);
}

/* Without time to wait the failure is told, and the service is left alone meanwhile. */
static void a_throttling_service_is_left_alone(void **state)
{
    (void)state;
    struct party p;
    party_new(&p, OLD, IN_2025);
    p.rules[RULE_TCB].status = 429;
    p.rules[RULE_TCB].retry_after = "60";
    p.source.wait_ms = 2000; /* shorter than what the service asks for: nothing is waited for */
    struct collateral_service *c = open_source(&p.source);
    uint64_t begun = clock_ms();
    for (int i = 0; i < 5; i++)
        expect_refusal(c, &tcb_info, ERR_UNAVAILABLE, "429");
    assert_true(clock_ms() - begun < 1500);
    assert_int_equal(atomic_load(&p.rules[RULE_TCB].hits), 1);
    expect(c, &qe_identity, &p.recorded.qe_identity); /* the others are asked for */
    collateral_free(c);
    party_done(&p);
}

struct asker {
    struct collateral_service *c;
    int rc;
    bool fetched;
};

static void *ask(void *arg)
{
    struct asker *a = arg;
    AUTO(collateral_item_done) struct collateral_item item = { 0 };
    struct err err = { 0 };
    a->rc = collateral_get(a->c, &tcb_info, &item, &err);
    a->fetched = item.fetched;
    return NULL;
}

static void those_who_want_the_same_share_a_request(void **state)
{
    (void)state;
    enum { ASKERS = 12 };
    struct party p;
    pthread_t threads[ASKERS];
    struct asker askers[ASKERS];
    unsigned fetched = 0;
    party_new(&p, OLD, IN_2025);
    p.rules[RULE_TCB].delay_ms = 400;
    struct collateral_service *c = open_source(&p.source);
    for (size_t i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){ .c = c, .rc = 1 };
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    }
    for (size_t i = 0; i < ASKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(askers[i].rc, 0);
        fetched += askers[i].fetched;
    }
    assert_int_equal(fetched, 1);
    assert_int_equal(atomic_load(&p.rules[RULE_TCB].hits), 1);
    collateral_free(c);
    party_done(&p);
}

/* ---- what goes wrong ---- */

/* Each case: the served answer is refused, says why, and leaves nothing in the folder. */
static void expect_refused_answer(struct party *p, const struct collateral_id *id, const char *says)
{
    struct collateral_service *c = open_source(&p->source);
    expect_refusal(c, id, ERR_UNAVAILABLE, says);
    collateral_free(c);
    assert_int_equal(count_files(p), 0);
}

static void wrong_documents_are_refused(void **state)
{
    (void)state;
    struct party p;
    struct recorded other;
    party_new(&p, OLD, IN_2025);
    recorded_load(&other, OTHER);
    struct http_rule *tcb = &p.rules[RULE_TCB];
    const struct bytes good = tcb->body;
    tcb->body = bytes_str("<html>sign in to the hotel's network</html>");
    expect_refused_answer(&p, &tcb_info, "not JSON");
    tcb->body = bytes_of(good.p, good.n / 2);
    expect_refused_answer(&p, &tcb_info, "not JSON");
    tcb->body = sample_bytes(&other.tcb_info);
    tcb->header_value = other.tcb_header;
    expect_refused_answer(&p, &tcb_info, "platform 90c06f");
    tcb->body = sample_bytes(&p.recorded.qe_identity);
    tcb->header_value = p.recorded.tcb_header;
    expect_refused_answer(&p, &tcb_info, "refused");
    AUTO(free_u8) uint8_t *damaged = heap_copy(good.p, good.n);
    uint8_t *digit = memmem(damaged, good.n, "\"svn\":", 6);
    assert_non_null(digit);
    digit[6] ^= 1;
    tcb->body = bytes_of(damaged, good.n);
    expect_refused_answer(&p, &tcb_info, "signature is not by");
    AUTO(free_u8) uint8_t *huge = malloc(3 << 20);
    assert_non_null(huge);
    memset(huge, ' ', 3 << 20);
    tcb->body = bytes_of(huge, 3 << 20);
    expect_refused_answer(&p, &tcb_info, "is over");
    recorded_done(&other);
    party_done(&p);
}

static void wrong_chains_are_refused(void **state)
{
    (void)state;
    struct party p;
    party_new(&p, OLD, IN_2025);
    struct http_rule *tcb = &p.rules[RULE_TCB];
    tcb->header = NULL;
    expect_refused_answer(&p, &tcb_info, "no issuer chain");
    tcb->header = "TCB-Info-Issuer-Chain";
    tcb->header_value = "-----BEGIN%20CERTIFICATE-----%0";
    expect_refused_answer(&p, &tcb_info, "issuer chain");
    tcb->header_value = "nothing%20of%20the%20kind";
    expect_refused_answer(&p, &tcb_info, "refused");
    tcb->header_value = p.recorded.pck_header;
    expect_refused_answer(&p, &tcb_info, "signature is not by");
    const struct chain_pool amd_only = { p.trust, 3 };
    tcb->header_value = p.recorded.tcb_header;
    p.source.pool = &amd_only;
    expect_refused_answer(&p, &tcb_info, "built-in root");
    expect_refused_answer(&p, &root_crl, "built-in root");
    party_done(&p);
}

static void wrong_crls_are_refused(void **state)
{
    (void)state;
    struct party p;
    const struct collateral_id processor = { .kind = COLLATERAL_PCK_CRL, .ca = COLLATERAL_CA_PROCESSOR };
    party_new(&p, OLD, IN_2025);
    p.rules[RULE_PCK_CRL].path = "/sgx/certification/v4/pckcrl?ca=processor";
    expect_refused_answer(&p, &processor, "processor CA");
    p.rules[RULE_ROOT_CRL].body = p.rules[RULE_PCK_CRL].body;
    expect_refused_answer(&p, &root_crl, "no built-in root");
    AUTO(free_u8) uint8_t *damaged = heap_copy(p.recorded.root_crl.p, p.recorded.root_crl.n);
    damaged[p.recorded.root_crl.n - 1] ^= 1;
    p.rules[RULE_ROOT_CRL].body = bytes_of(damaged, p.recorded.root_crl.n);
    expect_refused_answer(&p, &root_crl, "no built-in root");
    p.rules[RULE_ROOT_CRL].body = bytes_str("3080zz");
    expect_refused_answer(&p, &root_crl, "refused");
    party_done(&p);
}

static void other_answers_are_told(void **state)
{
    (void)state;
    struct party p;
    const struct collateral_id unknown = { .kind = COLLATERAL_TCB_INFO, .fmspc = { 1 } };
    party_new(&p, OLD, IN_2025);
    struct collateral_service *c = open_source(&p.source);
    expect_refusal(c, &unknown, ERR_NOT_FOUND, "404");
    collateral_free(c);
    p.rules[RULE_TCB].status = 302; /* redirects are not followed */
    p.rules[RULE_TCB].header = "Location";
    p.rules[RULE_TCB].header_value = "/tdx/certification/v4/qe/identity";
    c = open_source(&p.source);
    expect_refusal(c, &tcb_info, ERR_UNAVAILABLE, "302");
    assert_int_equal(atomic_load(&p.rules[RULE_QE].hits), 0);
    collateral_free(c);
    p.rules[RULE_QE].delay_ms = 1500;
    p.source.request_ms = 300;
    c = open_source(&p.source);
    uint64_t begun = clock_ms();
    expect_refusal(c, &qe_identity, ERR_UNAVAILABLE, "qe/identity");
    assert_true(clock_ms() - begun < 1200);
    collateral_free(c);
    p.source.pcs_url = NOWHERE;
    c = open_source(&p.source);
    expect_refusal(c, &qe_identity, ERR_UNAVAILABLE, "127.0.0.1");
    collateral_free(c);
    party_done(&p);
}

/* The items after the first do not wait for it again. */
static void a_dead_server_costs_one_wait(void **state)
{
    (void)state;
    struct party p;
    struct collateral_tdx t = { 0 };
    struct err err = { 0 };
    party_new(&p, OLD, IN_2025);
    for (size_t i = 0; i < RULES; i++)
        p.rules[i].delay_ms = 1500;
    p.source.request_ms = 500;
    struct collateral_service *c = open_source(&p.source);
    uint64_t begun = clock_ms();
    assert_int_equal(collateral_tdx(c, bytes_of(platform, 6), COLLATERAL_CA_PLATFORM, &t, &err), -1);
    assert_int_equal(err.kind, ERR_UNAVAILABLE);
    assert_true(clock_ms() - begun < 1400);
    assert_int_equal(atomic_load(&p.rules[RULE_QE].hits), 0);
    collateral_free(c);
    party_done(&p);
}

static void a_cancelled_wait_ends(void **state)
{
    (void)state;
    struct party p;
    atomic_bool cancel = true;
    party_new(&p, OLD, IN_2025);
    p.rules[RULE_TCB].status = 503;
    p.source.wait_ms = 20000;
    p.source.cancel = &cancel;
    struct collateral_service *c = open_source(&p.source);
    struct collateral_item item = { 0 };
    struct err err = { 0 };
    uint64_t begun = clock_ms();
    assert_int_equal(collateral_get(c, &tcb_info, &item, &err), -1);
    assert_true(clock_ms() - begun < 3000);
    collateral_free(c);
    party_done(&p);
}

static void what_is_no_address_or_id_is_refused(void **state)
{
    (void)state;
    static const struct collateral_id bad[] = { { .kind = COLLATERAL_KINDS },
                                                { .kind = COLLATERAL_AMD_CRL },
                                                { .kind = COLLATERAL_PCK_CRL, .ca = COLLATERAL_CAS } };
    struct party p;
    struct collateral_service *c = NULL;
    struct err err = { 0 };
    party_new(&p, OLD, IN_2025);
    c = open_source(&p.source);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        expect_refusal(c, &bad[i], ERR_INPUT, "no such");
    collateral_free(c);
    c = NULL;
    p.source.kds_url = "file:///etc/passwd";
    assert_int_equal(collateral_new(&p.source, &c, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    assert_null(c);
    party_done(&p);
}

static void the_quotes_platform_is_found(void **state)
{
    (void)state;
    uint8_t fmspc[6];
    enum collateral_ca ca;
    struct err err = { 0 };
    skip_without_evidence();
    struct sample quote = load(OLD, "quote.bin");
    const uint8_t *pem = memmem(quote.p, quote.n, "-----BEGIN", 10);
    assert_non_null(pem);
    size_t n = quote.n - (size_t)(pem - quote.p);
    assert_int_equal(collateral_of_pck(bytes_of(pem, n), fmspc, &ca, &err), 0);
    assert_memory_equal(fmspc, platform, 6);
    assert_int_equal(ca, COLLATERAL_CA_PLATFORM);
    assert_int_equal(collateral_of_pck(bytes_str(""), fmspc, &ca, &err), -1);
    sample_done(&quote);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_set_of_a_platform_is_fetched_once_and_kept),
        cmocka_unit_test(a_pccs_is_as_good),
        cmocka_unit_test(a_throttling_service_is_waited_for),
        cmocka_unit_test(a_throttling_service_is_left_alone),
        cmocka_unit_test(those_who_want_the_same_share_a_request),
        cmocka_unit_test(wrong_documents_are_refused),
        cmocka_unit_test(wrong_chains_are_refused),
        cmocka_unit_test(wrong_crls_are_refused),
        cmocka_unit_test(other_answers_are_told),
        cmocka_unit_test(a_dead_server_costs_one_wait),
        cmocka_unit_test(a_cancelled_wait_ends),
        cmocka_unit_test(what_is_no_address_or_id_is_refused),
        cmocka_unit_test(the_quotes_platform_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
