/** agent/handlers.h: what the rows of the route table do (see struct route for the calling rules). */
#ifndef CVM_AGENT_HANDLERS_H
#define CVM_AGENT_HANDLERS_H

#include "agent/request.h"

int platform_answer(struct request *r, struct buf *out, struct err *err);
int healthz_answer(struct request *r, struct buf *out, struct err *err);
int metrics_answer(struct request *r, struct buf *out, struct err *err);
int openapi_answer(struct request *r, struct buf *out, struct err *err);

int collaterals_prepare(struct request *r, struct err *err);
int golden_prepare(struct request *r, struct err *err);
int evidence_begin(struct request *r, struct err *err);
int collaterals_answer(struct request *r, struct buf *out, struct err *err);
int golden_answer(struct request *r, struct buf *out, struct err *err);

#endif
