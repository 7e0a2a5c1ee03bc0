/** agent/maintenance_route.h: POST /maintenance-mode. */
#ifndef CVM_AGENT_MAINTENANCE_ROUTE_H
#define CVM_AGENT_MAINTENANCE_ROUTE_H

#include "agent/request.h"

#define MAINTENANCE_BODY_MAX (64u << 10)

int maintenance_prepare(struct request *r, struct err *err);
int maintenance_begin(struct request *r, struct err *err);

#endif
