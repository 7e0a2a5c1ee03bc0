#include "tee/emulator/pki.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/x509.h"

#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define DAY 86400

void emu_measurement(const char *what, const char *name, uint8_t out[static 48])
{
    char text[128];
    snprintf(text, sizeof(text), EMULATOR_ORGANISATION ": %s: %s", what, name);
    sha384(bytes_str(text), out);
}

void der_put(struct buf *out, uint8_t tag, struct bytes content)
{
    buf_u8(out, tag);
    if (content.n < 0x80) {
        buf_u8(out, (uint8_t)content.n);
    } else if (content.n < 0x100) {
        buf_u8(out, 0x81);
        buf_u8(out, (uint8_t)content.n);
    } else { /* nothing here is longer than 65535 */
        buf_u8(out, 0x82);
        buf_u16be(out, (uint16_t)content.n);
    }
    buf_put(out, content);
}

void der_put_uint(struct buf *out, uint8_t tag, uint64_t value)
{
    uint8_t octets[9] = { 0 };
    size_t first = 8;
    for (size_t i = 0; i < 8; i++)
        octets[8 - i] = (uint8_t)(value >> (8 * i));
    for (size_t i = 8; i > 0; i--)
        if (octets[i])
            first = i;
    if (octets[first] & 0x80) /* would be negative */
        first--;
    der_put(out, tag, bytes_of(octets + first, sizeof(octets) - first));
}

void der_put_oid(struct buf *out, const char *dotted)
{
    ASN1_OBJECT *oid = OBJ_txt2obj(dotted, 1);
    if (oid)
        der_put(out, 0x06, bytes_of(OBJ_get0_data(oid), OBJ_length(oid)));
    else
        out->failed = true;
    ASN1_OBJECT_free(oid);
}

void identity_done(struct identity *i)
{
    EVP_PKEY_free(i->key);
    X509_free(i->cert);
    buf_done(&i->der);
    *i = (struct identity){ 0 };
}

static int crypto_failed(const char *what, struct err *err)
{
    return err_set(err, ERR_IO, 0, "libcrypto cannot make %s", what);
}

static bool name_set(X509_NAME *name, const char *const *parts)
{
    for (; *parts; parts += 2)
        if (X509_NAME_add_entry_by_txt(name, parts[0], MBSTRING_UTF8, (const unsigned char *)parts[1], -1, -1,
                                       0)
            != 1)
            return false;
    return true;
}

static bool extension_add(X509 *cert, X509 *issuer, const struct cert_extension *e)
{
    X509_EXTENSION *ext = NULL;
    if (e->text) {
        X509V3_CTX ctx;
        X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
        X509V3_set_ctx_nodb(&ctx);
        ext = X509V3_EXT_conf(NULL, &ctx, e->oid, e->text);
    } else {
        ASN1_OBJECT *oid = OBJ_txt2obj(e->oid, 1);
        ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
        if (oid && octets && ASN1_OCTET_STRING_set(octets, e->raw.p, (int)e->raw.n) == 1)
            ext = X509_EXTENSION_create_by_OBJ(NULL, oid, 0, octets);
        ASN1_OCTET_STRING_free(octets);
        ASN1_OBJECT_free(oid);
    }
    bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

/** A signing context for the vendor's algorithm; NULL when libcrypto refuses. */
static EVP_MD_CTX *signing(EVP_PKEY *key, enum cert_signature signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *p = NULL;
    bool pss = signature == SIGN_PSS_SHA384;
    if (ctx && EVP_DigestSignInit(ctx, &p, pss ? EVP_sha384() : EVP_sha256(), NULL, key) == 1
        && (!pss
            || (EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING) == 1
                && EVP_PKEY_CTX_set_rsa_mgf1_md(p, EVP_sha384()) == 1
                && EVP_PKEY_CTX_set_rsa_pss_saltlen(p, 48) == 1)))
        return ctx;
    EVP_MD_CTX_free(ctx);
    return NULL;
}

static bool cert_fill(X509 *cert, const struct cert_spec *spec, EVP_PKEY *subject, X509 *issuer)
{
    if (X509_set_version(cert, X509_VERSION_3) != 1
        || ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), spec->serial) != 1
        || !name_set(X509_get_subject_name(cert), spec->subject)
        || X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert)) != 1
        || !X509_gmtime_adj(X509_getm_notBefore(cert), -DAY)
        || !X509_time_adj_ex(X509_getm_notAfter(cert), spec->days, 0, NULL)
        || X509_set_pubkey(cert, subject) != 1)
        return false;
    for (size_t i = 0; i < spec->count; i++)
        if (!extension_add(cert, issuer ? issuer : cert, &spec->extensions[i]))
            return false;
    return true;
}

static int cert_new(const struct cert_spec *spec, EVP_PKEY *subject, X509 *issuer, EVP_PKEY *issuer_key,
                    X509 **out, struct err *err)
{
    AUTO(x509_drop) X509 *cert = X509_new();
    if (!cert || !cert_fill(cert, spec, subject, issuer))
        return crypto_failed("a certificate", err);
    EVP_MD_CTX *ctx = signing(issuer_key, spec->signature);
    bool ok = ctx && X509_sign_ctx(cert, ctx) > 0;
    EVP_MD_CTX_free(ctx);
    if (!ok)
        return crypto_failed("a certificate's signature", err);
    *out = MOVE(cert);
    return 0;
}

int cert_make(const struct cert_spec *spec, EVP_PKEY *subject, const struct identity *issuer, struct buf *der,
              struct err *err)
{
    AUTO(x509_drop) X509 *cert = NULL;
    if (cert_new(spec, subject, issuer->cert, issuer->key, &cert, err) < 0)
        return -1;
    return x509_put_der(cert, der, err);
}

static bool nearly_over(const X509 *cert)
{
    time_t renew = time(NULL) + 30 * DAY;
    return X509_cmp_time(X509_get0_notAfter(cert), &renew) < 0;
}

int identity_load(struct identity *i, const struct store *s, const char *name, enum key_kind kind,
                  const struct cert_spec *spec, const struct identity *issuer, struct err *err)
{
    char key_name[128], cert_name[128];
    if (path_set(key_name, sizeof(key_name), err, "%s.key.pem", name) < 0
        || path_set(cert_name, sizeof(cert_name), err, "%s.der", name) < 0)
        return -1;
    if (!i->key && store_key(s, key_name, kind, &i->key, err) < 0)
        return -1;
    EVP_PKEY *issuer_key = issuer ? issuer->key : i->key;
    bool kept = store_cert(s, cert_name, i->key, issuer_key, &i->cert, err) == 0;
    if (kept && issuer && nearly_over(i->cert)) { /* a VLEK has one year; a root has to stay */
        X509_free(MOVE(i->cert));
        kept = false;
        err->kind = ERR_NOT_FOUND;
    }
    if (!kept) {
        if (err->kind != ERR_NOT_FOUND
            || cert_new(spec, i->key, issuer ? issuer->cert : NULL, issuer_key, &i->cert, err) < 0)
            return -1;
    }
    i->der = buf_new(CERT_MAX);
    if (x509_put_der(i->cert, &i->der, err) < 0)
        return -1;
    return kept ? 0 : store_put(s, cert_name, buf_bytes(&i->der), 0644, err);
}

static bool crl_fill(X509_CRL *crl, X509 *issuer, int days)
{
    ASN1_TIME *from = X509_gmtime_adj(NULL, -DAY), *to = X509_time_adj_ex(NULL, days, 0, NULL);
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, NULL, NULL, crl, 0);
    X509V3_set_ctx_nodb(&ctx);
    X509_EXTENSION *aki = X509V3_EXT_conf(NULL, &ctx, "authorityKeyIdentifier", "keyid");
    bool ok = from && to && number && aki && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1
              && X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer)) == 1
              && X509_CRL_set1_lastUpdate(crl, from) == 1 && X509_CRL_set1_nextUpdate(crl, to) == 1
              && ASN1_INTEGER_set(number, 1) == 1
              && X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) == 1
              && X509_CRL_add_ext(crl, aki, -1) == 1;
    X509_EXTENSION_free(aki);
    ASN1_INTEGER_free(number);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    return ok;
}

int crl_make(const struct identity *issuer, enum cert_signature signature, int days, struct buf *der,
             struct err *err)
{
    X509_CRL *crl = X509_CRL_new();
    EVP_MD_CTX *ctx = signing(issuer->key, signature);
    unsigned char *p = NULL;
    int n = -1;
    if (crl && ctx && crl_fill(crl, issuer->cert, days) && X509_CRL_sign_ctx(crl, ctx) > 0)
        n = i2d_X509_CRL(crl, &p);
    if (n > 0)
        buf_put(der, bytes_of(p, (size_t)n));
    OPENSSL_free(p);
    EVP_MD_CTX_free(ctx);
    X509_CRL_free(crl);
    return n > 0 ? buf_check(der, "a CRL", err) : crypto_failed("a CRL", err);
}

int crl_load(const struct store *s, const char *name, const struct identity *issuer,
             enum cert_signature signature, int days, struct buf *der, struct err *err)
{
    AUTO(buf_done) struct buf kept = buf_new(STORE_FILE_MAX);
    if (store_get(s, name, &kept, err) == 0) {
        const unsigned char *p = kept.p;
        X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)kept.n);
        bool genuine = crl && p == kept.p + kept.n && X509_CRL_verify(crl, issuer->key) == 1;
        time_t renew = time(NULL) + (time_t)days * DAY / 2;
        bool young = genuine && X509_cmp_time(X509_CRL_get0_nextUpdate(crl), &renew) > 0;
        X509_CRL_free(crl);
        if (!genuine)
            return store_damaged(s, name, "not a CRL of its issuer", err);
        if (young) {
            buf_put(der, buf_bytes(&kept));
            return buf_check(der, "a CRL", err);
        }
    } else if (err->kind != ERR_NOT_FOUND) {
        return -1;
    }
    AUTO(buf_done) struct buf made = buf_new(STORE_FILE_MAX);
    if (crl_make(issuer, signature, days, &made, err) < 0)
        return -1;
    buf_put(der, buf_bytes(&made));
    return store_put(s, name, buf_bytes(&made), 0644, err);
}

void pem_put(struct buf *out, X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p = NULL;
    if (bio && PEM_write_bio_X509(bio, cert) == 1) {
        long n = BIO_get_mem_data(bio, &p);
        buf_put(out, bytes_of(p, n > 0 ? (size_t)n : 0));
    } else {
        out->failed = true;
    }
    BIO_free(bio);
}
