#include "tee/emulator/emu_ak.h"

#include "base/auto.h"
#include "base/x509.h"
#include "tpm/public.h"

#include <openssl/rand.h>
#include <string.h>

#define CA_DAYS       9131
#define GOOGLE_DAYS   10950 /* 30 years */
#define AZURE_DAYS    364
#define RENEW_SECONDS (30 * 86400)
#define CERT_NV_SIZE  2048 /* Azure pads to 4096; libtpms has no larger index than this */

void ak_ca_done(struct ak_ca *ca)
{
    identity_done(&ca->root);
    identity_done(&ca->intermediate);
}

/* ---- TPMT_PUBLIC templates ---- */

#define ATTR_AK 0x00050072u /* fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign */
#define ATTR_EK 0x000300B2u /* ..., adminWithPolicy, restricted, decrypt */

enum {
    ALG_RSA = 0x0001,
    ALG_AES = 0x0006,
    ALG_NULL = 0x0010,
    ALG_RSASSA = 0x0014,
    ALG_ECDSA = 0x0018,
    ALG_ECC = 0x0023,
    ALG_CFB = 0x0043,
    CURVE_P256 = 3
};

static void put_head(struct buf *t, uint16_t type, uint32_t attributes, struct bytes policy)
{
    buf_u16be(t, type);
    buf_u16be(t, ALG_SHA256);
    buf_u32be(t, attributes);
    buf_tpm2b(t, policy);
}

static void put_rsa(struct buf *t)
{
    buf_u16be(t, 2048);
    buf_u32be(t, 0); /* 65537 */
}

static void rsa_ak_template(struct buf *t, struct bytes unique)
{
    put_head(t, ALG_RSA, ATTR_AK, bytes_of(NULL, 0));
    buf_u16be(t, ALG_NULL);
    buf_u16be(t, ALG_RSASSA);
    buf_u16be(t, ALG_SHA256);
    put_rsa(t);
    buf_tpm2b(t, unique);
}

static void ecc_ak_template(struct buf *t, struct bytes unique)
{
    put_head(t, ALG_ECC, ATTR_AK, bytes_of(NULL, 0));
    buf_u16be(t, ALG_NULL);
    buf_u16be(t, ALG_ECDSA);
    buf_u16be(t, ALG_SHA256);
    buf_u16be(t, CURVE_P256);
    buf_u16be(t, ALG_NULL);
    buf_tpm2b(t, bytes_of(unique.p, 32));
    buf_tpm2b(t, bytes_of(unique.p + 32, 32));
}

/* TCG EK Credential Profile 2.5, template L-1: PolicySecret of the endorsement hierarchy. */
static void ek_template(struct buf *t)
{
    static const uint8_t policy[32] = { 0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xB3, 0xF8, 0x1A, 0x90, 0xCC,
                                        0x8D, 0x46, 0xA5, 0xD7, 0x24, 0xFD, 0x52, 0xD7, 0x6E, 0x06, 0x52,
                                        0x0B, 0x64, 0xF2, 0xA1, 0xDA, 0x1B, 0x33, 0x14, 0x69, 0xAA };
    static const uint8_t unique[256];
    put_head(t, ALG_RSA, ATTR_EK, bytes_of(policy, sizeof(policy)));
    buf_u16be(t, ALG_AES);
    buf_u16be(t, 128);
    buf_u16be(t, ALG_CFB);
    buf_u16be(t, ALG_NULL);
    put_rsa(t);
    buf_tpm2b(t, bytes_of(unique, sizeof(unique)));
}

/* ---- Certificates ---- */

static int public_key(struct bytes area, EVP_PKEY **out, struct err *err)
{
    struct tpm_public pub;
    return tpm_public_parse(area, &pub, err) < 0 ? -1 : tpm_public_key(&pub, out, err);
}

/* An index with a certificate of this CA (and over this key, unless NULL) that is still good for a while. */
static bool cert_stands(struct tpm *tpm, uint32_t index, const struct identity *issuer, EVP_PKEY *key)
{
    AUTO(buf_done) struct buf nv = buf_new(CERT_MAX);
    AUTO(x509_drop) X509 *cert = NULL;
    struct err ignored = { 0 };
    time_t renew = time(NULL) + RENEW_SECONDS;
    return tpm_nv_read(tpm, index, &nv, &ignored) == 0 && x509_parse(buf_bytes(&nv), &cert, &ignored) == 0
           && X509_verify(cert, issuer->key) == 1 && X509_cmp_time(X509_get0_notAfter(cert), &renew) > 0
           && (!key || EVP_PKEY_eq(X509_get0_pubkey(cert), key) == 1);
}

static int nv_replace(struct tpm *tpm, uint32_t index, struct bytes data, struct err *err)
{
    struct err ignored = { 0 };
    size_t size;
    if (tpm_nv_size(tpm, index, &size, &ignored) == 0 && size != data.n) {
        if (tpm_nv_undefine(tpm, index, err) < 0)
            return -1;
        size = 0;
    } else if (ignored.kind != ERR_NONE) {
        size = 0;
    }
    if (size == 0 && tpm_nv_define(tpm, index, data.n, err) < 0)
        return -1;
    return tpm_nv_write(tpm, index, data, err);
}

static uint64_t random_serial(void)
{
    uint8_t b[8] = { 0 };
    (void)!RAND_bytes(b, sizeof(b));
    return be_uint(b, sizeof(b)) >> 1 | 1;
}

/* ---- Google ---- */

#define GOOGLE_NAME(cn)                                                                                      \
    (const char *const[])                                                                                    \
    {                                                                                                        \
        "C", "US", "ST", "California", "L", "Mountain View", "O", EMULATOR_ORGANISATION, "OU",               \
            "Google Cloud", "CN", (cn), NULL                                                                 \
    }
#define GOOGLE_ZONE     "us-central1-a"
#define GOOGLE_PROJECT  "cvm-agent-emulator"
#define GOOGLE_NUMBER   123456789012
#define GOOGLE_INSTANCE 1234567890123456789

int google_ca_load(struct ak_ca *ca, const struct store *s, struct err *err)
{
    static const struct cert_extension root_ext[] = {
        { "keyUsage", "critical,keyCertSign,cRLSign", { 0 } }, { "extendedKeyUsage", "2.23.133.8.1", { 0 } },
        { "basicConstraints", "critical,CA:TRUE", { 0 } },     { "subjectKeyIdentifier", "hash", { 0 } },
        { "authorityKeyIdentifier", "keyid:always", { 0 } },
    };
    static const struct cert_extension middle_ext[] = {
        { "keyUsage", "critical,keyCertSign,cRLSign", { 0 } },
        { "extendedKeyUsage", "2.23.133.8.1", { 0 } },
        { "basicConstraints", "critical,CA:TRUE", { 0 } },
        { "subjectKeyIdentifier", "hash", { 0 } },
        { "authorityKeyIdentifier", "keyid", { 0 } },
        { "authorityInfoAccess", "caIssuers;URI:" GOOGLE_ROOT_URL, { 0 } },
    };
    const struct cert_spec root = { GOOGLE_NAME("EK/AK CA Root"), CA_DAYS * 2, random_serial(), root_ext,
                                    ARRAY_SIZE(root_ext),         SIGN_SHA256 };
    const struct cert_spec middle = { GOOGLE_NAME("EK/AK CA Intermediate"),
                                      CA_DAYS * 2,
                                      random_serial(),
                                      middle_ext,
                                      ARRAY_SIZE(middle_ext),
                                      SIGN_SHA256 };
    if (identity_load(&ca->root, s, "ca/google-root", KEY_RSA2048, &root, NULL, err) < 0)
        return -1;
    return identity_load(&ca->intermediate, s, "ca/google-intermediate", KEY_RSA2048, &middle, &ca->root,
                         err);
}

/* GceInstanceInfo: zone, project number, project, instance id, instance name, [0] security properties. */
static void google_instance(struct buf *out, const char *shape)
{
    AUTO(buf_done) struct buf info = buf_new(512), properties = buf_new(128), sequence = buf_new(128);
    static const uint8_t flags[6] = { 0, 0xFF, 0xFF, 0, 0, 0 }; /* security version; production, ... */
    for (unsigned i = 0; i < sizeof(flags); i++) {
        const uint8_t inner[3] = { i ? DER_BOOLEAN : DER_INTEGER, 1, flags[i] };
        der_put(&properties, (uint8_t)(0xA0 | i), bytes_of(inner, sizeof(inner)));
    }
    der_put(&sequence, DER_SEQUENCE, buf_bytes(&properties));
    der_put(&info, DER_UTF8, bytes_str(GOOGLE_ZONE));
    der_put_uint(&info, DER_INTEGER, GOOGLE_NUMBER);
    der_put(&info, DER_UTF8, bytes_str(GOOGLE_PROJECT));
    der_put_uint(&info, DER_INTEGER, GOOGLE_INSTANCE);
    der_put(&info, DER_UTF8, bytes_str(shape));
    der_put(&info, 0xA0, buf_bytes(&sequence));
    der_put(out, DER_SEQUENCE, buf_bytes(&info));
}

static int google_cert(const struct ak_ca *ca, const char *shape, EVP_PKEY *key, struct buf *der,
                       struct err *err)
{
    AUTO(buf_done) struct buf instance = buf_new(1024);
    google_instance(&instance, shape);
    if (buf_check(&instance, "the instance extension", err) < 0)
        return -1;
    const struct cert_extension ext[] = {
        { "keyUsage", "critical,digitalSignature", { 0 } },
        { "basicConstraints", "critical,CA:FALSE", { 0 } },
        { "subjectKeyIdentifier", "hash", { 0 } },
        { "authorityKeyIdentifier", "keyid", { 0 } },
        { "authorityInfoAccess", "caIssuers;URI:" GOOGLE_INTERMEDIATE_URL, { 0 } },
        { "1.3.6.1.4.1.11129.2.1.21", NULL, buf_bytes(&instance) },
    };
    static const char *const subject[] = { "L",  GOOGLE_ZONE,    "O",  "Google Compute Engine",
                                           "OU", GOOGLE_PROJECT, "CN", "1234567890123456789",
                                           NULL };
    const struct cert_spec spec = {
        subject, GOOGLE_DAYS, random_serial(), ext, ARRAY_SIZE(ext), SIGN_SHA256
    };
    return cert_make(&spec, key, &ca->intermediate, der, err);
}

static int google_key(const struct ak_ca *ca, const char *shape, struct tpm *tpm, uint32_t cert_index,
                      struct bytes template_, struct err *err)
{
    AUTO(buf_done) struct buf area = buf_new(4096), der = buf_new(CERT_MAX);
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    if (tpm_primary_provision(tpm, true, template_, 0, &area, err) < 0
        || public_key(buf_bytes(&area), &key, err) < 0 || google_cert(ca, shape, key, &der, err) < 0
        || nv_replace(tpm, cert_index + 1, template_, err) < 0)
        return -1;
    return nv_replace(tpm, cert_index, buf_bytes(&der), err);
}

int google_provision(const struct ak_ca *ca, const struct store *s, const char *shape, struct tpm *tpm,
                     struct err *err)
{
    static const struct {
        uint32_t cert_index; /* the template is in the next one */
        void (*fill)(struct buf *t, struct bytes unique);
        size_t unique;
    } keys[] = { { 0x01C10000, rsa_ak_template, 256 }, { 0x01C10002, ecc_ak_template, 64 } };
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        AUTO(buf_done) struct buf t = buf_new(1024), nv = buf_new(4096);
        struct err ignored = { 0 };
        char file[64];
        uint8_t unique[256];
        snprintf(file, sizeof(file), "%s/ak-unique-%zu", shape, i);
        if (store_random(s, file, unique, keys[i].unique, err) < 0)
            return -1;
        keys[i].fill(&t, bytes_of(unique, keys[i].unique));
        if (buf_check(&t, "an AK template", err) < 0)
            return -1;
        bool stands = tpm_nv_read(tpm, keys[i].cert_index + 1, &nv, &ignored) == 0
                      && bytes_equal(buf_bytes(&nv), buf_bytes(&t))
                      && cert_stands(tpm, keys[i].cert_index, &ca->intermediate, NULL);
        if (!stands && google_key(ca, shape, tpm, keys[i].cert_index, buf_bytes(&t), err) < 0)
            return err_while(err, "provision Google's attestation keys");
    }
    return 0;
}

/* ---- Azure ---- */

int azure_ca_load(struct ak_ca *ca, const struct store *s, struct err *err)
{
    static const struct cert_extension ext[] = {
        { "keyUsage", "critical,digitalSignature,keyCertSign,cRLSign", { 0 } },
        { "basicConstraints", "critical,CA:TRUE", { 0 } },
        { "subjectKeyIdentifier", "hash", { 0 } },
    };
    static const char *const subject[] = { "CN", "Global Virtual TPM CA - 03", "O", EMULATOR_ORGANISATION,
                                           NULL };
    const struct cert_spec spec = { subject, CA_DAYS, random_serial(), ext, ARRAY_SIZE(ext), SIGN_SHA256 };
    return identity_load(&ca->root, s, "ca/azure-vtpm", KEY_RSA2048, &spec, NULL, err);
}

static int azure_cert(const struct ak_ca *ca, EVP_PKEY *key, struct buf *der, struct err *err)
{
    /* certificatePolicies: SEQUENCE { SEQUENCE { OID 1.3.6.1.4.1.311.108.200.2 } } */
    static const uint8_t policies[] = { 0x30, 0x0F, 0x30, 0x0D, 0x06, 0x0B, 0x2B, 0x06, 0x01,
                                        0x04, 0x01, 0x82, 0x37, 0x6C, 0x81, 0x48, 0x02 };
    static const struct cert_extension ext[] = {
        { "keyUsage", "critical,digitalSignature", { 0 } },
        { "2.5.29.32", NULL, { policies, sizeof(policies) } },
        { "extendedKeyUsage", "1.3.6.1.4.1.311.10.3.12,2.23.133.8.3", { 0 } },
        { "subjectKeyIdentifier", "hash", { 0 } },
        { "authorityKeyIdentifier", "keyid", { 0 } },
        { "authorityInfoAccess", "caIssuers;URI:" AZURE_CA_URL, { 0 } },
    };
    static const char *const subject[] = { "CN", "emulated.ConfidentialVM.Azure.windows.net", NULL };
    const struct cert_spec spec = { subject, AZURE_DAYS, random_serial(), ext, ARRAY_SIZE(ext), SIGN_SHA256 };
    return cert_make(&spec, key, &ca->root, der, err);
}

/* True if the TPM's AK is the one that the store remembers; both public areas are then in ak and ek. */
static bool azure_keys_stand(const struct store *s, const char *shape, struct tpm *tpm, struct buf *ak,
                             struct buf *ek)
{
    AUTO(buf_done) struct buf kept = buf_new(4096);
    struct tpm_ak loaded = { 0 };
    struct err ignored = { 0 };
    char ak_file[64], ek_file[64];
    snprintf(ak_file, sizeof(ak_file), "%s/ak.pub", shape);
    snprintf(ek_file, sizeof(ek_file), "%s/ek.pub", shape);
    if (tpm_ak_load(tpm, TPM_AK_PERSISTENT, AZURE_AK_HANDLE, &loaded, &ignored) < 0)
        return false;
    bool same = store_get(s, ak_file, &kept, &ignored) == 0
                && bytes_equal(buf_bytes(&kept), buf_bytes(&loaded.public_area))
                && store_get(s, ek_file, ek, &ignored) == 0;
    if (same)
        buf_put(ak, buf_bytes(&kept));
    tpm_ak_done(tpm, &loaded);
    return same;
}

static int azure_keys_make(const struct store *s, const char *shape, struct tpm *tpm, struct buf *ak,
                           struct buf *ek, struct err *err)
{
    AUTO(buf_done) struct buf ak_template = buf_new(1024), ek_template_ = buf_new(1024);
    char ak_file[64], ek_file[64];
    snprintf(ak_file, sizeof(ak_file), "%s/ak.pub", shape);
    snprintf(ek_file, sizeof(ek_file), "%s/ek.pub", shape);
    ak->n = ek->n = 0;
    rsa_ak_template(&ak_template, bytes_of(NULL, 0));
    ek_template(&ek_template_);
    if (tpm_primary_provision(tpm, true, buf_bytes(&ek_template_), AZURE_EK_HANDLE, ek, err) < 0
        || tpm_primary_provision(tpm, true, buf_bytes(&ak_template), AZURE_AK_HANDLE, ak, err) < 0
        || store_put(s, ek_file, buf_bytes(ek), 0644, err) < 0)
        return -1;
    return store_put(s, ak_file, buf_bytes(ak), 0644, err);
}

int azure_provision(const struct ak_ca *ca, const struct store *s, const char *shape, struct tpm *tpm,
                    struct buf *ak, struct buf *ek, struct err *err)
{
    AUTO(pkey_drop) EVP_PKEY *key = NULL;
    AUTO(buf_done) struct buf der = buf_new(CERT_MAX);
    if (!azure_keys_stand(s, shape, tpm, ak, ek) && azure_keys_make(s, shape, tpm, ak, ek, err) < 0)
        return err_while(err, "provision Azure's attestation key");
    if (public_key(buf_bytes(ak), &key, err) < 0)
        return -1;
    if (cert_stands(tpm, AZURE_AK_CERT, &ca->root, key))
        return 0;
    if (azure_cert(ca, key, &der, err) < 0)
        return -1;
    if (der.n < CERT_NV_SIZE)
        buf_fill(&der, 0, CERT_NV_SIZE - der.n);
    return buf_check(&der, "the AK certificate", err) < 0
               ? -1
               : nv_replace(tpm, AZURE_AK_CERT, buf_bytes(&der), err);
}
