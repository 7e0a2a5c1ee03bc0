/** tpm/measured.h: the event rule of the measured logs, scheme cvm-agent-v1 (docs/measurement.md): what an
 * event extends a register with. Writers and verifiers both use it. */
#ifndef CVM_TPM_MEASURED_H
#define CVM_TPM_MEASURED_H

#include "base/digest.h"

#define MEASURED_SCHEME     "cvm-agent-v1"
#define MEASURED_NAME_MAX   4096
#define MEASURED_EVENTS_MAX 65536

/** PCR 14: the management journal. */
#define JOURNAL_PCR 14

/** The digest of an event in one bank: H(scheme 00 type 00 name 00 SHA-384(content)). */
MUST_USE int measured_digest(uint16_t alg, const char *type, const char *name,
                             const uint8_t content_sha384[static 48], struct digest *out, struct err *err);

#endif
