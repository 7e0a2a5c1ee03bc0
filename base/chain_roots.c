/* Roots that come with evidence. */
#include "base/chain.h"

#include <openssl/err.h>

static bool is_self_issued(const X509 *cert)
{
    return X509_NAME_cmp(X509_get_issuer_name(cert), X509_get_subject_name(cert)) == 0;
}

/* The anchor itself, or an older certificate of the same key: Intel has issued its root twice. */
static bool is_of(X509 *cert, X509 *anchor)
{
    EVP_PKEY *key = X509_get0_pubkey(anchor);
    bool same = X509_cmp(cert, anchor) == 0
                || (X509_NAME_cmp(X509_get_subject_name(cert), X509_get_subject_name(anchor)) == 0
                    && EVP_PKEY_eq(X509_get0_pubkey(cert), key) == 1 && X509_verify(cert, key) == 1);
    ERR_clear_error();
    return same;
}

int chain_root_fits(X509 *const *certs, size_t n, X509 *anchor, struct err *err)
{
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (!is_self_issued(certs[i]))
            continue;
        if (is_of(certs[i], anchor))
            return 0;
        any = true;
    }
    return any ? err_set(err, ERR_DENIED, 0, "the root of the chain that was given is not the trusted one")
               : 0;
}
