/* The LUKS2 header of a partition that the host wrote: what is found in it fits its bounds. */
#include "fuzz.h"

#include "tpm/sealed.h"
#include "volume/header.h"

#include <string.h>

static void find(const uint8_t *data, size_t size)
{
    struct volume_token t;
    struct err err = { 0 };
    if (volume_token_find(bytes_of(data, size), &t, &err) < 0) {
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_NOT_FOUND);
        return;
    }
    CHECK(t.sealed.n <= SEALED_BLOB_MAX && t.recovery.n <= 1024 && t.pcrs.mask <= TPM_PCRS_ALL);
    json_t *again = volume_token_json(&t);
    CHECK(again != NULL);
    json_decref(again);
    volume_token_done(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t header[VOLUME_LUKS_SIZE];
    static const uint8_t head[] = { 'L', 'U', 'K', 'S', 0xBA, 0xBE, 0, 2, 0, 0, 0, 0, 0, 0, 0x40, 0 };
    volume_header_state(bytes_of(data, size));
    find(data, size);
    /* the same bytes as the text of a header whose head is right */
    memset(header, 0, sizeof(header));
    memcpy(header, head, sizeof(head));
    memcpy(header + VOLUME_BLOCK, data,
           size < VOLUME_LUKS_SIZE - VOLUME_BLOCK ? size : VOLUME_LUKS_SIZE - VOLUME_BLOCK);
    find(header, sizeof(header));
    return 0;
}
