#include "agent/openapi.h"

#include <zlib.h>

#define GZIP (16 + MAX_WBITS)

extern const unsigned char cvm_openapi[];
extern const size_t cvm_openapi_size;

void openapi_write(struct buf *out)
{
    uint8_t part[4096];
    z_stream z = { .next_in = (uint8_t *)(uintptr_t)cvm_openapi, .avail_in = (uInt)cvm_openapi_size };
    int rc = inflateInit2(&z, GZIP);
    if (rc != Z_OK) {
        out->failed = true;
        return;
    }
    while (rc == Z_OK) {
        z.next_out = part;
        z.avail_out = sizeof(part);
        rc = inflate(&z, Z_NO_FLUSH);
        buf_put(out, bytes_of(part, sizeof(part) - z.avail_out));
    }
    inflateEnd(&z);
    if (rc != Z_STREAM_END)
        out->failed = true;
}
