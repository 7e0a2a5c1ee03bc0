/** tee/vek.h: supply of the certificates over the SNP signing key (VCEK, VLEK) and of their chains. A lookup
 * never waits for the network; a fetch runs in the background, once for all who ask for the same key. What is
 * kept is unverified material: it fits the report's key (TCB, chip id), and a verifier judges it.
 *  Source: AMD 57230, VCEK certificate and KDS interface specification. */
#ifndef CVM_TEE_VEK_H
#define CVM_TEE_VEK_H

#include "base/buf.h"
#include "tee/lower.h"

#define VEK_MEMORY_MAX 16 /* certificates kept in memory */

/** Built-in CA certificates, DER, of the vendors; borrowed for the life of the store. */
struct chain_pool {
    const struct bytes *der;
    size_t n;
};

#define CHAIN_POOL_MAX 64

struct vek_certs {
    struct buf vek;      /* DER */
    struct buf chain[2]; /* DER: ASK or ASVK, ARK */
    size_t chain_n;      /* 0 when the chain is not known (yet), else 2 */
};

/** For AUTO(vek_certs_done). */
void vek_certs_done(struct vek_certs *c);

struct vek_store;

/** Opens the store.
 *  @param l          kept by the caller as long as the store
 *  @param cache_dir  folder of the disk cache, made if it is missing; NULL: none
 *  @return 0, or -1; a cache folder that cannot be made is not a failure, the store then works without */
MUST_USE int vek_store_new(const struct lower *l, const char *cache_dir, const struct chain_pool *pool,
                           struct vek_store **out, struct err *err);

/** Ends the background work; callbacks still due get ERR_UNAVAILABLE from here. A running request to the KDS
 * is cut off within a second or so, one to the metadata service ends by its own deadline. NULL is fine. */
void vek_store_free(struct vek_store *s);

#define VEK_REQUEST_MS 8000 /* one HTTP request in the background */

/** Finds the certificate for an SNP report without waiting: in the certificate table that came with it, in
 * memory, in the disk cache. Callable from any thread.
 *  @param report      1184 bytes
 *  @param cert_table  may be empty
 *  @param out         owned by the caller; chain_n is 0 when only the chain is missing, and then why says so
 *                     as well (kind ERR_NOT_FOUND) although the return value is 0
 *  @return 0, or -1: ERR_NOT_FOUND with a sentence for the document's "missing", ERR_INPUT: not a report */
MUST_USE int vek_lookup(struct vek_store *s, struct bytes report, struct bytes cert_table,
                        struct vek_certs *out, struct err *why);

/** Called exactly once, on the store's thread: err is NULL when the certificate (and chain) can now be looked
 * up. Must not block. */
typedef void vek_done_fn(void *arg, const struct err *err);

/** Fetches certificate and chain in the background: Azure THIM when asked, then the AMD KDS. All who ask for
 * the same product, chip and TCB share one flight. done hears of this attempt, or of the deadline; a failed
 * flight goes on by itself with growing pauses.
 *  @return 0 and done will be called; or -1 and it will not: ERR_NOT_FOUND (there is nothing to fetch: chip
 *          id masked, signed by no key, a VLEK; the text says why), ERR_INPUT, ERR_LIMITED */
MUST_USE int vek_fetch(struct vek_store *s, struct bytes report, bool thim, unsigned deadline_ms,
                       vek_done_fn *done, void *arg, struct err *err);

/** Counters for /metrics. */
struct vek_stats {
    uint64_t hits, misses, requests, failures;
};
void vek_stats_get(struct vek_store *s, struct vek_stats *out);

#endif
