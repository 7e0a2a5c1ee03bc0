#include "tee/collateral.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/file.h"
#include "tee/collateral_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- life ---- */

/* Mirrors and PCCSs are given with or without what follows the host's part in Intel's own addresses. */
static int set_url(char out[static COLLATERAL_URL_MAX], const char *url, struct err *err)
{
    static const char *const tails[] = { "/", "/sgx/certification/v4", "/tdx/certification/v4" };
    if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
        return err_set(err, ERR_INPUT, 0, "%.100s: not an http or https URL", url);
    if (path_set(out, COLLATERAL_URL_MAX / 2, err, "%s", url) < 0)
        return err_set(err, ERR_INPUT, 0, "%.100s: the URL is over %d bytes", url, COLLATERAL_URL_MAX / 2);
    for (size_t i = 0, n = strlen(out); i < ARRAY_SIZE(tails); i++) {
        size_t tail = strlen(tails[i]);
        if (n >= tail && !strcmp(out + n - tail, tails[i]))
            out[n -= tail] = '\0';
    }
    return 0;
}

static int set_urls(struct collateral_service *c, struct err *err)
{
    const struct collateral_source *s = &c->source;
    if (set_url(c->kds_url, s->kds_url ? s->kds_url : COLLATERAL_KDS_URL, err) < 0
        || set_url(c->pcs_url, s->pcs_url ? s->pcs_url : COLLATERAL_PCS_URL, err) < 0)
        return -1;
    if (s->root_crl_url)
        return set_url(c->root_crl_url, s->root_crl_url, err);
    if (!strcmp(c->pcs_url, COLLATERAL_PCS_URL))
        return path_set(c->root_crl_url, sizeof(c->root_crl_url), err, "%s", COLLATERAL_ROOT_CRL_URL);
    return path_set(c->root_crl_url, sizeof(c->root_crl_url), err, "%s/sgx/certification/v4/rootcacrl",
                    c->pcs_url);
}

/* The folder was made or found by the cache: where it could not be, the VEK store has none either. */
static int open_store(struct collateral_service *c, struct err *err)
{
    c->lower = (struct lower){ .http = { collateral_perform, c },
                               .kds_url = c->kds_url,
                               .imds_url = c->source.thim_url };
    return vek_store_new(&c->lower, c->cache.dir[0] ? c->cache.dir : NULL, c->source.pool, &c->veks, err);
}

int collateral_new(const struct collateral_source *source, struct collateral_service **out, struct err *err)
{
    pthread_condattr_t attr;
    struct collateral_service *c = calloc(1, sizeof(*c));
    if (!c)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the collateral service");
    c->source = *source;
    c->until = source->total_ms ? clock_ms() + source->total_ms : 0;
    if (set_urls(c, err) < 0 || collateral_cache_init(&c->cache, source->dir, !source->offline, err) < 0) {
        free(c);
        return -1;
    }
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);
    if (open_store(c, err) < 0) {
        collateral_free(c);
        return -1;
    }
    *out = c;
    return 0;
}

void collateral_free(struct collateral_service *c)
{
    if (!c)
        return;
    collateral_stop(c);
    vek_store_free(c->veks);
    collateral_cache_done(&c->cache);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void collateral_stop(struct collateral_service *c)
{
    if (!c)
        return;
    atomic_store(&c->stopping, true);
    pthread_mutex_lock(&c->lock);
    struct flights *flights = c->flights;
    c->flights = NULL;
    pthread_mutex_unlock(&c->lock);
    flights_free(flights);
}

void collateral_stats_get(struct collateral_service *c, struct collateral_stats *out)
{
    *out = (struct collateral_stats){ atomic_load(&c->requests), atomic_load(&c->failures) };
}

void collateral_each(struct collateral_service *c,
                     void (*each)(void *arg, const char *name, time_t next_update), void *arg)
{
    pthread_mutex_lock(&c->cache.lock);
    for (size_t i = 0; i < COLLATERAL_MEMORY_ITEMS; i++)
        if (c->cache.kept[i].name[0])
            each(arg, c->cache.kept[i].name, c->cache.kept[i].item.next_update);
    pthread_mutex_unlock(&c->cache.lock);
}

/* ---- one item ---- */

bool collateral_expired(const struct collateral_service *c, const struct collateral_item *item)
{
    time_t at = c->source.at ? c->source.at : time(NULL);
    return item->next_update && item->next_update < at;
}

static bool read_item(struct collateral_service *c, const struct collateral_id *id, const char *data,
                      const char *chain, struct collateral_item *out)
{
    AUTO(buf_done) struct buf body = { 0 }, issuers = { 0 };
    struct err ignored = { 0 };
    return collateral_read_file(&c->cache, data, collateral_max(id->kind), &body)
           && (!chain[0] || collateral_read_file(&c->cache, chain, HTTP_HEADER_VALUE_MAX, &issuers))
           && collateral_take(id, buf_bytes(&body), buf_bytes(&issuers), c->veks->pool, c->veks->pool_n, out,
                              &ignored)
                  == 0;
}

/* What the folder has, if it is what it should be. The names of users come after ours: of several that fit,
 * one that has not expired is taken, else the first. */
static bool from_folder(struct collateral_service *c, const struct collateral_id *id,
                        struct collateral_item *out)
{
    struct collateral_names names;
    AUTO(collateral_item_done) struct collateral_item stale = { 0 };
    collateral_names(id, &names);
    for (size_t i = 0; i < names.n; i++) {
        struct collateral_item item;
        if (!read_item(c, id, names.file[i].data, names.file[i].chain, &item))
            continue;
        if (!collateral_expired(c, &item)) {
            *out = item;
            return true;
        }
        if (stale.data.n)
            collateral_item_done(&item);
        else
            stale = item;
    }
    if (!stale.data.n)
        return false;
    *out = stale;
    stale = (struct collateral_item){ 0 };
    return true;
}

/* Memory, unless that has expired and the folder has better by now. */
bool collateral_kept(struct collateral_service *c, const struct collateral_id *id,
                     struct collateral_item *out)
{
    char name[COLLATERAL_NAME_MAX];
    struct collateral_item newer;
    collateral_name(id, name);
    bool found = collateral_recall(&c->cache, name, out);
    if ((found && !collateral_expired(c, out)) || !from_folder(c, id, &newer))
        return found;
    if (found && newer.next_update <= out->next_update) {
        collateral_item_done(&newer);
        return true;
    }
    if (found)
        collateral_item_done(out);
    *out = newer;
    collateral_remember(&c->cache, name, out);
    return true;
}

/* The chain before the document: a pair that a crash has torn apart does not fit, and is fetched again. */
void collateral_keep(struct collateral_service *c, const struct collateral_id *id,
                     const struct collateral_item *item)
{
    struct collateral_names names;
    collateral_names(id, &names);
    collateral_remember(&c->cache, names.file[0].data, item);
    if (!item->chain.n || collateral_write_file(&c->cache, names.file[0].chain, buf_bytes(&item->chain)))
        collateral_write_file(&c->cache, names.file[0].data, buf_bytes(&item->data));
}

/* Fetched, or brought by another thread's fetch. */
static int fetch(struct collateral_service *c, const struct collateral_id *id, const char *name, bool anew,
                 struct collateral_item *out, struct err *err)
{
    const struct collateral_wish wish = { *id, anew };
    int rc;
    do
        rc = collateral_fly(c, name, collateral_attempt_item, &wish, out, err);
    while (rc == COLLATERAL_BY_ANOTHER && !collateral_kept(c, id, out));
    return rc < 0 ? -1 : 0;
}

/* What there is without the network, if it may be handed out; because: why the network gave nothing. */
static int fall_back(struct collateral_service *c, const char *name, struct collateral_item *kept,
                     const struct err *because, struct err *err)
{
    char text[ERR_TEXT_MAX], when[24];
    if (kept->data.n && (c->source.allow_expired || !collateral_expired(c, kept)))
        return 0;
    if (kept->data.n && because)
        return err_set(err, ERR_DENIED, 0, "%.80s expired on %s, and no newer one could be had: %.160s", name,
                       rfc3339_text(kept->next_update, when), err_text(because, text, sizeof(text)));
    if (kept->data.n)
        return err_set(err, ERR_DENIED, 0, "%.100s expired on %s", name,
                       rfc3339_text(kept->next_update, when));
    if (because)
        *err = *because;
    else
        err_set(err, ERR_NOT_FOUND, 0, "%.100s is not in %.150s", name,
                c->cache.dir[0] ? c->cache.dir : "memory, and there is no folder");
    return -1;
}

static int check_id(const struct collateral_id *id, struct err *err)
{
    bool amd = id->kind == COLLATERAL_AMD_CHAIN || id->kind == COLLATERAL_AMD_CRL;
    if (id->kind >= COLLATERAL_KINDS || id->ca >= COLLATERAL_CAS
        || (amd && (id->product == SNP_UNKNOWN || id->product >= SNP_PRODUCTS)))
        return err_set(err, ERR_INPUT, 0, "no such collateral");
    return 0;
}

int collateral_find(struct collateral_service *c, const struct collateral_id *id, enum collateral_mode mode,
                    struct collateral_item *out, struct err *err)
{
    bool anew = mode == COLLATERAL_ANEW, alone = c->source.offline || mode == COLLATERAL_KEPT;
    char name[COLLATERAL_NAME_MAX];
    AUTO(collateral_item_done) struct collateral_item item = { 0 }, fetched = { 0 };
    struct err why = { 0 };
    if (check_id(id, err) < 0)
        return -1;
    bool found = collateral_kept(c, id, &item);
    collateral_name(id, name);
    if (!alone && (anew || !found || collateral_expired(c, &item))) {
        if (fetch(c, id, name, anew, &fetched, &why) == 0) {
            collateral_item_done(&item);
            item = fetched;
            fetched = (struct collateral_item){ 0 };
        } else if (fall_back(c, name, &item, &why, err) < 0) {
            return -1;
        }
    } else if (fall_back(c, name, &item, NULL, err) < 0) {
        return -1;
    }
    item.expired = collateral_expired(c, &item);
    *out = item;
    item = (struct collateral_item){ 0 };
    return 0;
}

int collateral_get(struct collateral_service *c, const struct collateral_id *id, struct collateral_item *out,
                   struct err *err)
{
    return collateral_find(c, id, COLLATERAL_GET, out, err);
}

int collateral_refresh(struct collateral_service *c, const struct collateral_id *id,
                       struct collateral_item *out, struct err *err)
{
    return collateral_find(c, id, COLLATERAL_ANEW, out, err);
}
