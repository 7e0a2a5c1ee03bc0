#include "fuzz.h"

#include "base/auto.h"
#include "base/json.h"
#include "tee/tdreport.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(json_drop) json_t *json = NULL;
    struct tdreport t;
    struct err err = { 0 };
    if (tdreport_parse(bytes_of(data, size), &t, &err) < 0) {
        CHECK(err.kind == ERR_INPUT && size != TDREPORT_SIZE);
        return 0;
    }
    CHECK(size == TDREPORT_SIZE && t.tdinfo.p + t.tdinfo.n == data + size);
    CHECK(!t.is_tdx || data[0] == TDREPORT_TYPE_TDX);
    CHECK(tdreport_json(&t, &json, &err) == 0);
    return 0;
}
