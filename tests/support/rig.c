#include "rig.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/x509.h"
#include "tpm/public.h"
#include "tpm/signature.h"

#include <limits.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tctildr.h>

void rig_open(struct rig *rig)
{
    if (rig->soft)
        OK(tpm_open_tcti(soft_tpm_tcti(rig->s), &rig->t, &err));
    else
        OK(tpm_open(rig->w.tcti, &rig->t, &err));
}

static int rig_new(void **state, bool soft)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    rig->soft = soft;
    snprintf(rig->dir, sizeof(rig->dir), "/tmp/tpm-device.XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    if (soft)
        OK(soft_tpm_new(rig->dir, &rig->s, &err));
    else if (swtpm_available())
        swtpm_new(&rig->w);
    if (soft || rig->w.pid)
        rig_open(rig);
    *state = rig;
    return 0;
}

int rig_soft(void **state)
{
    return rig_new(state, true);
}

int rig_swtpm(void **state)
{
    return rig_new(state, false);
}

int rig_done(void **state)
{
    struct rig *rig = *state;
    char command[128];
    tpm_close(rig->t);
    soft_tpm_free(rig->s);
    if (rig->w.pid)
        swtpm_done(&rig->w);
    snprintf(command, sizeof(command), "rm -rf '%s'", rig->dir);
    assert_int_equal(system(command), 0);
    free(rig);
    return 0;
}

/* The rig, or the test is skipped where there is no swtpm. */
struct rig *rig_of(void **state)
{
    struct rig *rig = *state;
    if (!rig->t)
        skip();
    return rig;
}

/* How many handles of a range the TPM has, asked for over a connection of the test's own. */
unsigned rig_handles(struct rig *rig, TPM2_HANDLE first)
{
    TSS2_TCTI_CONTEXT *tcti = NULL;
    ESYS_CONTEXT *esys = NULL;
    TPMS_CAPABILITY_DATA *data = NULL;
    if (!rig->soft)
        assert_int_equal(Tss2_TctiLdr_Initialize(rig->w.tcti, &tcti), 0);
    assert_int_equal(Esys_Initialize(&esys, rig->soft ? soft_tpm_tcti(rig->s) : tcti, NULL), 0);
    assert_int_equal(Esys_GetCapability(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES,
                                        first, 32, NULL, &data),
                     0);
    unsigned n = data->data.handles.count;
    Esys_Free(data);
    Esys_Finalize(&esys);
    if (tcti)
        Tss2_TctiLdr_Finalize(&tcti);
    return n;
}

static struct buf template_of(const TPMT_PUBLIC *area)
{
    uint8_t raw[1024];
    size_t n = 0;
    struct buf out = buf_new(sizeof(raw));
    assert_int_equal(Tss2_MU_TPMT_PUBLIC_Marshal(area, raw, sizeof(raw), &n), 0);
    buf_put(&out, bytes_of(raw, n));
    return out;
}

struct buf rsa_template(uint32_t attributes)
{
    bool restricted_sign = attributes & TPM_ATTR_RESTRICTED && attributes & TPM_ATTR_SIGN;
    TPMT_PUBLIC area = {
        .type = TPM2_ALG_RSA,
        .nameAlg = TPM2_ALG_SHA256,
        .objectAttributes = attributes,
        .parameters.rsaDetail = { .symmetric.algorithm = TPM2_ALG_NULL,
                                  .scheme = { .scheme = restricted_sign ? TPM2_ALG_RSASSA : TPM2_ALG_NULL,
                                              .details.rsassa.hashAlg = TPM2_ALG_SHA256 },
                                  .keyBits = 2048 },
    };
    return template_of(&area);
}

struct buf ecc_template(void)
{
    TPMT_PUBLIC area = {
        .type = TPM2_ALG_ECC,
        .nameAlg = TPM2_ALG_SHA256,
        .objectAttributes = AK_ATTRIBUTES,
        .parameters.eccDetail = { .symmetric.algorithm = TPM2_ALG_NULL,
                                  .scheme = { .scheme = TPM2_ALG_ECDSA,
                                              .details.ecdsa.hashAlg = TPM2_ALG_SHA256 },
                                  .curveID = TPM2_ECC_NIST_P256,
                                  .kdf.scheme = TPM2_ALG_NULL },
        .unique.ecc.x.size = 32,
        .unique.ecc.y.size = 32,
    };
    return template_of(&area);
}

void rig_file(const struct rig *rig, const char *name, struct bytes data)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", rig->dir, name);
    OK(file_write_atomic(path, data, 0600, &err));
}

static void write_pem(const struct rig *rig, struct bytes spki)
{
    const uint8_t *p = spki.p;
    char path[PATH_MAX];
    AUTO(pkey_drop) EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)spki.n);
    assert_non_null(key);
    snprintf(path, sizeof(path), "%s/ak.pem", rig->dir);
    AUTO(close_file) FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PUBKEY(f, key), 1);
}

static void openssl_accepts(const struct tpm_ak *ak, struct bytes attest, struct bytes raw_sig)
{
    AUTO(buf_done) struct buf der = buf_new(1024);
    const uint8_t *p = ak->spki.p;
    struct tpm_signature sig;
    AUTO(pkey_drop) EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)ak->spki.n);
    assert_non_null(key);
    OK(tpm_signature_parse(raw_sig, &sig, &err));
    OK(tpm_signature_to_der(&sig, &der, &err));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestVerify(ctx, der.p, der.n, attest.p, attest.n), 1);
    EVP_MD_CTX_free(ctx);
}

/* pcrDigest ends a quote: SHA-256 over the values in order (reference: Part 2, 10.12.1). */
static void pcr_digest_agrees(struct tpm *t, uint16_t alg, uint32_t mask, struct bytes attest)
{
    struct tpm_pcrs pcrs;
    AUTO(buf_done) struct buf all = buf_new(TPM_PCRS * DIGEST_MAX);
    uint8_t digest[32];
    OK(tpm_pcr_read(t, alg, mask, &pcrs, &err));
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        if (mask & 1u << i)
            buf_put(&all, digest_bytes(&pcrs.pcr[i]));
    }
    sha256(buf_bytes(&all), digest);
    assert_true(attest.n > 32);
    assert_memory_equal(attest.p + attest.n - 32, digest, 32);
}

void rig_quote(struct rig *rig, const struct tpm_ak *ak, uint16_t alg, uint32_t mask, size_t extra_n)
{
    AUTO(buf_done) struct buf attest = buf_new(1024), sig = buf_new(1024);
    uint8_t extra[64];
    char hex[129] = "";
    for (size_t i = 0; i < extra_n; i++) {
        extra[i] = (uint8_t)(i * 7 + 1);
        snprintf(hex + 2 * i, 3, "%02x", extra[i]);
    }
    OK(tpm_quote(rig->t, ak, alg, mask, bytes_of(extra, extra_n), &attest, &sig, &err));
    openssl_accepts(ak, buf_bytes(&attest), buf_bytes(&sig));
    pcr_digest_agrees(rig->t, alg, mask, buf_bytes(&attest));
    if (!swtpm_available())
        return;
    write_pem(rig, buf_bytes(&ak->spki));
    rig_file(rig, "quote", buf_bytes(&attest));
    rig_file(rig, "sig", buf_bytes(&sig));
    assert_int_equal(
        tpm2_tool("none", "cd %s && tpm2_checkquote -u ak.pem -m quote -s sig -g sha256 -q '%s' >/dev/null",
                  rig->dir, hex),
        0);
    assert_int_not_equal(tpm2_tool("none",
                                   "cd %s && tpm2_checkquote -u ak.pem -m quote -s sig -g sha256 -q 00 "
                                   ">/dev/null 2>&1",
                                   rig->dir),
                         0);
}
