/* tee/collateral.h: real collateral served by a scripted PCS, PCCS and KDS; what is served badly, late or not
 * at all; the folder it is kept in. */
#include "evidence.h"
#include "http_server.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/file.h"
#include "policy/trust.h"
#include "tee/collateral.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define OLD   "tdx/v4-b0c06f-uptodate"     /* June to July 2025 */
#define NEW   "tdx/v4-b0c06f-mpc-uptodate" /* the same platform, August to September 2026 */
#define OTHER "tdx/v5-90c06f-alibaba-uptodate"

#define IN_2025    1751328000 /* 2025-07-01 */
#define AFTER_2025 1756684800 /* 2025-09-01: the old documents have expired, the root's CRL has not */
#define IN_2026    1787745600 /* 2026-08-26 */

#define NOWHERE "http://127.0.0.1:1" /* nobody listens there */

static const uint8_t platform[6] = { 0xB0, 0xC0, 0x6F };

static const struct collateral_id tcb_info = { .kind = COLLATERAL_TCB_INFO, .fmspc = { 0xB0, 0xC0, 0x6F } };
static const struct collateral_id qe_identity = { .kind = COLLATERAL_QE_IDENTITY };
static const struct collateral_id pck_crl = { .kind = COLLATERAL_PCK_CRL, .ca = COLLATERAL_CA_PLATFORM };
static const struct collateral_id root_crl = { .kind = COLLATERAL_ROOT_CRL };

/* ---- what is served ---- */

/* A recorded set as the PCS would answer it. */
struct recorded {
    struct sample tcb_info, qe_identity, pck_crl, root_crl, tcb_chain, pck_chain;
    char *tcb_header, *pck_header; /* percent-encoded */
};

static char *percent_encoded(struct bytes text)
{
    struct buf b = buf_new(HTTP_HEADER_VALUE_MAX);
    for (size_t i = 0; i < text.n; i++) {
        if (strchr("\n =+/", text.p[i]))
            buf_printf(&b, "%%%02X", text.p[i]);
        else
            buf_u8(&b, text.p[i]);
    }
    char *s = buf_take_str(&b);
    assert_non_null(s);
    return s;
}

static struct sample load(const char *folder, const char *file)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    return sample_load(path);
}

static void recorded_load(struct recorded *r, const char *folder)
{
    r->tcb_info = load(folder, "tcb_info.json");
    r->qe_identity = load(folder, "qe_identity.json");
    r->pck_crl = load(folder, "pck_crl.der");
    r->root_crl = load(folder, "root_ca_crl.der");
    r->tcb_chain = load(folder, "tcb_signing_chain.pem");
    r->pck_chain = load(folder, "pck_crl_issuer_chain.pem");
    r->tcb_header = percent_encoded(sample_bytes(&r->tcb_chain));
    r->pck_header = percent_encoded(sample_bytes(&r->pck_chain));
}

static void recorded_done(struct recorded *r)
{
    struct sample *all[] = { &r->tcb_info, &r->qe_identity, &r->pck_crl,
                             &r->root_crl, &r->tcb_chain,   &r->pck_chain };
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        sample_done(all[i]);
    free(r->tcb_header);
    free(r->pck_header);
}

enum { RULE_TCB, RULE_QE, RULE_PCK_CRL, RULE_ROOT_CRL, RULES };

/* ---- a relying party: folder, source, server ---- */

struct party {
    char dir[32];
    struct recorded recorded;
    struct http_rule rules[RULES];
    struct http_server *server;
    struct collateral_source source;
    struct buf storage;
    struct bytes trust[TRUST_ROWS];
    struct chain_pool pool;
};

static void set_rules(struct party *p)
{
    const struct recorded *r = &p->recorded;
    const struct http_rule rules[RULES] = {
        [RULE_TCB] = { .path = "/tdx/certification/v4/tcb?fmspc=B0C06F000000",
                       .status = 200,
                       .body = sample_bytes(&r->tcb_info),
                       .header = "TCB-Info-Issuer-Chain",
                       .header_value = r->tcb_header },
        [RULE_QE] = { .path = "/tdx/certification/v4/qe/identity",
                      .status = 200,
                      .body = sample_bytes(&r->qe_identity),
                      .header = "sgx-enclave-identity-issuer-chain",
                      .header_value = r->tcb_header },
        [RULE_PCK_CRL] = { .path = "/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
                           .status = 200,
                           .body = sample_bytes(&r->pck_crl),
                           .header = "SGX-PCK-CRL-Issuer-Chain",
                           .header_value = r->pck_header },
        [RULE_ROOT_CRL] = { .path = "/sgx/certification/v4/rootcacrl",
                            .status = 200,
                            .body = sample_bytes(&r->root_crl) },
    };
    memcpy(p->rules, rules, sizeof(rules));
}

static void party_new(struct party *p, const char *folder, time_t at)
{
    struct err err = { 0 };
    skip_without_evidence();
    *p = (struct party){ .dir = "/tmp/cvm-collateral-XXXXXX" };
    recorded_load(&p->recorded, folder);
    set_rules(p);
    assert_non_null(mkdtemp(p->dir));
    p->server = http_server_start(p->rules, RULES);
    p->storage = buf_new(TRUST_ROWS * CERT_MAX);
    assert_int_equal(trust_der(&p->storage, p->trust, &err), 0);
    p->pool = (struct chain_pool){ p->trust, TRUST_ROWS };
    p->source = (struct collateral_source){ .dir = p->dir,
                                            .at = at,
                                            .http = http_curl(),
                                            .kds_url = http_server_url(p->server),
                                            .pcs_url = http_server_url(p->server),
                                            .pool = &p->pool };
}

static void each_file(const char *folder, void (*fn)(const char *path))
{
    char path[512];
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        snprintf(path, sizeof(path), "%s/%.400s", folder, e->d_name);
        if (e->d_name[0] != '.')
            fn(path);
    }
    closedir(dir);
}

static void remove_file(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static unsigned files_seen;

static void count_file(const char *path)
{
    (void)path;
    files_seen++;
}

static unsigned count_files(const struct party *p)
{
    files_seen = 0;
    each_file(p->dir, count_file);
    return files_seen;
}

static void party_done(struct party *p)
{
    http_server_stop(p->server);
    recorded_done(&p->recorded);
    buf_done(&p->storage);
    each_file(p->dir, remove_file);
    assert_int_equal(rmdir(p->dir), 0);
}

static struct collateral_service *open_source(const struct collateral_source *source)
{
    struct collateral_service *c = NULL;
    struct err err = { 0 };
    if (collateral_new(source, &c, &err) < 0)
        fail_msg("%s", err.cause);
    return c;
}

static struct collateral_service *open_offline(const struct party *p)
{
    struct collateral_source source = p->source;
    source.offline = true;
    return open_source(&source);
}

/* The item is there, and its bytes are these. */
static void expect(struct collateral_service *c, const struct collateral_id *id, const struct sample *bytes)
{
    AUTO(collateral_item_done) struct collateral_item item = { 0 };
    struct err err = { 0 };
    if (collateral_get(c, id, &item, &err) < 0)
        fail_msg("%s", err.cause);
    assert_int_equal(item.data.n, bytes->n);
    assert_memory_equal(item.data.p, bytes->p, bytes->n);
}

/* The item cannot be had, for a reason of that kind that says so. */
static void expect_refusal(struct collateral_service *c, const struct collateral_id *id, enum err_kind kind,
                           const char *says)
{
    struct collateral_item item = { 0 };
    struct err err = { 0 };
    char text[ERR_TEXT_MAX];
    assert_int_equal(collateral_get(c, id, &item, &err), -1);
    assert_null(item.data.p);
    err_text(&err, text, sizeof(text));
    if (!strstr(text, says))
        fail_msg("\"%s\" does not say \"%s\"", text, says);
    assert_int_equal(err.kind, kind);
}

static void file_path(const struct party *p, const char *file, char out[static 512])
{
    snprintf(out, 512, "%s/%s", p->dir, file);
}

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
        cmocka_unit_test(what_has_expired_is_fetched_anew),
        cmocka_unit_test(what_has_expired_is_handed_out_only_on_demand),
        cmocka_unit_test(a_failed_refresh_leaves_what_is_there),
        cmocka_unit_test(damaged_files_are_fetched_again),
        cmocka_unit_test(the_file_of_another_platform_is_none),
        cmocka_unit_test(a_folder_of_pcs_files_is_read),
        cmocka_unit_test(offline_asks_nobody),
        cmocka_unit_test(a_folder_that_cannot_be_written_is_done_without),
        cmocka_unit_test(what_is_no_address_or_id_is_refused),
        cmocka_unit_test(the_quotes_platform_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
