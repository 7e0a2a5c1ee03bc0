/** agent/journal_route.h: GET /journal. */
#ifndef CVM_AGENT_JOURNAL_ROUTE_H
#define CVM_AGENT_JOURNAL_ROUTE_H

#include "agent/request.h"

int journal_begin(struct request *r, struct err *err);

#endif
