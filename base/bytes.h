/** base/bytes.h: borrowed bytes and the bounded reader. A read succeeds and advances, or fails and changes
 * nothing. Every byte that we did not make is read through it: no casts onto structs, no alignment, no
 * endianness. */
#ifndef CVM_BASE_BYTES_H
#define CVM_BASE_BYTES_H

#include "base/err.h"

#include <stdbool.h>
#include <string.h>

struct bytes {
    const uint8_t *p; /* borrowed; never NULL, even when n is 0 */
    size_t n;
};

struct reader {
    struct bytes rest;
    size_t off; /* bytes taken so far: for messages */
};

static inline struct bytes bytes_of(const void *p, size_t n)
{
    return (struct bytes){ p ? (const uint8_t *)p : (const uint8_t *)"", n };
}

/** The bytes of a string without its terminator. */
static inline struct bytes bytes_str(const char *s)
{
    return bytes_of(s, s ? strlen(s) : 0);
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.n == b.n && memcmp(a.p, b.p, a.n) == 0;
}

/** True if every byte is zero (also for no bytes). */
static inline bool bytes_zero(struct bytes b)
{
    uint8_t any = 0;
    for (size_t i = 0; i < b.n; i++)
        any |= b.p[i];
    return any == 0;
}

static inline struct reader reader_of(struct bytes b)
{
    return (struct reader){ b, 0 };
}

static inline MUST_USE bool rd_take(struct reader *r, size_t n, struct bytes *out)
{
    if (n > r->rest.n) /* compare lengths; never form p + n first */
        return false;
    *out = (struct bytes){ r->rest.p, n };
    *r = (struct reader){ { r->rest.p + n, r->rest.n - n }, r->off + n };
    return true;
}

static inline MUST_USE bool rd_skip(struct reader *r, size_t n)
{
    struct bytes ignored;
    return rd_take(r, n, &ignored);
}

/** Copies n bytes into out, for fixed-size fields that must outlive the input. */
static inline MUST_USE bool rd_copy(struct reader *r, void *out, size_t n)
{
    struct bytes b;
    if (!rd_take(r, n, &b))
        return false;
    memcpy(out, b.p, n);
    return true;
}

static inline uint64_t le_uint(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

static inline void le_put(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint64_t be_uint(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

#define RD_UINT(name, type, convert)                                                                         \
    static inline MUST_USE bool name(struct reader *r, type *out)                                            \
    {                                                                                                        \
        struct bytes b;                                                                                      \
        if (!rd_take(r, sizeof(type), &b))                                                                   \
            return false;                                                                                    \
        *out = (type)convert(b.p, sizeof(type));                                                             \
        return true;                                                                                         \
    }
RD_UINT(rd_u8, uint8_t, le_uint)
RD_UINT(rd_u16le, uint16_t, le_uint)
RD_UINT(rd_u32le, uint32_t, le_uint)
RD_UINT(rd_u64le, uint64_t, le_uint)
RD_UINT(rd_u16be, uint16_t, be_uint)
RD_UINT(rd_u32be, uint32_t, be_uint)
RD_UINT(rd_u64be, uint64_t, be_uint)
#undef RD_UINT

/** A TPM2B: u16 big-endian size, then that many bytes. */
static inline MUST_USE bool rd_tpm2b(struct reader *r, struct bytes *out)
{
    struct reader at = *r;
    uint16_t n;
    if (!rd_u16be(&at, &n) || !rd_take(&at, n, out))
        return false;
    *r = at;
    return true;
}

#endif
