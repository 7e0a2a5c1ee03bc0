/* Cocos policies: what is read judges the same twice, refuses a machine of which nothing is proven, and what
 * is refused says so as bad input. */
#include "fuzz.h"

#include "base/auto.h"
#include "base/json.h"
#include "policy/cocos.h"

static json_t *claims[2];

static void make_claims(void)
{
    static const char *const texts[2] = {
        "{\"sevsnp\":{\"sevsnp_guestsvn\":3,\"sevsnp_policy\":\"0x3001f\",\"sevsnp_vmpl\":2,\"sevsnp_"
        "product\":\"Milan\","
        "\"sevsnp_platform_info\":\"0x25\",\"sevsnp_current_tcb\":\"0xd60e000000000004\","
        "\"sevsnp_committed_tcb\":\"0xd60e000000000004\",\"sevsnp_reported_tcb\":\"0xd50e000000000003\","
        "\"sevsnp_vek_tcb\":\"0xd50e000000000003\",\"sevsnp_launch_tcb\":\"0xd40d000000000002\"},\"tpm\":{"
        "\"pcrs\":[]}}",
        "{\"tdx\":{\"tdx_td_attributes\":\"0000001000000000\",\"tdx_xfam\":\"e700060000000000\","
        "\"tdx_tee_tcb_svn\":\"05010200000000000000000000000000\"}}",
    };
    struct err err;
    for (int i = 0; i < 2; i++)
        if (!claims[i] && json_parse(bytes_str(texts[i]), 65536, &claims[i], &err) < 0)
            exit(2);
}

static size_t count(const struct cocos_policy *p, const json_t *of)
{
    AUTO(json_drop) json_t *failures = json_array();
    struct err err = { 0 };
    CHECK(cocos_apply(p, of, failures, &err) >= 0);
    return json_array_size(failures);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(cocos_drop) struct cocos_policy *p = NULL;
    AUTO(json_drop) json_t *none = json_object();
    struct err err = { 0 };
    make_claims();
    if (cocos_parse(bytes_of(data, size), NULL, &p, &err) < 0) {
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
        CHECK(err.cause[0]);
        return 0;
    }
    CHECK(cocos_looks(bytes_of(data, size)));
    CHECK(count(p, none) > 0);
    for (int i = 0; i < 2; i++)
        CHECK(count(p, claims[i]) == count(p, claims[i]));
    CHECK(count(p, claims[cocos_kind_of(p) == COCOS_SNP ? 1 : 0]) > 0); /* the other TEE */
    return 0;
}
