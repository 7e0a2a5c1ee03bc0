/* HCL reports. What is said to be bound is bound, computed here by itself. */
#include "fuzz.h"

#include "base/auto.h"
#include "base/digest.h"
#include "tee/azure_verify.h"

#include <string.h>

static struct checks checks;

static void check_bound(const struct azure_report *r)
{
    static const uint16_t algs[] = {
        [HCL_SHA256] = ALG_SHA256, [HCL_SHA384] = ALG_SHA384, [HCL_SHA512] = ALG_SHA512
    };
    struct digest digest;
    size_t at = r->hcl.report_type == HCL_SNP ? SNP_OFF_REPORT_DATA : TDREPORT_OFF_REPORT_DATA;
    CHECK(r->hcl.hash_type < ARRAY_SIZE(algs) && algs[r->hcl.hash_type]);
    CHECK(digest_of(algs[r->hcl.hash_type], r->hcl.var_data, &digest, &(struct err){ 0 }) == 0);
    CHECK(memcmp(r->hcl.hw.p + at, digest.b, digest.n) == 0);
    CHECK(bytes_zero(bytes_of(r->hcl.hw.p + at + digest.n, 64u - digest.n)));
    if (r->hcl.report_type == HCL_SNP)
        CHECK(le_uint(r->hcl.hw.p + SNP_OFF_VMPL, 4) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(azure_close) struct azure_report r = { .ak = NULL };
    memset(&checks, 0, sizeof(checks));
    if (!azure_open(bytes_of(data, size), &r, &checks)) {
        CHECK(checks.n == 6 && !r.ak && !r.claims.root);
        for (size_t i = 0; i < checks.n; i++)
            CHECK(checks.list[i].result == CHECK_FAILED);
        return 0;
    }
    bool tdx = r.hcl.report_type == HCL_TDX && r.td.raw.n;
    CHECK(!r.ak || (r.claims.root && EVP_PKEY_get_bits(r.ak) >= 2048));
    bool bound = azure_verify(&r, tdx ? &r.td.body : NULL, &checks);
    if (bound)
        check_bound(&r);
    azure_verify_ak(&r, r.ak, "the quote is signed by", &checks);
    azure_verify_anchor(&r, true, bound, &checks);
    CHECK(checks.n == 6);
    CHECK(checks_hold(&checks, "azure.ak_binding") == (r.ak != NULL));
    CHECK(checks_hold(&checks, "tpm.ak_anchor") == (bound && r.ak));
    return 0;
}
