/** agent/livepatch_route.h: POST /livepatch. */
#ifndef CVM_AGENT_LIVEPATCH_ROUTE_H
#define CVM_AGENT_LIVEPATCH_ROUTE_H

#include "agent/request.h"

int livepatch_prepare(struct request *r, struct err *err);
int livepatch_begin(struct request *r, struct err *err);

#endif
