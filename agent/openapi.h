/** agent/openapi.h: agent/openapi.json, built in. */
#ifndef CVM_AGENT_OPENAPI_H
#define CVM_AGENT_OPENAPI_H

#include "base/bytes.h"

/** The OpenAPI 3.1 document of the routes that this build serves. */
struct bytes openapi_document(void);

#endif
