/** tee/vek_store.h: the inside of the certificate store. Internal to tee/. */
#ifndef CVM_TEE_VEK_STORE_H
#define CVM_TEE_VEK_STORE_H

#include "base/x509.h"
#include "tee/ak_chain.h"
#include "tee/flight.h"
#include "tee/snp_report.h"
#include "tee/vek.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#define AK_MEMORY_MAX   4
#define STORE_FILE_MAX  ((size_t)4 * CERT_MAX)
#define STORE_URL_MAX   512
#define STORE_DIGEST    32
#define VEK_CHAIN_CERTS 2
#define VEK_PRODUCTS    2

/** What makes a VEK certificate the right one for a report. */
struct vek_key {
    enum snp_product product[VEK_PRODUCTS]; /* candidates; one unless the report does not say */
    size_t products;
    uint8_t signing_key; /* enum snp_signing_key */
    uint8_t tcb[8];      /* reported_tcb as stored */
    uint8_t chip_id[64]; /* zero when masked, and on VLEK machines */
    bool chip_known;
    char name[FLIGHT_KEY_SIZE]; /* of the flight and of the cache file */
};

/** Certificates in memory, for one key and one certificate table (digest zero: none). */
struct vek_memory {
    char name[FLIGHT_KEY_SIZE];
    uint8_t table[STORE_DIGEST];
    struct vek_certs certs;
};

struct ak_memory {
    uint8_t leaf[STORE_DIGEST];
    struct ak_chain chain;
};

struct vek_store {
    const struct lower *l;
    char cache_dir[PATH_MAX]; /* "": no disk cache */
    X509 *pool[CHAIN_POOL_MAX];
    size_t pool_n;
    struct flights *flights;
    atomic_bool stopping; /* ends a running request */
    pthread_mutex_t lock; /* over all below */
    struct vek_memory vek[VEK_MEMORY_MAX];
    struct ak_memory ak[AK_MEMORY_MAX];
    size_t vek_next, ak_next; /* the slot to reuse next */
    struct vek_stats stats;
};

/* ---- vek.c ---- */

/** The key of a report. @return 0, or -1: ERR_INPUT (no report), ERR_NOT_FOUND (no certificate can exist) */
MUST_USE int vek_key_of(const struct vek_store *s, struct bytes report, struct vek_key *out, struct err *err);

/** Whether a certificate is the one of that key: kind, product, TCB, chip. @return 0, or -1 with ERR_IO */
MUST_USE int vek_fits(const struct vek_key *key, const X509 *cert, struct err *err);

/** Whether child is signed by parent (issuer's name and signature). */
bool cert_signed_by(X509 *child, X509 *parent);

/** Follows the pool from leaf to a self-issued certificate. out: references of the pool, not to be freed.
 *  @return how many, or 0 when the pool does not reach the top within max */
size_t pool_chain(const struct vek_store *s, X509 *leaf, X509 **out, size_t max);

/* ---- vek_cache.c ---- */

/** Copies from memory. table: NULL: of any table. @return true if there */
bool memory_get(struct vek_store *s, const char *name, const uint8_t *table, struct vek_certs *out);

/** Keeps a copy; entries of the same name without a chain get this one's. */
void memory_put(struct vek_store *s, const char *name, const uint8_t table[static STORE_DIGEST],
                const struct vek_certs *certs);

/** Reads certificates (concatenated DER) from the disk cache: a missing or damaged file counts as absent.
 *  @return how many, 0 if none; new references in out */
size_t disk_get(const struct vek_store *s, const char *name, X509 **out, size_t max);

/** Writes certificates to the disk cache; a cache that cannot be written is not an error for anyone. */
void disk_put(const struct vek_store *s, const char *name, X509 *const *certs, size_t n);

/* ---- vek_fetch.c ---- */

/** Finds the chain of a VEK without the network: pool, then disk. @return true and out->chain filled */
bool chain_find(const struct vek_store *s, const struct vek_key *key, X509 *vek, struct vek_certs *out);

/** Fills certs from certificates; chain may be NULL. */
MUST_USE int certs_fill(X509 *vek, X509 *const *chain, struct vek_certs *out, struct err *err);

/** One attempt of vek_fetch() on the caller's thread, shared with nobody. @return as vek_fetch(), or the
 * attempt's failure */
MUST_USE int vek_fetch_now(struct vek_store *s, struct bytes report, bool thim, unsigned *retry_after_s,
                           struct err *err);

/** The name of a leaf's chain: of its flight and of its cache file. */
MUST_USE int ak_chain_name(struct bytes leaf, char out[static FLIGHT_KEY_SIZE], struct err *err);

/** As vek_fetch_now(), for the certificates above an AK certificate (ak_chain.c). */
MUST_USE int ak_chain_fetch_now(struct vek_store *s, struct bytes leaf, unsigned *retry_after_s,
                                struct err *err);

/** One GET in the background. Statuses other than 200 are failures; 404 is ERR_NOT_FOUND. */
MUST_USE int vek_store_download(const struct vek_store *s, const char *url, struct buf *body,
                                unsigned *retry_after_s, struct err *err);

static inline void certs_drop(X509 **certs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        X509_free(certs[i]);
}

#endif
