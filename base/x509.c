#include "base/x509.h"

#include "base/auto.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

static bool is_pem(struct bytes data)
{
    return memmem(data.p, data.n, "-----BEGIN ", 11) != NULL;
}

size_t der_length(struct bytes data)
{
    struct reader r = reader_of(data);
    uint8_t tag, first;
    uint64_t n = 0;
    if (!rd_u8(&r, &tag) || (tag & 0x1F) == 0x1F || !rd_u8(&r, &first))
        return 0;
    if (first < 0x80) {
        n = first;
    } else {
        struct bytes len;
        if ((first & 0x7F) == 0 || (first & 0x7F) > 4 || !rd_take(&r, first & 0x7F, &len))
            return 0;
        n = be_uint(len.p, len.n);
    }
    return n <= r.rest.n ? r.off + (size_t)n : 0;
}

static X509 *one_der(struct bytes *data)
{
    size_t n = der_length(*data);
    const unsigned char *p = data->p;
    if (n == 0 || n > CERT_MAX)
        return NULL;
    X509 *cert = d2i_X509(NULL, &p, (long)n);
    if (cert && p != data->p + n) {
        X509_free(cert);
        cert = NULL;
    }
    if (cert)
        *data = bytes_of(data->p + n, data->n - n);
    ERR_clear_error();
    return cert;
}

int x509_no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out, (void)size, (void)writing, (void)arg;
    return -1;
}

int x509_parse_chain(struct bytes data, X509 **out, size_t max, struct err *err)
{
    size_t n = 0;
    struct bytes rest = data;
    int rc = 0;
    if (data.n > CERT_MAX * max * 2)
        return err_set(err, ERR_TOO_LARGE, 0, "certificates of %zu bytes, at most %zu are read", data.n,
                       CERT_MAX * max * 2);
    if (is_pem(data)) {
        BIO *bio = BIO_new_mem_buf(data.p, (int)data.n);
        size_t begin = 0; /* where the last one that was read ends */
        for (X509 *cert; rc == 0 && bio && (cert = PEM_read_bio_X509(bio, NULL, x509_no_passphrase, NULL));) {
            if (n == max) {
                X509_free(cert);
                rc = err_set(err, ERR_TOO_LARGE, 0, "more than %zu certificates", max);
            } else {
                out[n++] = cert;
                begin = data.n - (size_t)BIO_pending(bio);
            }
        }
        BIO_free(bio);
        unsigned long why = ERR_peek_last_error();
        if (rc == 0 && ERR_GET_REASON(why) != PEM_R_NO_START_LINE)
            rc = err_set(err, ERR_INPUT, 0, "PEM certificate %zu, from offset %zu of %zu, is damaged", n + 1,
                         begin, data.n);
        ERR_clear_error();
    } else {
        while (rc == 0 && !bytes_zero(rest)) {
            X509 *cert = n < max ? one_der(&rest) : NULL;
            if (cert)
                out[n++] = cert;
            else
                rc = err_set(err, ERR_INPUT, 0, "no certificate at offset %zu of %zu", data.n - rest.n,
                             data.n);
        }
    }
    if (rc == 0 && n == 0)
        rc = err_set(err, ERR_INPUT, 0, "no certificate in %zu bytes", data.n);
    if (rc < 0) {
        while (n-- > 0)
            X509_free(out[n]);
        return -1;
    }
    return (int)n;
}

int x509_parse(struct bytes data, X509 **out, struct err *err)
{
    X509 *certs[2];
    int n = x509_parse_chain(data, certs, 2, err);
    if (n < 0)
        return -1;
    if (n != 1) {
        X509_free(certs[0]);
        X509_free(certs[1]);
        return err_set(err, ERR_INPUT, 0, "%d certificates where one is wanted", n);
    }
    *out = certs[0];
    return 0;
}

int x509_pem_der(struct bytes pem, struct buf *out, struct err *err)
{
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long n = 0;
    BIO *bio = pem.n <= 2 * CERT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    bool good = bio && PEM_read_bio(bio, &name, &header, &der, &n) == 1;
    if (good)
        buf_put(out, bytes_of(der, (size_t)n));
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    BIO_free(bio);
    ERR_clear_error();
    return good ? buf_check(out, "certificate", err)
                : err_set(err, ERR_INPUT, 0, "no PEM block in %zu bytes", pem.n);
}

int x509_put_der(const X509 *cert, struct buf *out, struct err *err)
{
    int n = i2d_X509(cert, NULL);
    unsigned char *at = n > 0 ? buf_room(out, (size_t)n) : NULL;
    if (!at || i2d_X509(cert, &at) != n)
        return err_set(err, ERR_IO, 0, "cannot serialise a certificate");
    return 0;
}

int spki_parse_der(struct bytes der, EVP_PKEY **out, struct err *err)
{
    const unsigned char *p = der.p;
    AUTO(pkey_drop) EVP_PKEY *key = der.n && der.n <= CERT_MAX ? d2i_PUBKEY(NULL, &p, (long)der.n) : NULL;
    ERR_clear_error();
    if (!key || p != der.p + der.n)
        return err_set(err, ERR_INPUT, 0, "no public key that is understood in %zu bytes", der.n);
    *out = MOVE(key);
    return 0;
}

static int spki_parse_pem(struct bytes pem, EVP_PKEY **out, struct err *err)
{
    BIO *bio = pem.n <= 2 * CERT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
    *out = bio ? PEM_read_bio_PUBKEY(bio, NULL, x509_no_passphrase, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return *out ? 0 : err_set(err, ERR_INPUT, 0, "no PEM block PUBLIC KEY in %zu bytes", pem.n);
}

int spki_parse(struct bytes data, EVP_PKEY **out, struct err *err)
{
    if (is_pem(data))
        return spki_parse_pem(data, out, err);
    size_t n = der_length(data);
    if (!bytes_zero(bytes_of(data.p + n, data.n - n)))
        n = data.n;
    return spki_parse_der(bytes_of(data.p, n), out, err);
}

int spki_put_der(EVP_PKEY *key, struct buf *out, struct err *err)
{
    int n = i2d_PUBKEY(key, NULL);
    unsigned char *at = n > 0 ? buf_room(out, (size_t)n) : NULL;
    if (!at || i2d_PUBKEY(key, &at) != n)
        return err_set(err, ERR_IO, 0, "cannot serialise a public key");
    return 0;
}

bool x509_extension(const X509 *cert, const char *oid, struct bytes *out)
{
    ASN1_OBJECT *want = OBJ_txt2obj(oid, 1);
    int at = want ? X509_get_ext_by_OBJ(cert, want, -1) : -1;
    ASN1_OBJECT_free(want);
    if (at < 0)
        return false;
    const ASN1_OCTET_STRING *value = X509_EXTENSION_get_data(X509_get_ext(cert, at));
    *out = bytes_of(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
    return true;
}

char *x509_name_text(const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL, *p;
    if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        long n = BIO_get_mem_data(bio, &p); /* p is NULL for an empty name */
        text = n > 0 ? strndup(p, (size_t)n) : strdup("");
    }
    BIO_free(bio);
    return text;
}

int asn1_time_text(const ASN1_TIME *t, char out[static 24], struct err *err)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1 || tm.tm_year < -1900 || tm.tm_year > 8099)
        return err_set(err, ERR_INPUT, 0, "a certificate time is not a date");
    if (strftime(out, 24, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        return err_set(err, ERR_INPUT, 0, "a certificate time is not a date");
    return 0;
}
