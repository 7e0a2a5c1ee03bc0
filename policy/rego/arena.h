/** policy/rego/arena.h: memory of one compilation or one evaluation, freed whole, and the way out when
 * something fails deep inside: nothing but arena memory is held there, so a jump loses nothing. */
#ifndef CVM_POLICY_REGO_ARENA_H
#define CVM_POLICY_REGO_ARENA_H

#include "base/bytes.h"

#include <setjmp.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *top;
    size_t used;      /* bytes handed out */
    size_t reserved;  /* bytes taken from the heap */
    size_t peak;      /* the most that were reserved at a time */
    size_t max;       /* bound of reserved */
    const char *what; /* "evaluation", for the message when max is reached */
    struct err *err;
    struct arena *leader; /* NULL, or the arena through which this one fails */
    jmp_buf escape;       /* set by the caller before the first arena_alloc() */
};

/** @param what  a literal naming the work that the memory is for
 *  @param max   most bytes from the heap; one more is ERR_TOO_LARGE through arena_fail() */
void arena_init(struct arena *a, const char *what, size_t max, struct err *err);

/** Frees everything; for AUTO(arena_done) too. */
void arena_done(struct arena *a);

/** n bytes, not cleared, aligned for any object; never NULL: failure goes through arena_fail(). */
__attribute__((returns_nonnull, malloc, alloc_size(2))) void *arena_alloc(struct arena *a, size_t n);

/** count objects of size bytes, zeroed. */
__attribute__((returns_nonnull)) void *arena_zero(struct arena *a, size_t count, size_t size);

/** A copy with a terminating NUL that is not counted. */
__attribute__((returns_nonnull)) char *arena_copy(struct arena *a, const void *p, size_t n);

/** A grown copy of an array of *cap objects when n have been used; the old one stays in the arena. */
__attribute__((returns_nonnull)) void *arena_grow(struct arena *a, void *old, size_t n, uint32_t *cap,
                                                  size_t size);

/** A place to go back to: everything allocated since is gone. Only for memory that nothing else refers to. */
struct arena_mark {
    struct arena_chunk *chunk;
    size_t at, used;
};
struct arena_mark arena_mark(const struct arena *a);
void arena_release(struct arena *a, struct arena_mark mark);

/** Sets *a->err and jumps to a->escape. */
__attribute__((format(printf, 3, 4), noreturn)) void arena_fail(struct arena *a, enum err_kind kind,
                                                                const char *fmt, ...);

/** A text that grows. */
struct arena_text {
    struct arena *arena;
    char *p; /* not terminated; NULL while n is 0 */
    size_t n;
    uint32_t cap;
};

/** Appends n bytes. */
void arena_text_put(struct arena_text *t, const char *p, size_t n);

#endif
