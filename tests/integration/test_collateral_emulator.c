/* The collateral service over the services of an emulated machine: what they answer is what the real ones do.
 */
#include "evidence.h"

#include "base/auto.h"
#include "base/file.h"
#include "tee/collateral.h"
#include "tee/emulator/emulator.h"
#include "tee/report.h"
#include "tee/tdx_quote.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st, (void)type, (void)where;
    return remove(path);
}

struct world {
    char state[32];
    struct emulator *e;
    struct lower lower;
    struct tee_report report;
    X509 *root[16];
    struct buf der;
    struct bytes pool[16];
    struct chain_pool chain_pool;
};

/* The roots of the machine, as a user would give them with --trust-emulator. */
static void read_roots(struct world *w)
{
    char path[128];
    struct err err = { 0 };
    size_t end[16];
    snprintf(path, sizeof(path), "%s/emulator/roots.pem", w->state);
    struct sample pem = sample_load_path(path);
    int n = x509_parse_chain(sample_bytes(&pem), w->root, 16, &err);
    assert_in_range(n, 1, 16);
    w->der = buf_new((size_t)16 * CERT_MAX);
    for (int i = 0; i < n; i++) {
        assert_int_equal(x509_put_der(w->root[i], &w->der, &err), 0);
        end[i] = w->der.n;
    }
    for (int i = 0; i < n; i++) {
        size_t from = i ? end[i - 1] : 0;
        w->pool[i] = bytes_of(w->der.p + from, end[i] - from);
        X509_free(w->root[i]);
    }
    w->chain_pool = (struct chain_pool){ w->pool, (size_t)n };
    sample_done(&pem);
}

static void world_new(struct world *w, const char *shape, enum tee_type tee)
{
    struct err err = { 0 };
    const uint8_t report_data[64] = { 1 };
    *w = (struct world){ .state = "/tmp/cvm-emulated-XXXXXX" };
    assert_non_null(mkdtemp(w->state));
    if (emulator_new(shape, w->state, NULL, &w->e, &err) < 0)
        fail_msg("%s", err.cause);
    w->lower = emulator_lower(w->e);
    if (tee_report_get(&w->lower, tee, report_data, &w->report, &err) < 0)
        fail_msg("%s", err.cause);
    read_roots(w);
}

static struct collateral_service *open_world(const struct world *w, const struct chain_pool *pool)
{
    struct collateral_service *c = NULL;
    struct err err = { 0 };
    const struct collateral_source source = { .http = w->lower.http, .pool = pool };
    assert_int_equal(collateral_new(&source, &c, &err), 0);
    return c;
}

static void world_done(struct world *w)
{
    tee_report_done(&w->report);
    emulator_free(w->e);
    buf_done(&w->der);
    assert_int_equal(nftw(w->state, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void the_emulated_pcs_is_one(void **state)
{
    (void)state;
    struct world w;
    struct tdx_quote quote;
    struct collateral_tdx t = { 0 };
    uint8_t fmspc[6];
    enum collateral_ca ca;
    struct err err = { 0 };
    world_new(&w, "tdx", TEE_TDX);
    assert_int_equal(tdx_quote_parse(buf_bytes(&w.report.report), &quote, &err), 0);
    assert_int_equal(collateral_of_pck(quote.pck_chain, fmspc, &ca, &err), 0);
    struct collateral_service *c = open_world(&w, &w.chain_pool);
    assert_int_equal(collateral_tdx(c, bytes_of(fmspc, 6), ca, &t, &err), 0);
    for (size_t i = 0; i < TDX_SET; i++)
        if (t.why[i].kind != ERR_NONE)
            fail_msg("%s", t.why[i].cause);
    assert_true(t.complete);
    collateral_tdx_done(&t);
    collateral_free(c);
    world_done(&w);
}

static void the_emulated_kds_is_one(void **state)
{
    (void)state;
    struct world w;
    AUTO(vek_certs_done) struct vek_certs certs = { 0 };
    AUTO(collateral_item_done) struct collateral_item crl = { 0 };
    struct snp_report report;
    struct err err = { 0 };
    world_new(&w, "snp", TEE_SEV_SNP);
    assert_int_equal(snp_report_parse(buf_bytes(&w.report.report), &report, &err), 0);
    const struct collateral_id id = { .kind = COLLATERAL_AMD_CRL, .product = report.product };
    struct collateral_service *c = open_world(&w, &w.chain_pool);
    if (collateral_vek(c, report.raw, &certs, &err) < 0)
        fail_msg("%s", err.cause);
    assert_int_equal(certs.chain_n, 2);
    if (collateral_get(c, &id, &crl, &err) < 0)
        fail_msg("%s", err.cause);
    collateral_free(c);
    world_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_emulated_pcs_is_one),
        cmocka_unit_test(the_emulated_kds_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
