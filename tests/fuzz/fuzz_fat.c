#include "fuzz.h"

#include "base/auto.h"
#include "image/fat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(buf_done) struct buf out = buf_new(1u << 20);
    struct err err = { 0 };
    if (fat_read_file(bytes_of(data, size), "EFI/BOOT/BOOTX64.EFI", &out, &err) < 0)
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_NOT_FOUND || err.kind == ERR_TOO_LARGE);
    else
        CHECK(!out.failed);
    return 0;
}
