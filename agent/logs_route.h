/** agent/logs_route.h: GET /container-logs. */
#ifndef CVM_AGENT_LOGS_ROUTE_H
#define CVM_AGENT_LOGS_ROUTE_H

#include "agent/request.h"

/** NULL is fine. */
void logs_free(struct logs *l);

int logs_prepare(struct request *r, struct err *err);
int logs_begin(struct request *r, struct err *err);
int logs_answer(struct request *r, struct buf *out, struct err *err);

#endif
