/* tee/azure_verify.h over recorded HCL reports, and over the same ones changed in one place. */
#include "evidence.h"
#include "made_certs.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "tee/azure_verify.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <string.h>

#define SNP   "azure-snp/milan-v3-report-vtpm/"
#define OTHER "azure-snp/genoa-v3-report-vtpm/"
#define TDX   "azure-tdx/v4-90c06f-akcert/"
#define TDX_2 "azure-tdx/v4-00806f-vtpm/"

static struct checks checks;

static enum check_result result(const char *name)
{
    const struct check *c = checks_find(&checks, name);
    assert_non_null(c);
    return c->result;
}

/* Opens and compares. @return what azure_verify() says */
static bool verify(struct bytes raw, const struct tdx_body *quote, struct azure_report *out)
{
    memset(&checks, 0, sizeof(checks));
    *out = (struct azure_report){ .ak = NULL };
    return azure_open(raw, out, &checks) && azure_verify(out, quote, &checks);
}

static EVP_PKEY *load_key(const char *path)
{
    AUTO(sample_done) struct sample pem = sample_load(path);
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(key);
    return key;
}

static void snp_machine(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample raw = sample_load(SNP "hcl_report.bin");
    AUTO(pkey_drop) EVP_PKEY *ak = load_key(SNP "ak_pub.pem");
    AUTO(pkey_drop) EVP_PKEY *other = load_key(OTHER "ak_pub.pem");
    AUTO(azure_close) struct azure_report r;
    assert_true(verify(sample_bytes(&raw), NULL, &r));
    assert_int_equal(result("azure.format"), CHECK_OK);
    assert_int_equal(result("azure.runtime_data_binding"), CHECK_OK);
    assert_int_equal(result("azure.vmpl"), CHECK_OK);
    assert_int_equal(result("azure.td_quote_binding"), CHECK_NOT_APPLICABLE);
    azure_verify_ak(&r, ak, "the quote is signed by", &checks);
    assert_int_equal(result("azure.ak_binding"), CHECK_OK);
    azure_verify_ak(&r, other, "the AK certificate is of", &checks); /* the worst result stays */
    assert_int_equal(result("azure.ak_binding"), CHECK_FAILED);
    azure_verify_ak(&r, ak, "the quote is signed by", &checks);
    assert_int_equal(result("azure.ak_binding"), CHECK_FAILED);
    azure_verify_ak(&r, NULL, "the quote is signed by", &checks);
    assert_int_equal(result("azure.ak_binding"), CHECK_FAILED);
}

static void anchors(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample raw = sample_load(SNP "hcl_report.bin");
    for (int i = 0; i < 4; i++) {
        AUTO(azure_close) struct azure_report r;
        bool bound = verify(sample_bytes(&raw), NULL, &r);
        azure_verify_anchor(&r, i & 1, bound && i & 2, &checks);
        assert_int_equal(result("tpm.ak_anchor"), i == 3 ? CHECK_OK : CHECK_FAILED);
    }
}

/* Every bit of the runtime data and of report_data counts; the header's are the paravisor's word only. */
static void every_bit_that_binds(void **state)
{
    (void)state;
    static const char *const paths[] = { SNP "hcl_report.bin", TDX "hcl_report.bin" };
    skip_without_evidence();
    for (size_t k = 0; k < 2; k++) {
        AUTO(sample_done) struct sample raw = sample_load(paths[k]);
        struct hcl_report h;
        assert_int_equal(hcl_report_parse(sample_bytes(&raw), &h, &(struct err){ 0 }), 0);
        const struct {
            size_t from, n;
        } spans[] = { { (size_t)(h.var_data.p - raw.p), h.var_data.n },
                      { HCL_HEADER_SIZE + (k ? TDREPORT_OFF_REPORT_DATA : SNP_OFF_REPORT_DATA), 64 } };
        for (size_t s = 0; s < 2; s++)
            for (size_t bit = spans[s].from * 8; bit < (spans[s].from + spans[s].n) * 8; bit++) {
                AUTO(azure_close) struct azure_report r;
                raw.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
                if (verify(sample_bytes(&raw), NULL, &r))
                    fail_msg("%s: bit %zu", paths[k], bit);
                if (result("azure.runtime_data_binding") != CHECK_FAILED)
                    fail_msg("%s: bit %zu binds", paths[k], bit);
                raw.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
            }
    }
}

static void every_cut(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample raw = sample_load(SNP "hcl_report.bin");
    struct hcl_report h;
    assert_int_equal(hcl_report_parse(sample_bytes(&raw), &h, &(struct err){ 0 }), 0);
    for (size_t n = 0; n < h.report_size; n++) {
        AUTO(azure_close) struct azure_report r;
        AUTO(free_u8) uint8_t *cut = heap_copy(raw.p, n);
        assert_false(verify(bytes_of(cut, n), NULL, &r));
        assert_int_equal(result("azure.format"), CHECK_FAILED);
        assert_int_equal(result("azure.runtime_data_binding"), CHECK_FAILED);
        assert_int_equal(result("tpm.ak_anchor"), CHECK_FAILED);
    }
}

static void put_u32(uint8_t *at, size_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(v >> 8 * i);
}

/* The blob with other runtime data, all lengths right; hash: report_data follows too. */
static struct buf other_claims(const struct sample *raw, const char *json, bool hash)
{
    struct buf out = buf_new(HCL_REPORT_MAX);
    uint8_t digest[32];
    size_t n = strlen(json);
    buf_put(&out, bytes_of(raw->p, HCL_OFF_RUNTIME + HCL_RUNTIME_HEADER));
    buf_str(&out, json);
    put_u32(out.p + 8, HCL_OFF_RUNTIME + HCL_RUNTIME_HEADER + n);
    put_u32(out.p + HCL_OFF_RUNTIME, HCL_RUNTIME_HEADER + n);
    put_u32(out.p + HCL_OFF_RUNTIME + 16, n);
    sha256(bytes_str(json), digest);
    if (hash)
        memcpy(out.p + HCL_HEADER_SIZE + SNP_OFF_REPORT_DATA, digest, 32);
    return out;
}

static char *claims_with_key(EVP_PKEY *key)
{
    struct buf out = buf_new(4096);
    BIGNUM *n = NULL;
    uint8_t raw[256];
    assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n), 1);
    assert_int_equal(BN_bn2binpad(n, raw, sizeof(raw)), sizeof(raw));
    BN_free(n);
    buf_str(
        &out,
        "{\"keys\":[{\"kid\":\"HCLAkPub\",\"key_ops\":[\"sign\"],\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"");
    b64url_put(&out, bytes_of(raw, sizeof(raw)));
    buf_str(&out, "\"}],\"vm-configuration\":{},\"user-data\":\"");
    for (int i = 0; i < 128; i++)
        buf_u8(&out, '0');
    buf_str(&out, "\"}");
    return buf_take_str(&out);
}

/* A genuine SNP report beside runtime data that name a software key. */
static void a_software_key(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample raw = sample_load(SNP "hcl_report.bin");
    AUTO(pkey_drop) EVP_PKEY *key = made_rsa_key();
    AUTO(free_str) char *json = claims_with_key(key);
    for (int hash = 0; hash < 2; hash++) {
        AUTO(buf_done) struct buf blob = other_claims(&raw, json, hash);
        AUTO(azure_close) struct azure_report r;
        bool bound = verify(buf_bytes(&blob), NULL, &r);
        assert_int_equal(result("azure.format"), CHECK_OK);
        azure_verify_ak(&r, key, "the quote is signed by", &checks);
        assert_int_equal(result("azure.ak_binding"), CHECK_OK);
        assert_int_equal(bound, hash); /* with report_data changed too, the report's signature fails */
        azure_verify_anchor(&r, !hash, bound, &checks);
        assert_int_equal(result("tpm.ak_anchor"), CHECK_FAILED);
    }
}

static void claims_that_do_not_parse(void **state)
{
    (void)state;
    skip_without_evidence();
    static const char *const bad[] = { "{}", "[]", "{\"keys\":[]}", "not JSON",
                                       "{\"keys\":[{\"kid\":\"HCLEkPub\"}]}" };
    AUTO(sample_done) struct sample raw = sample_load(SNP "hcl_report.bin");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO(buf_done) struct buf blob = other_claims(&raw, bad[i], true);
        AUTO(azure_close) struct azure_report r;
        bool bound = verify(buf_bytes(&blob), NULL, &r);
        assert_true(bound && !r.ak);
        assert_int_equal(result("azure.format"), CHECK_FAILED);
        azure_verify_anchor(&r, true, bound, &checks);
        assert_int_equal(result("tpm.ak_anchor"), CHECK_FAILED);
        azure_verify_ak(&r, NULL, "the quote is signed by", &checks);
        assert_int_equal(result("azure.ak_binding"), CHECK_FAILED);
    }
}

static void vmpl(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample raw = sample_load(SNP "hcl_report.bin");
    for (uint8_t level = 0; level < 4; level++) {
        AUTO(azure_close) struct azure_report r;
        raw.p[HCL_HEADER_SIZE + SNP_OFF_VMPL] = level;
        assert_int_equal(verify(sample_bytes(&raw), NULL, &r), level == 0);
        assert_int_equal(result("azure.vmpl"), level ? CHECK_FAILED : CHECK_OK);
    }
}

static void hardware_of_another_kind(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample raw = sample_load(SNP "hcl_report.bin");
    for (uint8_t type = 0; type < 6; type++) {
        AUTO(azure_close) struct azure_report r;
        raw.p[HCL_OFF_RUNTIME + 8] = type;
        assert_int_equal(verify(sample_bytes(&raw), NULL, &r), type == HCL_SNP);
    }
}

static void td_quotes(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample raw = sample_load(TDX "hcl_report.bin");
    AUTO(sample_done) struct sample mine = sample_load(TDX "quote.bin");
    AUTO(sample_done) struct sample other = sample_load(TDX_2 "quote.bin");
    struct tdx_quote q, o;
    assert_int_equal(tdx_quote_parse(sample_bytes(&mine), &q, &(struct err){ 0 }), 0);
    assert_int_equal(tdx_quote_parse(sample_bytes(&other), &o, &(struct err){ 0 }), 0);
    struct tdx_body data = q.body, td = q.body;
    data.report_data = o.body.report_data;
    td.mr_td = o.body.report_data;
    const struct {
        const struct tdx_body *body;
        bool want;
    } rows[] = { { &q.body, true }, { NULL, false }, { &o.body, false }, { &data, false }, { &td, false } };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(azure_close) struct azure_report r;
        assert_int_equal(verify(sample_bytes(&raw), rows[i].body, &r), rows[i].want);
        assert_int_equal(result("azure.td_quote_binding"), rows[i].want ? CHECK_OK : CHECK_FAILED);
        assert_int_equal(result("azure.runtime_data_binding"), CHECK_OK);
        assert_int_equal(result("azure.vmpl"), CHECK_NOT_APPLICABLE);
    }
}

/* Every field that a quote repeats, changed in a TDREPORT whose hashes are made to fit again. */
static void fields_of_the_tdreport(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample raw = sample_load(TDX "hcl_report.bin");
    AUTO(sample_done) struct sample quote = sample_load(TDX "quote.bin");
    static const size_t fields[] = { 0x108, 0x118, 0x148, 0x178, 0x200, 0x208, 0x210,
                                     0x240, 0x270, 0x2A0, 0x2D0, 0x300, 0x330, 0x360 };
    uint8_t *report = raw.p + 0x20; /* behind the HCL header */
    struct tdx_quote q;
    assert_int_equal(tdx_quote_parse(sample_bytes(&quote), &q, &(struct err){ 0 }), 0);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        for (int hashed = 0; hashed < 2; hashed++) {
            AUTO(azure_close) struct azure_report r;
            uint8_t before[TDREPORT_SIZE];
            memcpy(before, report, sizeof(before));
            report[fields[i]] ^= 1;
            if (hashed) {
                sha384(bytes_of(report + TDREPORT_OFF_TCB_INFO, TDREPORT_TCB_INFO_SIZE), report + 0x20);
                sha384(bytes_of(report + TDREPORT_OFF_TDINFO, TDREPORT_TDINFO_SIZE), report + 0x50);
            }
            assert_false(verify(sample_bytes(&raw), &q.body, &r));
            assert_int_equal(result("azure.td_quote_binding"), CHECK_FAILED);
            assert_int_equal(result("azure.runtime_data_binding"), CHECK_OK);
            memcpy(report, before, sizeof(before));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snp_machine),
        cmocka_unit_test(anchors),
        cmocka_unit_test(every_bit_that_binds),
        cmocka_unit_test(every_cut),
        cmocka_unit_test(a_software_key),
        cmocka_unit_test(claims_that_do_not_parse),
        cmocka_unit_test(vmpl),
        cmocka_unit_test(hardware_of_another_kind),
        cmocka_unit_test(td_quotes),
        cmocka_unit_test(fields_of_the_tdreport),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
