/* tee/collateral.h: AMD's certificates, chains and CRLs, and the issuers of attestation keys. Real
 * certificates served by a scripted KDS; CRLs by a made root, since none of AMD's is recorded. */
#include "evidence.h"
#include "http_server.h"

#include "base/auto.h"
#include "base/chain.h"
#include "base/enc.h"
#include "base/file.h"
#include "policy/trust.h"
#include "tee/collateral.h"

#include <dirent.h>
#include <openssl/ec.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MILAN   "snp/milan-v3-oak"
#define GENOA   "snp/genoa-v3-tinfoil" /* another chip */
#define VLEK    "snp/milan-v2-vlek-aws"
#define NOWHERE "http://127.0.0.1:1"

struct party {
    char dir[32], leaf_path[512];
    struct sample report, vek;
    struct http_rule rules[2];
    struct http_server *server;
    struct collateral_source source;
    struct buf storage;
    struct bytes trust[TRUST_ROWS];
    struct chain_pool pool;
};

static struct sample load(const char *folder, const char *file)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    return sample_load(path);
}

/* The address by the offsets of the vendor's tables. */
static void set_leaf_path(struct party *p)
{
    const uint8_t *r = p->report.p, *tcb = r + 0x180;
    char chip[129];
    hex_to(chip, bytes_of(r + 0x1A0, 64));
    snprintf(p->leaf_path, sizeof(p->leaf_path),
             "/vcek/v1/Milan/%s?blSPL=%02d&teeSPL=%02d&snpSPL=%02d&ucodeSPL=%02d", chip, tcb[0], tcb[1],
             tcb[6], tcb[7]);
}

static void party_new(struct party *p)
{
    struct err err = { 0 };
    skip_without_evidence();
    *p = (struct party){ .dir = "/tmp/cvm-certs-XXXXXX" };
    p->report = load(MILAN, "report.bin");
    p->vek = load(MILAN, "vcek.der");
    assert_non_null(mkdtemp(p->dir));
    set_leaf_path(p);
    p->rules[0] = (struct http_rule){ .path = p->leaf_path, .status = 200, .body = sample_bytes(&p->vek) };
    p->server = http_server_start(p->rules, ARRAY_SIZE(p->rules) - 1);
    p->storage = buf_new(TRUST_ROWS * CERT_MAX);
    assert_int_equal(trust_der(&p->storage, p->trust, &err), 0);
    p->pool = (struct chain_pool){ p->trust, TRUST_ROWS };
    p->source = (struct collateral_source){ .dir = p->dir,
                                            .http = http_curl(),
                                            .kds_url = http_server_url(p->server),
                                            .pcs_url = NOWHERE,
                                            .pool = &p->pool };
}

static void party_done(struct party *p)
{
    http_server_stop(p->server);
    sample_done(&p->report);
    sample_done(&p->vek);
    buf_done(&p->storage);
    each_file(p->dir, remove_file);
    assert_int_equal(rmdir(p->dir), 0);
}

static void put(const struct party *p, const char *name, struct bytes data)
{
    char path[512];
    struct err err = { 0 };
    snprintf(path, sizeof(path), "%s/%s", p->dir, name);
    assert_int_equal(file_write_atomic(path, data, 0644, &err), 0);
}

/* Asks a new service over the folder. @return 0 or the kind of the error */
static enum err_kind ask(const struct party *p, bool offline, struct vek_certs *out)
{
    AUTO(collateral_drop) struct collateral_service *c = NULL;
    struct collateral_source source = p->source;
    struct err err = { 0 };
    source.offline = offline;
    assert_int_equal(collateral_new(&source, &c, &err), 0);
    return collateral_vek(c, sample_bytes(&p->report), out, &err) == 0 ? ERR_NONE : err.kind;
}

static void expect_found(const struct party *p, bool offline)
{
    AUTO(vek_certs_done) struct vek_certs certs = { 0 };
    assert_int_equal(ask(p, offline, &certs), ERR_NONE);
    assert_int_equal(certs.vek.n, p->vek.n);
    assert_memory_equal(certs.vek.p, p->vek.p, p->vek.n);
    assert_int_equal(certs.chain_n, 2);
}

static void expect_refused(const struct party *p, bool offline, enum err_kind kind)
{
    struct vek_certs certs = { 0 };
    assert_int_equal(ask(p, offline, &certs), kind);
    assert_null(certs.vek.p);
}

/* ---- VEKs ---- */

static void a_vcek_is_fetched_once_for_ever(void **state)
{
    (void)state;
    struct party p;
    AUTO(vek_certs_done) struct vek_certs certs = { 0 };
    struct err err = { 0 };
    party_new(&p);
    expect_refused(&p, true, ERR_NOT_FOUND);
    expect_found(&p, false);
    expect_found(&p, false);
    expect_found(&p, true);
    assert_int_equal(atomic_load(&p.rules[0].hits), 1);
    assert_int_equal(collateral_dir_vek(p.dir, &p.pool, sample_bytes(&p.report), &certs, &err), 0);
    assert_int_equal(certs.chain_n, 2);
    party_done(&p);
}

static void flip_last_bit(const char *path)
{
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, -1, SEEK_END), 0);
    int c = fgetc(f);
    assert_int_equal(fseek(f, -1, SEEK_END), 0);
    fputc(c ^ 1, f); /* in the signature */
    fclose(f);
}

static void a_damaged_vcek_is_fetched_again(void **state)
{
    (void)state;
    struct party p;
    party_new(&p);
    expect_found(&p, false);
    each_file(p.dir, flip_last_bit);
    expect_found(&p, false);
    assert_int_equal(atomic_load(&p.rules[0].hits), 2);
    expect_found(&p, true);
    party_done(&p);
}

static void another_chips_answer_is_refused(void **state)
{
    (void)state;
    struct party p;
    party_new(&p);
    struct sample other = load(GENOA, "vcek.der");
    p.rules[0].body = sample_bytes(&other);
    expect_refused(&p, false, ERR_UNAVAILABLE);
    p.rules[0].body = bytes_str("nothing of the kind");
    expect_refused(&p, false, ERR_UNAVAILABLE);
    p.rules[0].status = 503;
    expect_refused(&p, false, ERR_UNAVAILABLE);
    expect_refused(&p, true, ERR_NOT_FOUND);
    sample_done(&other);
    party_done(&p);
}

/* Files as a user has saved them, beside others that are of no use. */
static void a_users_own_files_are_found(void **state)
{
    (void)state;
    struct party p;
    party_new(&p);
    struct sample other = load(GENOA, "vcek.der"), ask_pem = load(MILAN, "ask.pem"),
                  ark = load(MILAN, "ark.pem");
    put(&p, "a.der", sample_bytes(&other));
    put(&p, "b.pem", bytes_str("no certificate"));
    put(&p, "c.txt", sample_bytes(&p.vek));
    expect_refused(&p, true, ERR_NOT_FOUND); /* another suffix is not looked at */
    put(&p, "Mine.CER", sample_bytes(&p.vek));
    expect_found(&p, true);
    p.source.pool = NULL;
    put(&p, "ask.pem", sample_bytes(&ask_pem));
    put(&p, "ark.pem", sample_bytes(&ark));
    expect_found(&p, true);
    sample_done(&other);
    sample_done(&ask_pem);
    sample_done(&ark);
    party_done(&p);
}

/* A VLEK comes from its host: there is nobody to ask. */
static void a_vlek_is_not_asked_for(void **state)
{
    (void)state;
    struct party p;
    party_new(&p);
    sample_done(&p.report);
    sample_done(&p.vek);
    p.report = load(VLEK, "report.bin");
    p.vek = load(VLEK, "vlek.der");
    expect_refused(&p, false, ERR_NOT_FOUND);
    put(&p, "vlek.crt", sample_bytes(&p.vek));
    expect_found(&p, false);
    assert_int_equal(atomic_load(&p.rules[0].hits), 0);
    struct sample no_report = { heap_copy((const uint8_t *)"short", 5), 5 };
    sample_done(&p.report);
    p.report = no_report;
    expect_refused(&p, true, ERR_INPUT);
    party_done(&p);
}

/* ---- chains and CRLs ---- */

static enum err_kind get_item(const struct party *p, const struct collateral_id *id,
                              struct collateral_item *out)
{
    AUTO(collateral_drop) struct collateral_service *c = NULL;
    struct err err = { 0 };
    assert_int_equal(collateral_new(&p->source, &c, &err), 0);
    return collateral_get(c, id, out, &err) == 0 ? ERR_NONE : err.kind;
}

static void chains_are_those_of_the_product(void **state)
{
    (void)state;
    struct party p;
    const struct collateral_id vcek = { .kind = COLLATERAL_AMD_CHAIN, .product = SNP_TURIN },
                               genoa = { .kind = COLLATERAL_AMD_CHAIN, .product = SNP_GENOA };
    AUTO(collateral_item_done) struct collateral_item item = { 0 };
    X509 *certs[3] = { 0 };
    party_new(&p);
    struct sample turin = sample_join(load("snp/amd-cas", "turin_vcek_signer.pem"),
                                      load("snp/amd-cas", "turin_ark.pem")),
                  swapped = sample_join(load("snp/amd-cas", "turin_ark.pem"),
                                        load("snp/amd-cas", "turin_vcek_signer.pem")),
                  mixed = sample_join(load("snp/amd-cas", "turin_vcek_signer.pem"),
                                      load("snp/amd-cas", "genoa_ark.pem"));
    p.rules[0] = (struct http_rule){ .path = "/vcek/v1/", .status = 200, .body = sample_bytes(&swapped) };
    assert_int_equal(get_item(&p, &vcek, &item), ERR_UNAVAILABLE);
    p.rules[0].body = sample_bytes(&mixed);
    assert_int_equal(get_item(&p, &vcek, &item), ERR_UNAVAILABLE);
    p.rules[0].body = sample_bytes(&turin);
    assert_int_equal(get_item(&p, &genoa, &item), ERR_UNAVAILABLE);
    assert_int_equal(get_item(&p, &vcek, &item), ERR_NONE);
    assert_int_equal(item.next_update, 0);
    assert_int_equal(x509_parse_chain(buf_bytes(&item.data), certs, 3, NULL), 2);
    X509_free(certs[0]);
    X509_free(certs[1]);
    sample_done(&turin);
    sample_done(&swapped);
    sample_done(&mixed);
    party_done(&p);
}

struct made_root {
    EVP_PKEY *key;
    X509 *cert;
    uint8_t *der, *crl;
    size_t der_n, crl_n;
};

static void make_root(struct made_root *r, const char *cn, long crl_days)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *time = ASN1_TIME_new();
    *r = (struct made_root){ .key = EVP_EC_gen("P-256"), .cert = X509_new() };
    assert_true(r->key && r->cert && crl && time);
    X509_NAME *name = X509_get_subject_name(r->cert);
    X509_set_version(r->cert, X509_VERSION_3);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(r->cert, name);
    X509_gmtime_adj(X509_getm_notBefore(r->cert), -86400L * 9);
    X509_gmtime_adj(X509_getm_notAfter(r->cert), 86400L * 9);
    X509_set_pubkey(r->cert, r->key);
    X509_EXTENSION *ca = X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
    X509_add_ext(r->cert, ca, -1);
    X509_EXTENSION_free(ca);
    assert_true(X509_sign(r->cert, r->key, EVP_sha256()) > 0);
    X509_CRL_set_issuer_name(crl, name);
    X509_gmtime_adj(time, -86400L * 8);
    X509_CRL_set1_lastUpdate(crl, time);
    X509_gmtime_adj(time, 86400L * crl_days);
    X509_CRL_set1_nextUpdate(crl, time);
    assert_true(X509_CRL_sign(crl, r->key, EVP_sha256()) > 0);
    r->der_n = (size_t)i2d_X509(r->cert, &r->der);
    r->crl_n = (size_t)i2d_X509_CRL(crl, &r->crl);
    X509_CRL_free(crl);
    ASN1_TIME_free(time);
}

static void root_done(struct made_root *r)
{
    EVP_PKEY_free(r->key);
    X509_free(r->cert);
    OPENSSL_free(r->der);
    OPENSSL_free(r->crl);
}

static void crls_are_by_the_products_root(void **state)
{
    (void)state;
    struct party p;
    struct made_root root, forged, stale;
    const struct collateral_id milan = { .kind = COLLATERAL_AMD_CRL, .product = SNP_MILAN, .vlek = true },
                               genoa = { .kind = COLLATERAL_AMD_CRL, .product = SNP_GENOA, .vlek = true };
    AUTO(collateral_item_done) struct collateral_item item = { 0 };
    AUTO(buf_done) struct buf crl = { 0 };
    struct err err = { 0 };
    party_new(&p);
    make_root(&root, "ARK-Milan", 30);
    make_root(&forged, "ARK-Milan", 30);
    make_root(&stale, "ARK-Milan", -1);
    const struct bytes roots[] = { bytes_of(root.der, root.der_n), bytes_of(stale.der, stale.der_n) };
    const struct chain_pool pool = { roots, 2 };
    p.source.pool = &pool;
    p.rules[0] =
        (struct http_rule){ .path = "/vlek/v1/", .status = 200, .body = bytes_of(forged.crl, forged.crl_n) };
    assert_int_equal(get_item(&p, &milan, &item), ERR_UNAVAILABLE);
    p.rules[0].body = bytes_of(stale.crl, stale.crl_n);
    assert_int_equal(get_item(&p, &milan, &item), ERR_UNAVAILABLE);
    p.rules[0].body = bytes_of(root.crl, root.crl_n);
    assert_int_equal(get_item(&p, &genoa, &item), ERR_UNAVAILABLE);
    assert_int_equal(get_item(&p, &milan, &item), ERR_NONE);
    assert_in_range(item.next_update, time(NULL) + 86400L * 29, time(NULL) + 86400L * 31);
    assert_int_equal(collateral_dir_crl(p.dir, SNP_MILAN, true, 0, &crl, &err), 0);
    assert_int_equal(crl.n, root.crl_n);
    assert_int_equal(collateral_dir_crl(p.dir, SNP_MILAN, false, 0, &crl, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    root_done(&root);
    root_done(&forged);
    root_done(&stale);
    party_done(&p);
}

/* ---- attestation keys ---- */

/* The address in the certificate is Google's; the answer comes from the server of the test. */
static void the_issuers_of_an_ak_are_kept(void **state)
{
    (void)state;
    struct party p;
    AUTO(ak_chain_done) struct ak_chain chain = { 0 }, again = { 0 };
    struct collateral_service *c = NULL;
    struct err err = { 0 };
    static const char folder[] = "gcp-snp/vtpm-33-byte-nonce";
    party_new(&p);
    struct sample leaf = load(folder, "ak_cert.der"), middle = load(folder, "ak_intermediate.der"),
                  top = load(folder, "ak_root.der");
    const struct bytes root[] = { sample_bytes(&top) };
    const struct chain_pool pool = { root, 1 };
    p.rules[0] = (struct http_rule){ .path = "/", .status = 200, .body = sample_bytes(&middle) };
    p.source.pool = &pool;
    p.source.http = (struct http){ http_server_perform, p.server };
    assert_int_equal(collateral_dir_ak_chain(p.dir, &pool, sample_bytes(&leaf), &chain, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_int_equal(collateral_new(&p.source, &c, &err), 0);
    assert_int_equal(collateral_ak_chain(c, sample_bytes(&leaf), &chain, &err), 0);
    assert_int_equal(chain.n, 2);
    collateral_free(c);
    assert_int_equal(collateral_dir_ak_chain(p.dir, &pool, sample_bytes(&leaf), &again, &err), 0);
    assert_int_equal(again.n, 2);
    assert_int_equal(again.cert[0].n, middle.n);
    assert_int_equal(atomic_load(&p.rules[0].hits), 1);
    sample_done(&leaf);
    sample_done(&middle);
    sample_done(&top);
    party_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vcek_is_fetched_once_for_ever), cmocka_unit_test(a_damaged_vcek_is_fetched_again),
        cmocka_unit_test(another_chips_answer_is_refused), cmocka_unit_test(a_users_own_files_are_found),
        cmocka_unit_test(a_vlek_is_not_asked_for),         cmocka_unit_test(chains_are_those_of_the_product),
        cmocka_unit_test(crls_are_by_the_products_root),   cmocka_unit_test(the_issuers_of_an_ak_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
