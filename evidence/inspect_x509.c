/* Certificates, revocation lists and public keys. Source: RFC 5280. */
#include "evidence/inspect_types.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/x509.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#define CRL_MAX         (4u << 20)
#define CRL_ENTRIES_MAX 100000

static void crl_drop(X509_CRL **crl)
{
    X509_CRL_free(*crl);
}

static void bio_drop(BIO **bio)
{
    BIO_free(*bio);
}

/* What follows "-----BEGIN ", if data is PEM: text, that is, up to there. A quote with a chain inside is not.
 */
static struct bytes pem_label(struct bytes data)
{
    static const char begin[] = "-----BEGIN ";
    const uint8_t *at = memmem(data.p, data.n, begin, sizeof(begin) - 1);
    for (const uint8_t *c = data.p; at && c < at; c++)
        if ((*c < 0x20 && *c != '\t' && *c != '\r' && *c != '\n') || *c == '{')
            at = NULL;
    if (!at)
        return bytes_of(NULL, 0);
    at += sizeof(begin) - 1;
    return bytes_of(at, data.n - (size_t)(at - data.p));
}

static bool pem_is(struct bytes data, const char *label)
{
    struct bytes have = pem_label(data);
    size_t n = strlen(label);
    return have.n >= n && memcmp(have.p, label, n) == 0;
}

/* The tag of the first member of the first member: what tells the three DER types apart, also in a file that
 * is cut short. 0 when there is none. */
static uint8_t der_inner_tag(struct bytes data, struct reader *inner)
{
    struct reader r = reader_of(data);
    for (int level = 0; level < 2; level++) {
        uint8_t tag, size;
        if (!rd_u8(&r, &tag) || tag != 0x30 || !rd_u8(&r, &size)
            || (size > 0x80 && (size > 0x84 || !rd_skip(&r, size & 0x7F))))
            return 0;
    }
    *inner = r;
    return r.rest.n ? r.rest.p[0] : 0;
}

/* TBSCertificate begins with [0] version or the serial number; TBSCertList with INTEGER 1 (version 2). */
static bool crl_version(struct reader r)
{
    struct bytes version;
    return rd_take(&r, 4, &version) && memcmp(version.p, "\x02\x01\x01\x30", 4) == 0;
}

bool looks_certificate(struct bytes data)
{
    struct reader inner;
    uint8_t tag = der_inner_tag(data, &inner);
    return pem_is(data, "CERTIFICATE-") || tag == 0xA0 || (tag == 0x02 && !crl_version(inner));
}

bool looks_crl(struct bytes data)
{
    struct reader inner;
    return pem_is(data, "X509 CRL") || (der_inner_tag(data, &inner) == 0x02 && crl_version(inner));
}

bool looks_public_key(struct bytes data)
{
    struct reader inner;
    return pem_is(data, "PUBLIC KEY") || pem_is(data, "RSA PUBLIC KEY")
           || der_inner_tag(data, &inner) == 0x06;
}

static json_t *name_json(const X509_NAME *name)
{
    AUTO(free_str) char *text = x509_name_text(name);
    return json_text(bytes_str(text));
}

static json_t *time_json(const ASN1_TIME *t)
{
    char text[24];
    struct err ignored;
    return t && asn1_time_text(t, text, &ignored) == 0 ? json_string(text) : json_null();
}

static json_t *integer_json(const ASN1_INTEGER *v)
{
    return v ? json_hex(bytes_of(ASN1_STRING_get0_data(v), (size_t)ASN1_STRING_length(v))) : json_null();
}

static json_t *octets_json(const ASN1_OCTET_STRING *v)
{
    return v ? json_hex(bytes_of(ASN1_STRING_get0_data(v), (size_t)ASN1_STRING_length(v))) : json_null();
}

static json_t *algorithm_json(const X509_ALGOR *algorithm)
{
    const ASN1_OBJECT *oid = NULL;
    char text[80];
    X509_ALGOR_get0(&oid, NULL, NULL, algorithm);
    OBJ_obj2txt(text, sizeof(text), oid, 0);
    return json_text(bytes_str(text));
}

static json_t *sha256_json(struct bytes data)
{
    uint8_t hash[32];
    sha256(data, hash);
    return json_hex(bytes_of(hash, sizeof(hash)));
}

void inspect_put_key(EVP_PKEY *key, json_t *out)
{
    AUTO(buf_done) struct buf spki = buf_new(CERT_MAX);
    struct err ignored;
    char curve[64];
    const char *name = EVP_PKEY_get0_type_name(key);
    put(out, "algorithm", json_string(name ? name : "unknown"));
    put(out, "bits", json_integer(EVP_PKEY_get_bits(key)));
    if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve), NULL) == 1)
        put(out, "curve", json_string(curve));
    if (spki_put_der(key, &spki, &ignored) == 0) {
        put(out, "spki", json_hex(buf_bytes(&spki)));
        put(out, "spki_sha256", sha256_json(buf_bytes(&spki)));
    }
    ERR_clear_error();
}

static json_t *extensions_json(const STACK_OF(X509_EXTENSION) * list)
{
    json_t *out = json_array();
    for (int i = 0; i < sk_X509_EXTENSION_num(list); i++) {
        X509_EXTENSION *e = sk_X509_EXTENSION_value(list, i);
        char oid[128], name[128];
        OBJ_obj2txt(oid, sizeof(oid), X509_EXTENSION_get_object(e), 1);
        OBJ_obj2txt(name, sizeof(name), X509_EXTENSION_get_object(e), 0);
        json_t *row = json_object();
        put(row, "oid", json_text(bytes_str(oid)));
        if (strcmp(oid, name) != 0)
            put(row, "name", json_text(bytes_str(name)));
        put(row, "critical", json_boolean(X509_EXTENSION_get_critical(e)));
        put(row, "value", octets_json(X509_EXTENSION_get_data(e)));
        json_array_append_new(out, row);
    }
    return out;
}

static json_t *key_usage_json(X509 *cert)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } bits[] = {
        { KU_DIGITAL_SIGNATURE, "digital_signature" },
        { KU_NON_REPUDIATION, "non_repudiation" },
        { KU_KEY_ENCIPHERMENT, "key_encipherment" },
        { KU_DATA_ENCIPHERMENT, "data_encipherment" },
        { KU_KEY_AGREEMENT, "key_agreement" },
        { KU_KEY_CERT_SIGN, "key_cert_sign" },
        { KU_CRL_SIGN, "crl_sign" },
    };
    uint32_t usage = X509_get_key_usage(cert);
    json_t *out = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(bits) && usage != UINT32_MAX; i++)
        if (usage & bits[i].bit)
            json_array_append_new(out, json_string(bits[i].name));
    return out;
}

static int put_certificate(X509 *cert, json_t *out, struct err *err)
{
    AUTO(buf_done) struct buf der = buf_new(CERT_MAX);
    EVP_PKEY *key = X509_get0_pubkey(cert);
    json_t *public_key = json_object();
    if (x509_put_der(cert, &der, err) < 0)
        return -1;
    put(out, "version", json_integer(X509_get_version(cert) + 1));
    put(out, "serial", integer_json(X509_get0_serialNumber(cert)));
    put(out, "signature_algorithm", algorithm_json(X509_get0_tbs_sigalg(cert)));
    put(out, "issuer", name_json(X509_get_issuer_name(cert)));
    put(out, "subject", name_json(X509_get_subject_name(cert)));
    put(out, "not_before", time_json(X509_get0_notBefore(cert)));
    put(out, "not_after", time_json(X509_get0_notAfter(cert)));
    if (key)
        inspect_put_key(key, public_key);
    put(out, "public_key", public_key);
    put(out, "ca", json_boolean(X509_check_ca(cert) == 1));
    put(out, "key_usage", key_usage_json(cert));
    put(out, "subject_key_id", octets_json(X509_get0_subject_key_id(cert)));
    put(out, "authority_key_id", octets_json(X509_get0_authority_key_id(cert)));
    put(out, "sha256", sha256_json(buf_bytes(&der)));
    if (inspect_put_vendor(cert, out, err) < 0)
        return -1;
    put(out, "extensions", extensions_json(X509_get0_extensions(cert)));
    ERR_clear_error();
    return 0;
}

int inspect_certificate(struct bytes data, json_t *out, struct err *err)
{
    X509 *certs[INSPECT_CERTS_MAX];
    int rc = 0;
    if (!pem_label(data).n
        && (data.n == 0 || data.p[0] != 0x30)) /* a chain inside other bytes is not taken */
        return err_set(err, ERR_INPUT, 0, "no certificate at offset 0 of %zu", data.n);
    int n = x509_parse_chain(data, certs, INSPECT_CERTS_MAX, err);
    if (n < 0)
        return -1;
    put(out, "encoding", json_string(pem_label(data).n ? "pem" : "der"));
    rc = put_certificate(certs[0], out, err);
    if (n > 1) {
        json_t *chain = json_array();
        for (int i = 1; i < n && rc == 0; i++) {
            json_t *one = json_object();
            rc = put_certificate(certs[i], one, err);
            json_array_append_new(chain, one);
        }
        put(out, "chain", chain);
    }
    for (int i = 0; i < n; i++)
        X509_free(certs[i]);
    return rc;
}

static json_t *revoked_json(X509_CRL *crl)
{
    json_t *out = json_array();
    STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED(crl);
    for (int i = 0; i < sk_X509_REVOKED_num(list) && i < CRL_ENTRIES_MAX; i++) {
        const X509_REVOKED *r = sk_X509_REVOKED_value(list, i);
        ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(r, NID_crl_reason, NULL, NULL);
        json_t *row = json_object();
        put(row, "serial", integer_json(X509_REVOKED_get0_serialNumber(r)));
        put(row, "revocation_date", time_json(X509_REVOKED_get0_revocationDate(r)));
        if (reason)
            put(row, "reason", json_integer(ASN1_ENUMERATED_get(reason)));
        ASN1_ENUMERATED_free(reason);
        json_array_append_new(out, row);
    }
    return out;
}

static X509_CRL *read_crl(struct bytes data)
{
    const unsigned char *p = data.p;
    if (pem_label(data).n) {
        AUTO(bio_drop) BIO *bio = BIO_new_mem_buf(data.p, (int)data.n);
        return bio ? PEM_read_bio_X509_CRL(bio, NULL, x509_no_passphrase, NULL) : NULL;
    }
    size_t n = der_length(data);
    X509_CRL *crl = n ? d2i_X509_CRL(NULL, &p, (long)n) : NULL;
    if (crl && (p != data.p + n || !bytes_zero(bytes_of(p, data.n - n)))) {
        X509_CRL_free(crl);
        return NULL;
    }
    return crl;
}

int inspect_crl(struct bytes data, json_t *out, struct err *err)
{
    if (data.n > CRL_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "revocation list of %zu bytes, at most %u are read", data.n,
                       CRL_MAX);
    AUTO(crl_drop) X509_CRL *crl = read_crl(data);
    ERR_clear_error();
    if (!crl)
        return err_set(err, ERR_INPUT, 0, "no whole revocation list at offset 0 of %zu", data.n);
    const X509_ALGOR *algorithm = NULL;
    X509_CRL_get0_signature(crl, NULL, &algorithm);
    ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    put(out, "encoding", json_string(pem_label(data).n ? "pem" : "der"));
    put(out, "version", json_integer(X509_CRL_get_version(crl) + 1));
    put(out, "signature_algorithm", algorithm_json(algorithm));
    put(out, "issuer", name_json(X509_CRL_get_issuer(crl)));
    put(out, "this_update", time_json(X509_CRL_get0_lastUpdate(crl)));
    put(out, "next_update", time_json(X509_CRL_get0_nextUpdate(crl)));
    put(out, "crl_number", integer_json(number));
    put(out, "revoked", revoked_json(crl));
    put(out, "extensions", extensions_json(X509_CRL_get0_extensions(crl)));
    ASN1_INTEGER_free(number);
    ERR_clear_error();
    return 0;
}

int inspect_public_key(struct bytes data, json_t *out, struct err *err)
{
    if (data.n > CERT_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "public key of %zu bytes, at most %d are read", data.n,
                       CERT_MAX);
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    struct err why = { 0 };
    if (spki_parse(data, &key, &why) < 0)
        return err_set(err, ERR_INPUT, 0, "no whole public key at offset 0 of %zu", data.n);
    put(out, "encoding", json_string(pem_label(data).n ? "pem" : "der"));
    inspect_put_key(key, out);
    return 0;
}
