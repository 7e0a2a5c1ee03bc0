#include "intel_lab.h"

#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "tee/json_range.h"

#include <openssl/ecdsa.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#define AUTH_DATA 32

/* ---- signing ---- */

static void sign(EVP_PKEY *key, struct bytes data, uint8_t out[static 64])
{
    uint8_t der[80];
    size_t n = sizeof(der);
    const unsigned char *p = der;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, der, &n, data.p, data.n), 1);
    EVP_MD_CTX_free(ctx);
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, 32), 32);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + 32, 32), 32);
    ECDSA_SIG_free(sig);
}

static void put_point(EVP_PKEY *key, struct buf *out)
{
    uint8_t point[65];
    size_t n = 0;
    assert_int_equal(EVP_PKEY_get_octet_string_param(key, "pub", point, sizeof(point), &n), 1);
    assert_int_equal(n, sizeof(point));
    buf_put(out, bytes_of(point + 1, 64));
}

/* ---- certificates ---- */

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

/* Intel's SGX extension, as the recorded PCK certificate has it. */
static void copy_sgx_extension(const struct lab *l, X509 *cert)
{
    struct tdx_quote q;
    X509 *chain[TDX_CHAIN_MAX];
    struct err err = { 0 };
    assert_int_equal(tdx_quote_parse(sample_bytes(&l->quote), &q, &err), 0);
    int n = x509_parse_chain(q.pck_chain, chain, TDX_CHAIN_MAX, &err);
    assert_true(n > 1);
    ASN1_OBJECT *oid = OBJ_txt2obj(PCK_OID_SGX, 1);
    X509_EXTENSION *ext = X509_get_ext(chain[0], X509_get_ext_by_OBJ(chain[0], oid, -1));
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    ASN1_OBJECT_free(oid);
    while (n > 0)
        X509_free(chain[--n]);
}

static X509 *make_cert(const struct lab *l, enum lab_role role, enum lab_role issuer)
{
    static long serial = 100;
    const struct lab_cert *spec = &l->spec[role];
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
    ASN1_TIME_set(X509_getm_notBefore(cert), spec->from);
    ASN1_TIME_set(X509_getm_notAfter(cert), spec->to);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)spec->cn, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(role == issuer ? cert : l->cert[issuer]));
    X509_set_pubkey(cert, l->key[role]);
    add_extension(cert, NID_basic_constraints, spec->ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
    if (role == LAB_PCK)
        copy_sgx_extension(l, cert);
    assert_true(X509_sign(cert, l->key[issuer], EVP_sha256()) > 0);
    return cert;
}

void lab_certs(struct lab *l)
{
    static const enum lab_role issuers[LAB_ROLES] = { LAB_ROOT, LAB_ROOT, LAB_ROOT, LAB_CA };
    for (enum lab_role role = 0; role < LAB_ROLES; role++) {
        X509_free(l->cert[role]);
        l->cert[role] = make_cert(l, role, issuers[role]);
    }
}

static void put_pem(const struct lab *l, const enum lab_role *roles, size_t n, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p;
    for (size_t i = 0; i < n; i++)
        assert_int_equal(PEM_write_bio_X509(bio, l->cert[roles[i]]), 1);
    long len = BIO_get_mem_data(bio, &p);
    buf_put(out, bytes_of(p, (size_t)len));
    BIO_free(bio);
}

static void put_crl(const struct lab *l, enum lab_role issuer, const X509 *revoked, struct buf *out)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = ASN1_TIME_set(NULL, l->at - 86400), *to = ASN1_TIME_set(NULL, l->at + 86400);
    unsigned char *der = NULL;
    X509_CRL_set_version(crl, X509_CRL_VERSION_2);
    X509_CRL_set_issuer_name(crl, X509_get_subject_name(l->cert[issuer]));
    X509_CRL_set1_lastUpdate(crl, from);
    X509_CRL_set1_nextUpdate(crl, to);
    if (revoked) {
        X509_REVOKED *entry = X509_REVOKED_new();
        ASN1_INTEGER *serial = ASN1_INTEGER_dup(X509_get0_serialNumber(revoked));
        X509_REVOKED_set_serialNumber(entry, serial);
        X509_REVOKED_set_revocationDate(entry, from);
        X509_CRL_add0_revoked(crl, entry);
        ASN1_INTEGER_free(serial);
    }
    assert_true(X509_CRL_sign(crl, l->key[issuer], EVP_sha256()) > 0);
    int n = i2d_X509_CRL(crl, &der);
    assert_true(n > 0);
    buf_put(out, bytes_of(der, (size_t)n));
    OPENSSL_free(der);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    X509_CRL_free(crl);
}

/* ---- documents and quotes ---- */

static char *inner_of(const char *folder, const char *file, const char *member)
{
    char path[128];
    struct bytes inner;
    snprintf(path, sizeof(path), "%s%s", folder, file);
    AUTO(sample_done) struct sample text = sample_load(path);
    assert_true(json_member_range(sample_bytes(&text), member, &inner));
    return strndup((const char *)inner.p, inner.n);
}

void lab_init(struct lab *l, const char *folder, const char *at)
{
    static const struct lab_cert intel[LAB_ROLES] = {
        [LAB_ROOT] = { "Intel SGX Root CA", true, 0, 4000000000 },
        [LAB_CA] = { "Intel SGX PCK Platform CA", true, 0, 4000000000 },
        [LAB_SIGNER] = { "Intel SGX TCB Signing", false, 0, 4000000000 },
        [LAB_PCK] = { "Intel SGX PCK Certificate", false, 0, 4000000000 },
    };
    char path[128];
    struct tdx_quote q;
    struct err err = { 0 };
    *l = (struct lab){ 0 };
    memcpy(l->spec, intel, sizeof(intel));
    snprintf(path, sizeof(path), "%squote.bin", folder);
    l->quote = sample_load(path);
    l->info = inner_of(folder, "tcb_info.json", "tcbInfo");
    l->identity = inner_of(folder, "qe_identity.json", "enclaveIdentity");
    assert_int_equal(rfc3339_parse(at, &l->at, &err), 0);
    assert_int_equal(tdx_quote_parse(sample_bytes(&l->quote), &q, &err), 0);
    l->body = l->quote.p;
    l->body_n = q.signed_bytes.n;
    memcpy(l->qe_report, q.qe_report.raw.p, sizeof(l->qe_report));
    for (enum lab_role role = 0; role < LAB_ROLES; role++)
        l->key[role] = EVP_EC_gen("P-256");
    l->attestation = EVP_EC_gen("P-256");
    lab_certs(l);
}

void lab_done(struct lab *l)
{
    for (enum lab_role role = 0; role < LAB_ROLES; role++) {
        X509_free(l->cert[role]);
        EVP_PKEY_free(l->key[role]);
    }
    EVP_PKEY_free(l->attestation);
    sample_done(&l->quote);
    free(l->info);
    free(l->identity);
}

void lab_replace(char **text, const char *from, const char *to)
{
    AUTO(buf_done) struct buf out = buf_new(1u << 20);
    const char *at = strstr(*text, from);
    assert_non_null(at);
    buf_put(&out, bytes_of(*text, (size_t)(at - *text)));
    buf_str(&out, to);
    buf_str(&out, at + strlen(from));
    free(*text);
    *text = buf_take_str(&out);
}

static void set_part(struct tdx_collateral *c, enum tdx_part part, struct bytes data)
{
    struct err err = { 0 };
    if (tdx_collateral_set(c, part, data, &err) < 0)
        fail_msg("%s: %s", tdx_part_name(part), err.cause);
}

static void set_signed(const struct lab *l, struct tdx_collateral *c, enum tdx_part part, const char *inner)
{
    uint8_t signature[64];
    char hex[2 * sizeof(signature) + 1];
    sign(l->key[LAB_SIGNER], bytes_str(inner), signature);
    set_part(c, part, bytes_str(inner));
    set_part(c, part + 1, bytes_str(hex_to(hex, bytes_of(signature, sizeof(signature)))));
}

struct tdx_collateral *lab_collateral(const struct lab *l)
{
    static const enum lab_role signing[] = { LAB_SIGNER, LAB_ROOT }, issuing[] = { LAB_CA, LAB_ROOT };
    AUTO(buf_done) struct buf signers = buf_new(1u << 16), issuers = buf_new(1u << 16);
    AUTO(buf_done) struct buf root_crl = buf_new(1u << 16), pck_crl = buf_new(1u << 16);
    struct tdx_collateral *c = tdx_collateral_new();
    put_pem(l, signing, 2, &signers);
    put_pem(l, issuing, 2, &issuers);
    put_crl(l, LAB_ROOT, l->revoked_by_root, &root_crl);
    put_crl(l, LAB_CA, l->revoked_by_ca, &pck_crl);
    set_signed(l, c, TDX_PART_TCB_INFO, l->info);
    set_signed(l, c, TDX_PART_QE_IDENTITY, l->identity);
    set_part(c, TDX_PART_TCB_INFO_CHAIN, buf_bytes(&signers));
    set_part(c, TDX_PART_QE_IDENTITY_CHAIN, buf_bytes(&signers));
    set_part(c, TDX_PART_PCK_CRL_CHAIN, buf_bytes(&issuers));
    set_part(c, TDX_PART_ROOT_CA_CRL, buf_bytes(&root_crl));
    set_part(c, TDX_PART_PCK_CRL, buf_bytes(&pck_crl));
    return c;
}

void lab_quote(const struct lab *l, struct buf *out)
{
    static const enum lab_role roles[] = { LAB_PCK, LAB_CA, LAB_ROOT };
    AUTO(buf_done) struct buf chain = buf_new(1u << 16), data = buf_new(1u << 16), bound = buf_new(256);
    uint8_t signature[64], report[TDX_QE_REPORT_SIZE];
    put_pem(l, roles, ARRAY_SIZE(roles), &chain);
    put_point(l->attestation, &bound);
    buf_fill(&bound, 0x5A, AUTH_DATA);
    memcpy(report, l->qe_report, sizeof(report));
    sha256(buf_bytes(&bound), report + TDX_QE_OFF_REPORT_DATA);

    sign(l->attestation, bytes_of(l->body, l->body_n), signature);
    buf_put(&data, bytes_of(signature, sizeof(signature)));
    put_point(l->attestation, &data);
    buf_u16le(&data, TDX_CERT_QE_REPORT);
    buf_u32le(&data, (uint32_t)(sizeof(report) + 64 + 2 + AUTH_DATA + 2 + 4 + chain.n));
    buf_put(&data, bytes_of(report, sizeof(report)));
    sign(l->key[LAB_PCK], bytes_of(report, sizeof(report)), signature);
    buf_put(&data, bytes_of(signature, sizeof(signature)));
    buf_u16le(&data, AUTH_DATA);
    buf_fill(&data, 0x5A, AUTH_DATA);
    buf_u16le(&data, TDX_CERT_PCK_CHAIN);
    buf_u32le(&data, (uint32_t)chain.n);
    buf_put(&data, buf_bytes(&chain));

    buf_put(out, bytes_of(l->body, l->body_n));
    buf_u32le(out, (uint32_t)data.n);
    buf_put(out, buf_bytes(&data));
}
