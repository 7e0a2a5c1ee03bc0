/* Answers of the vendors' services: a byte for the kind, the header with the issuer chain up to a zero byte,
 * the body. Promise: what is taken is in a form that is taken again, byte for byte: it is what the folder
 * keeps. */
#include "fuzz.h"

#include "base/auto.h"
#include "tee/collateral_internal.h"

#include <stdlib.h>
#include <string.h>

static void check_again(const struct collateral_id *id, const struct collateral_item *item)
{
    AUTO(collateral_item_done) struct collateral_item again = { 0 };
    struct err err = { 0 };
    CHECK(item->data.n > 0 && item->data.n <= collateral_max(id->kind));
    CHECK(collateral_take(id, buf_bytes(&item->data), buf_bytes(&item->chain), NULL, 0, &again, &err) == 0);
    CHECK(bytes_equal(buf_bytes(&again.data), buf_bytes(&item->data)));
    CHECK(bytes_equal(buf_bytes(&again.chain), buf_bytes(&item->chain)));
    CHECK(again.next_update == item->next_update);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(collateral_item_done) struct collateral_item item = { 0 };
    struct err err = { 0 };
    if (size == 0)
        return 0;
    const struct collateral_id id = { .kind = data[0] % COLLATERAL_KINDS,
                                      .product = SNP_MILAN,
                                      .vlek = data[0] & 0x10,
                                      .fmspc = { 0xB0, 0xC0, 0x6F },
                                      .ca = (data[0] & 0x20) ? COLLATERAL_CA_PROCESSOR
                                                             : COLLATERAL_CA_PLATFORM };
    const uint8_t *zero = memchr(data + 1, 0, size - 1);
    size_t header_n = zero ? (size_t)(zero - data) - 1 : 0;
    struct bytes body = zero ? bytes_of(zero + 1, size - header_n - 2) : bytes_of(data + 1, size - 1);
    AUTO(free_str) char *header = calloc(1, header_n + 1);
    if (!header)
        return 0;
    memcpy(header, data + 1, header_n);
    if (collateral_take_answer(&id, body, header_n ? header : NULL, NULL, 0, &item, &err) == 0)
        check_again(&id, &item);
    else
        CHECK(!item.data.p && !item.chain.p && err.cause[0]
              && (err.kind == ERR_INPUT || err.kind == ERR_DENIED || err.kind == ERR_TOO_LARGE));
    return 0;
}
