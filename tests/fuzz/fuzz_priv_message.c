/* Messages to cvm-agent-priv: what is read is written again with the same meaning, and an order to store is
 * one of four. */
#include "fuzz.h"

#include "agent/priv/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct priv_message m, again;
    static uint8_t raw[PRIV_MESSAGE_SIZE];
    struct priv_order order;
    struct err err = { 0 };
    if (priv_message_decode(bytes_of(data, size), &m, &err) < 0) {
        CHECK(err.kind == ERR_INPUT);
        return 0;
    }
    CHECK(m.payload_size <= PRIV_PAYLOAD_MAX);
    priv_message_encode(&m, raw);
    CHECK(priv_message_decode(bytes_of(raw, sizeof(raw)), &again, &err) == 0);
    CHECK(again.verb == m.verb && again.flags == m.flags && again.sequence == m.sequence
          && again.payload_size == m.payload_size && !memcmp(again.payload, m.payload, m.payload_size));
    if (priv_order_decode(&m, &order, &err) < 0) {
        CHECK(err.kind == ERR_INPUT);
        return 0;
    }
    bool names = order.what == PRIV_ENGINE_STAGE || order.what == PRIV_ENGINE_EXCHANGE;
    CHECK(m.verb == PRIV_ENGINE && m.payload_size == (names ? PRIV_STORE_SIZE : PRIV_ORDER_SIZE));
    CHECK(order.id || order.what == PRIV_ENGINE_STORED);
    CHECK(names || order.what == PRIV_ENGINE_DISCARD || order.what == PRIV_ENGINE_STORED);
    return 0;
}
