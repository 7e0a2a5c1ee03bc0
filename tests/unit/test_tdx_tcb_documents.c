/* tee/tdx_tcb.h: documents without a member, of another form, or with too much. */
#include "tdx_tcb_rig.h"

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
        cmocka_unit_test(documents_need_all_members), cmocka_unit_test(other_documents_are_refused),
        cmocka_unit_test(lists_have_maxima),          cmocka_unit_test(accept_lists),
        cmocka_unit_test(ranges_of_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
