/* Inputs are collateral objects, or any one part: a PCS answer, a signature, a chain, a CRL. */
#include "fuzz.h"

#include "base/auto.h"
#include "base/json.h"
#include "policy/trust.h"
#include "tee/json_range.h"
#include "tee/tdx_verify.h"

#include <string.h>

static X509 *root;

static X509 *intel_root(void)
{
    for (size_t i = 0; !root && i < TRUST_ROWS; i++)
        if (trust_rows()[i].vendor == TRUST_INTEL)
            CHECK(x509_parse(trust_pem(i), &root, &(struct err){ 0 }) == 0);
    return root;
}

/* What the scanner cuts out is what the parser reads. */
static void check_ranges(struct bytes text)
{
    AUTO(json_drop) json_t *doc = NULL;
    struct err err = { 0 };
    const char *key;
    json_t *value;
    if (json_parse(text, 1u << 20, &doc, &err) < 0)
        return;
    json_object_foreach(doc, key, value)
    {
        AUTO(json_drop) json_t *again = NULL;
        struct bytes range;
        if (strchr(key, '\\') || !json_member_range(text, key, &range))
            continue; /* spelled with escapes, or looks like one that is */
        CHECK(range.p >= text.p && range.p + range.n <= text.p + text.n);
        CHECK(json_parse(range, 1u << 20, &again, &err) == 0 && json_equal(value, again));
    }
}

static void check_documents(struct bytes raw)
{
    static struct tdx_tcb_info info;
    static struct tdx_qe_identity identity;
    struct err err = { 0 };
    if (tdx_tcb_info_parse(raw, &info, &err) == 0) {
        CHECK(info.levels_n <= TDX_TCB_LEVELS_MAX && info.identities_n <= TDX_MODULES_MAX);
        tdx_tcb_info_done(&info);
    } else {
        CHECK((err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE) && err.cause[0]);
    }
    if (tdx_qe_identity_parse(raw, &identity, &err) == 0)
        tdx_qe_identity_done(&identity);
}

static void check_prepared(const struct tdx_collateral *c)
{
    AUTO(tdx_prepared_collateral_drop) struct tdx_prepared_collateral *p = NULL;
    struct err err = { 0 };
    X509 *const list[] = { intel_root() };
    CHECK(tdx_prepare_collateral(c, &(struct tdx_anchors){ list, 1 }, &p, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum tdx_part kinds[] = { TDX_PART_TCB_INFO, TDX_PART_QE_IDENTITY,
                                           TDX_PART_TCB_INFO_SIGNATURE, TDX_PART_TCB_INFO_CHAIN,
                                           TDX_PART_PCK_CRL };
    struct bytes raw = bytes_of(data, size);
    AUTO(tdx_collateral_drop) struct tdx_collateral *whole = NULL;
    struct err err = { 0 };
    check_ranges(raw);
    if (tdx_collateral_parse(raw, &whole, &err) == 0)
        check_prepared(whole);
    else
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        AUTO(tdx_collateral_drop) struct tdx_collateral *c = tdx_collateral_new();
        if (tdx_collateral_set(c, kinds[i], raw, &err) < 0) {
            CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
            continue;
        }
        if (c->tcb_info.raw)
            check_documents(bytes_of(c->tcb_info.raw, c->tcb_info.raw_n));
        if (c->qe_identity.raw)
            check_documents(bytes_of(c->qe_identity.raw, c->qe_identity.raw_n));
    }
    return 0;
}
