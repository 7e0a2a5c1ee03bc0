/* Appraisal requests: what is read is whole, evidence that no hardware signed never holds. The first byte
 * chooses the route. */
#include "fuzz.h"

#include "appraisal/ita_evidence.h"
#include "base/auto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct verify_trust nobody;
    AUTO(ita_request_done) struct ita_request r = { .root = NULL };
    AUTO(ita_result_drop) struct ita_result *result = NULL;
    const struct ita_options options = { .trust = &nobody, .at = 1795305600 };
    struct err err = { 0 };
    if (!size)
        return 0;
    int rc = ita_request_parse(bytes_of(data + 1, size - 1), (enum ita_route)(data[0] % 3), &r, &err);
    if (rc < 0) {
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
        return 0;
    }
    CHECK(!(r.has_tdx && r.has_snp) && (r.has_tdx || r.has_snp || r.gpu_token));
    CHECK(r.policies <= ITA_POLICIES_MAX && r.cert_chain.n <= ITA_CHAIN_MAX);
    CHECK(ita_judge(&r, &options, &result, &err) == 0);
    CHECK(!checks_all_hold(&result->checks));
    CHECK(!json_object_get(result->claims, "tdx") && !json_object_get(result->claims, "sevsnp"));
    return 0;
}
