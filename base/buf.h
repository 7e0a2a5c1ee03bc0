/** base/buf.h: a growing byte buffer with a named maximum. The first append that does not fit marks it
 * failed; later appends do nothing, so a writer checks once, at the end. */
#ifndef CVM_BASE_BUF_H
#define CVM_BASE_BUF_H

#include "base/bytes.h"

struct buf {
    uint8_t *p;
    size_t n, cap, max;
    bool failed; /* over max, or out of memory */
};

/** An empty buffer that may grow to max bytes; allocates nothing yet. */
static inline struct buf buf_new(size_t max)
{
    return (struct buf){ NULL, 0, 0, max, false };
}

/** Frees the memory; for AUTO(buf_done). The struct is empty and usable afterwards. */
void buf_done(struct buf *b);

/** As buf_done(), wiping the contents first: for secrets. */
void buf_wipe(struct buf *b);

/** Makes room for n more bytes and returns where they go, or NULL with the buffer marked failed. The bytes
 * count as appended and must be written by the caller. */
uint8_t *buf_room(struct buf *b, size_t n);

void buf_put(struct buf *b, struct bytes data);
void buf_str(struct buf *b, const char *s);
void buf_fill(struct buf *b, uint8_t byte, size_t n);
void buf_u8(struct buf *b, uint8_t v);
void buf_u16le(struct buf *b, uint16_t v);
void buf_u32le(struct buf *b, uint32_t v);
void buf_u64le(struct buf *b, uint64_t v);
void buf_u16be(struct buf *b, uint16_t v);
void buf_u32be(struct buf *b, uint32_t v);
void buf_u64be(struct buf *b, uint64_t v);
/** A TPM2B: u16 big-endian size and the bytes; more than 65535 marks the buffer failed. */
void buf_tpm2b(struct buf *b, struct bytes data);
__attribute__((format(printf, 2, 3))) void buf_printf(struct buf *b, const char *fmt, ...);

static inline struct bytes buf_bytes(const struct buf *b)
{
    return bytes_of(b->p, b->n);
}

/** Fails with ERR_TOO_LARGE if any append failed; what names the thing built. */
MUST_USE int buf_check(const struct buf *b, const char *what, struct err *err);

/** Hands the memory out as a terminated string (the terminator is not counted in n); NULL if the buffer
 * failed. */
char *buf_take_str(struct buf *b);

#endif
