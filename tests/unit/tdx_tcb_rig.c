#include "tdx_tcb_rig.h"

#define ZERO48                                                                                               \
    "0000000000000000000000000000000000000000000000000000000000000000"                                       \
    "00000000000000000000000000000000"
static void put_components(struct buf *out, const char *key, const unsigned *svn, size_t n)
{
    buf_printf(out, "\"%s\":[", key);
    for (size_t i = 0; i < 16; i++)
        buf_printf(out, "%s{\"svn\":%u}", i ? "," : "", i < n ? svn[i] : 0);
    buf_str(out, "],");
}

static void put_rest(struct buf *out, const char *status, const char *advisories)
{
    buf_printf(out, ",\"tcbDate\":\"2024-03-13T00:00:00Z\",\"tcbStatus\":\"%s\"", status);
    if (advisories)
        buf_printf(out, ",\"advisoryIDs\":[%s]", advisories);
    buf_str(out, "}");
}

void put_info(struct buf *out, const struct level *levels, size_t n, const struct isv *modules, size_t m)
{
    static const char same[] =
        "\"mrsigner\":\"" ZERO48
        "\",\"attributes\":\"0000000000000000\",\"attributesMask\":\"FFFFFFFFFFFFFFFF\"";
    buf_printf(out,
               "{\"id\":\"TDX\",\"version\":3,\"issueDate\":\"2025-01-01T00:00:00Z\",\"nextUpdate\":"
               "\"2025-02-01T00:00:00Z\",\"fmspc\":\"90C06F000000\",\"pceId\":\"0000\",\"tcbType\":0,"
               "\"tcbEvaluationDataNumber\":18,\"tdxModule\":{%s},\"tdxModuleIdentities\":[",
               same);
    for (size_t i = 0; i < m; i++) {
        bool first = i == 0 || modules[i].version != modules[i - 1].version;
        if (first)
            buf_printf(out, "%s{\"id\":\"TDX_%02x\",%s,\"tcbLevels\":[", i ? "]}," : "", modules[i].version,
                       same);
        buf_printf(out, "%s{\"tcb\":{\"isvsvn\":%u}", first ? "" : ",", modules[i].isvsvn);
        put_rest(out, modules[i].status, modules[i].advisories);
    }
    buf_printf(out, "%s],\"tcbLevels\":[", m ? "]}" : "");
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "%s{\"tcb\":{", i ? "," : "");
        put_components(out, "sgxtcbcomponents", &levels[i].sgx, 1);
        put_components(out, "tdxtcbcomponents", levels[i].tdx, 3);
        buf_printf(out, "\"pcesvn\":%u}", levels[i].pcesvn);
        put_rest(out, levels[i].status, levels[i].advisories);
    }
    buf_str(out, "]}");
}

void put_identity(struct buf *out, const struct isv *levels, size_t n)
{
    buf_str(out, "{\"id\":\"TD_QE\",\"version\":2,\"issueDate\":\"2025-01-01T00:00:00Z\",\"nextUpdate\":"
                 "\"2025-02-01T00:00:00Z\",\"tcbEvaluationDataNumber\":18,\"miscselect\":\"00000000\","
                 "\"miscselectMask\":\"FFFFFFFF\",\"attributes\":\"11000000000000000000000000000000\","
                 "\"attributesMask\":\"FBFFFFFFFFFFFFFF0000000000000000\",\"mrsigner\":\"");
    buf_str(out, "DC9E2A7C6F948F17474E34A7FC43ED030F7C1563F1BABDDF6340C82E0E54A8C5\",\"isvprodid\":2,"
                 "\"tcbLevels\":[");
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "%s{\"tcb\":{\"isvsvn\":%u}", i ? "," : "", levels[i].isvsvn);
        put_rest(out, levels[i].status, levels[i].advisories);
    }
    buf_str(out, "]}");
}

void evaluate(struct buf *info_text, struct buf *qe_text, const struct platform *p,
              struct tdx_tcb_result *out)
{
    static const uint8_t zero[48];
    struct tdx_tcb_info info;
    struct tdx_qe_identity qe;
    struct pck_cert pck = { .pcesvn = (uint16_t)p->pcesvn };
    struct err err = { 0 };
    struct tdx_body body = { .tee_tcb_svn = bytes_of(p->svn, 16),
                             .tee_tcb_svn_2 = bytes_of(p->svn2, p->td15 ? 16 : 0),
                             .mr_signer_seam = bytes_of(zero, 48),
                             .seam_attributes = bytes_of(zero, 8) };
    const struct tdx_module *module = NULL;
    memset(pck.component_svn, p->sgx ? 255 : 0, sizeof(pck.component_svn));
    pck.component_svn[0] = (uint8_t)p->sgx;
    if (tdx_tcb_info_parse(buf_bytes(info_text), &info, &err) < 0
        || tdx_qe_identity_parse(buf_bytes(qe_text), &qe, &err) < 0
        || tdx_module_identity_check(&info, &body, &module, &err) < 0)
        fail_msg("%s", err.cause);
    const struct tdx_tcb_request rq = { &info, &qe, &pck, &body, module, (uint16_t)p->qe };
    tdx_tcb_evaluate(&rq, out);
    tdx_tcb_info_done(&info);
    tdx_qe_identity_done(&qe);
}

void expect(const struct level *levels, size_t n, const struct isv *modules, size_t m, const char *qe_status,
            const struct platform *p, const struct expected *want)
{
    AUTO(buf_done) struct buf info = buf_new(1u << 20), qe = buf_new(1u << 16), names = buf_new(1u << 12);
    const struct isv qe_levels[] = { { 0, 6, "UpToDate", NULL }, { 0, 4, qe_status, "\"SA-Q\",\"SA-1\"" } };
    struct tdx_tcb_result got;
    put_info(&info, levels, n, modules, m);
    put_identity(&qe, qe_levels, 2);
    evaluate(&info, &qe, p, &got);
    assert_int_equal(got.status, want->status);
    assert_int_equal(got.platform, want->platform);
    assert_int_equal(got.module, want->module);
    assert_int_equal(got.qe, want->qe);
    for (size_t i = 0; i < got.advisories.n; i++)
        buf_printf(&names, "%s%s", i ? " " : "", got.advisories.id[i]);
    AUTO(free_str) char *text = buf_take_str(&names);
    assert_string_equal(text, want->advisories);
}
