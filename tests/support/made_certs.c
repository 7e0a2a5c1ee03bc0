#include "made_certs.h"

#include "evidence.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

EVP_PKEY *made_ec_key(const char *curve)
{
    EVP_PKEY *key = EVP_EC_gen(curve);
    assert_non_null(key);
    return key;
}

EVP_PKEY *made_rsa_key(void)
{
    EVP_PKEY *key = EVP_RSA_gen(2048);
    assert_non_null(key);
    return key;
}

static X509_EXTENSION *extension(const struct made_ext *e, X509 *issuer, X509 *subject)
{
    X509V3_CTX ctx;
    ASN1_OBJECT *oid = OBJ_txt2obj(e->oid, 0);
    X509_EXTENSION *ext;
    if (e->text) {
        X509V3_set_ctx(&ctx, issuer, subject, NULL, NULL, 0);
        ext = X509V3_EXT_conf_nid(NULL, &ctx, OBJ_obj2nid(oid), e->text);
    } else {
        ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
        ASN1_OCTET_STRING_set(value, e->raw.p, (int)e->raw.n);
        ext = X509_EXTENSION_create_by_OBJ(NULL, oid, e->critical, value);
        ASN1_OCTET_STRING_free(value);
    }
    ASN1_OBJECT_free(oid);
    assert_non_null(ext);
    return ext;
}

static EVP_MD_CTX *signer(EVP_PKEY *key, const EVP_MD *md, bool pss)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_ctx = NULL;
    assert_int_equal(EVP_DigestSignInit(ctx, &pkey_ctx, md ? md : EVP_sha256(), NULL, key), 1);
    if (pss) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    return ctx;
}

static void set_name(X509_NAME *name, const char *cn)
{
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1, -1,
                                                0),
                     1);
}

X509 *made_cert(const struct made_spec *spec)
{
    X509 *cert = X509_new(), *issuer = spec->issuer ? spec->issuer : cert;
    assert_non_null(cert);
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), spec->serial);
    ASN1_TIME_set(X509_getm_notBefore(cert), spec->from ? spec->from : MADE_NOW - 10 * MADE_DAY);
    ASN1_TIME_set(X509_getm_notAfter(cert), spec->until ? spec->until : MADE_NOW + 10 * MADE_DAY);
    set_name(X509_get_subject_name(cert), spec->cn);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer));
    X509_set_pubkey(cert, spec->key);
    for (size_t i = 0; i < spec->ext_n; i++) {
        X509_EXTENSION *ext = extension(&spec->ext[i], issuer, cert);
        X509_add_ext(cert, ext, -1);
        X509_EXTENSION_free(ext);
    }
    EVP_MD_CTX *ctx = signer(spec->issuer_key ? spec->issuer_key : spec->key, spec->md, spec->pss);
    assert_true(X509_sign_ctx(cert, ctx) > 0);
    EVP_MD_CTX_free(ctx);
    return cert;
}

X509_CRL *made_crl(const struct made_crl_spec *spec)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *t = ASN1_TIME_new();
    assert_non_null(crl);
    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(spec->issuer));
    ASN1_TIME_set(t, spec->from ? spec->from : MADE_NOW - 10 * MADE_DAY);
    X509_CRL_set1_lastUpdate(crl, t);
    if (spec->revoked) {
        X509_REVOKED *r = X509_REVOKED_new();
        X509_REVOKED_set_serialNumber(r, X509_get_serialNumber(spec->revoked));
        X509_REVOKED_set_revocationDate(r, t);
        X509_CRL_add0_revoked(crl, r);
    }
    ASN1_TIME_set(t, spec->until ? spec->until : MADE_NOW + 10 * MADE_DAY);
    X509_CRL_set1_nextUpdate(crl, t);
    ASN1_TIME_free(t);
    for (size_t i = 0; i < spec->ext_n; i++) {
        X509_EXTENSION *ext = extension(&spec->ext[i], spec->issuer, NULL);
        X509_CRL_add_ext(crl, ext, -1);
        X509_EXTENSION_free(ext);
    }
    EVP_MD_CTX *ctx = signer(spec->key, spec->md, spec->pss);
    assert_true(X509_CRL_sign_ctx(crl, ctx) > 0);
    EVP_MD_CTX_free(ctx);
    return crl;
}

X509 *made_bit_changed(X509 *cert, size_t bit)
{
    unsigned char *der = NULL;
    int n = i2d_X509(cert, &der);
    assert_true(n > 0 && bit / 8 < (size_t)n);
    der[bit / 8] ^= (unsigned char)(1u << bit % 8);
    const unsigned char *p = der;
    X509 *changed = d2i_X509(NULL, &p, n);
    if (changed && p != der + n) {
        X509_free(changed);
        changed = NULL;
    }
    OPENSSL_free(der);
    ERR_clear_error();
    return changed;
}
