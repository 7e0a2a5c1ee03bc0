/** agent/tls.h: the key of the external port: made at start, kept in memory only. */
#ifndef CVM_AGENT_TLS_H
#define CVM_AGENT_TLS_H

#include "base/buf.h"

struct tls_identity {
    struct buf spki; /* DER SubjectPublicKeyInfo */
    uint8_t spki_sha256[32];
    char *key_pem; /* in OpenSSL's locked memory; tls_forget_key() once the TLS library has read it */
    char *cert_pem;
};

/** Makes a P-256 key and a self-signed certificate over it. Locks a small memory area for the key (a process
 * that may not lock memory goes on without; *locked says so). */
MUST_USE int tls_identity_new(struct tls_identity *out, bool *locked, struct err *err);

/** Wipes our copy of the private key. */
void tls_forget_key(struct tls_identity *t);

/** Releases everything; for AUTO(). */
void tls_identity_done(struct tls_identity *t);

#endif
