/* tee/vek.h: certificates from the host's table, the pool and THIM, over real ones. */
#include "vek_rig.h"

#include <openssl/pem.h>
#include <stdatomic.h>
#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hosts_table_serves),
        cmocka_unit_test(a_vlek_and_its_chain_from_the_pool),
        cmocka_unit_test(a_table_of_another_chip_is_not_taken),
        cmocka_unit_test(reports_without_a_certificate),
        cmocka_unit_test(thim_before_kds),
        cmocka_unit_test(thim_of_another_chip_falls_back_to_kds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
