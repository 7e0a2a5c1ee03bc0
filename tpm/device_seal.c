/* Sealing and unsealing under a storage key of the owner hierarchy. The key's public half comes from the TPM
 * itself, so the encryption holds against who listens on the bus, not against who sits in it. */
#include "tpm/device_internal.h"
#include "tpm/sealed.h"

#include <openssl/crypto.h>
#include <tss2/tss2_mu.h>

static const TPM2B_DATA no_data;
static const TPMT_SYM_DEF parameter_cipher = { .algorithm = TPM2_ALG_AES,
                                               .keyBits.aes = 128,
                                               .mode.aes = TPM2_ALG_CFB };

/* Empty unique fields: the owner seed alone decides the key, so it is the same one at each boot. */
static const TPM2B_PUBLIC storage_template = {
    .publicArea = { .type = TPM2_ALG_ECC,
                    .nameAlg = TPM2_ALG_SHA256,
                    .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT
                                        | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH
                                        | TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
                    .parameters.eccDetail = { .symmetric = { .algorithm = TPM2_ALG_AES,
                                                             .keyBits.aes = 128,
                                                             .mode.aes = TPM2_ALG_CFB },
                                              .scheme.scheme = TPM2_ALG_NULL,
                                              .curveID = TPM2_ECC_NIST_P256,
                                              .kdf.scheme = TPM2_ALG_NULL } },
};

static int storage_key(struct tpm *t, struct tpm_object *key, struct err *err)
{
    static const TPM2B_SENSITIVE_CREATE no_secret;
    static const TPML_PCR_SELECTION no_pcrs;
    ESYS_TR tr;
    TSS2_RC rc =
        TPM_CALL(Esys_CreatePrimary(t->esys, ESYS_TR_RH_OWNER, EMPTY_PASSWORD, &no_secret, &storage_template,
                                    &no_data, &no_pcrs, &tr, NULL, NULL, NULL, NULL));
    if (rc)
        return tpm_fail(err, rc, "create the storage key");
    *key = (struct tpm_object){ t->esys, tr, true };
    return 0;
}

/* A session whose secret is made with the storage key; parameters travel encrypted both ways where there are
 * any. */
static int salted_session(struct tpm *t, const struct tpm_object *key, TPM2_SE type, TPMA_SESSION attributes,
                          struct tpm_object *session, struct err *err)
{
    ESYS_TR tr;
    TSS2_RC rc = TPM_CALL(Esys_StartAuthSession(t->esys, key->tr, ESYS_TR_NONE, NO_SESSIONS, NULL, type,
                                                &parameter_cipher, TPM2_ALG_SHA256, &tr));
    if (rc)
        return tpm_fail(err, rc, "start a session");
    *session = (struct tpm_object){ t->esys, tr, true };
    rc = TPM_CALL(Esys_TRSess_SetAttributes(t->esys, tr, attributes | TPMA_SESSION_CONTINUESESSION, 0xFF));
    return rc ? tpm_fail(err, rc, "set up a session") : 0;
}

struct created {
    TPM2B_PRIVATE *private_;
    TPM2B_PUBLIC *public_;
    TPM2B_CREATION_DATA *data;
    TPM2B_DIGEST *hash;
    TPMT_TK_CREATION *ticket;
};

static void created_drop(struct created *c)
{
    Esys_Free(c->private_);
    Esys_Free(c->public_);
    Esys_Free(c->data);
    Esys_Free(c->hash);
    Esys_Free(c->ticket);
}

static int put_created(const struct created *c, struct buf *blob, struct err *err)
{
    uint8_t raw[SEALED_BLOB_MAX];
    size_t n = 0;
    TSS2_RC rc = Tss2_MU_TPM2B_PUBLIC_Marshal(c->public_, raw, sizeof(raw), &n);
    rc = rc ? rc : Tss2_MU_TPM2B_PRIVATE_Marshal(c->private_, raw, sizeof(raw), &n);
    rc = rc ? rc : Tss2_MU_TPM2B_CREATION_DATA_Marshal(c->data, raw, sizeof(raw), &n);
    rc = rc ? rc : Tss2_MU_TPMT_TK_CREATION_Marshal(c->ticket, raw, sizeof(raw), &n);
    if (rc)
        return tpm_fail(err, rc, "marshal the sealed object");
    buf_put(blob, bytes_of(raw, n));
    return buf_check(blob, "sealed blob", err);
}

static int create(struct tpm *t, const struct tpm_object *key, struct bytes secret, uint32_t mask,
                  const uint8_t policy[static 32], struct created *c, struct err *err)
{
    AUTO(tpm_object_drop) struct tpm_object session = tpm_object_none(t);
    if (salted_session(t, key, TPM2_SE_HMAC, TPMA_SESSION_DECRYPT, &session, err) < 0)
        return -1;
    TPM2B_SENSITIVE_CREATE sensitive = { .sensitive.data.size = (uint16_t)secret.n };
    TPM2B_PUBLIC template_ = {
        .publicArea = { .type = TPM2_ALG_KEYEDHASH,
                        .nameAlg = TPM2_ALG_SHA256,
                        .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_NODA,
                        .authPolicy.size = 32,
                        .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL }
    };
    TPML_PCR_SELECTION pcrs = tpm_pcr_selection(TPM2_ALG_SHA256, mask);
    memcpy(sensitive.sensitive.data.buffer, secret.p, secret.n);
    memcpy(template_.publicArea.authPolicy.buffer, policy, 32);
    TSS2_RC rc =
        TPM_CALL(Esys_Create(t->esys, key->tr, session.tr, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &template_,
                             &no_data, &pcrs, &c->private_, &c->public_, &c->data, &c->hash, &c->ticket));
    OPENSSL_cleanse(&sensitive, sizeof(sensitive));
    return rc ? tpm_fail(err, rc, "seal") : 0;
}

int tpm_seal(struct tpm *t, struct bytes secret, uint32_t mask, struct buf *blob, struct tpm_pcrs *pcrs,
             struct err *err)
{
    AUTO(tpm_object_drop) struct tpm_object key = tpm_object_none(t);
    AUTO(created_drop) struct created c = { 0 };
    AUTO(buf_done) struct buf made = buf_new(SEALED_BLOB_MAX);
    uint8_t digest[32], policy[32];
    struct tpm_pcrs now;
    struct sealed s;
    if (secret.n == 0 || secret.n > SEALED_SECRET_MAX)
        return err_set(err, ERR_INPUT, 0, "a secret of %zu bytes: 1 to %d can be sealed", secret.n,
                       SEALED_SECRET_MAX);
    if (tpm_pcr_read(t, ALG_SHA256, mask, &now, err) < 0)
        return -1;
    sealed_pcr_digest(&now, digest);
    sealed_policy(mask, digest, policy);
    if (storage_key(t, &key, err) < 0 || create(t, &key, secret, mask, policy, &c, err) < 0
        || put_created(&c, &made, err) < 0 || sealed_parse(buf_bytes(&made), &s, err) < 0)
        return err_while(err, "seal to the TPM");
    if (s.mask != mask || !bytes_equal(s.pcr_digest, bytes_of(digest, 32))
        || !bytes_equal(s.policy, bytes_of(policy, 32)))
        return err_set(err, ERR_BUSY, 0, "seal to the TPM: PCRs changed meanwhile: try again");
    buf_put(blob, buf_bytes(&made));
    *pcrs = now;
    return buf_check(blob, "sealed blob", err);
}

static int load(struct tpm *t, const struct tpm_object *key, const struct sealed *s,
                struct tpm_object *object, struct err *err)
{
    TPM2B_PUBLIC area = { .size = 0 };
    TPM2B_PRIVATE private_ = { .size = 0 };
    size_t a = 0, p = 0;
    ESYS_TR tr;
    if (Tss2_MU_TPM2B_PUBLIC_Unmarshal(s->public_area.p, s->public_area.n, &a, &area)
        || Tss2_MU_TPM2B_PRIVATE_Unmarshal(s->private_area.p, s->private_area.n, &p, &private_)
        || a != s->public_area.n || p != s->private_area.n)
        return err_set(err, ERR_INPUT, 0, "sealed blob: the TPM's library cannot read it");
    TSS2_RC rc = TPM_CALL(Esys_Load(t->esys, key->tr, EMPTY_PASSWORD, &private_, &area, &tr));
    if (rc)
        return err_set(err, ERR_DENIED, rc,
                       "this TPM did not seal the key: it does not load the blob (%#" PRIx32 ")", rc);
    *object = (struct tpm_object){ t->esys, tr, true };
    return 0;
}

/* The TPM's ticket says that it made this object with this creation data, so in the state recorded there. */
static int check_creation(struct tpm *t, const struct tpm_object *key, const struct tpm_object *object,
                          const struct sealed *s, struct err *err)
{
    static const TPMT_SIG_SCHEME unsigned_ = { .scheme = TPM2_ALG_NULL };
    AUTO(tpm_object_drop) struct tpm_object session = tpm_object_none(t);
    AUTO(esys_drop) TPM2B_ATTEST *said = NULL;
    AUTO(esys_drop) TPMT_SIGNATURE *signature = NULL;
    TPM2B_DIGEST hash = { .size = 32 };
    TPMT_TK_CREATION ticket = { .tag = 0 };
    size_t n = 0;
    sha256(bytes_of(s->creation_data.p + 2, s->creation_data.n - 2), hash.buffer);
    if (Tss2_MU_TPMT_TK_CREATION_Unmarshal(s->ticket.p, s->ticket.n, &n, &ticket) || n != s->ticket.n)
        return err_set(err, ERR_INPUT, 0, "sealed blob: the TPM's library cannot read its ticket");
    if (salted_session(t, key, TPM2_SE_HMAC, 0, &session, err) < 0)
        return -1;
    TSS2_RC rc =
        TPM_CALL(Esys_CertifyCreation(t->esys, ESYS_TR_RH_NULL, object->tr, session.tr, ESYS_TR_NONE,
                                      ESYS_TR_NONE, &no_data, &hash, &unsigned_, &ticket, &said, &signature));
    return rc ? err_set(err, ERR_DENIED, rc,
                        "the TPM does not confirm in which state the key was sealed (%#" PRIx32 ")", rc)
              : 0;
}

static int give(struct tpm *t, const struct tpm_object *key, const struct tpm_object *object, uint32_t mask,
                struct bytes digest, struct buf *secret, struct err *err)
{
    AUTO(tpm_object_drop) struct tpm_object session = tpm_object_none(t);
    AUTO(esys_drop) TPM2B_SENSITIVE_DATA *data = NULL;
    TPML_PCR_SELECTION pcrs = tpm_pcr_selection(TPM2_ALG_SHA256, mask);
    TPM2B_DIGEST expected = { .size = 32 };
    memcpy(expected.buffer, digest.p, 32);
    if (salted_session(t, key, TPM2_SE_POLICY, TPMA_SESSION_ENCRYPT, &session, err) < 0)
        return -1;
    TSS2_RC rc = TPM_CALL(Esys_PolicyPCR(t->esys, session.tr, NO_SESSIONS, &expected, &pcrs));
    rc = rc ? rc : TPM_CALL(Esys_Unseal(t->esys, object->tr, session.tr, ESYS_TR_NONE, ESYS_TR_NONE, &data));
    if (rc)
        return err_set(err, ERR_DENIED, rc, "the TPM does not unseal the key (%#" PRIx32 ")", rc);
    struct bytes given = bytes_of(data->buffer, data->size);
    if (given.n > SEALED_SECRET_MAX)
        return err_set(err, ERR_IO, 0, "the TPM gave a secret of %zu bytes", given.n);
    buf_put(secret, given);
    OPENSSL_cleanse(data, sizeof(*data));
    return buf_check(secret, "secret", err);
}

int tpm_unseal(struct tpm *t, struct bytes blob, uint32_t mask, struct buf *secret, struct err *err)
{
    AUTO(tpm_object_drop) struct tpm_object key = tpm_object_none(t);
    AUTO(tpm_object_drop) struct tpm_object object = tpm_object_none(t);
    struct tpm_pcrs now;
    struct sealed s;
    uint8_t digest[32], policy[32];
    if (sealed_parse(blob, &s, err) < 0)
        return -1;
    if (s.mask != mask)
        return err_set(err, ERR_DENIED, 0, "the key is sealed to PCRs %#" PRIx32 ", wanted are %#" PRIx32,
                       s.mask, mask);
    if (tpm_pcr_read(t, ALG_SHA256, mask, &now, err) < 0)
        return -1;
    sealed_pcr_digest(&now, digest);
    sealed_policy(mask, digest, policy);
    if (!bytes_equal(s.pcr_digest, bytes_of(digest, 32)) || !bytes_equal(s.policy, bytes_of(policy, 32)))
        return err_set(err, ERR_DENIED, 0, "the key was sealed while the PCRs had other values");
    return storage_key(t, &key, err) < 0 || load(t, &key, &s, &object, err) < 0
                   || check_creation(t, &key, &object, &s, err) < 0
                   || give(t, &key, &object, mask, s.pcr_digest, secret, err) < 0
               ? err_while(err, "unseal")
               : 0;
}
