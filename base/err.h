/** base/err.h: the error chain. It lives on the caller's stack, never allocates, and the context that callers
 * add cannot cut off the root cause. */
#ifndef CVM_BASE_ERR_H
#define CVM_BASE_ERR_H

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_USE __attribute__((warn_unused_result))

/** What a caller may decide on. The HTTP status and the exit status are derived from it in one table each. */
enum err_kind {
    ERR_NONE,
    ERR_INPUT,           /* the bytes or arguments given are malformed */
    ERR_UNAUTHENTICATED, /* no or wrong credential */
    ERR_DENIED,          /* the security policy says no */
    ERR_NOT_FOUND,       /* no such thing: file, NV index, device */
    ERR_BUSY,            /* another operation is in the way */
    ERR_LIMITED,         /* the caller, or the queue, is over its rate or depth */
    ERR_TOO_LARGE,       /* over a named maximum */
    ERR_UNAVAILABLE,     /* a device, TPM or service is not ready now */
    ERR_IO,              /* the environment failed in another way */
    ERR_KINDS
};

#define ERR_DOING_MAX 8

struct err {
    enum err_kind kind;
    uint32_t code;                    /* errno or TSS2_RC of the failed call, 0 if none */
    char cause[320];                  /* set once, where it failed: sizes and offsets, never secrets */
    const char *doing[ERR_DOING_MAX]; /* string literals, innermost first, then NULL: "read quote", "collect
                                         evidence" */
};

/** Records the root cause (overwrites whatever was there). err may be NULL. Always returns -1. */
__attribute__((format(printf, 4, 5))) int err_set(struct err *err, enum err_kind kind, uint32_t code,
                                                  const char *fmt, ...);

/** Adds what a caller was doing; doing must be a string literal. Further levels than ERR_DOING_MAX are
 * dropped. Always returns -1. */
int err_while(struct err *err, const char *doing);

#ifdef __clang_analyzer__
/* The analyzer does not look into err.c; it must know what both functions return. */
#define err_set(err, kind, code, ...) (err_set((err), (kind), (code), __VA_ARGS__), -1)
#define err_while(err, doing)         (err_while((err), (doing)), -1)
#endif

/** Writes "outer: inner: cause" into out, always terminated, cut at size. Returns out. */
char *err_text(const struct err *err, char *out, size_t size);

/** Room that err_text() needs for any chain that we make. */
#define ERR_TEXT_MAX 512

#endif
