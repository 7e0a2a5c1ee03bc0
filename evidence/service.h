/** evidence/service.h: evidence asked for on a service's own socket (contract, sections 2 and 6). */
#ifndef CVM_EVIDENCE_SERVICE_H
#define CVM_EVIDENCE_SERVICE_H

#include "base/bytes.h"
#include "evidence/collect.h"

/** Of the documents that a service's socket answers: nobody else can have them made. */
#define SERVICE_MAGIC "Workload/collaterals"

/** The nonce that is bound for a service: the first NONCE_MAX bytes of SHA-256("cvm-agent/service" 00 service
 * 00 nonce), so that no service can have evidence made that looks as if another had asked, or the machine
 * itself. */
MUST_USE int service_nonce(const char *service, struct bytes nonce, uint8_t out[static NONCE_MAX],
                           struct err *err);

#endif
