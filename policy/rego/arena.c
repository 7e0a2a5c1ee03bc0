#include "policy/rego/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define CHUNK_FIRST ((size_t)8 << 10)
#define CHUNK_MOST  ((size_t)1 << 20)

struct arena_chunk {
    struct arena_chunk *below;
    size_t at, size;
    alignas(max_align_t) uint8_t mem[];
};

void arena_init(struct arena *a, const char *what, size_t max, struct err *err)
{
    *a = (struct arena){ .max = max, .what = what, .err = err };
}

void arena_done(struct arena *a)
{
    while (a->top) {
        struct arena_chunk *below = a->top->below;
        free(a->top);
        a->top = below;
    }
    a->used = a->reserved = 0;
}

void arena_fail(struct arena *a, enum err_kind kind, const char *fmt, ...)
{
    char text[sizeof(a->err->cause)];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (a->leader)
        a = a->leader;
    err_set(a->err, kind, 0, "%s", text);
    longjmp(a->escape, 1);
}

static void add_chunk(struct arena *a, size_t need)
{
    size_t size = a->top ? 2 * a->top->size : CHUNK_FIRST;
    if (size > CHUNK_MOST)
        size = CHUNK_MOST;
    if (size < need)
        size = need;
    if (a->reserved > a->max || size > a->max - a->reserved)
        size = need;
    if (a->reserved > a->max || size > a->max - a->reserved)
        arena_fail(a, ERR_TOO_LARGE, "%s needs more than %zu bytes of memory", a->what, a->max);
    struct arena_chunk *chunk = malloc(sizeof(*chunk) + size);
    if (!chunk)
        arena_fail(a, ERR_IO, "%s: out of memory", a->what);
    chunk->below = a->top;
    chunk->at = 0;
    chunk->size = size;
    a->top = chunk;
    a->reserved += size;
    if (a->reserved > a->peak)
        a->peak = a->reserved;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 4)
        arena_fail(a, ERR_TOO_LARGE, "%s needs more than %zu bytes of memory", a->what, a->max);
    n = (n + 7) & ~(size_t)7;
    if (!a->top || n > a->top->size - a->top->at)
        add_chunk(a, n);
    void *p = a->top->mem + a->top->at;
    a->top->at += n;
    a->used += n;
    return p;
}

void *arena_zero(struct arena *a, size_t count, size_t size)
{
    if (count > SIZE_MAX / 4 / (size ? size : 1))
        arena_fail(a, ERR_TOO_LARGE, "%s needs more than %zu bytes of memory", a->what, a->max);
    return memset(arena_alloc(a, count * size), 0, count * size);
}

char *arena_copy(struct arena *a, const void *p, size_t n)
{
    char *out = arena_alloc(a, n + 1);
    if (n)
        memcpy(out, p, n);
    out[n] = 0;
    return out;
}

void *arena_grow(struct arena *a, void *old, size_t n, uint32_t *cap, size_t size)
{
    if (n < *cap)
        return old;
    if (*cap > UINT32_MAX / 2)
        arena_fail(a, ERR_TOO_LARGE, "%s needs more than %zu bytes of memory", a->what, a->max);
    uint32_t more = *cap ? 2 * *cap : 4;
    void *p = arena_alloc(a, more * size);
    if (n)
        memcpy(p, old, n * size);
    *cap = more;
    return p;
}

struct arena_mark arena_mark(const struct arena *a)
{
    return (struct arena_mark){ a->top, a->top ? a->top->at : 0, a->used };
}

void arena_release(struct arena *a, struct arena_mark mark)
{
    while (a->top != mark.chunk) {
        struct arena_chunk *below = a->top->below;
        a->reserved -= a->top->size;
        free(a->top);
        a->top = below;
    }
    if (a->top)
        a->top->at = mark.at;
    a->used = mark.used;
}

void arena_text_put(struct arena_text *t, const char *p, size_t n)
{
    while (n > t->cap - t->n)
        t->p = arena_grow(t->arena, t->p, t->cap, &t->cap, 1);
    if (n)
        memcpy(t->p + t->n, p, n);
    t->n += n;
}
