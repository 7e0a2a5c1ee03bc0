/** cli/anchors.h: the built-in certificates of one vendor as chain building takes them. */
#ifndef CVM_CLI_ANCHORS_H
#define CVM_CLI_ANCHORS_H

#include "base/x509.h"
#include "policy/trust.h"

struct anchors {
    X509 *list[TRUST_ROWS]; /* owned; roots that verification may end at */
    size_t n;
    X509 *pool[TRUST_ROWS]; /* owned; the vendor's intermediates, to build chains with */
    size_t pool_n;
};

/** Adds a vendor's certificates, each checked against its fingerprint; several vendors may be added.
 *  @param out  zero, or of an earlier call; free with anchors_done()
 *  @return 0, or -1: a built-in certificate is not what it should be, or memory is short */
MUST_USE int anchors_add(struct anchors *out, enum trust_vendor vendor, struct err *err);

/** For AUTO(anchors_done) struct anchors a = { 0 }. */
void anchors_done(struct anchors *a);

/** Certificates read from files, DER or PEM, as pool for chain building. */
#define CERT_FILES_MAX 32

struct cert_files {
    X509 *list[CERT_FILES_MAX]; /* owned */
    size_t n;
};

/** Adds every certificate of the file (PEM blocks, or DER one after the other).
 *  @return 0, or the exit status with the message printed */
int cert_files_read(struct cert_files *out, const char *path);

/** Adds a reference to each of the n certificates, as far as there is room. */
void cert_files_add(struct cert_files *out, X509 *const *certs, size_t n);

/** For AUTO(cert_files_done). */
void cert_files_done(struct cert_files *c);

#endif
