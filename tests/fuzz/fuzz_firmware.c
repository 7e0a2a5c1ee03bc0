#include "fuzz.h"

#include "image/firmware.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct firmware f;
    struct err err = { 0 };
    if (firmware_parse(bytes_of(data, size), ALG_SHA256, &f, &err) < 0)
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
    else
        CHECK(f.dxe.n == 32);
    return 0;
}
