/** tests/support/intel_lab.h: Intel's hierarchy with keys of our own: what a verifier says about things that
 * Intel never signs can be tried out. Recorded quotes and documents are changed and signed again. */
#ifndef CVM_TESTS_INTEL_LAB_H
#define CVM_TESTS_INTEL_LAB_H

#include "evidence.h"

#include "base/buf.h"
#include "tee/tdx_verify.h"

enum lab_role { LAB_ROOT, LAB_CA, LAB_SIGNER, LAB_PCK, LAB_ROLES };

/** How a certificate is made; set before lab_certs(). */
struct lab_cert {
    const char *cn;
    bool ca;
    time_t from, to;
};

struct lab {
    struct lab_cert spec[LAB_ROLES];
    EVP_PKEY *key[LAB_ROLES], *attestation;
    X509 *cert[LAB_ROLES];
    struct sample quote;
    uint8_t *body; /* header and body within quote */
    size_t body_n;
    uint8_t qe_report[TDX_QE_REPORT_SIZE];
    char *info, *identity; /* inner objects */
    X509 *revoked_by_root, *revoked_by_ca;
    time_t at;
};

/** Keys, certificates as Intel's, quote and documents of a recorded case, and its clock. */
void lab_init(struct lab *l, const char *folder, const char *at);
void lab_done(struct lab *l);

/** Makes the certificates anew from spec. */
void lab_certs(struct lab *l);

/** Replaces a text in an inner object; it must be there. */
void lab_replace(char **text, const char *from, const char *to);

/** The collateral, signed; the caller frees. */
struct tdx_collateral *lab_collateral(const struct lab *l);

/** The quote, signed, appended. */
void lab_quote(const struct lab *l, struct buf *out);

#endif
