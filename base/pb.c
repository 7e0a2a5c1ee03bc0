#include "base/pb.h"

#define PB_NUMBER_MAX  ((1u << 29) - 1)
#define PB_VARINT_SIZE 10

static int read_varint(struct reader *r, uint64_t *out, struct err *err)
{
    struct reader at = *r;
    uint64_t v = 0;
    for (unsigned i = 0; i < PB_VARINT_SIZE; i++) {
        uint8_t b;
        if (!rd_u8(&at, &b))
            return err_set(err, ERR_INPUT, 0, "protobuf cut short at offset %zu: a number ends too early",
                           at.off);
        if (i == PB_VARINT_SIZE - 1 && b > 1)
            break; /* more than 64 bits */
        v |= (uint64_t)(b & 0x7F) << (7 * i);
        if (b & 0x80)
            continue;
        *r = at;
        *out = v;
        return 0;
    }
    return err_set(err, ERR_INPUT, 0, "protobuf number at offset %zu has more than 64 bits", r->off);
}

int pb_next(struct reader *r, struct pb_field *out, struct err *err)
{
    struct reader at = *r;
    struct pb_field f = { .data = bytes_of(NULL, 0) };
    uint64_t key = 0;
    uint32_t fixed32 = 0;
    if (at.rest.n == 0)
        return 0;
    if (read_varint(&at, &key, err) < 0)
        return -1;
    if (key >> 3 == 0 || key >> 3 > PB_NUMBER_MAX)
        return err_set(err, ERR_INPUT, 0, "no protobuf field at offset %zu", r->off);
    f.number = (uint32_t)(key >> 3);
    f.wire = (enum pb_wire)(key & 7);
    bool whole = true;
    switch (key & 7) {
    case PB_VARINT:
        if (read_varint(&at, &f.value, err) < 0)
            return -1;
        break;
    case PB_FIXED64:
        whole = rd_u64le(&at, &f.value);
        break;
    case PB_FIXED32:
        whole = rd_u32le(&at, &fixed32);
        f.value = fixed32;
        break;
    case PB_BYTES:
        if (read_varint(&at, &key, err) < 0)
            return -1;
        whole = key <= at.rest.n && rd_take(&at, (size_t)key, &f.data);
        break;
    default:
        return err_set(err, ERR_INPUT, 0,
                       "protobuf field %u at offset %zu has wire type %u, which is not read", f.number,
                       r->off, (unsigned)(key & 7));
    }
    if (!whole)
        return err_set(err, ERR_INPUT, 0, "protobuf field %u cut short at offset %zu", f.number, at.off);
    *r = at;
    *out = f;
    return 1;
}

struct reader pb_inside(const struct reader *r, const struct pb_field *field)
{
    return (struct reader){ field->data, r->off - field->data.n };
}

int pb_want(const struct reader *r, const struct pb_field *field, enum pb_wire wire, struct err *err)
{
    if (field->wire == wire)
        return 0;
    return err_set(err, ERR_INPUT, 0, "protobuf field %u before offset %zu has wire type %u, want %u",
                   field->number, r->off, (unsigned)field->wire, (unsigned)wire);
}

void pb_put_varint(struct buf *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        buf_u8(out, (uint8_t)(v | 0x80));
    buf_u8(out, (uint8_t)v);
}

void pb_put_uint(struct buf *out, uint32_t number, uint64_t v)
{
    pb_put_varint(out, (uint64_t)number << 3 | PB_VARINT);
    pb_put_varint(out, v);
}

void pb_put_bytes(struct buf *out, uint32_t number, struct bytes data)
{
    pb_put_varint(out, (uint64_t)number << 3 | PB_BYTES);
    pb_put_varint(out, data.n);
    buf_put(out, data);
}
