#include "fuzz.h"

#include "image/gpt.h"
#include "image/verity.h"

/* The checksums are put right first, so that what lies behind them is reached. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t head[GPT_HEAD_MAX];
    struct gpt gpt;
    struct verity_header header;
    struct err err = { 0 };
    const uint64_t disk = 166723584;
    if (gpt_parse(bytes_of(data, size), disk, &gpt, &err) < 0)
        CHECK(err.kind == ERR_INPUT);
    if (verity_header_parse(bytes_of(data, size), &header, &err) == 0)
        CHECK(header.salt_size <= VERITY_SALT_MAX && header.data_blocks > 0);
    memset(head, 0, sizeof(head));
    memcpy(head, data, size < sizeof(head) ? size : sizeof(head));
    uint64_t entries = le_uint(head + 512 + 80, 4) * 128;
    if (entries <= sizeof(head) - 1024) {
        uint32_t crc = gpt_crc32(bytes_of(head + 1024, (size_t)entries));
        for (int i = 0; i < 4; i++)
            head[512 + 88 + i] = (uint8_t)(crc >> 8 * i);
    }
    memset(head + 512 + 16, 0, 4);
    uint32_t crc = gpt_crc32(bytes_of(head + 512, 92));
    for (int i = 0; i < 4; i++)
        head[512 + 16 + i] = (uint8_t)(crc >> 8 * i);
    if (gpt_parse(bytes_of(head, sizeof(head)), disk, &gpt, &err) < 0)
        return 0;
    for (size_t i = 0; i < gpt.n; i++) {
        CHECK(gpt.partition[i].offset < disk && gpt.partition[i].size <= disk - gpt.partition[i].offset);
        CHECK(strlen(gpt.partition[i].name) < GPT_NAME_MAX);
        for (size_t k = 0; k < i; k++)
            CHECK(gpt.partition[k].offset + gpt.partition[k].size <= gpt.partition[i].offset
                  || gpt.partition[i].offset + gpt.partition[i].size <= gpt.partition[k].offset);
    }
    struct buf event = buf_new(GPT_HEAD_MAX);
    gpt_event(&gpt, &event);
    CHECK(!event.failed && event.n == 100 + 128 * gpt.n);
    buf_done(&event);
    return 0;
}
