/* agent/priv/message: requests made here, cut and damaged; orders to store. */
#include "evidence.h"

#include "agent/priv/message.h"
#include "base/auto.h"
#include "base/buf.h"

#include <stdlib.h>

static struct priv_message order_of(uint32_t flags, size_t payload)
{
    struct priv_message m = { .verb = PRIV_ENGINE, .flags = flags, .payload_size = (uint32_t)payload };
    for (size_t i = 0; i < payload; i++)
        m.payload[i] = (uint8_t)(i + 1);
    return m;
}

static void every_cut_is_refused(void **state)
{
    const struct priv_message m = order_of(PRIV_ENGINE_STAGE, PRIV_STORE_SIZE);
    uint8_t raw[PRIV_MESSAGE_SIZE];
    struct priv_message out;
    (void)state;
    priv_message_encode(&m, raw);
    assert_int_equal(priv_message_decode(bytes_of(raw, sizeof(raw)), &out, &(struct err){ 0 }), 0);
    for (size_t n = 0; n < sizeof(raw); n++) {
        AUTO(free_u8) uint8_t *cut = heap_copy(raw, n);
        struct err err = { 0 };
        assert_int_equal(priv_message_decode(bytes_of(cut, n), &out, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
    }
}

/* A bit of the header changes what is read, or the message is refused. */
static void one_bit_is_seen(void **state)
{
    const struct priv_message m = order_of(PRIV_ENGINE_EXCHANGE, PRIV_STORE_SIZE);
    uint8_t raw[PRIV_MESSAGE_SIZE];
    (void)state;
    priv_message_encode(&m, raw);
    for (size_t bit = 0; bit < 8 * (PRIV_HEADER_SIZE + PRIV_STORE_SIZE); bit++) {
        AUTO(free_u8) uint8_t *damaged = heap_copy(raw, sizeof(raw));
        struct priv_message out;
        damaged[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (priv_message_decode(bytes_of(damaged, sizeof(raw)), &out, &(struct err){ 0 }) < 0)
            continue;
        assert_true(out.verb != m.verb || out.status != m.status || out.sequence != m.sequence
                    || out.flags != m.flags || out.payload_size != m.payload_size
                    || memcmp(out.payload, m.payload, PRIV_STORE_SIZE) != 0);
    }
}

static void orders(void **state)
{
    static const struct {
        uint32_t flags;
        size_t payload;
        bool good;
    } rows[] = {
        { PRIV_ENGINE_STAGE, 24, true },    { PRIV_ENGINE_STAGE, 23, false },
        { PRIV_ENGINE_STAGE, 25, false },   { PRIV_ENGINE_STAGE, 16, false },
        { PRIV_ENGINE_STAGE, 0, false },    { PRIV_ENGINE_EXCHANGE, 24, true },
        { PRIV_ENGINE_EXCHANGE, 8, false }, { PRIV_ENGINE_EXCHANGE, 32, false },
        { PRIV_ENGINE_DISCARD, 8, true },   { PRIV_ENGINE_DISCARD, 0, false },
        { PRIV_ENGINE_DISCARD, 24, false }, { PRIV_ENGINE_STORED, 8, true },
        { PRIV_ENGINE_STORED, 0, false },   { PRIV_ENGINE_STORED, 9, false },
        { PRIV_ENGINE_STOP, 8, false },     { 7, 0, false },
        { UINT32_MAX, 24, false },          { PRIV_ENGINE_STAGE, PRIV_PAYLOAD_MAX, false },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct priv_message m = order_of(rows[i].flags, rows[i].payload);
        struct priv_order out = { 0 };
        struct err err = { 0 };
        assert_int_equal(priv_order_decode(&m, &out, &err), rows[i].good ? 0 : -1);
        assert_int_equal(out.what, rows[i].good ? rows[i].flags : 0);
        bool names = rows[i].good && rows[i].payload == PRIV_STORE_SIZE;
        assert_true(out.id == (rows[i].good ? 0x0807060504030201u : 0));
        assert_true(out.device == (names ? 0x100F0E0D0C0B0A09u : 0));
        assert_true(out.inode == (names ? 0x1817161514131211u : 0));
    }
    struct priv_message other = order_of(PRIV_ENGINE_STAGE, 24);
    memset(other.payload, 0, PRIV_ORDER_SIZE); /* an id that means none */
    assert_int_equal(priv_order_decode(&other, &(struct priv_order){ 0 }, &(struct err){ 0 }), -1);
    other.flags = PRIV_ENGINE_STORED;
    other.payload_size = PRIV_ORDER_SIZE;
    assert_int_equal(priv_order_decode(&other, &(struct priv_order){ 0 }, &(struct err){ 0 }), 0);
    other.verb = PRIV_MAINTENANCE;
    assert_int_equal(priv_order_decode(&other, &(struct priv_order){ 0 }, &(struct err){ 0 }), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(one_bit_is_seen),
        cmocka_unit_test(orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
