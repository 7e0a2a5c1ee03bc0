#include "agent/metrics.h"

#include "agent/routes.h"
#include "base/auto.h"
#include "base/file.h"
#include "tee/collateral.h"

#include <stdatomic.h>

#define ROUTES_MAX 48

static const unsigned statuses[] = { 200, 201, 400, 401, 403, 404, 405, 409, 413, 429, 500, 503 };

/* Upper bounds in microseconds; a TPM quote takes from half a millisecond to a second. */
static const uint64_t bounds_us[] = { 500,    1000,   2500,   5000,    10000,   25000,   50000,
                                      100000, 250000, 500000, 1000000, 2500000, 10000000 };

struct row {
    _Atomic uint64_t by_status[ARRAY_SIZE(statuses)];
    _Atomic uint64_t by_bound[ARRAY_SIZE(bounds_us) + 1]; /* the last one: longer than every bound */
    _Atomic uint64_t sum_us;
};

struct metrics {
    struct row row[ROUTES_MAX + 1]; /* the last one: no route */
};

struct metrics *metrics_new(void)
{
    return calloc(1, sizeof(struct metrics));
}

void metrics_free(struct metrics *m)
{
    free(m);
}

static size_t row_of(const struct route *route)
{
    size_t n;
    const struct route *first = routes_all(&n);
    return route && (size_t)(route - first) < ROUTES_MAX ? (size_t)(route - first) : ROUTES_MAX;
}

void metrics_count(struct metrics *m, const struct route *route, unsigned status, uint64_t took_us)
{
    struct row *row = &m->row[row_of(route)];
    size_t bound = 0;
    for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
        if (statuses[i] == status)
            atomic_fetch_add_explicit(&row->by_status[i], 1, memory_order_relaxed);
    }
    while (bound < ARRAY_SIZE(bounds_us) && took_us > bounds_us[bound])
        bound++;
    atomic_fetch_add_explicit(&row->by_bound[bound], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&row->sum_us, took_us, memory_order_relaxed);
}

static void put_family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static const char *row_path(size_t i, const char **method)
{
    size_t n;
    const struct route *routes = routes_all(&n);
    *method = i < n ? routes[i].method : "any";
    return i < n ? routes[i].path : i == ROUTES_MAX ? "none" : NULL;
}

static void put_latency(const struct row *row, const char *path, const char *method, struct buf *out)
{
    uint64_t seen = 0;
    for (size_t b = 0; b <= ARRAY_SIZE(bounds_us); b++) {
        seen += atomic_load_explicit(&row->by_bound[b], memory_order_relaxed);
        buf_printf(out, "cvm_agent_request_seconds_bucket{route=\"%s\",method=\"%s\",le=\"", path, method);
        if (b < ARRAY_SIZE(bounds_us))
            buf_printf(out, "%g\"} %" PRIu64 "\n", (double)bounds_us[b] / 1e6, seen);
        else
            buf_printf(out, "+Inf\"} %" PRIu64 "\n", seen);
    }
    buf_printf(out, "cvm_agent_request_seconds_sum{route=\"%s\",method=\"%s\"} %.6f\n", path, method,
               (double)atomic_load_explicit(&row->sum_us, memory_order_relaxed) / 1e6);
    buf_printf(out, "cvm_agent_request_seconds_count{route=\"%s\",method=\"%s\"} %" PRIu64 "\n", path, method,
               seen);
}

void metrics_put_requests(const struct metrics *m, struct buf *out)
{
    const char *path, *method;
    put_family(out, "cvm_agent_requests_total", "counter", "Requests answered, by route and status.");
    for (size_t i = 0; i <= ROUTES_MAX; i++) {
        for (size_t k = 0; (path = row_path(i, &method)) && k < ARRAY_SIZE(statuses); k++) {
            uint64_t n = atomic_load_explicit(&m->row[i].by_status[k], memory_order_relaxed);
            if (n)
                buf_printf(out,
                           "cvm_agent_requests_total{route=\"%s\",method=\"%s\",status=\"%u\"} %" PRIu64 "\n",
                           path, method, statuses[k], n);
        }
    }
    put_family(out, "cvm_agent_request_seconds", "histogram",
               "Time from the first line of a request to its answer, by route.");
    for (size_t i = 0; i <= ROUTES_MAX; i++) {
        if ((path = row_path(i, &method)))
            put_latency(&m->row[i], path, method, out);
    }
}

void metrics_put_connections(const char *side, const struct conns_stats *stats, struct buf *out)
{
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        { "open", "gauge", "Open connections.", stats->open },
        { "busy", "gauge", "Connections whose request is being answered.", stats->busy },
        { "refused_total", "counter", "Connections closed at once: over a limit, none idle.",
          stats->refused },
        { "evicted_total", "counter", "Idle connections closed to make room.", stats->evicted },
        { "expired_total", "counter", "Connections closed at their deadline.", stats->expired },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char name[64];
        snprintf(name, sizeof(name), "cvm_agent_%s_connections_%s", side, rows[i].name);
        put_family(out, name, rows[i].type, rows[i].help);
        buf_printf(out, "%s %" PRIu64 "\n", name, rows[i].value);
    }
}

void metrics_put_collector(const struct collector_stats *stats, struct buf *out)
{
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        { "cvm_agent_evidence_collected_total", "counter", "Evidence collected.", stats->collected },
        { "cvm_agent_evidence_failed_total", "counter", "Collections that failed.", stats->failed },
        { "cvm_agent_tpm_quote_retries_total", "counter", "Quotes repeated because a PCR moved.",
          stats->quote_retries },
        { "cvm_agent_tpm_reopened_total", "counter", "Times the TPM connection was opened anew.",
          stats->tpm_reopened },
        { "cvm_agent_vek_cache_hits_total", "counter", "VEK certificates found in the cache.",
          stats->vek_hits },
        { "cvm_agent_vek_cache_misses_total", "counter", "VEK certificates not in the cache.",
          stats->vek_misses },
        { "cvm_agent_vek_fetch_failures_total", "counter", "VEK certificates that no service gave.",
          stats->vek_fetch_failures },
        { "cvm_agent_tpm_queue_depth", "gauge", "Requests that wait for the TPM.", stats->tpm_waiting },
        { "cvm_agent_tee_queue_depth", "gauge", "Requests that wait for the TEE device.",
          stats->tee_waiting },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        put_family(out, rows[i].name, rows[i].type, rows[i].help);
        buf_printf(out, "%s %" PRIu64 "\n", rows[i].name, rows[i].value);
    }
}

static void put_expiry(void *arg, const char *name, time_t next_update)
{
    if (next_update)
        buf_printf(arg, "cvm_agent_collateral_next_update_seconds{item=\"%s\"} %lld\n", name,
                   (long long)next_update);
}

void metrics_put_collateral(struct collateral_service *service, struct buf *out)
{
    struct collateral_stats stats;
    collateral_stats_get(service, &stats);
    put_family(out, "cvm_agent_collateral_requests_total", "counter", "Requests to vendors' services.");
    buf_printf(out, "cvm_agent_collateral_requests_total %" PRIu64 "\n", stats.requests);
    put_family(out, "cvm_agent_collateral_failures_total", "counter", "Those without the answer wanted.");
    buf_printf(out, "cvm_agent_collateral_failures_total %" PRIu64 "\n", stats.failures);
    put_family(out, "cvm_agent_collateral_next_update_seconds", "gauge",
               "When collateral in memory expires, in Unix time.");
    collateral_each(service, put_expiry, out);
}

/* "VmRSS:   1234 kB" of /proc/self/status (proc(5)) in bytes. */
static uint64_t status_bytes(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at ? strtoull(at + strlen(key), NULL, 10) * 1024 : 0;
}

void metrics_put_process(struct buf *out)
{
    AUTO(free_u8) uint8_t *text = NULL;
    size_t n;
    put_family(out, "cvm_agent_build_info", "gauge", "The version that runs.");
    buf_str(out, "cvm_agent_build_info{version=\"" CVM_VERSION "\"} 1\n");
    if (file_read("/proc/self/status", 65536, &text, &n, NULL) < 0)
        return;
    put_family(out, "process_resident_memory_bytes", "gauge", "Resident memory.");
    buf_printf(out, "process_resident_memory_bytes %" PRIu64 "\n", status_bytes((char *)text, "VmRSS:"));
    put_family(out, "cvm_agent_anonymous_memory_bytes", "gauge", "Resident memory that no file backs.");
    buf_printf(out, "cvm_agent_anonymous_memory_bytes %" PRIu64 "\n", status_bytes((char *)text, "RssAnon:"));
}
