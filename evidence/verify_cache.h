/** evidence/verify_cache.h: judged certificates and collateral, kept by the digest of what they were made
 * from, so that a machine that asks again costs its own signatures only. Bounded, least recently used first
 * out; callable from several threads. */
#ifndef CVM_EVIDENCE_VERIFY_CACHE_H
#define CVM_EVIDENCE_VERIFY_CACHE_H

#include "base/bytes.h"

#define VERIFY_CACHE_ENTRIES 256

struct verify_cache;

/** Frees a kept object. */
typedef void verify_cache_free_fn(void *object);

MUST_USE int verify_cache_new(size_t entries, struct verify_cache **out, struct err *err);

/** Nothing may be held any more. NULL is fine. */
void verify_cache_free(struct verify_cache *c);

/** A held object. Never written by anybody; valid until verify_cache_put(). */
struct verify_held {
    void *object; /* NULL: nothing is held */
    verify_cache_free_fn *release;
    struct verify_cache *cache; /* NULL: the holder owns the object */
    void *entry;
};

/** Finds an object by its key and holds it. @return false if there is none */
bool verify_cache_get(struct verify_cache *c, const uint8_t key[static 32], struct verify_held *out);

/** Hands a new object over and holds it; where another thread was faster its object is held and this one
 * freed. Without a cache (NULL), or when memory is short, the holder owns it. */
void verify_cache_add(struct verify_cache *c, const uint8_t key[static 32], void *object,
                      verify_cache_free_fn *release, struct verify_held *out);

/** For AUTO(verify_held_done). */
void verify_held_done(struct verify_held *h);

#endif
