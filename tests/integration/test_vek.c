/* tee/vek.h and tee/ak_chain.h: supply of certificates over real ones, with a scripted KDS, THIM and CA
 * server. */
#include "evidence.h"
#include "http_server.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/x509.h"
#include "tee/ak_chain.h"
#include "tee/cert_table.h"
#include "tee/vek.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/pem.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GENOA "snp/genoa-v3-tinfoil"
#define OTHER "snp/genoa-v3-tsm-certtable" /* another Genoa chip */
#define MILAN "snp/milan-v2-nodebug"
#define TURIN "snp/turin-v5-oak"
#define VLEK  "snp/milan-v2-vlek-aws"

/* ---- a machine: lower interfaces, cache folder, files of one recording ---- */

struct machine {
    struct lower lower;
    char cache[32];
    struct sample report, vek, chain; /* chain: PEM, ASK then ARK */
    struct http_server *server;
    char leaf_path[512], chain_path[64];
};

static struct sample load(const char *folder, const char *file)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    return sample_load(path);
}

static struct sample load_chain(const char *folder, const char *ask_name)
{
    struct sample ask = load(folder, ask_name), ark = load(folder, "ark.pem"), both = { 0 };
    both.n = ask.n + ark.n;
    both.p = malloc(both.n);
    assert_non_null(both.p);
    memcpy(both.p, ask.p, ask.n);
    memcpy(both.p + ask.n, ark.p, ark.n);
    sample_done(&ask);
    sample_done(&ark);
    return both;
}

/* The KDS address of a report, by offsets of the vendor's tables. */
static void expect_paths(struct machine *m, const char *product)
{
    const uint8_t *r = m->report.p, *t = r + 0x180;
    bool turin = !strcmp(product, "Turin");
    char chip[129];
    hex_to(chip, bytes_of(r + 0x1A0, turin ? 8 : 64));
    if (turin)
        snprintf(m->leaf_path, sizeof(m->leaf_path),
                 "/vcek/v1/Turin/%s?blSPL=%02d&teeSPL=%02d&snpSPL=%02d&ucodeSPL=%02d&fmcSPL=%02d", chip, t[1],
                 t[2], t[3], t[7], t[0]);
    else
        snprintf(m->leaf_path, sizeof(m->leaf_path),
                 "/vcek/v1/%s/%s?blSPL=%02d&teeSPL=%02d&snpSPL=%02d&ucodeSPL=%02d", product, chip, t[0], t[1],
                 t[6], t[7]);
    snprintf(m->chain_path, sizeof(m->chain_path), "/vcek/v1/%s/cert_chain", product);
}

static void machine_new(struct machine *m, const char *folder, const char *product)
{
    skip_without_evidence();
    *m = (struct machine){ .lower = { .sys = "/nonexistent", .dev = "/nonexistent", .proc = "/proc" },
                           .cache = "/tmp/cvm-vek-XXXXXX" };
    bool vlek = !strcmp(folder, VLEK);
    m->report = load(folder, "report.bin");
    m->vek = load(folder, vlek ? "vlek.der" : "vcek.der");
    m->chain = load_chain(folder, vlek ? "asvk.pem" : "ask.pem");
    m->lower.http = http_curl();
    m->lower.kds_url = m->lower.imds_url = "http://127.0.0.1:1"; /* nobody listens there */
    assert_non_null(mkdtemp(m->cache));
    expect_paths(m, product);
}

static void serve(struct machine *m, struct http_rule *rules, size_t n)
{
    m->server = http_server_start(rules, n);
    m->lower.kds_url = m->lower.imds_url = http_server_url(m->server);
}

static void each_cached(const struct machine *m, void (*fn)(const char *path))
{
    char path[512];
    DIR *dir = opendir(m->cache);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        snprintf(path, sizeof(path), "%s/%.400s", m->cache, e->d_name);
        if (e->d_name[0] != '.')
            fn(path);
    }
    closedir(dir);
}

static void remove_file(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static void damage_file(const char *path)
{
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fputs("damaged", f);
    fclose(f);
}

static void machine_done(struct machine *m)
{
    if (m->server)
        http_server_stop(m->server);
    each_cached(m, remove_file);
    assert_int_equal(rmdir(m->cache), 0);
    sample_done(&m->report);
    sample_done(&m->vek);
    sample_done(&m->chain);
}

static struct vek_store *open_store(struct machine *m, const struct chain_pool *pool)
{
    struct vek_store *s = NULL;
    struct err err = { 0 };
    if (vek_store_new(&m->lower, m->cache, pool, &s, &err) < 0)
        fail_msg("%s", err.cause);
    return s;
}

/* ---- asking and waiting ---- */

struct heard {
    atomic_uint calls, failures;
    char cause[sizeof(((struct err *)0)->cause)];
};

static void hear(void *arg, const struct err *err)
{
    struct heard *h = arg;
    if (err) {
        snprintf(h->cause, sizeof(h->cause), "%s", err->cause);
        atomic_fetch_add(&h->failures, 1);
    }
    atomic_fetch_add(&h->calls, 1);
}

static void wait_for(struct heard *h, unsigned calls)
{
    for (int i = 0; i < 1000 && atomic_load(&h->calls) < calls; i++)
        usleep(10000);
    assert_int_equal(atomic_load(&h->calls), calls);
}

static void fetch(struct vek_store *s, const struct machine *m, bool thim, unsigned deadline_ms,
                  struct heard *h)
{
    struct err err = { 0 };
    unsigned before = atomic_load(&h->calls);
    if (vek_fetch(s, sample_bytes(&m->report), thim, deadline_ms, hear, h, &err) < 0)
        fail_msg("%s", err.cause);
    wait_for(h, before + 1);
}

static bool found(struct vek_store *s, const struct machine *m, size_t chain_n)
{
    AUTO(vek_certs_done) struct vek_certs c = { 0 };
    struct err why = { 0 };
    if (vek_lookup(s, sample_bytes(&m->report), bytes_of(NULL, 0), &c, &why) < 0) {
        assert_int_equal(why.kind, ERR_NOT_FOUND);
        return false;
    }
    assert_true(bytes_equal(buf_bytes(&c.vek), sample_bytes(&m->vek)));
    assert_int_equal(c.chain_n, chain_n);
    return true;
}

static bool found_later(struct vek_store *s, const struct machine *m)
{
    for (int i = 0; i < 800; i++) {
        if (found(s, m, 2))
            return true;
        usleep(10000);
    }
    return false;
}

/* ---- without the network ---- */

static void the_hosts_table_serves(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, OTHER, "Genoa");
    struct sample table = load(OTHER, "auxblob.bin");
    struct vek_store *s = open_store(&m, NULL);
    struct err why = { 0 };
    struct vek_stats stats;
    for (int i = 0; i < 2; i++) {
        AUTO(vek_certs_done) struct vek_certs c = { 0 };
        assert_int_equal(vek_lookup(s, sample_bytes(&m.report), sample_bytes(&table), &c, &why), 0);
        assert_true(bytes_equal(buf_bytes(&c.vek), sample_bytes(&m.vek)));
        assert_int_equal(c.chain_n, 2);
    }
    assert_true(found(s, &m, 2)); /* from memory, without a table */
    vek_stats_get(s, &stats);
    assert_int_equal(stats.hits, 3);
    assert_int_equal(stats.requests, 0);
    vek_store_free(s);
    sample_done(&table);
    machine_done(&m);
}

static void put_entry(struct buf *b, enum cert_kind kind, bool mixed, uint32_t offset, size_t n)
{
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };
    for (size_t i = 0; i < 16; i++)
        buf_u8(b, cert_kind_guid(kind)[mixed ? order[i] : i]);
    buf_u32le(b, offset);
    buf_u32le(b, (uint32_t)n);
}

/* AWS: the leaf alone, its chain from the pool; GUIDs in either byte order. */
static void a_vlek_and_its_chain_from_the_pool(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, VLEK, "Milan");
    struct sample asvk = load(VLEK, "asvk.pem"), ark = load(VLEK, "ark.pem");
    const struct bytes der[] = { sample_bytes(&ark), sample_bytes(&asvk) };
    for (int mixed = 0; mixed < 2; mixed++) {
        AUTO(buf_done) struct buf table = buf_new(8192);
        AUTO(vek_certs_done) struct vek_certs c = { 0 };
        struct vek_store *s = open_store(&m, &(struct chain_pool){ der, 2 });
        struct err why = { 0 };
        put_entry(&table, CERT_VLEK, mixed, 48, m.vek.n);
        buf_fill(&table, 0, 24);
        buf_put(&table, sample_bytes(&m.vek));
        assert_int_equal(vek_lookup(s, sample_bytes(&m.report), buf_bytes(&table), &c, &why), 0);
        assert_true(bytes_equal(buf_bytes(&c.vek), sample_bytes(&m.vek)));
        assert_int_equal(c.chain_n, 2);
        vek_store_free(s);
    }
    struct vek_store *s = open_store(&m, NULL);
    struct err why = { 0 };
    struct heard h = { 0 };
    assert_int_equal(vek_fetch(s, sample_bytes(&m.report), false, 100, hear, &h, &why), -1);
    assert_int_equal(why.kind, ERR_NOT_FOUND);
    assert_non_null(strstr(why.cause, "VLEK"));
    vek_store_free(s);
    sample_done(&asvk);
    sample_done(&ark);
    machine_done(&m);
}

static void a_table_of_another_chip_is_not_taken(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    struct sample table = load(OTHER, "auxblob.bin");
    struct vek_store *s = open_store(&m, NULL);
    AUTO(vek_certs_done) struct vek_certs c = { 0 };
    struct err why = { 0 };
    assert_int_equal(vek_lookup(s, sample_bytes(&m.report), sample_bytes(&table), &c, &why), -1);
    assert_int_equal(why.kind, ERR_NOT_FOUND);
    assert_non_null(strstr(why.cause, "another"));
    for (size_t i = 0; i < table.n;
         i += 7) { /* any damage is survived, and never another's certificate taken */
        table.p[i] ^= 0x80;
        assert_int_equal(vek_lookup(s, sample_bytes(&m.report), sample_bytes(&table), &c, &why), -1);
    }
    vek_store_free(s);
    sample_done(&table);
    machine_done(&m);
}

static void reports_without_a_certificate(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    struct vek_store *s = open_store(&m, NULL);
    struct heard h = { 0 };
    struct err why = { 0 };
    static const struct {
        size_t at, n;
        uint8_t value;
        const char *text;
    } rows[] = { { 0x48, 1, 7 << 2, "not signed" },
                 { 0x48, 1, 2, "masks" },
                 { 0x48, 1, 3 << 2, "unknown" },
                 { 0x1A0, 64, 0, "masked" } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(free_u8) uint8_t *copy = heap_copy(m.report.p, m.report.n);
        memset(copy + rows[i].at, rows[i].value, rows[i].n);
        assert_int_equal(vek_fetch(s, bytes_of(copy, m.report.n), false, 100, hear, &h, &why), -1);
        assert_int_equal(why.kind, ERR_NOT_FOUND);
        assert_non_null(strstr(why.cause, rows[i].text));
    }
    assert_int_equal(vek_fetch(s, bytes_of(m.report.p, 100), false, 100, hear, &h, &why), -1);
    assert_int_equal(why.kind, ERR_INPUT);
    vek_store_free(s);
    assert_int_equal(atomic_load(&h.calls), 0);
    machine_done(&m);
}

/* ---- KDS ---- */

static void fetched_once_kept_and_read_back(void **state)
{
    (void)state;
    static const char *const rows[][2] = { { GENOA, "Genoa" }, { TURIN, "Turin" }, { MILAN, "Milan" } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct machine m;
        machine_new(&m, rows[i][0], rows[i][1]);
        struct http_rule rules[] = {
            { .path = m.leaf_path, .status = 200, .body = sample_bytes(&m.vek) },
            { .path = m.chain_path, .status = 200, .body = sample_bytes(&m.chain) }
        };
        serve(&m, rules, 2);
        struct vek_store *s = open_store(&m, NULL);
        struct heard h = { 0 };
        assert_false(found(s, &m, 2));
        fetch(s, &m, false, 5000, &h);
        assert_string_equal(h.cause, "");
        assert_true(found(s, &m, 2));
        vek_store_free(s);
        s = open_store(&m, NULL); /* a restart: from disk */
        assert_true(found(s, &m, 2));
        vek_store_free(s);
        assert_int_equal(atomic_load(&rules[0].hits), 1);
        assert_int_equal(atomic_load(&rules[1].hits), 1);
        each_cached(&m, damage_file);
        s = open_store(&m, NULL);
        assert_false(found(s, &m, 2));
        fetch(s, &m, false, 5000, &h);
        assert_true(found(s, &m, 2));
        vek_store_free(s);
        assert_int_equal(atomic_load(&rules[0].hits), 2);
        machine_done(&m);
    }
}

static void twenty_who_ask_make_one_request(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    struct http_rule rules[] = {
        { .path = m.leaf_path, .status = 200, .body = sample_bytes(&m.vek), .delay_ms = 300 },
        { .path = m.chain_path, .status = 200, .body = sample_bytes(&m.chain) }
    };
    serve(&m, rules, 2);
    struct vek_store *s = open_store(&m, NULL);
    struct heard h = { 0 };
    struct err err = { 0 };
    for (int i = 0; i < 20; i++)
        assert_int_equal(vek_fetch(s, sample_bytes(&m.report), false, 5000, hear, &h, &err), 0);
    wait_for(&h, 20);
    assert_int_equal(atomic_load(&h.failures), 0);
    assert_int_equal(atomic_load(&rules[0].hits), 1);
    assert_int_equal(atomic_load(&rules[1].hits), 1);
    vek_store_free(s);
    machine_done(&m);
}

static void too_many_requests_are_waited_out(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    struct http_rule rules[] = { { .path = m.leaf_path,
                                   .status = 429,
                                   .retry_after = "2",
                                   .body = bytes_str("slow down"),
                                   .times = 1 },
                                 { .path = m.leaf_path, .status = 200, .body = sample_bytes(&m.vek) },
                                 { .path = m.chain_path, .status = 200, .body = sample_bytes(&m.chain) } };
    serve(&m, rules, 3);
    struct vek_store *s = open_store(&m, NULL);
    struct heard h = { 0 };
    fetch(s, &m, false, 5000, &h);
    assert_int_equal(atomic_load(&h.failures), 1);
    assert_non_null(strstr(h.cause, "429"));
    uint64_t start = clock_ms();
    fetch(s, &m, false, 100, &h); /* in the pause: the last failure at once, no new request */
    assert_true(clock_ms() - start < 1000);
    assert_int_equal(atomic_load(&h.failures), 2);
    assert_true(found_later(s, &m));
    assert_true(clock_ms() - start > 1500);
    assert_int_equal(atomic_load(&rules[0].hits), 1);
    assert_int_equal(atomic_load(&rules[1].hits), 1);
    vek_store_free(s);
    machine_done(&m);
}

static void a_slow_service_delays_nobody(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    struct http_rule rules[] = {
        { .path = m.leaf_path, .status = 200, .body = sample_bytes(&m.vek), .delay_ms = 1500 },
        { .path = m.chain_path, .status = 200, .body = sample_bytes(&m.chain) }
    };
    serve(&m, rules, 2);
    struct vek_store *s = open_store(&m, NULL);
    struct heard h = { 0 };
    uint64_t start = clock_ms();
    fetch(s, &m, false, 200, &h);
    assert_true(clock_ms() - start >= 200 && clock_ms() - start < 1200);
    assert_int_equal(atomic_load(&h.failures), 1);
    assert_true(found_later(s, &m));
    assert_int_equal(atomic_load(&h.calls), 1);
    vek_store_free(s);
    machine_done(&m);
}

static void a_closing_store_tells_who_waits(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    struct http_rule rules[] = { { .path = "/", .status = 503, .body = bytes_str(""), .delay_ms = 4000 } };
    serve(&m, rules, 1);
    struct vek_store *s = open_store(&m, NULL);
    struct heard h = { 0 };
    struct err err = { 0 };
    assert_int_equal(vek_fetch(s, sample_bytes(&m.report), false, 60000, hear, &h, &err), 0);
    while (!atomic_load(&rules[0].hits))
        usleep(1000);
    uint64_t start = clock_ms();
    vek_store_free(s); /* the request is cut off, not waited for */
    assert_true(clock_ms() - start < 2500);
    assert_int_equal(atomic_load(&h.calls), 1);
    assert_int_equal(atomic_load(&h.failures), 1);
    machine_done(&m);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    struct sample other = load(OTHER, "vcek.der");
    AUTO(free_u8) uint8_t *big = calloc(1, 70000);
    const struct {
        struct bytes body;
        const char *text;
    } rows[] = {
        { sample_bytes(&other), "another" },     { bytes_str("<html>not a certificate"), "no certificate" },
        { bytes_of(NULL, 0), "no certificate" }, { sample_bytes(&m.chain), "certificates" },
        { bytes_of(big, 70000), "65536" },       { bytes_of(m.vek.p, m.vek.n - 1), "no certificate" }
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_rule rules[] = {
            { .path = m.leaf_path, .status = 200, .body = rows[i].body },
            { .path = m.chain_path, .status = 200, .body = sample_bytes(&m.chain) }
        };
        serve(&m, rules, 2);
        struct vek_store *s = open_store(&m, NULL);
        struct heard h = { 0 };
        fetch(s, &m, false, 5000, &h);
        assert_int_equal(atomic_load(&h.failures), 1);
        if (!strstr(h.cause, rows[i].text))
            fail_msg("row %zu: %s", i, h.cause);
        assert_false(found(s, &m, 2));
        vek_store_free(s);
        http_server_stop(m.server);
        m.server = NULL;
    }
    sample_done(&other);
    machine_done(&m);
}

static void a_wrong_chain_keeps_the_leaf(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    struct sample milan = load_chain(MILAN, "ask.pem");
    struct http_rule rules[] = { { .path = m.leaf_path, .status = 200, .body = sample_bytes(&m.vek) },
                                 { .path = m.chain_path, .status = 200, .body = sample_bytes(&milan) } };
    serve(&m, rules, 2);
    struct vek_store *s = open_store(&m, NULL);
    struct heard h = { 0 };
    fetch(s, &m, false, 5000, &h);
    assert_int_equal(atomic_load(&h.failures), 1);
    assert_true(found(s, &m, 0));
    vek_store_free(s);
    sample_done(&milan);
    machine_done(&m);
}

static void version_2_asks_for_milan_then_genoa(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, MILAN, "Milan");
    struct http_rule rules[] = { { .path = "/vcek/v1/Milan/", .status = 404, .body = bytes_str("") },
                                 { .path = "/vcek/v1/Genoa/", .status = 404, .body = bytes_str("") } };
    serve(&m, rules, 2);
    struct vek_store *s = open_store(&m, NULL);
    struct heard h = { 0 };
    fetch(s, &m, false, 5000, &h);
    assert_int_equal(atomic_load(&h.failures), 1);
    assert_int_equal(atomic_load(&rules[0].hits), 1);
    assert_int_equal(atomic_load(&rules[1].hits), 1);
    vek_store_free(s);
    machine_done(&m);
}

/* ---- THIM ---- */

static void put_json_char(struct buf *json, uint8_t c)
{
    if (c == '\n')
        buf_str(json, "\\n");
    else if (c != '\r')
        buf_u8(json, c);
}

static void thim_before_kds(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    AUTO(buf_done) struct buf json = buf_new(65536);
    AUTO(x509_drop) X509 *cert = NULL;
    struct err err = { 0 };
    assert_int_equal(x509_parse(sample_bytes(&m.vek), &cert, &err), 0);
    BIO *bio = BIO_new(BIO_s_mem());
    char *pem = NULL;
    assert_int_equal(PEM_write_bio_X509(bio, cert), 1);
    long n = BIO_get_mem_data(bio, &pem);
    buf_str(&json, "{\"vcekCert\":\"");
    for (long i = 0; i < n; i++)
        put_json_char(&json, (uint8_t)pem[i]);
    buf_str(&json, "\",\"tcbm\":\"0\",\"certificateChain\":\"");
    for (size_t i = 0; i < m.chain.n; i++)
        put_json_char(&json, m.chain.p[i]);
    buf_str(&json, "\"}");
    BIO_free(bio);
    struct http_rule rules[] = {
        { .path = "/metadata/THIM/amd/certification", .status = 200, .body = buf_bytes(&json) },
        { .path = "/vcek", .status = 500, .body = bytes_str("") }
    };
    serve(&m, rules, 2);
    struct vek_store *s = open_store(&m, NULL);
    struct heard h = { 0 };
    fetch(s, &m, true, 5000, &h);
    assert_string_equal(h.cause, "");
    assert_true(found(s, &m, 2));
    assert_true(http_server_saw_metadata_header(m.server));
    assert_int_equal(atomic_load(&rules[1].hits), 0);
    vek_store_free(s);
    machine_done(&m);
}

static void thim_of_another_chip_falls_back_to_kds(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    struct http_rule rules[] = {
        { .path = "/metadata/THIM", .status = 200, .body = bytes_str("{\"vcekCert\":\"x\"}") },
        { .path = m.leaf_path, .status = 200, .body = sample_bytes(&m.vek) },
        { .path = m.chain_path, .status = 200, .body = sample_bytes(&m.chain) }
    };
    serve(&m, rules, 3);
    struct vek_store *s = open_store(&m, NULL);
    struct heard h = { 0 };
    fetch(s, &m, true, 5000, &h);
    assert_int_equal(atomic_load(&h.failures), 0);
    assert_int_equal(atomic_load(&rules[0].hits), 1);
    assert_true(found(s, &m, 2));
    vek_store_free(s);
    machine_done(&m);
}

/* ---- chains of attestation keys ---- */

/* The address in the certificate is Google's; the answer comes from the server of the test. */
static int perform_here(void *ctx, const struct http_request *request, struct http_response *out,
                        struct err *err)
{
    struct http_request here = *request;
    const char *path = strchr(request->url + strlen("http://"), '/');
    char url[512];
    snprintf(url, sizeof(url), "%s%s", http_server_url(ctx), path ? path : "/");
    here.url = url;
    struct http curl = http_curl();
    return http_perform(&curl, &here, out, err);
}

static void the_chain_of_googles_key(void **state)
{
    (void)state;
    struct machine m;
    machine_new(&m, GENOA, "Genoa");
    static const char folder[] = "gcp-snp/vtpm-33-byte-nonce";
    struct sample leaf = load(folder, "ak_cert.der"), middle = load(folder, "ak_intermediate.der"),
                  top = load(folder, "ak_root.der");
    const struct bytes pool[] = { sample_bytes(&top), sample_bytes(&middle) };
    AUTO(ak_chain_done) struct ak_chain c = { 0 };
    struct err err = { 0 };
    struct vek_store *s = open_store(&m, &(struct chain_pool){ pool, 2 });
    assert_int_equal(ak_chain_get(s, sample_bytes(&leaf), &c, &err), 0);
    assert_int_equal(c.n, 2);
    assert_true(bytes_equal(buf_bytes(&c.cert[0]), sample_bytes(&middle)));
    assert_true(bytes_equal(buf_bytes(&c.cert[1]), sample_bytes(&top)));
    ak_chain_done(&c);
    assert_int_equal(ak_chain_get(s, bytes_of(leaf.p, leaf.n - 1), &c, &err), -1);
    assert_int_equal(err.kind, ERR_INPUT);
    vek_store_free(s);

    struct http_rule rules[] = {
        { .path = "/04bf00fa8caa0eef4f16/ca.crt", .status = 200, .body = pool[0], .times = 1 },
        { .path = "/04bf00fa8caa0eef4f16/ca.crt", .status = 200, .body = pool[1] }
    };
    serve(&m, rules, 2);
    m.lower.http = (struct http){ perform_here, m.server };
    s = open_store(&m, &(struct chain_pool){ pool, 1 }); /* the root alone */
    assert_int_equal(ak_chain_get(s, sample_bytes(&leaf), &c, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    struct heard h = { 0 };
    assert_int_equal(ak_chain_fetch(s, sample_bytes(&leaf), 5000, hear, &h, &err), 0);
    wait_for(&h, 1);
    assert_non_null(strstr(h.cause, "does not sign")); /* the first answer is another certificate */
    assert_int_equal(ak_chain_fetch(s, sample_bytes(&leaf), 5000, hear, &h, &err), 0);
    wait_for(&h, 2);
    assert_int_equal(atomic_load(&h.failures), 1);
    assert_int_equal(ak_chain_get(s, sample_bytes(&leaf), &c, &err), 0);
    assert_int_equal(c.n, 2);
    ak_chain_done(&c);
    vek_store_free(s);
    s = open_store(&m, NULL); /* from disk */
    assert_int_equal(ak_chain_get(s, sample_bytes(&leaf), &c, &err), 0);
    assert_int_equal(c.n, 2);
    assert_int_equal(ak_chain_fetch(s, sample_bytes(&top), 100, hear, &h, &err), -1);
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    vek_store_free(s);
    sample_done(&leaf);
    sample_done(&middle);
    sample_done(&top);
    machine_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hosts_table_serves),
        cmocka_unit_test(a_vlek_and_its_chain_from_the_pool),
        cmocka_unit_test(a_table_of_another_chip_is_not_taken),
        cmocka_unit_test(reports_without_a_certificate),
        cmocka_unit_test(fetched_once_kept_and_read_back),
        cmocka_unit_test(twenty_who_ask_make_one_request),
        cmocka_unit_test(too_many_requests_are_waited_out),
        cmocka_unit_test(a_slow_service_delays_nobody),
        cmocka_unit_test(a_closing_store_tells_who_waits),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(a_wrong_chain_keeps_the_leaf),
        cmocka_unit_test(version_2_asks_for_milan_then_genoa),
        cmocka_unit_test(thim_before_kds),
        cmocka_unit_test(thim_of_another_chip_falls_back_to_kds),
        cmocka_unit_test(the_chain_of_googles_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
