/** agent/metrics.h: counters in the Prometheus text format 0.0.4. */
#ifndef CVM_AGENT_METRICS_H
#define CVM_AGENT_METRICS_H

#include "agent/conns.h"
#include "agent/request.h"

struct metrics;
struct collateral_service;

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

/** Counts an answered request; route is NULL when none matched. From any thread. */
void metrics_count(struct metrics *m, const struct route *route, unsigned status, uint64_t took_us);

/** Append one group of families each. metrics_put_connections() is called for "inside", then "outside". */
void metrics_put_requests(const struct metrics *m, struct buf *out);
void metrics_put_connections(const char *side, const struct conns_stats *stats, struct buf *out);
void metrics_put_collector(const struct collector_stats *stats, struct buf *out);
void metrics_put_collateral(struct collateral_service *service, struct buf *out);
void metrics_put_process(struct buf *out);

#endif
