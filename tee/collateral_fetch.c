/* The service's requests: guarded, one for all who want the same, and none while a service wants to be left
 * alone. */
#include "base/auto.h"
#include "base/clock.h"
#include "tee/collateral_internal.h"

#include <errno.h>

#define LOOK_MS 250 /* how often a wait looks at the caller's cancel flag */

bool collateral_cancelled(const struct collateral_service *c)
{
    return atomic_load(&c->stopping) || (c->source.cancel && atomic_load(c->source.cancel));
}

/* Scheme, name and port of a URL. */
static bool host_of(const char *url, char out[static COLLATERAL_HOST_MAX])
{
    const char *name = strstr(url, "://");
    size_t n = name ? (size_t)(name + 3 - url) + strcspn(name + 3, "/?") : 0;
    if (n == 0 || n >= COLLATERAL_HOST_MAX)
        return false;
    memcpy(out, url, n);
    out[n] = '\0';
    return true;
}

/* A dozen items that wait for the same dead server one after the other are a minute lost. */
static bool is_unreachable(struct collateral_service *c, const char *host, struct err *err)
{
    bool found = false;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < COLLATERAL_HOSTS && !found; i++) {
        found = !strcmp(c->host[i].name, host) && clock_ms() < c->host[i].until;
        if (found)
            *err = c->host[i].last;
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

static void note_unreachable(struct collateral_service *c, const char *host, const struct err *err)
{
    pthread_mutex_lock(&c->lock);
    struct collateral_host *h = &c->host[c->host_next];
    c->host_next = (c->host_next + 1) % COLLATERAL_HOSTS;
    *h = (struct collateral_host){ .until = clock_ms() + COLLATERAL_HOST_MS, .last = *err };
    memcpy(h->name, host, strlen(host) + 1);
    pthread_mutex_unlock(&c->lock);
}

/* The time that is left for one request. */
static int set_deadline(const struct collateral_service *c, struct http_request *own, struct err *err)
{
    own->deadline_ms = c->source.request_ms ? c->source.request_ms : COLLATERAL_REQUEST_MS;
    if (!c->until)
        return 0;
    uint64_t now = clock_ms();
    if (now >= c->until)
        return err_set(err, ERR_UNAVAILABLE, ETIMEDOUT,
                       "%.100s is not asked: the %u ms for fetching are over", own->url, c->source.total_ms);
    if (c->until - now < own->deadline_ms)
        own->deadline_ms = (unsigned)(c->until - now);
    return 0;
}

int collateral_perform(void *ctx, const struct http_request *request, struct http_response *out,
                       struct err *err)
{
    struct collateral_service *c = ctx;
    struct http_request own = *request;
    struct err why = { 0 };
    char host[COLLATERAL_HOST_MAX];
    if (c->source.offline || !c->source.http.perform)
        return err_set(err, ERR_NOT_FOUND, 0, "offline: %.100s is not asked", request->url);
    if (collateral_cancelled(c))
        return err_set(err, ERR_UNAVAILABLE, 0, "%.100s is not asked: shutting down", request->url);
    bool named = host_of(request->url, host);
    if ((named && is_unreachable(c, host, err)) || set_deadline(c, &own, err) < 0)
        return -1;
    own.insecure = own.insecure || c->source.insecure;
    own.cancel = c->source.cancel ? c->source.cancel : &c->stopping;
    atomic_fetch_add(&c->requests, 1);
    if (http_perform(&c->source.http, &own, out, &why) == 0) {
        atomic_fetch_add(&c->failures, out->status != 200);
        return 0;
    }
    atomic_fetch_add(&c->failures, 1);
    if (named && why.kind == ERR_UNAVAILABLE && !collateral_cancelled(c))
        note_unreachable(c, host, &why);
    *err = why;
    return -1;
}

/* ---- one item ---- */

static int judge_status(const struct http_response *r, const char *url, unsigned *retry_after_s,
                        struct err *err)
{
    if (r->status == 200)
        return 0;
    if (r->retry_after_s > *retry_after_s)
        *retry_after_s = r->retry_after_s;
    bool unknown = r->status == 400 || r->status == 404 || r->status == 410;
    return err_set(err, unknown ? ERR_NOT_FOUND : ERR_UNAVAILABLE, r->status,
                   "%.150s answered with status %u%s", url, r->status,
                   r->status == 429 ? " (too many requests)" : "");
}

static int refuse_answer(const char *url, const struct err *why, struct err *err)
{
    char text[ERR_TEXT_MAX];
    return err_set(err, ERR_UNAVAILABLE, 0, "the answer of %.120s is refused: %.180s", url,
                   err_text(why, text, sizeof(text)));
}

static int download(struct collateral_service *c, const struct collateral_id *id, struct collateral_item *out,
                    unsigned *retry_after_s, struct err *err)
{
    struct collateral_question q;
    struct collateral_item item = { 0 };
    char when[24];
    AUTO(http_response_done) struct http_response r = { 0 };
    struct err why = { 0 };
    if (collateral_question(c, id, &q, err) < 0)
        return -1;
    const struct http_request request = { .method = "GET",
                                          .url = q.url,
                                          .deadline_ms = COLLATERAL_REQUEST_MS,
                                          .max_body = collateral_max(id->kind),
                                          .wanted = { q.header[0], q.header[1] } };
    if (http_perform(&c->lower.http, &request, &r, &why) < 0) {
        if (why.kind == ERR_TOO_LARGE)
            return refuse_answer(q.url, &why, err);
        *err = why;
        return -1;
    }
    if (judge_status(&r, q.url, retry_after_s, err) < 0)
        return -1;
    if (collateral_take_answer(id, buf_bytes(&r.body), r.header[0] ? r.header[0] : r.header[1], c->veks->pool,
                               c->veks->pool_n, &item, &why)
        < 0)
        return refuse_answer(q.url, &why, err);
    if (collateral_expired(c, &item) && !c->source.allow_expired) {
        err_set(&why, ERR_DENIED, 0, "it expired on %s", rfc3339_text(item.next_update, when));
        collateral_item_done(&item);
        return refuse_answer(q.url, &why, err);
    }
    *out = item;
    return 0;
}

/* Another thread may have fetched it between the caller's look at the cache and this turn. */
int collateral_attempt_item(struct collateral_service *c, const void *what, void *out,
                            unsigned *retry_after_s, struct err *err)
{
    const struct collateral_wish *wish = what;
    struct collateral_item item = { 0 };
    bool kept = !wish->anew && collateral_kept(c, &wish->id, &item);
    if (kept && collateral_expired(c, &item)) {
        collateral_item_done(&item);
        kept = false;
    }
    if (!kept) {
        if (download(c, &wish->id, &item, retry_after_s, err) < 0)
            return -1;
        collateral_keep(c, &wish->id, &item);
        item.fetched = true;
    }
    *(struct collateral_item *)out = item;
    return 0;
}

/* ---- one request for all ---- */

static struct collateral_pending *find(struct collateral_service *c, const char *name)
{
    for (size_t i = 0; i < COLLATERAL_PENDING_MAX; i++)
        if (!strcmp(c->pending[i].name, name))
            return &c->pending[i];
    return NULL;
}

/* Failures are forgotten, the oldest first, when there is no room for another name. */
static struct collateral_pending *find_or_make(struct collateral_service *c, const char *name)
{
    struct collateral_pending *p = find(c, name);
    for (size_t i = 0; !p && i < COLLATERAL_PENDING_MAX; i++) {
        struct collateral_pending *slot = &c->pending[c->pending_next];
        c->pending_next = (c->pending_next + 1) % COLLATERAL_PENDING_MAX;
        if (slot->running)
            continue;
        *slot = (struct collateral_pending){ 0 };
        memcpy(slot->name, name, strlen(name) + 1);
        p = slot;
    }
    return p;
}

/* Until a change, a time of clock_ms(), or the next look at the cancel flag. */
static void wait_a_while(struct collateral_service *c, uint64_t until)
{
    uint64_t look = clock_ms() + LOOK_MS;
    uint64_t at = until < look ? until : look;
    struct timespec t = { (time_t)(at / 1000), (long)(at % 1000) * 1000000 };
    pthread_cond_timedwait(&c->changed, &c->lock, &t);
}

/* Waits for the thread that makes the attempt. @return 0 when it has ended, well or not */
static int wait_for_other(struct collateral_service *c, const char *name, uint64_t until, struct err *err)
{
    struct collateral_pending *p;
    while ((p = find(c, name)) && p->running) {
        if (collateral_cancelled(c) || clock_ms() >= until)
            return err_set(err, ERR_UNAVAILABLE, ETIMEDOUT,
                           "%.100s is being fetched, and no answer is there yet", name);
        wait_a_while(c, until);
    }
    return 0;
}

/* Whether a service that failed may be asked again: waits for it as long as the caller likes. */
static int wait_for_turn(struct collateral_service *c, const char *name, uint64_t until, struct err *err)
{
    struct collateral_pending *p;
    while ((p = find(c, name)) && p->failures && !p->running && clock_ms() < p->not_before) {
        if (!p->repeatable || p->not_before > until || collateral_cancelled(c)) {
            *err = p->last;
            return -1;
        }
        wait_a_while(c, p->not_before);
    }
    return 0;
}

static void note_failure(struct collateral_pending *p, unsigned retry_after_s, const struct err *err)
{
    p->failures++;
    p->last = *err;
    p->repeatable =
        err->kind == ERR_UNAVAILABLE && (err->code == 429 || (err->code >= 500 && err->code < 600));
    p->not_before = clock_ms() + flight_pause_ms(p->failures, retry_after_s);
}

/* One attempt, the lock given back meanwhile. A running slot is nobody else's. */
static int attempt_in(struct collateral_service *c, struct collateral_pending *p,
                      collateral_attempt_fn *attempt, const void *what, void *out, struct err *err)
{
    unsigned retry_after_s = 0;
    p->running = true;
    pthread_mutex_unlock(&c->lock);
    int rc = attempt(c, what, out, &retry_after_s, err);
    pthread_mutex_lock(&c->lock);
    p->running = false;
    if (rc < 0)
        note_failure(p, retry_after_s, err);
    else
        p->name[0] = '\0';
    pthread_cond_broadcast(&c->changed);
    return rc;
}

/* With the lock held. */
static int fly(struct collateral_service *c, const char *name, collateral_attempt_fn *attempt,
               const void *what, void *out, struct err *err)
{
    unsigned request_ms = c->source.request_ms ? c->source.request_ms : COLLATERAL_REQUEST_MS;
    uint64_t until = clock_ms() + c->source.wait_ms;
    for (;;) {
        struct collateral_pending *p = find(c, name);
        if (p && p->running) {
            if (wait_for_other(c, name, until + 2ull * request_ms, err) < 0)
                return -1;
            if (!find(c, name))
                return COLLATERAL_BY_ANOTHER;
        }
        if (wait_for_turn(c, name, until, err) < 0)
            return -1;
        p = find_or_make(c, name);
        if (!p)
            return err_set(err, ERR_LIMITED, 0, "%d fetches of collateral are under way already",
                           COLLATERAL_PENDING_MAX);
        if (p->running)
            continue; /* another was faster */
        if (attempt_in(c, p, attempt, what, out, err) == 0)
            return COLLATERAL_FLOWN;
        if (!p->repeatable || p->not_before > until)
            return -1;
    }
}

int collateral_fly(struct collateral_service *c, const char *name, collateral_attempt_fn *attempt,
                   const void *what, void *out, struct err *err)
{
    pthread_mutex_lock(&c->lock);
    int rc = fly(c, name, attempt, what, out, err);
    pthread_mutex_unlock(&c->lock);
    return rc;
}
