/* Certificate tables and VEK certificates: every cut, every bit, every limit. */
#include "evidence.h"

#include "base/auto.h"
#include "tee/cert_table.h"
#include "tee/vek_cert.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>

/* ---- certificate table ---- */

static void put_entry(struct buf *b, const uint8_t *guid, uint32_t offset, uint32_t n)
{
    buf_put(b, bytes_of(guid, 16));
    buf_u32le(b, offset);
    buf_u32le(b, n);
}

static void table_every_cut(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load("snp/genoa-v3-tsm-certtable/auxblob.bin");
    struct cert_table t;
    for (size_t n = 1; n < s.n; n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(s.p, n);
        assert_int_equal(cert_table_parse(bytes_of(cut, n), &t, &(struct err){ 0 }), -1);
    }
    assert_int_equal(cert_table_parse(bytes_of(s.p, 0), &t, &(struct err){ 0 }), 0);
    assert_int_equal(t.n, 0);
    for (size_t bit = 0; bit < (size_t)5 * CERT_TABLE_ENTRY * 8;
         bit++) { /* entries and a little more: only bounds count */
        s.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (cert_table_parse(sample_bytes(&s), &t, &(struct err){ 0 }) == 0)
            for (size_t i = 0; i < t.n; i++)
                assert_true(t.entry[i].data.p >= s.p && t.entry[i].data.p + t.entry[i].data.n <= s.p + s.n);
        s.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void table_both_byte_orders(void **state)
{
    static const uint8_t mixed_vcek[16] = { 0x8d, 0x75, 0xda, 0x63, 0x64, 0xe6, 0x64, 0x45,
                                            0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd };
    static const uint8_t none[16] = { 0 }, other[16] = { 1, 2, 3 };
    AUTO(buf_done) struct buf b = buf_new(4096);
    struct cert_table t;
    struct bytes found;
    (void)state;
    put_entry(&b, mixed_vcek, 96, 4);
    put_entry(&b, cert_kind_guid(CERT_ARK), 98, 4); /* overlaps */
    put_entry(&b, other, 102, 0);                   /* empty, at the very end */
    put_entry(&b, none, 0, 0);
    buf_str(&b, "abcdef");
    assert_int_equal(cert_table_parse(buf_bytes(&b), &t, &(struct err){ 0 }), 0);
    assert_int_equal(t.n, 3);
    assert_true(cert_table_find(&t, CERT_VCEK, &found) && bytes_equal(found, bytes_str("abcd")));
    assert_memory_equal(t.entry[0].guid, cert_kind_guid(CERT_VCEK), 16);
    assert_true(cert_table_find(&t, CERT_ARK, &found) && bytes_equal(found, bytes_str("cdef")));
    assert_false(cert_table_find(&t, CERT_VLEK, &found));
    assert_int_equal(t.entry[2].kind, CERT_UNKNOWN);
    b.p[16] = 95; /* into the entries */
    assert_int_equal(cert_table_parse(buf_bytes(&b), &t, &(struct err){ 0 }), -1);
}

static void table_has_a_maximum(void **state)
{
    static const uint8_t other[16] = { 9 }, none[16] = { 0 };
    (void)state;
    for (size_t n = CERT_TABLE_ENTRIES_MAX; n <= CERT_TABLE_ENTRIES_MAX + 1; n++) {
        AUTO(buf_done) struct buf b = buf_new(4096);
        struct cert_table t;
        struct err err = { 0 };
        for (size_t i = 0; i < n; i++)
            put_entry(&b, other, (uint32_t)(n + 1) * CERT_TABLE_ENTRY, 0);
        put_entry(&b, none, 0, 0);
        int rc = cert_table_parse(buf_bytes(&b), &t, &err);
        assert_int_equal(rc, n == CERT_TABLE_ENTRIES_MAX ? 0 : -1);
        assert_int_equal(err.kind, rc == 0 ? ERR_NONE : ERR_TOO_LARGE);
    }
}

/* ---- VEK certificates, made here with one extension changed ---- */

struct made_ext {
    const char *oid, *hex; /* content of extnValue */
};

#define HWID8 "0102030405060708"

static const struct made_ext good_vcek[] = {
    { VEK_OID_PREFIX "1", "020101" },   { VEK_OID_PREFIX "2", "1605547572696e" },
    { VEK_OID_PREFIX "3.1", "020101" }, { VEK_OID_PREFIX "3.2", "020100" },
    { VEK_OID_PREFIX "3.3", "020102" }, { VEK_OID_PREFIX "3.8", "020200d9" },
    { VEK_OID_PREFIX "3.9", "020103" }, { VEK_OID_PREFIX "4", HWID8 },
};

static void add_extension(X509 *cert, const struct made_ext *e)
{
    long n;
    unsigned char *raw = OPENSSL_hexstr2buf(e->hex, &n);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    ASN1_OBJECT *oid = OBJ_txt2obj(e->oid, 1);
    ASN1_OCTET_STRING_set(value, raw, (int)n);
    X509_EXTENSION *ext = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, value);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
    ASN1_OBJECT_free(oid);
    ASN1_OCTET_STRING_free(value);
    OPENSSL_free(raw);
}

/* A certificate with the good extensions; change replaces the one of its OID (hex NULL: leaves it out), extra
 * is added. Unsigned: the parser looks at extensions only. */
static X509 *make_vek(const struct made_ext *change, const struct made_ext *extra)
{
    X509 *cert = X509_new();
    for (size_t i = 0; i < ARRAY_SIZE(good_vcek); i++) {
        const struct made_ext *e = &good_vcek[i];
        if (change && !strcmp(change->oid, e->oid))
            e = change;
        if (e->hex)
            add_extension(cert, e);
    }
    if (extra)
        add_extension(cert, extra);
    return cert;
}

static int parse_vek(const struct made_ext *change, const struct made_ext *extra)
{
    AUTO(x509_drop) X509 *cert = make_vek(change, extra);
    struct vek_cert v;
    struct err err = { 0 };
    int rc = vek_cert_parse(cert, &v, &err);
    assert_true(rc == 0 || err.kind == ERR_INPUT);
    if (rc == 0)
        assert_true(v.product == SNP_TURIN && v.tcb.microcode == 0xD9 && v.tcb.has_fmc && v.tcb.fmc == 3
                    && v.hwid.n == 8 && v.hwid.p[7] == 8);
    return rc;
}

static void vek_extensions(void **state)
{
    static const struct made_ext csp = { VEK_OID_PREFIX "5", "1603434e3d" };
    static const struct made_ext nested = { VEK_OID_PREFIX "4", "0408" HWID8 };
    static const struct made_ext bad[] = {
        { VEK_OID_PREFIX "3.1", NULL },
        { VEK_OID_PREFIX "2", NULL },
        { VEK_OID_PREFIX "4", NULL },
        { VEK_OID_PREFIX "3.8", "02020100" }, /* 256 */
        { VEK_OID_PREFIX "3.8", "0201d9" },   /* negative */
        { VEK_OID_PREFIX "3.1", "02020001" }, /* not the shortest form */
        { VEK_OID_PREFIX "3.1", "02010100" }, /* trailing byte */
        { VEK_OID_PREFIX "3.1", "0200" },
        { VEK_OID_PREFIX "2", "1605547572690a" },
        { VEK_OID_PREFIX "2", "0c05547572696e" },
        { VEK_OID_PREFIX "4", "01020304050607" },
        { VEK_OID_PREFIX "4", "0407" HWID8 },
    };
    (void)state;
    assert_int_equal(parse_vek(NULL, NULL), 0);
    assert_int_equal(parse_vek(&nested, NULL), 0);
    assert_int_equal(parse_vek(NULL, &csp), -1); /* both */
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (parse_vek(&bad[i], NULL) != -1)
            fail_msg("accepted extension %s = %s", bad[i].oid, bad[i].hex ? bad[i].hex : "(none)");
}

static void vek_every_bit(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load("snp/turin-v5-oak/vcek.der");
    for (size_t bit = 0; bit < s.n * 8; bit++) {
        AUTO(x509_drop) X509 *cert = NULL;
        struct vek_cert v;
        s.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (x509_parse(sample_bytes(&s), &cert, &(struct err){ 0 }) == 0
            && vek_cert_parse(cert, &v, &(struct err){ 0 }) == 0)
            assert_true((v.hwid.n != 0) != (v.csp_id[0] != '\0'));
        s.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_every_cut),     cmocka_unit_test(table_both_byte_orders),
        cmocka_unit_test(table_has_a_maximum), cmocka_unit_test(vek_extensions),
        cmocka_unit_test(vek_every_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
