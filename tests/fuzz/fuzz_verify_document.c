/* A collaterals document of any bytes is refused with its place, or judged: never verified without a root,
 * whatever it says; and the answer is always whole. */
#include "appraisal/appraise.h"

#include "fuzz.h"

#define CLOCK 1795352400 /* in the validity of the seeds' certificates */

static bool whole(const json_t *answer)
{
    return json_is_boolean(json_object_get(answer, "success"))
           && json_is_array(json_object_get(answer, "checks"))
           && json_is_object(json_object_get(answer, "claims"))
           && json_is_object(json_object_get(answer, "coverage"))
           && json_is_array(json_object_get(answer, "warnings"))
           && json_is_string(json_object_get(answer, "freshness"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct verify_trust trust;
    static struct verify_cache *cache; /* as in the agent: chains of RSA keys would take most of the time */
    struct err err = { 0 };
    if (!cache)
        CHECK(trust_load(&trust, &err) == 0 && verify_cache_new(VERIFY_CACHE_ENTRIES, &cache, &err) == 0);
    const struct appraise_request request = {
        .collaterals = { data, size },
        .golden = bytes_of(NULL, 0),
        .golden_key = bytes_of(NULL, 0),
        .verify = { .trust = &trust,
                    .cache = cache,
                    .at = CLOCK,
                    .nonce = bytes_str("1234"),
                    .accept_tcb = TDX_ACCEPT_DEFAULT,
                    .accept_self_asserted_ak = true,
                    .accept_binding = "automata-early,automata-late,go-tpm-tools" },
    };
    struct appraisal appraisal = { NULL, NULL };
    if (appraise(&request, &appraisal, &err) < 0) {
        CHECK(err.cause[0] && (err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE));
        return 0;
    }
    CHECK(!verify_success(appraisal.result));
    CHECK(!json_object_get(appraisal.result->claims, "sevsnp")
          && !json_object_get(appraisal.result->claims, "tdx"));
    json_t *answer = appraisal_json(&appraisal);
    CHECK(whole(answer));
    json_decref(answer);
    appraisal_done(&appraisal);
    return 0;
}
