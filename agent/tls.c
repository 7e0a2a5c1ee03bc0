#include "agent/tls.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/x509.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

/* Locked memory for the key: a power of two, well under the usual RLIMIT_MEMLOCK of 64 KiB. */
#define LOCKED_SIZE 16384
#define LOCKED_MIN  32

static void bio_drop(BIO **b)
{
    BIO_free(*b);
}

static int failed(const char *what, struct err *err)
{
    return err_set(err, ERR_IO, 0, "libcrypto cannot make the TLS key: %s", what);
}

/* Validity has no meaning for a key that lives as long as its process and is bound into the evidence; the
 * guest's clock may be wrong at boot. 99991231235959Z: no defined end (RFC 5280, section 4.1.2.5). */
static int fill_certificate(X509 *cert, EVP_PKEY *key, struct err *err)
{
    unsigned char serial[16];
    BIGNUM *n = NULL;
    X509_NAME *name = X509_get_subject_name(cert);
    if (RAND_bytes(serial, sizeof(serial)) != 1)
        return failed("no random bytes", err);
    serial[0] = (unsigned char)((serial[0] & 0x7F) | 0x40);
    n = BN_bin2bn(serial, sizeof(serial), NULL);
    bool ok =
        n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) && X509_set_version(cert, X509_VERSION_3)
        && ASN1_TIME_set_string_X509(X509_getm_notBefore(cert), "20250101000000Z")
        && ASN1_TIME_set_string_X509(X509_getm_notAfter(cert), "99991231235959Z")
        && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"cvm-agent", -1, -1, 0)
        && X509_set_issuer_name(cert, name) && X509_set_pubkey(cert, key)
        && X509_sign(cert, key, EVP_sha256());
    BN_free(n);
    return ok ? 0 : failed("certificate", err);
}

/* The PEM text on the locked heap, or on the ordinary one for public text. */
static char *pem_text(BIO *bio, bool secret)
{
    char *data;
    long n = BIO_get_mem_data(bio, &data);
    char *text = n <= 0 ? NULL : secret ? OPENSSL_secure_malloc((size_t)n + 1) : malloc((size_t)n + 1);
    if (!text)
        return NULL;
    memcpy(text, data, (size_t)n);
    text[n] = '\0';
    return text;
}

static int write_pem(EVP_PKEY *key, X509 *cert, struct tls_identity *t, struct err *err)
{
    AUTO(bio_drop) BIO *secret = BIO_new(BIO_s_secmem());
    AUTO(bio_drop) BIO *open = BIO_new(BIO_s_mem());
    if (!secret || !open || !PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL)
        || !PEM_write_bio_X509(open, cert) || !(t->key_pem = pem_text(secret, true))
        || !(t->cert_pem = pem_text(open, false)))
        return failed("PEM", err);
    return 0;
}

int tls_identity_new(struct tls_identity *out, bool *locked, struct err *err)
{
    struct tls_identity t = { .spki = buf_new(256) };
    bool is_locked = CRYPTO_secure_malloc_init(LOCKED_SIZE, LOCKED_MIN) == 1; /* 2: made, but not locked */
    AUTO(pkey_drop) EVP_PKEY *key = EVP_EC_gen("P-256");
    AUTO(x509_drop) X509 *cert = X509_new();
    if (!key || !cert)
        return failed("key", err);
    if (fill_certificate(cert, key, err) < 0 || write_pem(key, cert, &t, err) < 0
        || spki_put_der(key, &t.spki, err) < 0) {
        tls_identity_done(&t);
        return -1;
    }
    sha256(buf_bytes(&t.spki), t.spki_sha256);
    *locked = is_locked;
    *out = t;
    return 0;
}

void tls_forget_key(struct tls_identity *t)
{
    if (t->key_pem)
        OPENSSL_secure_clear_free(t->key_pem, strlen(t->key_pem) + 1);
    t->key_pem = NULL;
}

void tls_identity_done(struct tls_identity *t)
{
    tls_forget_key(t);
    free(t->cert_pem);
    t->cert_pem = NULL;
    buf_done(&t->spki);
}
