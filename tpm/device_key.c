/* Keys and quotes. */
#include "tpm/device_internal.h"
#include "tpm/public.h"

#include <tss2/tss2_mu.h>

#define EXTRA_MAX       64
#define PUBLIC_AREA_MAX 2048 /* a marshalled TPMT_PUBLIC; the largest key we meet has 600 bytes */
#define SPKI_MAX        1024
#define SIGNATURE_MAX   1100 /* a marshalled TPMT_SIGNATURE: RSA of 4096 bits and its header, with room */

static const TPM2B_DATA no_data;
static const TPML_PCR_SELECTION no_pcrs;
static const TPM2B_SENSITIVE_CREATE no_secret; /* the empty password */

/* Empty unique fields and no outside data: the endorsement seed alone decides the key, so it is the same one
 * each time. Not subject to the dictionary attack lockout: an empty password cannot be guessed, and others'
 * wrong guesses at other keys must not stop quotes. */
static const TPM2B_PUBLIC own_template = {
    .publicArea = { .type = TPM2_ALG_ECC,
                    .nameAlg = TPM2_ALG_SHA256,
                    .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT
                                        | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH
                                        | TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED
                                        | TPMA_OBJECT_SIGN_ENCRYPT,
                    .parameters.eccDetail = { .symmetric.algorithm = TPM2_ALG_NULL,
                                              .scheme = { .scheme = TPM2_ALG_ECDSA,
                                                          .details.ecdsa.hashAlg = TPM2_ALG_SHA256 },
                                              .curveID = TPM2_ECC_NIST_P256,
                                              .kdf.scheme = TPM2_ALG_NULL } },
};

static int template_parse(struct bytes raw, TPM2B_PUBLIC *out, struct err *err)
{
    size_t used = 0;
    TPM2B_PUBLIC template_ = { .size = 0 };
    TSS2_RC rc = Tss2_MU_TPMT_PUBLIC_Unmarshal(raw.p, raw.n, &used, &template_.publicArea);
    if (rc)
        return err_set(err, ERR_INPUT, rc, "key template of %zu bytes is no TPMT_PUBLIC (stopped at %zu)",
                       raw.n, used);
    /* an NV index may be larger than the template in it */
    if (!bytes_zero(bytes_of(raw.p + used, raw.n - used)))
        return err_set(err, ERR_INPUT, 0, "key template: %zu bytes follow the %zu of its TPMT_PUBLIC",
                       raw.n - used, used);
    *out = template_;
    return 0;
}

static int put_public(const TPMT_PUBLIC *area, struct buf *out, struct err *err)
{
    uint8_t raw[PUBLIC_AREA_MAX];
    size_t n = 0;
    TSS2_RC rc = Tss2_MU_TPMT_PUBLIC_Marshal(area, raw, sizeof(raw), &n);
    if (rc)
        return tpm_fail(err, rc, "marshal the public area of a key");
    buf_put(out, bytes_of(raw, n));
    return buf_check(out, "public area", err);
}

/* hierarchy: ESYS_TR_RH_ENDORSEMENT or ESYS_TR_RH_OWNER, with the empty password */
static int create_primary(struct tpm *t, ESYS_TR hierarchy, const TPM2B_PUBLIC *template_,
                          struct tpm_object *key, struct buf *public_area, struct err *err)
{
    AUTO(tpm_object_drop) struct tpm_object made = tpm_object_none(t);
    AUTO(esys_drop) TPM2B_PUBLIC *area = NULL;
    ESYS_TR tr;
    TSS2_RC rc = TPM_CALL(Esys_CreatePrimary(t->esys, hierarchy, EMPTY_PASSWORD, &no_secret, template_,
                                             &no_data, &no_pcrs, &tr, &area, NULL, NULL, NULL));
    if (rc)
        return tpm_fail(err, rc, "create a primary key");
    made = (struct tpm_object){ t->esys, tr, true };
    if (put_public(&area->publicArea, public_area, err) < 0)
        return -1;
    *key = (struct tpm_object){ t->esys, tpm_object_take(&made), true };
    return 0;
}

static int ak_persistent(struct tpm *t, uint32_t handle, struct tpm_object *key, struct buf *public_area,
                         struct err *err)
{
    AUTO(esys_drop) TPM2B_PUBLIC *area = NULL;
    if (handle >> TPM2_HR_SHIFT != TPM2_HT_PERSISTENT)
        return err_set(err, ERR_INPUT, 0, "%#" PRIx32 " is not a persistent handle (0x81......)", handle);
    if (tpm_object_find(t, handle, "key", key, err) < 0)
        return -1;
    TSS2_RC rc = TPM_CALL(Esys_ReadPublic(t->esys, key->tr, NO_SESSIONS, &area, NULL, NULL));
    if (rc)
        return tpm_fail(err, rc, "read the public area of key %#" PRIx32, handle);
    return put_public(&area->publicArea, public_area, err);
}

static int ak_from_nv_template(struct tpm *t, uint32_t index, struct tpm_object *key, struct buf *public_area,
                               struct err *err)
{
    AUTO(buf_done) struct buf raw = buf_new(PUBLIC_AREA_MAX);
    TPM2B_PUBLIC template_;
    return tpm_nv_read(t, index, &raw, err) < 0 || template_parse(buf_bytes(&raw), &template_, err) < 0
               ? -1
               : create_primary(t, ESYS_TR_RH_ENDORSEMENT, &template_, key, public_area, err);
}

static int ak_own(struct tpm *t, uint32_t handle, struct tpm_object *key, struct buf *public_area,
                  struct err *err)
{
    (void)handle;
    return create_primary(t, ESYS_TR_RH_ENDORSEMENT, &own_template, key, public_area, err);
}

typedef int ak_load_fn(struct tpm *t, uint32_t handle, struct tpm_object *key, struct buf *public_area,
                       struct err *err);
static ak_load_fn *const ak_loaders[] = {
    [TPM_AK_PERSISTENT] = ak_persistent,
    [TPM_AK_NV_TEMPLATE] = ak_from_nv_template,
    [TPM_AK_PRIMARY] = ak_own,
};

int tpm_ak_load(struct tpm *t, enum tpm_ak_source source, uint32_t handle, struct tpm_ak *out,
                struct err *err)
{
    AUTO(tpm_object_drop) struct tpm_object key = tpm_object_none(t);
    AUTO(buf_done) struct buf public_area = buf_new(PUBLIC_AREA_MAX), spki = buf_new(SPKI_MAX);
    struct tpm_public pub;
    if (ak_loaders[source](t, handle, &key, &public_area, err) < 0
        || tpm_public_parse(buf_bytes(&public_area), &pub, err) < 0 || tpm_public_check_ak(&pub, err) < 0
        || tpm_public_spki(&pub, &spki, err) < 0)
        return err_while(err, "load the attestation key");
    bool persistent = !key.transient;
    *out = (struct tpm_ak){ tpm_object_take(&key), persistent, public_area, spki };
    public_area = buf_new(0);
    spki = buf_new(0);
    return 0;
}

void tpm_ak_done(struct tpm *t, struct tpm_ak *ak)
{
    if (!ak->public_area.p)
        return; /* never loaded */
    struct tpm_object key = { t->esys, ak->esys, !ak->persistent };
    tpm_object_drop(&key);
    buf_done(&ak->public_area);
    buf_done(&ak->spki);
    *ak = (struct tpm_ak){ .esys = ESYS_TR_NONE };
}

int tpm_quote(struct tpm *t, const struct tpm_ak *ak, uint16_t alg, uint32_t mask, struct bytes extra,
              struct buf *attest, struct buf *sig, struct err *err)
{
    AUTO(esys_drop) TPM2B_ATTEST *quoted = NULL;
    AUTO(esys_drop) TPMT_SIGNATURE *signature = NULL;
    static const TPMT_SIG_SCHEME key_decides = { .scheme = TPM2_ALG_NULL };
    TPM2B_DATA data = { .size = (uint16_t)extra.n };
    uint8_t raw[SIGNATURE_MAX];
    size_t n = 0;
    if (extra.n > EXTRA_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "qualifying data of %zu bytes, at most %d", extra.n, EXTRA_MAX);
    if (mask & ~TPM_PCRS_ALL)
        return err_set(err, ERR_INPUT, 0, "PCR mask %#" PRIx32 ": only PCRs 0 to 23 exist", mask);
    if (tpm_bank_require(t, alg, err) < 0) /* the TPM would drop it from the selection, and say nothing */
        return -1;
    memcpy(data.buffer, extra.p, extra.n);
    TPML_PCR_SELECTION pcrs = tpm_pcr_selection(alg, mask);
    TSS2_RC rc = TPM_CALL(
        Esys_Quote(t->esys, ak->esys, EMPTY_PASSWORD, &data, &key_decides, &pcrs, &quoted, &signature));
    if (rc)
        return tpm_fail(err, rc, "quote");
    rc = Tss2_MU_TPMT_SIGNATURE_Marshal(signature, raw, sizeof(raw), &n);
    if (rc)
        return tpm_fail(err, rc, "marshal the quote's signature");
    if (quoted->size > attest->max - attest->n || n > sig->max - sig->n)
        return err_set(err, ERR_TOO_LARGE, 0, "quote of %u bytes and signature of %zu: no room", quoted->size,
                       n);
    buf_put(attest, bytes_of(quoted->attestationData, quoted->size));
    buf_put(sig, bytes_of(raw, n));
    return buf_check(attest, "quote", err) < 0 || buf_check(sig, "quote signature", err) < 0 ? -1 : 0;
}

/* Owner handles are 0x81000000 to 0x817FFFFF (Part 2, 7.8; platform's above). */
static int evict(struct tpm *t, uint32_t handle, struct err *err)
{
    AUTO(tpm_object_drop) struct tpm_object old = tpm_object_none(t);
    struct err missing = { 0 };
    ESYS_TR none;
    if (tpm_object_find(t, handle, "key", &old, &missing) < 0) {
        return missing.kind == ERR_NOT_FOUND ? 0
                                             : err_set(err, missing.kind, missing.code, "%s", missing.cause);
    }
    TSS2_RC rc =
        TPM_CALL(Esys_EvictControl(t->esys, ESYS_TR_RH_OWNER, old.tr, EMPTY_PASSWORD, handle, &none));
    return rc ? tpm_fail(err, rc, "remove the key at %#" PRIx32, handle) : 0;
}

static int make_persistent(struct tpm *t, const struct tpm_object *key, uint32_t handle, struct err *err)
{
    AUTO(tpm_object_drop) struct tpm_object kept = tpm_object_none(t);
    if (evict(t, handle, err) < 0)
        return -1;
    TSS2_RC rc =
        TPM_CALL(Esys_EvictControl(t->esys, ESYS_TR_RH_OWNER, key->tr, EMPTY_PASSWORD, handle, &kept.tr));
    if (rc) {
        kept.tr = ESYS_TR_NONE;
        return tpm_fail(err, rc, "make a key persistent at %#" PRIx32, handle);
    }
    return 0;
}

int tpm_primary_provision(struct tpm *t, bool endorsement, struct bytes raw, uint32_t persistent,
                          struct buf *public_area, struct err *err)
{
    AUTO(tpm_object_drop) struct tpm_object key = tpm_object_none(t);
    AUTO(buf_done) struct buf area = buf_new(PUBLIC_AREA_MAX);
    TPM2B_PUBLIC template_;
    if (template_parse(raw, &template_, err) < 0
        || create_primary(t, endorsement ? ESYS_TR_RH_ENDORSEMENT : ESYS_TR_RH_OWNER, &template_, &key, &area,
                          err)
               < 0
        || (persistent && make_persistent(t, &key, persistent, err) < 0))
        return err_while(err, "provision a primary key");
    buf_put(public_area, buf_bytes(&area));
    return buf_check(public_area, "public area", err);
}
