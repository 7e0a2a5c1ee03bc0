/** agent/attestation_route.h: POST /attestation, as Cocos and Cube ask for evidence. */
#ifndef CVM_AGENT_ATTESTATION_ROUTE_H
#define CVM_AGENT_ATTESTATION_ROUTE_H

#include "agent/request.h"

/** Largest body: 96 bytes of base64 and what else a caller says. */
#define ATTESTATION_BODY_MAX 4096

int attestation_begin(struct request *r, struct err *err);
int attestation_answer(struct request *r, struct buf *out, struct err *err);

#endif
