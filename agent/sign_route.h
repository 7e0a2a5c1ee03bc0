/** agent/sign_route.h: POST /sign-message and GET /current-cvm-identity-hash. */
#ifndef CVM_AGENT_SIGN_ROUTE_H
#define CVM_AGENT_SIGN_ROUTE_H

#include "agent/request.h"

#define SIGN_BODY_MAX (4u << 20)

int sign_prepare(struct request *r, struct err *err);
int sign_begin(struct request *r, struct err *err);
int identity_begin(struct request *r, struct err *err);

#endif
