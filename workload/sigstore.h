/** workload/sigstore.h: signatures of images in the form of cosign with a key: an image beside the image,
 * named by its digest, whose layers are signed statements. The engine of Debian 12 is built without this
 * check, so it is made here, before the engine pulls by the digest that was signed. Sources: cosign,
 * "Signature specification"; containers-policy.json(5), "sigstoreSigned" and "signedIdentity". Internal to
 * workload/. */
#ifndef CVM_WORKLOAD_SIGSTORE_H
#define CVM_WORKLOAD_SIGSTORE_H

#include "base/json.h"
#include "workload/registry.h"

/** Finds the signature that a requirement asks for.
 *  @param requirement  {"type":"sigstoreSigned","keyData":…,"signedIdentity"?:…}, checked before
 *  @param digest       of the manifest that must be signed
 *  @return 0, or -1: ERR_DENIED (none, or none that fits, with the reason), else as registry_get() */
MUST_USE int sigstore_verify(struct registry *r, const char *digest, const json_t *requirement,
                             struct err *err);

/** Judges one signed statement, for tests and fuzzing: the signature over payload by key (PEM), what it says
 * about digest, and whose image it says that it is.
 *  @return 0, or -1 with ERR_DENIED or ERR_INPUT */
MUST_USE int sigstore_check_statement(struct bytes payload, struct bytes signature, struct bytes key,
                                      const char *digest, const struct image_name *name,
                                      const json_t *identity, struct err *err);

#endif
