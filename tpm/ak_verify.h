/** tpm/ak_verify.h: the certificate of an attestation key, judged: a cloud's CA says that the key is in a
 * virtual TPM of its own. Pure. Sources: TCG EK Credential Profile 2.5 (extended key usages); recorded Google
 * and Azure certificates. */
#ifndef CVM_TPM_AK_VERIFY_H
#define CVM_TPM_AK_VERIFY_H

#include "base/checks.h"
#include "base/x509.h"

#include <stdbool.h>
#include <time.h>

struct ak_cert_request {
    X509 *cert;        /* untrusted */
    X509 *const *pool; /* intermediates; untrusted, any order */
    size_t pool_n;
    X509 *const *anchors; /* the cloud's roots */
    size_t anchors_n;
};

/** What is known of a certificate without a clock: can be kept, holds no references. */
struct ak_judged {
    bool ok;            /* it chains to an anchor and is for an attestation key */
    bool no_issuer;     /* not ok, since a certificate of an issuer's name is not at hand */
    char why[224];      /* if not ok */
    size_t anchor;      /* which, if ok */
    time_t from, until; /* the whole path is valid, if ok */
};

/** Judges chain and usage: the key may sign (key usage), and if extended usages are named, one of the TCG's
 * for EK or AK certificates (2.23.133.8.1, .3) is among them. */
void ak_cert_judge(const struct ak_cert_request *request, struct ak_judged *out);

/** Makes the check tpm.ak_chain: judged ok, valid at the clock, and of the key that signed.
 *  @param cert  the one that was judged
 *  @param ak    the key that signed the quote
 *  @param optional  another thing anchors the key: no issuer at hand is then null, with a warning
 *  @return true if the check holds: only then the certificate's contents mean something */
bool ak_cert_check(const struct ak_judged *judged, const X509 *cert, EVP_PKEY *ak, time_t at, bool optional,
                   struct checks *checks);

#endif
