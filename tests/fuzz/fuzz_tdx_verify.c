/* Inputs are quotes; the collateral of a recorded case is at hand if there is evidence. No input may verify
 * but one whose signed parts are those of a genuine quote, and every check is made whatever comes. */
#include "fuzz.h"

#include "base/auto.h"
#include "base/file.h"
#include "policy/trust.h"
#include "tee/tdx_verify.h"

#include <limits.h>
#include <string.h>

#define CHECKS_MADE 16
#define AT          1758093775 /* 2025-09-17T07:22:55Z: when the collateral is current */

static X509 *root;
static struct tdx_prepared_collateral *prepared;

static void load_part(struct tdx_collateral *c, enum tdx_part part, const char *file)
{
    const char *evidence = getenv("CVM_EVIDENCE");
    AUTO(free_u8) uint8_t *data = NULL;
    char path[PATH_MAX];
    size_t n = 0;
    struct err err = { 0 };
    snprintf(path, sizeof(path), "%s/tdx/v4-20a06f-uptodate/%s", evidence ? evidence : CVM_EVIDENCE_DEFAULT,
             file);
    if (file_read(path, TDX_COLLATERAL_PART_MAX, &data, &n, &err) == 0)
        CHECK(tdx_collateral_set(c, part, bytes_of(data, n), &err) == 0);
}

static void prepare(const struct tdx_anchors *anchors)
{
    AUTO(tdx_collateral_drop) struct tdx_collateral *c = tdx_collateral_new();
    load_part(c, TDX_PART_TCB_INFO, "tcb_info.json");
    load_part(c, TDX_PART_TCB_INFO_CHAIN, "tcb_signing_chain.pem");
    load_part(c, TDX_PART_QE_IDENTITY, "qe_identity.json");
    load_part(c, TDX_PART_QE_IDENTITY_CHAIN, "tcb_signing_chain.pem");
    load_part(c, TDX_PART_PCK_CRL, "pck_crl.der");
    load_part(c, TDX_PART_PCK_CRL_CHAIN, "pck_crl_issuer_chain.pem");
    load_part(c, TDX_PART_ROOT_CA_CRL, "root_ca_crl.der");
    CHECK(tdx_prepare_collateral(c, anchors, &prepared, &(struct err){ 0 }) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct checks checks;
    static struct tdx_verdict v;
    for (size_t i = 0; !root && i < TRUST_ROWS; i++)
        if (trust_rows()[i].vendor == TRUST_INTEL)
            CHECK(x509_parse(trust_pem(i), &root, &(struct err){ 0 }) == 0);
    const struct tdx_anchors anchors = { &root, 1 };
    if (!prepared)
        prepare(&anchors);
    for (int with = 0; with < 2; with++) {
        const struct tdx_request rq = { .quote = bytes_of(data, size),
                                        .collateral = with ? prepared : NULL,
                                        .anchors = anchors,
                                        .at = AT,
                                        .accept = TDX_ACCEPT_DEFAULT | TDX_ACCEPT_NO_COLLATERAL };
        memset(&checks, 0, sizeof(checks));
        tdx_verify(&rq, &checks, &v);
        CHECK(checks.n == CHECKS_MADE && !checks.overflow);
        CHECK(v.parsed == checks_hold(&checks, "tdx.format"));
        CHECK(v.parsed || !v.authentic);
        CHECK(!v.authentic
              || (checks_hold(&checks, "tdx.quote_signature") && checks_hold(&checks, "tdx.pck_chain")));
        CHECK(!checks_all_hold(&checks) || v.authentic);
        CHECK(v.authentic || v.tcb.status == TDX_TCB_UNKNOWN);
        CHECK(!checks_hold(&checks, "tdx.tcb_status") || v.tcb.status == TDX_TCB_UP_TO_DATE
              || v.tcb.status == TDX_TCB_SW_HARDENING_NEEDED);
    }
    return 0;
}
