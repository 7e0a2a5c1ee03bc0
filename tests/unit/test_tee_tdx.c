/* TDX quotes, TDREPORTs and PCK certificates: every cut, every bit, every limit. */
#include "evidence.h"

#include "base/auto.h"
#include "base/json.h"
#include "tee/pck_cert.h"
#include "tee/tdreport.h"

#include <stdlib.h>

#define V4   "tdx/v4-50806f-early-prod/quote.bin"
#define V5   "tdx/v5-90c06f-no-tcb-level/quote.bin"
#define TDRP "azure-tdx/hcl-only/tdreport.bin"

#define V5_BODY (TDX_QUOTE_HEADER + 6)

static int parse(struct bytes raw, struct tdx_quote *out)
{
    struct err err = { 0 };
    int rc = tdx_quote_parse(raw, out, &err);
    assert_true(rc == 0 || (err.kind == ERR_INPUT && err.cause[0]));
    return rc;
}

static void offsets_are_those_of_the_parser(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load(V5);
    struct tdx_quote q;
    assert_int_equal(parse(sample_bytes(&s), &q), 0);
    const uint8_t *body = s.p + V5_BODY, *qe = q.qe_report.raw.p;
    const struct {
        struct bytes view;
        const uint8_t *at;
        size_t n;
    } views[] = {
        { q.signed_bytes, s.p, V5_BODY + TDX_BODY_15_SIZE },
        { q.body.tee_tcb_svn, body + TDX_OFF_TEE_TCB_SVN, 16 },
        { q.body.mr_seam, body + TDX_OFF_MR_SEAM, 48 },
        { q.body.mr_signer_seam, body + TDX_OFF_MR_SIGNER_SEAM, 48 },
        { q.body.seam_attributes, body + TDX_OFF_SEAM_ATTRIBUTES, 8 },
        { q.body.td_attributes, body + TDX_OFF_TD_ATTRIBUTES, 8 },
        { q.body.xfam, body + TDX_OFF_XFAM, 8 },
        { q.body.mr_td, body + TDX_OFF_MR_TD, 48 },
        { q.body.mr_config_id, body + TDX_OFF_MR_CONFIG_ID, 48 },
        { q.body.mr_owner, body + TDX_OFF_MR_OWNER, 48 },
        { q.body.mr_owner_config, body + TDX_OFF_MR_OWNER_CONFIG, 48 },
        { q.body.rtmr[0], body + TDX_OFF_RTMR, 48 },
        { q.body.rtmr[3], body + TDX_OFF_RTMR + (size_t)3 * 48, 48 },
        { q.body.report_data, body + TDX_OFF_REPORT_DATA, 64 },
        { q.body.tee_tcb_svn_2, body + TDX_OFF_TEE_TCB_SVN_2, 16 },
        { q.body.mr_service_td, body + TDX_OFF_MR_SERVICE_TD, 48 },
        { q.qe_report.cpu_svn, qe + TDX_QE_OFF_CPU_SVN, 16 },
        { q.qe_report.attributes, qe + TDX_QE_OFF_ATTRIBUTES, 16 },
        { q.qe_report.mr_enclave, qe + TDX_QE_OFF_MR_ENCLAVE, 32 },
        { q.qe_report.mr_signer, qe + TDX_QE_OFF_MR_SIGNER, 32 },
        { q.qe_report.report_data, qe + TDX_QE_OFF_REPORT_DATA, 64 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
        assert_ptr_equal(views[i].view.p, views[i].at);
        assert_int_equal(views[i].view.n, views[i].n);
    }
    assert_int_equal(q.qe_report.misc_select, le_uint(qe + TDX_QE_OFF_MISC_SELECT, 4));
    assert_int_equal(q.qe_report.isv_prod_id, le_uint(qe + TDX_QE_OFF_ISV_PROD_ID, 2));
    assert_int_equal(q.qe_report.isv_svn, le_uint(qe + TDX_QE_OFF_ISV_SVN, 2));
}

static void refuses_every_cut(void **state)
{
    static const char *const files[] = { V4, V5 };
    (void)state;
    skip_without_evidence();
    for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
        AUTO(sample_done) struct sample s = sample_load(files[f]);
        struct tdx_quote q, whole;
        assert_int_equal(parse(sample_bytes(&s), &whole), 0);
        for (size_t n = 0; n <= s.n; n++) {
            AUTO(free_u8) uint8_t *cut = heap_copy(s.p, n);
            assert_int_equal(parse(bytes_of(cut, n), &q), n < whole.quote_len ? -1 : 0);
        }
    }
}

/* Not in the JSON because they mean nothing: reserved bytes of the header and of the QE report. */
static bool reserved(const struct tdx_quote *q, const uint8_t *at)
{
    static const struct {
        size_t from, to;
    } qe[] = { { 0x14, 0x30 }, { 0x60, 0x80 }, { 0xA0, 0x100 }, { 0x104, 0x140 } };
    const uint8_t *start = q->signed_bytes.p, *report = q->qe_report.raw.p;
    if (at >= start + 8 && at < start + 12)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(qe); i++)
        if (at >= report + qe[i].from && at < report + qe[i].to)
            return true;
    return false;
}

/* Whatever bit before the PEM chain is turned: refused, or seen in the JSON. */
static void sees_every_bit(void **state)
{
    static const char *const files[] = { V4, V5 };
    (void)state;
    skip_without_evidence();
    for (size_t f = 0; f < ARRAY_SIZE(files); f++) {
        AUTO(sample_done) struct sample s = sample_load(files[f]);
        struct tdx_quote whole, q;
        AUTO(json_drop) json_t *before = NULL;
        assert_int_equal(parse(sample_bytes(&s), &whole), 0);
        size_t end = (size_t)(whole.pck_chain.p - s.p);
        assert_int_equal(tdx_quote_json(&whole, &before, &(struct err){ 0 }), 0);
        for (size_t i = 0; i < end; i++) {
            size_t bit = i * 5 % 8; /* one bit a byte: the JSON with its certificates is slow to build */
            s.p[i] ^= (uint8_t)(1u << bit);
            if (!reserved(&whole, s.p + i) && parse(sample_bytes(&s), &q) == 0) {
                AUTO(json_drop) json_t *after = NULL;
                assert_int_equal(tdx_quote_json(&q, &after, &(struct err){ 0 }), 0);
                assert_false(json_equal(before, after));
            }
            s.p[i] ^= (uint8_t)(1u << bit);
        }
    }
}

/* Every bit: whatever parses lies inside the input and ends where it says. */
static void damage_stays_inside(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load(V5);
    for (size_t bit = 0; bit < s.n * 8; bit++) {
        struct tdx_quote q;
        s.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (parse(sample_bytes(&s), &q) == 0)
            assert_true(q.trailing.p + q.trailing.n == s.p + s.n
                        && q.certification_data.p + q.certification_data.n == q.trailing.p);
        s.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void refuses_what_it_does_not_know(void **state)
{
    static const struct {
        const char *file;
        size_t at;
        uint8_t value;
    } damage[] = {
        { V4, 0, 3 },         { V4, 0, 6 }, { V5, 0, 4 }, /* version 5 read as 4: sizes disagree */
        { V4, 2, 3 },                                     /* P-384 key */
        { V4, 4, 0 },                                     /* an SGX quote */
        { V5, 48, 1 },                                    /* SGX body */
        { V5, 48, 2 },                                    /* TD 1.0 body of TD 1.5 size */
        { V5, 50, 0x48 },                                 /* TD 1.5 body of TD 1.0 size */
        { V4, 636 + 128, 5 },                             /* outer certification data without QE report */
    };
    (void)state;
    skip_without_evidence();
    for (size_t i = 0; i < ARRAY_SIZE(damage); i++) {
        AUTO(sample_done) struct sample s = sample_load(damage[i].file);
        struct tdx_quote q;
        s.p[damage[i].at] = damage[i].value;
        assert_int_equal(parse(sample_bytes(&s), &q), -1);
    }
}

static void inner_certification_data(void **state)
{
    static const struct {
        uint8_t type;
        int rc;
    } types[] = { { 0, -1 }, { 1, 0 }, { 2, -1 }, { 3, -1 }, { 4, 0 }, { 5, 0 }, { 6, -1 }, { 7, -1 } };
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load(V4);
    struct tdx_quote q;
    assert_int_equal(parse(sample_bytes(&s), &q), 0);
    size_t type_at = (size_t)(q.certification_data.p - s.p) - 6;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        s.p[type_at] = types[i].type;
        assert_int_equal(parse(sample_bytes(&s), &q), types[i].rc);
        if (types[i].rc == 0)
            assert_int_equal(q.pck_chain.n != 0, types[i].type >= 4);
    }
}

static void debug_attributes(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load(V4);
    struct tdx_quote q;
    uint8_t *at = s.p + TDX_QUOTE_HEADER + TDX_OFF_TD_ATTRIBUTES;
    for (unsigned bit = 0; bit < 64; bit++) {
        memset(at, 0, 8);
        at[bit / 8] = (uint8_t)(1u << bit % 8);
        assert_int_equal(parse(sample_bytes(&s), &q), 0);
        assert_int_equal(tdx_is_debug(&q.body), bit < 8);
        assert_true(tdx_attributes(&q.body) == UINT64_C(1) << bit);
    }
}

/* ---- TDREPORT ---- */

static void tdreport_every_length(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load(TDRP);
    struct tdreport t;
    AUTO(free_u8) uint8_t *longer = calloc(2, TDREPORT_SIZE);
    memcpy(longer, s.p, s.n);
    for (size_t n = 0; n <= (size_t)2 * TDREPORT_SIZE; n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(longer, n);
        assert_int_equal(tdreport_parse(bytes_of(cut, n), &t, &(struct err){ 0 }),
                         n == TDREPORT_SIZE ? 0 : -1);
    }
}

static void tdreport_offsets(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load(TDRP);
    struct tdreport t;
    assert_int_equal(tdreport_parse(sample_bytes(&s), &t, &(struct err){ 0 }), 0);
    const struct {
        struct bytes view;
        size_t at, n;
    } views[] = {
        { t.cpu_svn, TDREPORT_OFF_CPU_SVN, 16 },
        { t.tee_tcb_info_hash, TDREPORT_OFF_TCB_INFO_HASH, 48 },
        { t.tdinfo_hash, TDREPORT_OFF_TDINFO_HASH, 48 },
        { t.body.report_data, TDREPORT_OFF_REPORT_DATA, 64 },
        { t.mac, TDREPORT_OFF_MAC, 32 },
        { t.tee_tcb_info, TDREPORT_OFF_TCB_INFO, TDREPORT_TCB_INFO_SIZE },
        { t.body.tee_tcb_svn, TDREPORT_OFF_TEE_TCB_SVN, 16 },
        { t.body.mr_seam, TDREPORT_OFF_MR_SEAM, 48 },
        { t.body.mr_signer_seam, TDREPORT_OFF_MR_SIGNER_SEAM, 48 },
        { t.body.seam_attributes, TDREPORT_OFF_SEAM_ATTRIBUTES, 8 },
        { t.body.tee_tcb_svn_2, TDREPORT_OFF_TEE_TCB_SVN_2, 16 },
        { t.tdinfo, TDREPORT_OFF_TDINFO, TDREPORT_TDINFO_SIZE },
        { t.body.td_attributes, TDREPORT_OFF_TD_ATTRIBUTES, 8 },
        { t.body.xfam, TDREPORT_OFF_XFAM, 8 },
        { t.body.mr_td, TDREPORT_OFF_MR_TD, 48 },
        { t.body.mr_config_id, TDREPORT_OFF_MR_CONFIG_ID, 48 },
        { t.body.mr_owner, TDREPORT_OFF_MR_OWNER, 48 },
        { t.body.mr_owner_config, TDREPORT_OFF_MR_OWNER_CONFIG, 48 },
        { t.body.rtmr[0], TDREPORT_OFF_RTMR, 48 },
        { t.body.mr_service_td, TDREPORT_OFF_SERVTD_HASH, 48 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
        assert_ptr_equal(views[i].view.p, s.p + views[i].at);
        assert_int_equal(views[i].view.n, views[i].n);
    }
}

/* Its hashes notice every bit of what they are over; the type is judged. */
static void tdreport_every_bit(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = sample_load(TDRP);
    struct tdreport t;
    for (size_t bit = 0; bit < s.n * 8; bit++) {
        size_t at = bit / 8;
        bool hashed = (at >= TDREPORT_OFF_TCB_INFO && at < TDREPORT_OFF_TCB_INFO + TDREPORT_TCB_INFO_SIZE)
                      || at >= TDREPORT_OFF_TDINFO
                      || (at >= TDREPORT_OFF_TCB_INFO_HASH && at < TDREPORT_OFF_REPORT_DATA);
        s.p[at] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(tdreport_parse(sample_bytes(&s), &t, &(struct err){ 0 }), 0);
        assert_int_equal(tdreport_consistent(&t), !hashed);
        assert_int_equal(t.is_tdx, bit == 16 || at > 2); /* bit 16: version 1 */
        s.p[at] ^= (uint8_t)(1u << bit % 8);
    }
}

/* ---- PCK certificate ---- */

static struct sample pck_extension(void)
{
    AUTO(sample_done) struct sample s = sample_load(V4);
    struct tdx_quote q;
    struct bytes content;
    X509 *chain[4];
    assert_int_equal(parse(sample_bytes(&s), &q), 0);
    int n = x509_parse_chain(q.pck_chain, chain, ARRAY_SIZE(chain), &(struct err){ 0 });
    assert_int_equal(n, 3);
    assert_true(x509_extension(chain[0], PCK_OID_SGX, &content));
    struct sample out = { heap_copy(content.p, content.n), content.n };
    struct pck_cert p;
    assert_int_equal(pck_cert_parse(chain[1], &p, &(struct err){ 0 }), -1); /* a CA has none */
    while (n-- > 0)
        X509_free(chain[n]);
    return out;
}

static void pck_every_cut_and_bit(void **state)
{
    (void)state;
    skip_without_evidence();
    AUTO(sample_done) struct sample s = pck_extension();
    struct pck_cert p, damaged;
    unsigned differ = 0, same = 0;
    assert_int_equal(pck_extension_parse(sample_bytes(&s), &p, &(struct err){ 0 }), 0);
    for (size_t n = 0; n < s.n; n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(s.p, n);
        struct err err = { 0 };
        assert_int_equal(pck_extension_parse(bytes_of(cut, n), &damaged, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
    AUTO(free_u8) uint8_t *good = heap_copy(s.p, s.n);
    for (size_t bit = 0; bit < s.n * 8; bit++) {
        s.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (pck_extension_parse(sample_bytes(&s), &damaged, &(struct err){ 0 }) == 0) {
            bool numbers = memcmp(damaged.component_svn, p.component_svn, sizeof(p.component_svn)) != 0
                           || damaged.pcesvn != p.pcesvn || damaged.sgx_type != p.sgx_type;
            bool inside = (size_t)(damaged.ppid.p - s.p) < s.n; /* views changed where the bit is */
            differ += numbers;
            same += !numbers && inside;
        }
        s.p[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_memory_equal(good, s.p, s.n);
    /* PPID, CPUSVN, PCE id, FMSPC and platform instance id are octets of any value; all else is seen or
     * refused */
    assert_true(differ > 0 && same <= (16 + 16 + 2 + 6 + 16) * 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_are_those_of_the_parser),
        cmocka_unit_test(refuses_every_cut),
        cmocka_unit_test(sees_every_bit),
        cmocka_unit_test(damage_stays_inside),
        cmocka_unit_test(refuses_what_it_does_not_know),
        cmocka_unit_test(inner_certification_data),
        cmocka_unit_test(debug_attributes),
        cmocka_unit_test(tdreport_every_length),
        cmocka_unit_test(tdreport_offsets),
        cmocka_unit_test(tdreport_every_bit),
        cmocka_unit_test(pck_every_cut_and_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
