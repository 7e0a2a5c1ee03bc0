/** agent/openapi.h: agent/openapi.json, built in compressed. */
#ifndef CVM_AGENT_OPENAPI_H
#define CVM_AGENT_OPENAPI_H

#include "base/buf.h"

/** Appends the OpenAPI 3.1 document of the routes that this build serves; a buffer without room notes it. */
void openapi_write(struct buf *out);

#endif
