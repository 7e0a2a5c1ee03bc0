#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_done(struct buf *b)
{
    free(b->p);
    *b = buf_new(b->max);
}

void buf_wipe(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->cap);
    buf_done(b);
}

static bool grow(struct buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap : 256;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    /* not realloc: the old block may hold what buf_wipe() has promised to clear */
    uint8_t *p = malloc(cap);
    if (!p)
        return false;
    if (b->p) {
        memcpy(p, b->p, b->n);
        explicit_bzero(b->p, b->n);
        free(b->p);
    }
    b->p = p;
    b->cap = cap;
    return true;
}

uint8_t *buf_room(struct buf *b, size_t n)
{
    if (b->failed || n > b->max - b->n) {
        b->failed = true;
        return NULL;
    }
    if (n > b->cap - b->n && !grow(b, b->n + n)) {
        b->failed = true;
        return NULL;
    }
    uint8_t *at = b->p + b->n;
    b->n += n;
    return at;
}

void buf_put(struct buf *b, struct bytes data)
{
    if (data.n == 0)
        return;
    uint8_t *at = buf_room(b, data.n);
    if (at)
        memcpy(at, data.p, data.n);
}

void buf_str(struct buf *b, const char *s)
{
    buf_put(b, bytes_str(s));
}

void buf_fill(struct buf *b, uint8_t byte, size_t n)
{
    uint8_t *at = n ? buf_room(b, n) : NULL;
    if (at)
        memset(at, byte, n);
}

static void put_le(struct buf *b, uint64_t v, size_t n)
{
    uint8_t *at = buf_room(b, n);
    for (size_t i = 0; at && i < n; i++)
        at[i] = (uint8_t)(v >> (8 * i));
}

static void put_be(struct buf *b, uint64_t v, size_t n)
{
    uint8_t *at = buf_room(b, n);
    for (size_t i = 0; at && i < n; i++)
        at[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

void buf_u8(struct buf *b, uint8_t v)
{
    put_le(b, v, 1);
}

void buf_u16le(struct buf *b, uint16_t v)
{
    put_le(b, v, 2);
}

void buf_u32le(struct buf *b, uint32_t v)
{
    put_le(b, v, 4);
}

void buf_u64le(struct buf *b, uint64_t v)
{
    put_le(b, v, 8);
}

void buf_u16be(struct buf *b, uint16_t v)
{
    put_be(b, v, 2);
}

void buf_u32be(struct buf *b, uint32_t v)
{
    put_be(b, v, 4);
}

void buf_u64be(struct buf *b, uint64_t v)
{
    put_be(b, v, 8);
}

void buf_tpm2b(struct buf *b, struct bytes data)
{
    if (data.n > UINT16_MAX) {
        b->failed = true;
        return;
    }
    put_be(b, data.n, 2);
    buf_put(b, data);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    char small[512];
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof(small), fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = true;
        return;
    }
    if ((size_t)n < sizeof(small)) {
        buf_put(b, bytes_of(small, (size_t)n));
        return;
    }
    uint8_t *at = buf_room(b, (size_t)n + 1);
    if (!at)
        return;
    va_start(ap, fmt);
    vsnprintf((char *)at, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n--; /* the terminator is not content */
}

int buf_check(const struct buf *b, const char *what, struct err *err)
{
    if (b->failed)
        return err_set(err, ERR_TOO_LARGE, 0, "%s is over its maximum of %zu bytes, or memory is short", what,
                       b->max);
    return 0;
}

char *buf_take_str(struct buf *b)
{
    if (b->failed)
        return NULL;
    if (b->n == b->cap && !grow(b, b->n + 1))
        return NULL;
    b->p[b->n] = '\0';
    char *s = (char *)b->p;
    *b = buf_new(b->max);
    return s;
}
