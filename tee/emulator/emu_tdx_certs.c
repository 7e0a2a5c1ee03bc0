#include "tee/emulator/emu_tdx_certs.h"

#include "base/auto.h"
#include "base/file.h"

#include <string.h>

#define CA_DAYS       9131
#define PCK_DAYS      2555
#define ROOT_CRL_DAYS 365
#define PCK_CRL_DAYS  30
#define SGX_OID       "1.2.840.113741.1.13.1"

const uint8_t tdx_fmspc[6] = { 0x00, 0x80, 0x6F, 0x05, 0x00, 0x00 };
const uint8_t tdx_cpu_svn[16] = { 7, 7, 2, 2, 3, 1, 0, 3 };
const uint8_t tdx_tee_tcb_svn[16] = { 5, 1, 7 };
const uint8_t tdx_qe_mr_signer[32] = { 0xDC, 0x9E, 0x2A, 0x7C, 0x6F, 0x94, 0x8F, 0x17, 0x47, 0x4E, 0x34,
                                       0xA7, 0xFC, 0x43, 0xED, 0x03, 0x0F, 0x7C, 0x15, 0x63, 0xF1, 0xBA,
                                       0xBD, 0xDF, 0x63, 0x40, 0xC8, 0x2E, 0x0E, 0x54, 0xA8, 0xC5 };

/* The order of Intel's names. */
#define INTEL_NAME(cn)                                                                                       \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        "CN", (cn), "O", EMULATOR_ORGANISATION, "L", "Santa Clara", "ST", "CA", "C", "US", NULL              \
    }
#define ROOT_CDP "URI:https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
#define PCK_CDP                                                                                              \
    "URI:https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca=platform&encoding=der"

static const struct cert_extension root_ext[] = {
    { "subjectKeyIdentifier", "hash", { 0 } },
    { "authorityKeyIdentifier", "keyid:always", { 0 } },
    { "crlDistributionPoints", ROOT_CDP, { 0 } },
    { "keyUsage", "critical,keyCertSign,cRLSign", { 0 } },
    { "basicConstraints", "critical,CA:TRUE,pathlen:1", { 0 } },
};
static const struct cert_extension platform_ext[] = {
    { "authorityKeyIdentifier", "keyid", { 0 } },
    { "crlDistributionPoints", ROOT_CDP, { 0 } },
    { "subjectKeyIdentifier", "hash", { 0 } },
    { "keyUsage", "critical,keyCertSign,cRLSign", { 0 } },
    { "basicConstraints", "critical,CA:TRUE,pathlen:0", { 0 } },
};
static const struct cert_extension signing_ext[] = {
    { "authorityKeyIdentifier", "keyid", { 0 } },
    { "crlDistributionPoints", ROOT_CDP, { 0 } },
    { "subjectKeyIdentifier", "hash", { 0 } },
    { "keyUsage", "critical,digitalSignature,nonRepudiation", { 0 } },
    { "basicConstraints", "critical,CA:FALSE", { 0 } },
};

/* SEQUENCE { OID, value } where value is DER already. */
static void sgx_pair(struct buf *out, const char *suffix, struct bytes value)
{
    AUTO(buf_done) struct buf pair = buf_new(1024);
    char oid[64];
    snprintf(oid, sizeof(oid), SGX_OID ".%s", suffix);
    der_put_oid(&pair, oid);
    buf_put(&pair, value);
    if (pair.failed)
        out->failed = true;
    der_put(out, DER_SEQUENCE, buf_bytes(&pair));
}

static void sgx_uint(struct buf *out, const char *suffix, uint8_t tag, uint64_t v)
{
    AUTO(buf_done) struct buf value = buf_new(16);
    der_put_uint(&value, tag, v);
    sgx_pair(out, suffix, buf_bytes(&value));
}

static void sgx_octets(struct buf *out, const char *suffix, struct bytes octets)
{
    AUTO(buf_done) struct buf value = buf_new(64);
    der_put(&value, DER_OCTETS, octets);
    sgx_pair(out, suffix, buf_bytes(&value));
}

static void sgx_bool(struct buf *out, const char *suffix, bool v)
{
    uint8_t der[3] = { DER_BOOLEAN, 1, v ? 0xFF : 0 };
    sgx_pair(out, suffix, bytes_of(der, sizeof(der)));
}

static void sgx_nested(struct buf *out, const char *suffix, const struct buf *content)
{
    AUTO(buf_done) struct buf value = buf_new(1024);
    der_put(&value, DER_SEQUENCE, buf_bytes(content));
    if (content->failed)
        out->failed = true;
    sgx_pair(out, suffix, buf_bytes(&value));
}

/* Intel SGX PCK Certificate and Certificate Revocation List Profile, section 1.3.5. */
static void sgx_extension(struct buf *out, const uint8_t ids[static 32])
{
    AUTO(buf_done) struct buf tcb = buf_new(1024), config = buf_new(256), all = buf_new(2048);
    char suffix[16];
    for (unsigned i = 0; i < 16; i++) {
        snprintf(suffix, sizeof(suffix), "2.%u", i + 1);
        sgx_uint(&tcb, suffix, DER_INTEGER, tdx_cpu_svn[i]);
    }
    sgx_uint(&tcb, "2.17", DER_INTEGER, TDX_PCE_SVN);
    sgx_octets(&tcb, "2.18", bytes_of(tdx_cpu_svn, sizeof(tdx_cpu_svn)));
    sgx_bool(&config, "7.1", true);           /* dynamic platform */
    sgx_bool(&config, "7.2", false);          /* cached keys */
    sgx_bool(&config, "7.3", true);           /* SMT enabled */
    sgx_octets(&all, "1", bytes_of(ids, 16)); /* PPID */
    sgx_nested(&all, "2", &tcb);
    sgx_octets(&all, "3", bytes_of("\0\0", 2)); /* PCE id */
    sgx_octets(&all, "4", bytes_of(tdx_fmspc, sizeof(tdx_fmspc)));
    sgx_uint(&all, "5", DER_ENUMERATED, 1);        /* scalable */
    sgx_octets(&all, "6", bytes_of(ids + 16, 16)); /* platform instance */
    sgx_nested(&all, "7", &config);
    if (all.failed)
        out->failed = true;
    der_put(out, DER_SEQUENCE, buf_bytes(&all));
}

static int pck_load(struct tdx_certs *c, const struct store *s, const char *shape, struct err *err)
{
    AUTO(buf_done) struct buf sgx = buf_new(2048);
    char ids_file[64], file[64];
    uint8_t ids[32];
    snprintf(ids_file, sizeof(ids_file), "%s/platform-ids", shape);
    snprintf(file, sizeof(file), "%s/pck", shape);
    if (store_random(s, ids_file, ids, sizeof(ids), err) < 0)
        return -1;
    sgx_extension(&sgx, ids);
    if (buf_check(&sgx, "the SGX extension", err) < 0)
        return -1;
    const struct cert_extension ext[] = {
        { "authorityKeyIdentifier", "keyid", { 0 } },
        { "crlDistributionPoints", PCK_CDP, { 0 } },
        { "subjectKeyIdentifier", "hash", { 0 } },
        { "keyUsage", "critical,digitalSignature,nonRepudiation", { 0 } },
        { "basicConstraints", "critical,CA:FALSE", { 0 } },
        { SGX_OID, NULL, buf_bytes(&sgx) },
    };
    uint64_t serial = be_uint(ids, 8) >> 1;
    const struct cert_spec spec = {
        INTEL_NAME("Intel SGX PCK Certificate"), PCK_DAYS, serial, ext, ARRAY_SIZE(ext), SIGN_SHA256
    };
    return identity_load(&c->pck, s, file, KEY_P256, &spec, &c->platform_ca, err);
}

static int cas_load(struct tdx_certs *c, const struct store *s, struct err *err)
{
    const struct cert_spec root = {
        INTEL_NAME("Intel SGX Root CA"), CA_DAYS, 1, root_ext, ARRAY_SIZE(root_ext), SIGN_SHA256
    };
    const struct cert_spec platform = { INTEL_NAME("Intel SGX PCK Platform CA"),
                                        CA_DAYS / 2,
                                        2,
                                        platform_ext,
                                        ARRAY_SIZE(platform_ext),
                                        SIGN_SHA256 };
    const struct cert_spec signing = {
        INTEL_NAME("Intel SGX TCB Signing"), PCK_DAYS, 3, signing_ext, ARRAY_SIZE(signing_ext), SIGN_SHA256
    };
    if (identity_load(&c->root, s, "ca/intel-root", KEY_P256, &root, NULL, err) < 0
        || identity_load(&c->platform_ca, s, "ca/intel-platform", KEY_P256, &platform, &c->root, err) < 0)
        return -1;
    return identity_load(&c->tcb_signing, s, "ca/intel-tcb-signing", KEY_P256, &signing, &c->root, err);
}

int tdx_certs_load(struct tdx_certs *c, const struct store *s, const char *shape, struct err *err)
{
    for (size_t i = 0; i < TDX_COLLATERALS; i++)
        c->collateral[i] = buf_new(STORE_FILE_MAX);
    c->chain = buf_new(STORE_FILE_MAX);
    if (store_folder(s, "collateral", err) < 0 || cas_load(c, s, err) < 0 || pck_load(c, s, shape, err) < 0)
        return -1;
    pem_put(&c->chain, c->pck.cert);
    pem_put(&c->chain, c->platform_ca.cert);
    pem_put(&c->chain, c->root.cert);
    struct buf *signing = &c->collateral[TDX_TCB_SIGNING_CHAIN],
               *pck = &c->collateral[TDX_PCK_CRL_ISSUER_CHAIN];
    pem_put(signing, c->tcb_signing.cert);
    pem_put(signing, c->root.cert);
    pem_put(pck, c->platform_ca.cert);
    pem_put(pck, c->root.cert);
    if (buf_check(&c->chain, "the PCK chain", err) < 0 || buf_check(signing, "a chain", err) < 0
        || buf_check(pck, "a chain", err) < 0
        || store_put(s, "collateral/tcb_signing_chain.pem", buf_bytes(signing), 0644, err) < 0
        || store_put(s, "collateral/pck_crl_issuer_chain.pem", buf_bytes(pck), 0644, err) < 0
        || crl_load(s, "collateral/root_ca_crl.der", &c->root, SIGN_SHA256, ROOT_CRL_DAYS,
                    &c->collateral[TDX_ROOT_CA_CRL], err)
               < 0
        || crl_load(s, "collateral/pck_crl.der", &c->platform_ca, SIGN_SHA256, PCK_CRL_DAYS,
                    &c->collateral[TDX_PCK_CRL], err)
               < 0)
        return -1;
    return tdx_collateral_load(c, s, err);
}

void tdx_certs_done(struct tdx_certs *c)
{
    identity_done(&c->root);
    identity_done(&c->platform_ca);
    identity_done(&c->tcb_signing);
    identity_done(&c->pck);
    buf_done(&c->chain);
    for (size_t i = 0; i < TDX_COLLATERALS; i++)
        buf_done(&c->collateral[i]);
}
