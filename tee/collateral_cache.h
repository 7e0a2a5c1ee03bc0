/** tee/collateral_cache.h: where collateral is kept: a folder of files and a little memory. Internal to tee/.
 * Bytes by name; whether they are what they should be is the caller's business. */
#ifndef CVM_TEE_COLLATERAL_CACHE_H
#define CVM_TEE_COLLATERAL_CACHE_H

#include "tee/collateral.h"

#include <limits.h>
#include <pthread.h>

#define COLLATERAL_MEMORY_ITEMS 24
#define COLLATERAL_MEMORY_MAX   ((size_t)2 << 20) /* all items together */

struct collateral_memory {
    char name[COLLATERAL_NAME_MAX]; /* "": free */
    struct collateral_item item;
};

struct collateral_cache {
    char dir[PATH_MAX]; /* "": no folder */
    pthread_mutex_t lock;
    struct collateral_memory kept[COLLATERAL_MEMORY_ITEMS]; /* under the lock, oldest next */
    size_t next, used;
};

/** @param dir  NULL: memory only; make: the folder is made if it is missing
 *  @return 0, or -1: ERR_NOT_FOUND (no such folder, and not to be made), ERR_TOO_LARGE (its name) */
MUST_USE int collateral_cache_init(struct collateral_cache *cache, const char *dir, bool make,
                                   struct err *err);
void collateral_cache_done(struct collateral_cache *cache);

/** Copies an item. @return false: memory is short */
MUST_USE bool collateral_item_copy(struct collateral_item *to, const struct collateral_item *from);

/** A copy of what memory has under that name. @return true if there */
MUST_USE bool collateral_recall(struct collateral_cache *cache, const char *name,
                                struct collateral_item *out);

/** Keeps a copy in memory in place of what had the name; the oldest items make room. */
void collateral_remember(struct collateral_cache *cache, const char *name,
                         const struct collateral_item *item);

/** Reads a file of the folder. @return false: not there, too large, not readable */
MUST_USE bool collateral_read_file(const struct collateral_cache *cache, const char *file, size_t max,
                                   struct buf *out);

/** Writes a file of the folder: old or new, never half. @return false: it could not be written */
bool collateral_write_file(const struct collateral_cache *cache, const char *file, struct bytes data);

#endif
