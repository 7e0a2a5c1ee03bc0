/** tests/support/made_certs.h: certificates and CRLs of a test's own making, good or wrong in one place. */
#ifndef CVM_TESTS_MADE_CERTS_H
#define CVM_TESTS_MADE_CERTS_H

#include "base/bytes.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <time.h>

/** Seconds since 1970 around which everything made is valid for ten days. */
#define MADE_NOW ((time_t)1750000000)
#define MADE_DAY ((time_t)86400)

struct made_ext {
    const char *oid;  /* dotted, or libcrypto's short name */
    const char *text; /* libcrypto's notation ("critical,CA:TRUE"), or NULL: */
    struct bytes raw; /* octets of extnValue */
    bool critical;    /* of raw */
};

struct made_spec {
    const char *cn;
    EVP_PKEY *key;        /* the subject's */
    X509 *issuer;         /* NULL: self-signed */
    EVP_PKEY *issuer_key; /* NULL: the subject's */
    long serial;
    time_t from, until; /* 0: MADE_NOW minus and plus ten days */
    const EVP_MD *md;   /* NULL: SHA-256 */
    bool pss;           /* RSASSA-PSS, salt as long as the hash */
    const struct made_ext *ext;
    size_t ext_n;
};

/** A certificate; fails the test if it cannot be made. Free with X509_free(). */
X509 *made_cert(const struct made_spec *spec);

struct made_crl_spec {
    X509 *issuer;
    EVP_PKEY *key;
    time_t from, until; /* as above */
    const EVP_MD *md;
    bool pss;
    X509 *revoked; /* NULL: none */
    const struct made_ext *ext;
    size_t ext_n;
};

X509_CRL *made_crl(const struct made_crl_spec *spec);

/** New keys. */
EVP_PKEY *made_ec_key(const char *curve);
EVP_PKEY *made_rsa_key(void);

/** A copy of the certificate with one bit changed, NULL if it does not parse any more. */
X509 *made_bit_changed(X509 *cert, size_t bit);

#endif
