#include "fuzz.h"

#include "base/auto.h"
#include "base/json.h"
#include "tee/tdx_quote.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(json_drop) json_t *json = NULL;
    struct tdx_quote q, again;
    struct err err = { 0 };
    if (tdx_quote_parse(bytes_of(data, size), &q, &err) < 0) {
        CHECK(err.kind == ERR_INPUT && err.cause[0]);
        return 0;
    }
    CHECK(q.trailing.p + q.trailing.n == data + size && q.quote_len + q.trailing.n == size);
    CHECK(q.signed_bytes.n + 4 + q.signature_data_len == q.quote_len);
    CHECK(q.certification_data.p + q.certification_data.n == data + q.quote_len);
    CHECK((q.body_type == TDX_BODY_15) == (q.body.mr_service_td.n == 48));
    CHECK(tdx_quote_parse(bytes_of(data, q.quote_len), &again, &err) == 0 && again.trailing.n == 0);
    if (q.signature.p[0] % 16
        == 0) /* reading the certificates takes a hundred times longer than all the rest */
        CHECK(tdx_quote_json(&q, &json, &err) == 0);
    return 0;
}
