/** tee/emulator/pki.h: makes the emulated vendors' certificates, revocation lists and DER values. */
#ifndef CVM_TEE_EMULATOR_PKI_H
#define CVM_TEE_EMULATOR_PKI_H

#include "tee/emulator/store.h"

#include <time.h>

#define EMULATOR_ORGANISATION "cvm-agent emulator"

/** What an emulated machine says that it measured: derived from names, so that every machine of a shape has
 * the same and golden values travel. */
void emu_measurement(const char *what, const char *name, uint8_t out[static 48]);

/* ---- DER, ITU-T X.690 ---- */
enum {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_OCTETS = 0x04,
    DER_ENUMERATED = 0x0A,
    DER_UTF8 = 0x0C,
    DER_IA5 = 0x16,
    DER_SEQUENCE = 0x30
};

/** Appends tag, length and content. */
void der_put(struct buf *out, uint8_t tag, struct bytes content);
/** Appends a non-negative INTEGER (or ENUMERATED) with as few octets as possible. */
void der_put_uint(struct buf *out, uint8_t tag, uint64_t value);
/** Appends an OBJECT IDENTIFIER given in dotted form. */
void der_put_oid(struct buf *out, const char *dotted);

/* ---- Certificates ---- */
struct cert_extension {
    const char *oid;  /* dotted form, or the name that libcrypto has for it */
    const char *text; /* libcrypto's notation, or NULL: */
    struct bytes raw; /* the octets of extnValue */
};

enum cert_signature { SIGN_SHA256, SIGN_PSS_SHA384 /* RSASSA-PSS, MGF1 SHA-384, salt 48: AMD 57230 */ };

struct cert_spec {
    const char *const *subject; /* "CN", value, ..., NULL: in the order of the vendor */
    int days;                   /* of validity; it begins a day ago */
    uint64_t serial;
    const struct cert_extension *extensions;
    size_t count;
    enum cert_signature signature;
};

/** A key and its certificate. */
struct identity {
    EVP_PKEY *key;
    X509 *cert;
    struct buf der; /* of cert */
};
void identity_done(struct identity *i);

/** Loads DIR/NAME.key.pem and DIR/NAME.der, or makes the certificate (issuer NULL: self-signed) and keeps it.
 * i->key is loaded or made unless it is there already. */
MUST_USE int identity_load(struct identity *i, const struct store *s, const char *name, enum key_kind kind,
                           const struct cert_spec *spec, const struct identity *issuer, struct err *err);

/** Makes a certificate for a public key and appends its DER. */
MUST_USE int cert_make(const struct cert_spec *spec, EVP_PKEY *subject, const struct identity *issuer,
                       struct buf *der, struct err *err);

/** Appends a DER CRL that revokes nothing; valid from a day ago for that many days. */
MUST_USE int crl_make(const struct identity *issuer, enum cert_signature signature, int days, struct buf *der,
                      struct err *err);

/** Loads the CRL of that name, made anew when it is missing or close to its end. */
MUST_USE int crl_load(const struct store *s, const char *name, const struct identity *issuer,
                      enum cert_signature signature, int days, struct buf *der, struct err *err);

/** Appends a PEM block. */
void pem_put(struct buf *out, X509 *cert);

#endif
