/** agent/token_route.h: GET /api-token and POST /api-token/rotate. */
#ifndef CVM_AGENT_TOKEN_ROUTE_H
#define CVM_AGENT_TOKEN_ROUTE_H

#include "agent/request.h"

int token_begin(struct request *r, struct err *err);
int token_rotate_begin(struct request *r, struct err *err);

#endif
