/** tee/collateral_internal.h: the inside of the collateral service. Internal to tee/. */
#ifndef CVM_TEE_COLLATERAL_INTERNAL_H
#define CVM_TEE_COLLATERAL_INTERNAL_H

#include "tee/collateral_cache.h"
#include "tee/vek_store.h"

#define COLLATERAL_URL_MAX     512
#define COLLATERAL_HOSTS       4
#define COLLATERAL_HOST_MAX    128
#define COLLATERAL_HOST_MS     5000 /* a server that gave no answer at all is left alone for all items */
#define COLLATERAL_PENDING_MAX 32   /* things under way, or failed lately */
#define COLLATERAL_LOOSE_MAX   64   /* certificates in files with names of a user's own */
#define COLLATERAL_FILES_MAX   1024 /* files of a folder that are looked at for them */

/** One thing that is being fetched, or whose fetch failed lately. */
struct collateral_pending {
    char name[COLLATERAL_NAME_MAX]; /* "": free */
    bool running;
    bool repeatable; /* the failure was the service's "not now" */
    unsigned failures;
    uint64_t not_before; /* of the next attempt, clock_ms() */
    struct err last;
};

/** A server that could not be reached. */
struct collateral_host {
    char name[COLLATERAL_HOST_MAX]; /* "https://kdsintf.amd.com"; "": free */
    uint64_t until;                 /* it is not tried again before, clock_ms() */
    struct err last;
};

struct collateral_service {
    struct collateral_source source;
    char kds_url[COLLATERAL_URL_MAX], pcs_url[COLLATERAL_URL_MAX], root_crl_url[COLLATERAL_URL_MAX];
    struct lower lower; /* for the VEK store: every request goes through collateral_perform() */
    struct vek_store *veks;
    struct collateral_cache cache;
    uint64_t until; /* of all requests, clock_ms(); 0: no end */
    atomic_bool stopping;
    atomic_uint_fast64_t requests, failures;
    pthread_mutex_t lock;    /* over all below */
    struct flights *flights; /* background fetches; NULL until the first */
    pthread_cond_t changed;
    struct collateral_pending pending[COLLATERAL_PENDING_MAX];
    size_t pending_next;
    struct collateral_host host[COLLATERAL_HOSTS];
    size_t host_next;
};

/** By the source's clock. */
bool collateral_expired(const struct collateral_service *c, const struct collateral_item *item);

/** What memory or the folder has, expired or not. @return true if there */
MUST_USE bool collateral_kept(struct collateral_service *c, const struct collateral_id *id,
                              struct collateral_item *out);

/** How collateral_find() goes about it. */
enum collateral_mode {
    COLLATERAL_GET,
    COLLATERAL_ANEW, /* fetched in any case */
    COLLATERAL_KEPT, /* never fetched */
};

/** collateral_get(), in that mode. */
MUST_USE int collateral_find(struct collateral_service *c, const struct collateral_id *id,
                             enum collateral_mode mode, struct collateral_item *out, struct err *err);

/** True once somebody wants the service to end. */
bool collateral_cancelled(const struct collateral_service *c);

/** Keeps an item in memory and in the folder. */
void collateral_keep(struct collateral_service *c, const struct collateral_id *id,
                     const struct collateral_item *item);

/* ---- collateral_items.c: names and addresses ---- */

/** The files that an item may stand in: ours first, then what users call it. n counts them; chain is "" for
 * kinds without. */
#define COLLATERAL_NAMES_MAX 3
struct collateral_names {
    struct {
        char data[COLLATERAL_NAME_MAX], chain[COLLATERAL_NAME_MAX];
    } file[COLLATERAL_NAMES_MAX];
    size_t n;
};
void collateral_names(const struct collateral_id *id, struct collateral_names *out);

/** Largest answer or file of that kind. */
size_t collateral_max(enum collateral_kind kind);

/** "platform", "processor". */
const char *collateral_ca_name(enum collateral_ca ca);

/** What a service is asked for an item: its URL and the header that brings the issuer chain (NULL: none; an
 * older name of it may be second).
 *  @return 0, or -1 with ERR_TOO_LARGE, ERR_INPUT (the id) */
struct collateral_question {
    char url[COLLATERAL_URL_MAX];
    const char *header[2];
};
MUST_USE int collateral_question(const struct collateral_service *c, const struct collateral_id *id,
                                 struct collateral_question *out, struct err *err);

/* ---- collateral_take.c: what bytes are the right ones ---- */

/** Takes bytes as a service or a file gave them for that item, in any encoding in use.
 *  @param pool  certificates that chains must end in; none: any
 *  @return 0 with the item in its own form, or -1 with ERR_INPUT, ERR_DENIED: not that item, and why */
MUST_USE int collateral_take(const struct collateral_id *id, struct bytes data, struct bytes chain,
                             X509 *const *pool, size_t pool_n, struct collateral_item *out, struct err *err);

/** Takes an answer: body, and the chain's header in percent encoding (NULL: not sent). */
MUST_USE int collateral_take_answer(const struct collateral_id *id, struct bytes body, const char *header,
                                    X509 *const *pool, size_t pool_n, struct collateral_item *out,
                                    struct err *err);

/* ---- collateral_fetch.c: requests, one for all ---- */

/** The http of the service's requests: refuses when offline, and adds the source's wishes to each request. */
int collateral_perform(void *ctx, const struct http_request *request, struct http_response *out,
                       struct err *err);

/** One attempt to fetch something. */
typedef int collateral_attempt_fn(struct collateral_service *c, const void *what, void *out,
                                  unsigned *retry_after_s, struct err *err);

enum { COLLATERAL_FLOWN, COLLATERAL_BY_ANOTHER };

/** Makes the attempt, unless another thread makes it already (then waits for that one) or it has failed so
 * lately that the service is to be left alone.
 *  @return COLLATERAL_FLOWN with out written, COLLATERAL_BY_ANOTHER: it is in the cache now; or -1 */
MUST_USE int collateral_fly(struct collateral_service *c, const char *name, collateral_attempt_fn *attempt,
                            const void *what, void *out, struct err *err);

/** One attempt at an item, which is then kept: out is a struct collateral_item, what a struct
 * collateral_wish. */
struct collateral_wish {
    struct collateral_id id;
    bool anew; /* also if one is kept that has not expired */
};
collateral_attempt_fn collateral_attempt_item;

#endif
