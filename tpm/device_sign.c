/* The signing key of a boot: a primary of the null hierarchy, whose seed the TPM makes anew at each reset. */
#include "tpm/device_internal.h"

#define WORD 32

/* Unrestricted, so that it signs a digest made outside; it is no attestation key and never used as one. Not
 * subject to the dictionary attack lockout, as our own AK. */
static TPM2B_PUBLIC template_of(const uint8_t salt[static WORD])
{
    TPM2B_PUBLIC t = {
        .publicArea = { .type = TPM2_ALG_ECC,
                        .nameAlg = TPM2_ALG_SHA256,
                        .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT
                                            | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH
                                            | TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT,
                        .parameters.eccDetail = { .symmetric.algorithm = TPM2_ALG_NULL,
                                                  .scheme = { .scheme = TPM2_ALG_ECDSA,
                                                              .details.ecdsa.hashAlg = TPM2_ALG_SHA256 },
                                                  .curveID = TPM2_ECC_NIST_P256,
                                                  .kdf.scheme = TPM2_ALG_NULL } },
    };
    t.publicArea.unique.ecc.x.size = WORD; /* of the template only: the key's own point replaces it */
    memcpy(t.publicArea.unique.ecc.x.buffer, salt, WORD);
    return t;
}

/* A coordinate or a half of a signature, which the TPM may give without its leading zeros. */
static int put_word(const TPM2B_ECC_PARAMETER *p, uint8_t out[static WORD], struct err *err)
{
    if (p->size > WORD)
        return err_set(err, ERR_IO, 0, "the TPM gave %u bytes where P-256 has %d", p->size, WORD);
    memset(out, 0, WORD);
    memcpy(out + WORD - p->size, p->buffer, p->size);
    return 0;
}

static int load(struct tpm *t, const uint8_t salt[static WORD], struct tpm_object *key,
                uint8_t xy[static 2 * WORD], struct err *err)
{
    static const TPM2B_SENSITIVE_CREATE no_secret;
    static const TPM2B_DATA no_data;
    static const TPML_PCR_SELECTION no_pcrs;
    const TPM2B_PUBLIC template_ = template_of(salt);
    AUTO(esys_drop) TPM2B_PUBLIC *area = NULL;
    ESYS_TR tr;
    TSS2_RC rc = TPM_CALL(Esys_CreatePrimary(t->esys, ESYS_TR_RH_NULL, EMPTY_PASSWORD, &no_secret, &template_,
                                             &no_data, &no_pcrs, &tr, &area, NULL, NULL, NULL));
    if (rc)
        return tpm_fail(err, rc, "create the signing key of this boot");
    *key = (struct tpm_object){ t->esys, tr, true };
    const TPMS_ECC_POINT *point = &area->publicArea.unique.ecc;
    if (put_word(&point->x, xy, err) < 0 || put_word(&point->y, xy + WORD, err) < 0)
        return -1;
    return 0;
}

int tpm_boot_key(struct tpm *t, const uint8_t salt[static WORD], uint8_t xy[static 2 * WORD], struct err *err)
{
    AUTO(tpm_object_drop) struct tpm_object key = tpm_object_none(t);
    return load(t, salt, &key, xy, err);
}

int tpm_boot_key_sign(struct tpm *t, const uint8_t salt[static WORD], const uint8_t digest[static WORD],
                      uint8_t xy[static 2 * WORD], uint8_t rs[static 2 * WORD], struct err *err)
{
    static const TPMT_SIG_SCHEME key_decides = { .scheme = TPM2_ALG_NULL };
    static const TPMT_TK_HASHCHECK no_ticket = { .tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL };
    AUTO(tpm_object_drop) struct tpm_object key = tpm_object_none(t);
    AUTO(esys_drop) TPMT_SIGNATURE *signature = NULL;
    TPM2B_DIGEST d = { .size = WORD };
    memcpy(d.buffer, digest, WORD);
    if (load(t, salt, &key, xy, err) < 0)
        return -1;
    TSS2_RC rc =
        TPM_CALL(Esys_Sign(t->esys, key.tr, EMPTY_PASSWORD, &d, &key_decides, &no_ticket, &signature));
    if (rc)
        return tpm_fail(err, rc, "sign with the key of this boot");
    if (signature->sigAlg != TPM2_ALG_ECDSA)
        return err_set(err, ERR_IO, 0, "the TPM signed by another algorithm: %#x", signature->sigAlg);
    const TPMS_SIGNATURE_ECDSA *ecdsa = &signature->signature.ecdsa;
    if (put_word(&ecdsa->signatureR, rs, err) < 0 || put_word(&ecdsa->signatureS, rs + WORD, err) < 0)
        return -1;
    return 0;
}
