#include "fuzz.h"

#include "base/auto.h"
#include "base/json.h"
#include "tee/hcl_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(json_drop) json_t *json = NULL;
    AUTO(buf_done) struct buf spki = buf_new(4096);
    struct hcl_report h;
    uint8_t bound[64];
    struct err err = { 0 };
    AUTO(hcl_claims_done) struct hcl_claims bare = { 0 };
    if (hcl_claims_parse(bytes_of(data, size), &bare, &err) < 0)
        CHECK((err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE) && !bare.root);
    if (hcl_report_parse(bytes_of(data, size), &h, &err) < 0) {
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
        return 0;
    }
    CHECK(h.report_size <= size && h.var_data.p + h.var_data.n == data + h.report_size);
    CHECK(bytes_zero(bytes_of(data + h.report_size, size - h.report_size)));
    CHECK(hcl_expected_report_data(&h, bound, &err) == 0);
    if (hcl_ak_spki(&h, &spki, &err) == 0)
        CHECK(spki.n > 256);
    CHECK(hcl_report_json(&h, &json, &err) == 0);
    return 0;
}
