#include "agent/server.h"

#include "agent/metrics.h"
#include "agent/operate.h"
#include "agent/refusal.h"
#include "agent/side.h"
#include "agent/workload_start.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define DRAIN_STEP_MS    10
#define JOURNAL_TEXT_MAX (16u << 20)

struct server {
    struct side inside, outside;
    struct side services; /* its event thread is started with the first connection of a service */
    struct rates *rates;
    struct metrics *metrics;
    pthread_rwlock_t lock; /* collector and limits */
    struct collector *collector;
    struct limits limits;
    struct journal *journal;
    struct measurements *measurements;
    struct verifier *verifier;
    struct appraiser *appraiser;
    struct collateral_service *collateral;
    struct operate *operate;
    struct workload_boot *workload;
    struct lingerer *linger;
    atomic_bool draining;
    bool emulated;
    enum cloud_type cloud;
    char spki_sha256[65];
};

struct limits server_limits(struct server *s)
{
    pthread_rwlock_rdlock(&s->lock);
    struct limits limits = s->limits;
    pthread_rwlock_unlock(&s->lock);
    return limits;
}

int server_new(const struct server_options *options, struct server **out, struct err *err)
{
    struct server *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the server");
    pthread_rwlock_init(&s->lock, NULL);
    s->collector = options->collector;
    s->journal = options->journal;
    s->measurements = options->measurements;
    s->verifier = options->verifier;
    s->appraiser = options->appraiser;
    s->collateral = options->collateral;
    s->operate = options->operate;
    s->workload = options->workload;
    s->limits = options->limits;
    s->emulated = options->emulated;
    s->cloud = collector_cloud(options->collector);
    if (refusal_init(err) < 0 || linger_new(&s->linger, err) < 0) {
        server_free(s);
        return -1;
    }
    s->inside = (struct side){ s, s->linger, options->services, conns_new(false), NULL };
    s->outside = (struct side){ s, s->linger, options->services, conns_new(true), NULL };
    s->services = (struct side){ s, s->linger, options->services, conns_new(true), NULL };
    s->rates = rates_new();
    s->metrics = metrics_new();
    hex_to(s->spki_sha256, bytes_of(options->tls->spki_sha256, 32));
    if (!s->inside.conns || !s->outside.conns || !s->services.conns || !s->rates || !s->metrics) {
        server_free(s);
        return err_set(err, ERR_IO, ENOMEM, "no memory for the server");
    }
    if (side_start(&s->inside, NULL, err) < 0 || side_start(&s->outside, options->tls, err) < 0) {
        server_free(s);
        return -1;
    }
    *out = s;
    return 0;
}

int server_accept(struct server *s, int listener, enum port port, struct err *err)
{
    return side_accept(port == PORT_EXTERNAL ? &s->outside : &s->inside, listener, (int)port, NULL, err);
}

int server_accept_service(struct server *s, int listener, unsigned id, struct err *err)
{
    /* An address that no peer has: ff00::/8 is multicast. */
    const struct address who = { { 0xFF, (uint8_t)(id >> 8), (uint8_t)id } };
    if (!s->services.daemon && side_start(&s->services, NULL, err) < 0)
        return -1;
    return side_accept(&s->services, listener, (int)(PORT_SERVICE | id << PORT_BITS), &who, err);
}

unsigned server_expire(struct server *s)
{
    struct limits limits = server_limits(s);
    uint64_t now = clock_ms();
    if (s->operate)
        operate_tick(s->operate, now);
    return conns_expire(s->inside.conns, &limits, now) + conns_expire(s->outside.conns, &limits, now)
           + conns_expire(s->services.conns, &limits, now);
}

void server_set_limits(struct server *s, const struct limits *limits)
{
    pthread_rwlock_wrlock(&s->lock);
    s->limits = *limits;
    pthread_rwlock_unlock(&s->lock);
}

static unsigned busy(struct server *s)
{
    struct conns_stats inside, outside, services;
    conns_stats_get(s->inside.conns, &inside);
    conns_stats_get(s->outside.conns, &outside);
    conns_stats_get(s->services.conns, &services);
    return inside.busy + outside.busy + services.busy;
}

void server_drain(struct server *s, unsigned max_ms)
{
    const struct timespec step = { 0, DRAIN_STEP_MS * 1000000L };
    atomic_store(&s->draining, true);
    for (uint64_t until = clock_ms() + max_ms; busy(s) && clock_ms() < until;)
        nanosleep(&step, NULL);
    pthread_rwlock_wrlock(&s->lock);
    s->collector = NULL;
    pthread_rwlock_unlock(&s->lock);
}

void server_free(struct server *s)
{
    if (!s)
        return;
    if (s->inside.daemon)
        MHD_stop_daemon(s->inside.daemon);
    if (s->outside.daemon)
        MHD_stop_daemon(s->outside.daemon);
    if (s->services.daemon)
        MHD_stop_daemon(s->services.daemon);
    linger_free(s->linger);
    conns_free(s->inside.conns);
    conns_free(s->outside.conns);
    conns_free(s->services.conns);
    rates_free(s->rates);
    metrics_free(s->metrics);
    pthread_rwlock_destroy(&s->lock);
    free(s);
}

struct collector *server_collector_get(struct server *s)
{
    pthread_rwlock_rdlock(&s->lock);
    struct collector *c = s->collector;
    if (!c)
        pthread_rwlock_unlock(&s->lock);
    return c;
}

void server_collector_put(struct server *s)
{
    pthread_rwlock_unlock(&s->lock);
}

char *server_journal(struct server *s, size_t mark)
{
    AUTO(buf_done) struct buf text = buf_new(JOURNAL_TEXT_MAX);
    if (!s->journal || mark == LOG_MARK_NONE || !journal_put(s->journal, mark, &text))
        return NULL;
    return buf_take_str(&text);
}

char *server_workload_log(struct server *s, size_t mark)
{
    AUTO(buf_done) struct buf text = buf_new(JOURNAL_TEXT_MAX);
    if (!s->measurements || mark == LOG_MARK_NONE)
        return NULL;
    measurements_put(s->measurements, mark, &text);
    return buf_take_str(&text);
}

struct measurements *server_measurements(const struct server *s)
{
    return s->measurements;
}

bool server_rate_take(struct server *s, const struct address *who, unsigned *retry_after_s)
{
    struct limits limits = server_limits(s);
    return rates_take(s->rates, who, &limits, clock_ms(), retry_after_s);
}

void server_allow(struct server *s, const struct request *r, unsigned seconds)
{
    struct side *side = r->port == PORT_EXTERNAL ? &s->outside : &s->inside;
    side_allow(side, r->connection, seconds);
}

uint64_t server_upload_max(struct server *s)
{
    return (uint64_t)server_limits(s).upload_mib << 20;
}

bool server_is_draining(struct server *s)
{
    return atomic_load(&s->draining);
}

struct appraiser *server_appraiser(const struct server *s)
{
    return s->appraiser;
}

struct verifier *server_verifier(const struct server *s)
{
    return s->verifier;
}

struct operate *server_operate(const struct server *s)
{
    return s->operate;
}

bool server_emulated(const struct server *s)
{
    return s->emulated;
}

enum cloud_type server_cloud(const struct server *s)
{
    return s->cloud;
}

const char *server_spki_sha256(const struct server *s)
{
    return s->spki_sha256;
}

void server_count(struct server *s, const struct request *r, uint64_t took_us)
{
    metrics_count(s->metrics, r->route, r->status, took_us);
}

void server_metrics_put(struct server *s, struct buf *out)
{
    struct collector_stats collected = { 0 };
    struct conns_stats inside, outside, services;
    struct collector *c = server_collector_get(s);
    if (c) {
        collector_stats_get(c, &collected);
        server_collector_put(s);
    }
    conns_stats_get(s->inside.conns, &inside);
    conns_stats_get(s->outside.conns, &outside);
    conns_stats_get(s->services.conns, &services);
    metrics_put_requests(s->metrics, out);
    metrics_put_connections("inside", &inside, out);
    metrics_put_connections("outside", &outside, out);
    metrics_put_connections("services", &services, out);
    metrics_put_collector(&collected, out);
    if (s->collateral)
        metrics_put_collateral(s->collateral, out);
    if (s->workload)
        workload_boot_metrics(s->workload, out);
    metrics_put_process(out);
}
