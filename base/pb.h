/** base/pb.h: the protobuf wire format, reading and writing, without generated code. A field is read, or the
 * message is refused with the offset; nothing is allocated.
 *  Source: protobuf.dev "Encoding". Groups (wire types 3 and 4) are refused: nothing that we read uses them.
 */
#ifndef CVM_BASE_PB_H
#define CVM_BASE_PB_H

#include "base/buf.h"

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_field {
    uint32_t number; /* 1 .. 2^29 - 1 */
    enum pb_wire wire;
    uint64_t value;    /* VARINT, FIXED64, FIXED32 */
    struct bytes data; /* BYTES: strings, messages, packed lists */
};

/** Reads the next field.
 *  @return 1 with *out written, 0 at the end of the message, or -1 with ERR_INPUT and the offset */
MUST_USE int pb_next(struct reader *r, struct pb_field *out, struct err *err);

/** A reader over a field that pb_next(r) has just given, whose offsets count from the start of r's input. */
struct reader pb_inside(const struct reader *r, const struct pb_field *field);

/** Fails with ERR_INPUT, naming the field, unless it has the wire type wanted. */
MUST_USE int pb_want(const struct reader *r, const struct pb_field *field, enum pb_wire wire,
                     struct err *err);

/** Appends a base-128 varint. */
void pb_put_varint(struct buf *out, uint64_t v);

/** Appends a varint field, zero too. */
void pb_put_uint(struct buf *out, uint32_t number, uint64_t v);

/** Appends a length-delimited field. */
void pb_put_bytes(struct buf *out, uint32_t number, struct bytes data);

#endif
