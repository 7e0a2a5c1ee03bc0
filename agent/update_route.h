/** agent/update_route.h: POST /update-workload. */
#ifndef CVM_AGENT_UPDATE_ROUTE_H
#define CVM_AGENT_UPDATE_ROUTE_H

#include "agent/request.h"

int update_prepare(struct request *r, struct err *err);
int update_begin(struct request *r, struct err *err);

#endif
