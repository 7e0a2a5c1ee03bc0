#include "agent/priv/message.h"

static uint8_t *put_le(uint8_t *at, uint32_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        *at++ = (uint8_t)(v >> (8 * i));
    return at;
}

void priv_message_encode(const struct priv_message *m, uint8_t out[static PRIV_MESSAGE_SIZE])
{
    uint8_t *at = put_le(out, PRIV_MAGIC, 4);
    at = put_le(at, PRIV_VERSION, 2);
    at = put_le(at, m->verb, 2);
    at = put_le(at, m->status, 2);
    at = put_le(at, 0, 2);
    at = put_le(at, m->sequence, 4);
    at = put_le(at, m->flags, 4);
    at = put_le(at, m->payload_size, 4);
    memcpy(at, m->payload, m->payload_size);
    memset(at + m->payload_size, 0, PRIV_PAYLOAD_MAX - m->payload_size);
}

int priv_message_decode(struct bytes raw, struct priv_message *out, struct err *err)
{
    struct reader r = reader_of(raw);
    uint32_t magic;
    uint16_t version, reserved;
    if (raw.n != PRIV_MESSAGE_SIZE)
        return err_set(err, ERR_INPUT, 0, "a message of %zu bytes, want %u", raw.n, PRIV_MESSAGE_SIZE);
    if (!rd_u32le(&r, &magic) || !rd_u16le(&r, &version) || magic != PRIV_MAGIC || version != PRIV_VERSION)
        return err_set(err, ERR_INPUT, 0, "not a message of version %d", PRIV_VERSION);
    uint16_t verb, status;
    uint32_t sequence, flags, size;
    if (!rd_u16le(&r, &verb) || !rd_u16le(&r, &status) || !rd_u16le(&r, &reserved) || !rd_u32le(&r, &sequence)
        || !rd_u32le(&r, &flags) || !rd_u32le(&r, &size) || reserved != 0 || size > PRIV_PAYLOAD_MAX)
        return err_set(err, ERR_INPUT, 0, "a malformed header");
    out->verb = verb;
    out->status = status;
    out->sequence = sequence;
    out->flags = flags;
    out->payload_size = size;
    memcpy(out->payload, r.rest.p, PRIV_PAYLOAD_MAX);
    return 0;
}

int priv_order_decode(const struct priv_message *m, struct priv_order *out, struct err *err)
{
    struct reader r = reader_of(bytes_of(m->payload, m->payload_size));
    struct priv_order o = { .what = (enum priv_engine)m->flags };
    bool names = m->flags == PRIV_ENGINE_STAGE || m->flags == PRIV_ENGINE_EXCHANGE;
    if (m->verb != PRIV_ENGINE || m->flags < PRIV_ENGINE_STAGE || m->flags > PRIV_ENGINE_STORED)
        return err_set(err, ERR_INPUT, 0, "no order to store");
    if (!rd_u64le(&r, &o.id) || (names && (!rd_u64le(&r, &o.device) || !rd_u64le(&r, &o.inode))) || r.rest.n)
        return err_set(err, ERR_INPUT, 0, "an order with %u bytes", m->payload_size);
    if (!o.id && o.what != PRIV_ENGINE_STORED)
        return err_set(err, ERR_INPUT, 0, "an order without an id");
    *out = o;
    return 0;
}
