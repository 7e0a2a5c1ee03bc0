/** base/x509.h: certificates as bytes in, facts out; over libcrypto. Nothing here trusts anything. */
#ifndef CVM_BASE_X509_H
#define CVM_BASE_X509_H

#include "base/buf.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

/** Largest certificate that is parsed. */
#define CERT_MAX 16384

/** For AUTO(x509_drop) X509 *cert. */
static inline void x509_drop(X509 **cert)
{
    X509_free(*cert);
}

static inline void pkey_drop(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

/** Parses one certificate, DER or PEM (recognised by its header). DER may be followed by zero padding, as NV
 * indices hand it out, and by nothing else.
 *  @return 0 with a new reference in *out, or -1 with ERR_INPUT and the offset */
MUST_USE int x509_parse(struct bytes data, X509 **out, struct err *err);

/** Parses a chain: PEM blocks or concatenated DER, at most max certificates.
 *  @param out    array of max; filled with new references
 *  @return how many, or -1 with ERR_INPUT (nothing to free then) */
MUST_USE int x509_parse_chain(struct bytes data, X509 **out, size_t max, struct err *err);

/** Parses a public key: the DER of a SubjectPublicKeyInfo and nothing else.
 *  @return 0 with a new reference in *out, or -1 with ERR_INPUT */
MUST_USE int spki_parse_der(struct bytes der, EVP_PKEY **out, struct err *err);

/** As spki_parse_der(), of a file: PEM too, and zero padding as of certificates. */
MUST_USE int spki_parse(struct bytes data, EVP_PKEY **out, struct err *err);

/** For PEM_read_bio_...(): instead of OpenSSL's question on the terminal, which any file could make it ask.
 */
int x509_no_passphrase(char *out, int size, int writing, void *arg);

/** Appends the bytes of a PEM text's first block, whatever they are: a certificate that is only passed on.
 *  @return 0, or -1 with ERR_INPUT: no PEM, or damaged */
MUST_USE int x509_pem_der(struct bytes pem, struct buf *out, struct err *err);

/** Length of the DER element at the start of data: to trim padding. @return 0 if there is none */
size_t der_length(struct bytes data);

/** Appends the DER of the certificate. */
MUST_USE int x509_put_der(const X509 *cert, struct buf *out, struct err *err);

/** Appends the DER SubjectPublicKeyInfo of a key. */
MUST_USE int spki_put_der(EVP_PKEY *key, struct buf *out, struct err *err);

/** Raw octets of the extension with this OID in dotted form (the content of extnValue's OCTET STRING).
 *  @return true and a view valid as long as cert, or false if absent */
bool x509_extension(const X509 *cert, const char *oid, struct bytes *out);

/** The name as RFC 2253 text ("CN=...,O=...") on the heap, or NULL; the caller frees. */
char *x509_name_text(const X509_NAME *name);

/** An ASN.1 time as RFC 3339 "2025-01-31T12:00:00Z" into out. @return 0 or -1 with ERR_INPUT */
MUST_USE int asn1_time_text(const ASN1_TIME *t, char out[static 24], struct err *err);

#endif
