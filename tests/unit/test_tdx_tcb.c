/* TCB info, quoting enclave identity, and the statuses that they give. What to expect follows Intel's rules
 * as written down in the PCS API and the DCAP quote verification library; documents are recorded or made
 * here. */
#include "evidence.h"

#include "base/auto.h"
#include "base/json.h"
#include "tee/json_range.h"
#include "tee/tdx_tcb.h"

#include <stdio.h>
#include <stdlib.h>

#define ZERO48                                                                                               \
    "0000000000000000000000000000000000000000000000000000000000000000"                                       \
    "00000000000000000000000000000000"

/* ---- documents ---- */

struct level {
    unsigned sgx, pcesvn, tdx[3];
    const char *status, *advisories;
};

struct isv {
    unsigned version, isvsvn;
    const char *status, *advisories;
};

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

static void put_info(struct buf *out, const struct level *levels, size_t n, const struct isv *modules,
                     size_t m)
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

static void put_identity(struct buf *out, const struct isv *levels, size_t n)
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

/* ---- evaluation ---- */

struct platform {
    unsigned sgx, pcesvn;
    uint8_t svn[16], svn2[16];
    bool td15;
    unsigned qe;
};

struct expected {
    enum tdx_tcb_status status, platform, module, qe;
    const char *advisories;
};

static void evaluate(struct buf *info_text, struct buf *qe_text, const struct platform *p,
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

static void expect(const struct level *levels, size_t n, const struct isv *modules, size_t m,
                   const char *qe_status, const struct platform *p, const struct expected *want)
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

#define UP   TDX_TCB_UP_TO_DATE
#define OOD  TDX_TCB_OUT_OF_DATE
#define OODC TDX_TCB_OUT_OF_DATE_CONFIGURATION_NEEDED
#define CONF TDX_TCB_CONFIGURATION_NEEDED
#define NONE TDX_TCB_NO_MATCHING_LEVEL

static const struct level two_levels[] = {
    { 5, 13, { 5, 0, 7 }, "UpToDate", NULL },
    { 5, 11, { 3, 0, 5 }, "ConfigurationNeeded", "\"SA-1\",\"SA-2\"" },
    { 3, 5, { 1, 0, 1 }, "OutOfDate", "\"SA-1\",\"SA-3\"" },
};
static const struct isv two_modules[] = {
    { 3, 3, "UpToDate", NULL },
    { 1, 5, "UpToDate", NULL },
    { 1, 2, "OutOfDate", "\"SA-M\"" },
};

/* Which level a platform meets: each component, PCESVN, and the indices that a module version takes out. */
static void levels_are_found(void **state)
{
    static const struct {
        struct platform p;
        struct expected want;
    } rows[] = {
        { { 5, 13, { 5, 0, 7 }, { 0 }, false, 6 }, { UP, UP, TDX_TCB_UNKNOWN, UP, "" } },
        { { 9, 99, { 9, 0, 9 }, { 0 }, false, 9 }, { UP, UP, TDX_TCB_UNKNOWN, UP, "" } },
        { { 5, 12, { 5, 0, 7 }, { 0 }, false, 6 }, { CONF, CONF, TDX_TCB_UNKNOWN, UP, "SA-1 SA-2" } },
        { { 5, 13, { 4, 0, 7 }, { 0 }, false, 6 }, { CONF, CONF, TDX_TCB_UNKNOWN, UP, "SA-1 SA-2" } },
        { { 5, 13, { 5, 0, 6 }, { 0 }, false, 6 }, { CONF, CONF, TDX_TCB_UNKNOWN, UP, "SA-1 SA-2" } },
        { { 4, 13, { 5, 0, 7 }, { 0 }, false, 6 }, { OOD, OOD, TDX_TCB_UNKNOWN, UP, "SA-1 SA-3" } },
        { { 2, 13, { 5, 0, 7 }, { 0 }, false, 6 }, { NONE, NONE, TDX_TCB_UNKNOWN, UP, "" } },
        { { 5, 13, { 0, 0, 7 }, { 0 }, false, 6 }, { NONE, NONE, TDX_TCB_UNKNOWN, UP, "" } },
        { { 5, 4, { 5, 0, 7 }, { 0 }, false, 6 }, { NONE, NONE, TDX_TCB_UNKNOWN, UP, "" } },
        /* module version 1: component 0 is judged by TDX_01 */
        { { 5, 13, { 5, 1, 7 }, { 0 }, false, 6 }, { UP, UP, UP, UP, "" } },
        { { 5, 13, { 2, 1, 7 }, { 0 }, false, 6 }, { OOD, UP, OOD, UP, "SA-M" } },
        { { 5, 13, { 2, 1, 5 }, { 0 }, false, 6 }, { OODC, CONF, OOD, UP, "SA-1 SA-2 SA-M" } },
        { { 5, 13, { 1, 1, 7 }, { 0 }, false, 6 }, { NONE, UP, NONE, UP, "" } },
        { { 5, 13, { 3, 3, 7 }, { 0 }, false, 6 }, { UP, UP, UP, UP, "" } },
        { { 5, 13, { 2, 3, 7 }, { 0 }, false, 6 }, { NONE, UP, NONE, UP, "" } },
        { { 2, 13, { 2, 1, 7 }, { 0 }, false, 6 }, { NONE, NONE, OOD, UP, "" } },
        /* the quoting enclave */
        { { 5, 13, { 5, 1, 7 }, { 0 }, false, 5 }, { OOD, UP, UP, OOD, "SA-Q SA-1" } },
        { { 5, 13, { 5, 1, 5 }, { 0 }, false, 5 }, { OODC, CONF, UP, OOD, "SA-1 SA-2 SA-Q" } },
        { { 5, 13, { 5, 1, 7 }, { 0 }, false, 3 }, { NONE, UP, UP, NONE, "" } },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        expect(two_levels, 3, two_modules, 3, "OutOfDate", &rows[i].p, &rows[i].want);
    expect(two_levels, 0, two_modules, 3, "OutOfDate", &rows[0].p,
           &(struct expected){ NONE, NONE, TDX_TCB_UNKNOWN, UP, "" });
}

/* Platform and module, platform and quoting enclave: Intel's two tables. */
static void statuses_converge(void **state)
{
    static const struct {
        const char *platform, *part;
        enum tdx_tcb_status want;
    } rows[] = {
        { "UpToDate", "UpToDate", UP },
        { "UpToDate", "OutOfDate", OOD },
        { "SWHardeningNeeded", "UpToDate", TDX_TCB_SW_HARDENING_NEEDED },
        { "SWHardeningNeeded", "OutOfDate", OOD },
        { "ConfigurationNeeded", "OutOfDate", OODC },
        { "ConfigurationAndSWHardeningNeeded", "OutOfDate", OODC },
        { "ConfigurationAndSWHardeningNeeded", "UpToDate", TDX_TCB_CONFIGURATION_AND_SW_HARDENING_NEEDED },
        { "OutOfDate", "OutOfDate", OOD },
        { "OutOfDate", "UpToDate", OOD },
        { "OutOfDateConfigurationNeeded", "OutOfDate", OODC },
        { "OutOfDateConfigurationNeeded", "UpToDate", OODC },
        { "Revoked", "UpToDate", TDX_TCB_REVOKED },
        { "Revoked", "OutOfDate", TDX_TCB_REVOKED },
        { "UpToDate", "Revoked", TDX_TCB_REVOKED },
        { "OutOfDateConfigurationNeeded", "Revoked", TDX_TCB_REVOKED },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (int qe = 0; qe < 2; qe++) {
            AUTO(buf_done) struct buf info = buf_new(1u << 20), identity = buf_new(1u << 16);
            const struct level level = { 5, 13, { 5, 0, 7 }, rows[i].platform, NULL };
            const struct isv module = { 1, 5, qe ? "UpToDate" : rows[i].part, NULL };
            const struct isv enclave = { 0, 6, qe ? rows[i].part : "UpToDate", NULL };
            const struct platform p = { 5, 13, { 5, 1, 7 }, { 0 }, false, 6 };
            struct tdx_tcb_result got;
            put_info(&info, &level, 1, &module, 1);
            put_identity(&identity, &enclave, 1);
            evaluate(&info, &identity, &p, &got);
            assert_int_equal(got.status, rows[i].want);
            assert_string_equal(got.date, "2024-03-13T00:00:00Z");
        }
    }
}

/* TD 1.5: only the start of the TD is outdated. */
static void relaunch_is_advised(void **state)
{
    static const enum tdx_tcb_status advised = TDX_TCB_TD_RELAUNCH_ADVISED;
    static const enum tdx_tcb_status advised_conf = TDX_TCB_TD_RELAUNCH_ADVISED_CONFIGURATION_NEEDED;
    static const struct {
        struct platform p;
        enum tdx_tcb_status want;
    } rows[] = {
        { { 5, 13, { 2, 1, 7 }, { 5, 1, 7 }, true, 6 }, advised },
        { { 5, 13, { 2, 1, 7 }, { 3, 3, 7 }, true, 6 }, advised },
        { { 5, 13, { 2, 1, 7 }, { 5, 0, 7 }, true, 6 }, advised },
        { { 5, 13, { 2, 1, 5 }, { 5, 1, 7 }, true, 6 }, advised_conf }, /* the platform's level is CONF */
        { { 5, 13, { 2, 1, 7 }, { 4, 1, 7 }, true, 6 }, OOD },          /* module not new enough */
        { { 5, 13, { 2, 1, 7 }, { 4, 0, 7 }, true, 6 }, OOD },
        { { 5, 13, { 2, 1, 7 }, { 5, 1, 6 }, true, 6 }, OOD }, /* microcode not */
        { { 5, 13, { 2, 1, 7 }, { 5, 1, 7 }, false, 6 }, OOD },
        { { 5, 13, { 2, 1, 7 }, { 5, 1, 7 }, true, 5 }, OOD },  /* the enclave is outdated too */
        { { 4, 13, { 2, 1, 7 }, { 5, 1, 7 }, true, 6 }, OOD },  /* the SGX part is */
        { { 5, 13, { 2, 1, 7 }, { 5, 9, 7 }, true, 6 }, NONE }, /* a module that nobody knows */
        { { 5, 13, { 5, 1, 7 }, { 5, 1, 7 }, true, 6 }, UP },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        AUTO(buf_done) struct buf info = buf_new(1u << 20), qe = buf_new(1u << 16);
        const struct isv enclave[] = { { 0, 6, "UpToDate", NULL }, { 0, 4, "OutOfDate", NULL } };
        struct tdx_tcb_result got;
        put_info(&info, two_levels, 3, two_modules, 3);
        put_identity(&qe, enclave, 2);
        evaluate(&info, &qe, &rows[i].p, &got);
        if (got.status != rows[i].want)
            fail_msg("row %zu: %s", i, tdx_tcb_status_name(got.status));
    }
}

static void modules_and_enclaves_are_identified(void **state)
{
    AUTO(buf_done) struct buf text = buf_new(1u << 20), identity = buf_new(1u << 16);
    uint8_t svn[16] = { 5, 2 }, signer[48] = { 0 }, attributes[8] = { 0 }, raw[TDX_QE_REPORT_SIZE] = { 0 };
    uint8_t qe_signer[32], qe_attributes[16] = { 0x15, 0, 0, 0, 0, 0, 0, 0, 0xE7 };
    const struct isv enclave = { 0, 6, "UpToDate", NULL };
    struct tdx_tcb_info info;
    struct tdx_qe_identity qe;
    struct tdx_body body = { .tee_tcb_svn = bytes_of(svn, 16),
                             .mr_signer_seam = bytes_of(signer, 48),
                             .seam_attributes = bytes_of(attributes, 8) };
    const struct tdx_module *found;
    struct err err = { 0 };
    (void)state;
    put_info(&text, two_levels, 3, two_modules, 3);
    put_identity(&identity, &enclave, 1);
    assert_int_equal(tdx_tcb_info_parse(buf_bytes(&text), &info, &err), 0);
    assert_int_equal(tdx_qe_identity_parse(buf_bytes(&identity), &qe, &err), 0);
    assert_int_equal(tdx_module_identity_check(&info, &body, &found, &err), -1);
    assert_non_null(strstr(err.cause, "TDX_02"));
    svn[1] = 1;
    assert_int_equal(tdx_module_identity_check(&info, &body, &found, &err), 0);
    assert_int_equal(found->levels.n, 2);
    signer[47] = 1;
    assert_int_equal(tdx_module_identity_check(&info, &body, &found, &err), -1);
    signer[47] = 0;
    attributes[0] = 0x80;
    assert_int_equal(tdx_module_identity_check(&info, &body, &found, &err), -1);
    attributes[0] = svn[1] = 0;
    assert_int_equal(tdx_module_identity_check(&info, &body, &found, &err), 0);
    assert_null(found);

    memcpy(qe_signer, qe.mr_signer, 32);
    struct tdx_qe_report report = { .raw = bytes_of(raw, sizeof(raw)),
                                    .attributes = bytes_of(qe_attributes, 16),
                                    .mr_signer = bytes_of(qe_signer, 32),
                                    .isv_prod_id = 2 };
    assert_int_equal(tdx_qe_identity_check(&qe, &report, &err), 0);
    uint8_t *const places[] = { &qe_attributes[0], &qe_attributes[7], &qe_signer[31],
                                &raw[TDX_QE_OFF_MISC_SELECT] };
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        *places[i] ^= 2;
        assert_int_equal(tdx_qe_identity_check(&qe, &report, &err), -1);
        *places[i] ^= 2;
    }
    report.isv_prod_id = 1;
    assert_int_equal(tdx_qe_identity_check(&qe, &report, &err), -1);
    tdx_tcb_info_done(&info);
    tdx_qe_identity_done(&qe);
}

/* ---- parsing ---- */

/* Every member is needed; each other value of its first byte, or none, is refused or read, never a crash. */
static void documents_need_all_members(void **state)
{
    static const char *const optional[] = { "tdxModule", "tdxModuleIdentities" };
    AUTO(buf_done) struct buf text = buf_new(1u << 20), identity = buf_new(1u << 16);
    struct tdx_tcb_info info;
    struct tdx_qe_identity qe;
    struct err err = { 0 };
    (void)state;
    put_info(&text, two_levels, 3, two_modules, 3);
    put_identity(&identity, two_modules, 3);
    for (int which = 0; which < 2; which++) {
        AUTO(json_drop) json_t *doc = NULL;
        const char *key;
        json_t *v;
        assert_int_equal(json_parse(buf_bytes(which ? &identity : &text), 1u << 20, &doc, &err), 0);
        json_object_foreach(doc, key, v)
        {
            bool free_to_miss = !strcmp(key, optional[0]) || !strcmp(key, optional[1]);
            for (int replaced = 0; replaced < 2; replaced++) {
                AUTO(json_drop) json_t *without = json_copy(doc);
                AUTO(buf_done) struct buf shorter = buf_new(1u << 20);
                if (replaced)
                    json_object_set_new(without, key, json_true());
                else
                    json_object_del(without, key);
                json_put(&shorter, without, false);
                int rc = which ? tdx_qe_identity_parse(buf_bytes(&shorter), &qe, &err)
                               : tdx_tcb_info_parse(buf_bytes(&shorter), &info, &err);
                if (rc == 0) {
                    assert_true(free_to_miss && !replaced);
                    tdx_tcb_info_done(&info);
                } else {
                    assert_int_equal(err.kind, ERR_INPUT);
                }
            }
        }
    }
}

static void other_documents_are_refused(void **state)
{
    static const struct {
        const char *from, *to, *why;
    } info_rows[] = {
        { "\"id\":\"TDX\"", "\"id\":\"SGX\"", "SGX's" },
        { "\"version\":3", "\"version\":2", "version 2" },
        { "\"tcbType\":0", "\"tcbType\":1", "tcbType 1" },
        { "\"tcbStatus\":\"UpToDate\"", "\"tcbStatus\":\"Uptodate\"", "Intel's statuses" },
        { "\"tcbStatus\":\"UpToDate\"", "\"tcbStatus\":\"TDRelaunchAdvised\"", "Intel's statuses" },
        { "TDX_03", "TDX_3", "two hex digits" },
        { "\"pcesvn\":13", "\"pcesvn\":65536", "pcesvn" },
        { "\"svn\":7", "\"svn\":256", "svn" },
        { "\"pcesvn\":13", "\"pcesvn\":13,\"pcesvn\":13", "duplicate" },
    },
      qe_rows[] = {
          { "TD_QE", "QE", "SGX's" },
          { "TD_QE", "QVE", "SGX's" },
          { "\"version\":2", "\"version\":3", "version 3" },
          { "\"isvsvn\":6", "\"isvsvn\":-1", "isvsvn" },
      };
    AUTO(buf_done) struct buf info = buf_new(1u << 20), qe = buf_new(1u << 16);
    const struct isv enclave = { 0, 6, "UpToDate", NULL };
    struct tdx_tcb_info parsed_info;
    struct tdx_qe_identity parsed_qe;
    (void)state;
    put_info(&info, two_levels, 3, two_modules, 3);
    put_identity(&qe, &enclave, 1);
    for (size_t i = 0; i < ARRAY_SIZE(info_rows) + ARRAY_SIZE(qe_rows); i++) {
        bool is_qe = i >= ARRAY_SIZE(info_rows);
        const char *from = is_qe ? qe_rows[i - ARRAY_SIZE(info_rows)].from : info_rows[i].from;
        const char *to = is_qe ? qe_rows[i - ARRAY_SIZE(info_rows)].to : info_rows[i].to;
        const char *why = is_qe ? qe_rows[i - ARRAY_SIZE(info_rows)].why : info_rows[i].why;
        AUTO(buf_done) struct buf changed = buf_new(1u << 20);
        struct bytes text = buf_bytes(is_qe ? &qe : &info);
        struct err err = { 0 };
        const uint8_t *at = memmem(text.p, text.n, from, strlen(from));
        assert_non_null(at);
        buf_put(&changed, bytes_of(text.p, (size_t)(at - text.p)));
        buf_str(&changed, to);
        buf_put(&changed, bytes_of(at + strlen(from), text.n - (size_t)(at - text.p) - strlen(from)));
        assert_int_equal(is_qe ? tdx_qe_identity_parse(buf_bytes(&changed), &parsed_qe, &err)
                               : tdx_tcb_info_parse(buf_bytes(&changed), &parsed_info, &err),
                         -1);
        if (!strstr(err.cause, why))
            fail_msg("%s: %s", to, err.cause);
    }
}

static void lists_have_maxima(void **state)
{
    struct level levels[TDX_TCB_LEVELS_MAX + 1];
    struct tdx_tcb_info info;
    struct err err = { 0 };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
        levels[i] = two_levels[0];
    for (size_t more = 0; more < 2; more++) {
        AUTO(buf_done) struct buf text = buf_new(1u << 20);
        put_info(&text, levels, TDX_TCB_LEVELS_MAX + more, two_modules, 3);
        assert_int_equal(tdx_tcb_info_parse(buf_bytes(&text), &info, &err), more ? -1 : 0);
        if (!more)
            tdx_tcb_info_done(&info);
    }
}

static void accept_lists(void **state)
{
    static const struct {
        const char *list;
        uint32_t set;
    } rows[] = {
        { "UpToDate", 1u << UP },
        { "uptodate,OUTOFDATE", 1u << UP | 1u << OOD },
        { "none", TDX_ACCEPT_DEFAULT | TDX_ACCEPT_NO_COLLATERAL },
        { "OutOfDate,none", 1u << UP | 1u << OOD | TDX_ACCEPT_NO_COLLATERAL },
        { "TDRelaunchAdvised", 1u << UP | 1u << TDX_TCB_TD_RELAUNCH_ADVISED },
    };
    static const char *const refused[] = {
        "", ",", "UpToDate,", "Revoked", "NoMatchingTcbLevel", "UpToDat", "UpToDate OutOfDate"
    };
    uint32_t set = 0;
    struct err err = { 0 };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        assert_int_equal(tdx_accept_parse(rows[i].list, &set, &err), 0);
        assert_int_equal(set, rows[i].set);
    }
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        assert_int_equal(tdx_accept_parse(refused[i], &set, &err), -1);
}

/* The scanner finds what the parser finds, byte for byte. */
static void ranges_of_members(void **state)
{
    static const struct {
        const char *text, *key, *value;
    } rows[] = {
        { "{\"a\":1,\"b\":{\"c\":[1,\"}\"]} , \"d\":\"x\\\"y\"}", "b", "{\"c\":[1,\"}\"]}" },
        { " { \"a\" : true , \"b\" :-1.5e3 } ", "b", "-1.5e3" },
        { "{\"a\":{\"b\":2},\"b\":3}", "b", "3" },
        { "{\"x\":\"\\\\\",\"b\":\"\"}", "b", "\"\"" },
        { "{\"b\":[[],{}]}", "b", "[[],{}]" },
        { "{\"bb\":1}", "b", NULL },
        { "{\"\\u0062\":1}", "b", NULL },
        { "[]", "b", NULL },
        { "{}", "b", NULL },
        { "{\"b\":", "b", NULL },
        { "{\"b", "b", NULL },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct bytes got = bytes_of(NULL, 0);
        bool found = json_member_range(bytes_str(rows[i].text), rows[i].key, &got);
        assert_int_equal(found, rows[i].value != NULL);
        if (found && !bytes_equal(got, bytes_str(rows[i].value)))
            fail_msg("%s: %.*s", rows[i].text, (int)got.n, (const char *)got.p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_are_found),           cmocka_unit_test(statuses_converge),
        cmocka_unit_test(relaunch_is_advised),        cmocka_unit_test(modules_and_enclaves_are_identified),
        cmocka_unit_test(documents_need_all_members), cmocka_unit_test(other_documents_are_refused),
        cmocka_unit_test(lists_have_maxima),          cmocka_unit_test(accept_lists),
        cmocka_unit_test(ranges_of_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
