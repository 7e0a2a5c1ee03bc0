/* NV memory. An index is looked up anew for each call: others may undefine and define it meanwhile. */
#include "tpm/device_internal.h"

struct nv {
    struct tpm_object object;
    TPMA_NV attributes;
    size_t size;
};

static void nv_drop(struct nv *nv)
{
    tpm_object_drop(&nv->object);
}

static int nv_find(struct tpm *t, uint32_t index, struct nv *out, struct err *err)
{
    AUTO(nv_drop) struct nv nv = { .object = tpm_object_none(t) };
    AUTO(esys_drop) TPM2B_NV_PUBLIC *area = NULL;
    if (index >> TPM2_HR_SHIFT != TPM2_HT_NV_INDEX)
        return err_set(err, ERR_INPUT, 0, "%#" PRIx32 " is not an NV index (0x01......)", index);
    if (tpm_object_find(t, index, "NV index", &nv.object, err) < 0)
        return -1;
    TSS2_RC rc = TPM_CALL(Esys_NV_ReadPublic(t->esys, nv.object.tr, NO_SESSIONS, &area, NULL));
    if (rc)
        return tpm_fail(err, rc, "NV index %#" PRIx32, index);
    *out = (struct nv){ { t->esys, tpm_object_take(&nv.object), false },
                        area->nvPublic.attributes,
                        area->nvPublic.dataSize };
    return 0;
}

/* Who authorises: the owner where the index lets it, else the index itself, both with the empty password. */
static int nv_authority(const struct nv *nv, uint32_t index, TPMA_NV owner, TPMA_NV self, ESYS_TR *out,
                        struct err *err)
{
    if (!(nv->attributes & (owner | self)))
        return err_set(err, ERR_DENIED, 0,
                       "NV index %#" PRIx32 ": its attributes %#" PRIx32 " allow neither owner nor password",
                       index, nv->attributes);
    *out = nv->attributes & owner ? ESYS_TR_RH_OWNER : nv->object.tr;
    return 0;
}

int tpm_nv_size(struct tpm *t, uint32_t index, size_t *out, struct err *err)
{
    AUTO(nv_drop) struct nv nv = { .object = tpm_object_none(t) };
    if (nv_find(t, index, &nv, err) < 0)
        return -1;
    *out = nv.size;
    return 0;
}

static int read_chunk(struct tpm *t, const struct nv *nv, ESYS_TR authority, size_t offset, struct buf *out,
                      struct err *err)
{
    AUTO(esys_drop) TPM2B_MAX_NV_BUFFER *data = NULL;
    size_t left = nv->size - offset;
    uint16_t want = left < t->nv_chunk ? (uint16_t)left : t->nv_chunk;
    TSS2_RC rc = TPM_CALL(
        Esys_NV_Read(t->esys, authority, nv->object.tr, EMPTY_PASSWORD, want, (uint16_t)offset, &data));
    if (rc)
        return tpm_fail(err, rc, "read NV at %zu of %zu", offset, nv->size);
    if (data->size != want)
        return err_set(err, ERR_IO, 0, "read NV at %zu: %u bytes where %u were asked", offset, data->size,
                       want);
    buf_put(out, bytes_of(data->buffer, data->size));
    return 0;
}

int tpm_nv_read(struct tpm *t, uint32_t index, struct buf *out, struct err *err)
{
    AUTO(nv_drop) struct nv nv = { .object = tpm_object_none(t) };
    AUTO(buf_done) struct buf data = buf_new(TPM_NV_MAX);
    ESYS_TR authority = ESYS_TR_NONE;
    if (nv_find(t, index, &nv, err) < 0
        || nv_authority(&nv, index, TPMA_NV_OWNERREAD, TPMA_NV_AUTHREAD, &authority, err) < 0)
        return -1;
    for (size_t offset = 0; offset < nv.size; offset += t->nv_chunk) {
        if (read_chunk(t, &nv, authority, offset, &data, err) < 0)
            return err_while(err, "read NV index");
    }
    if (buf_check(&data, "NV index", err) < 0)
        return -1;
    if (data.n > out->max - out->n)
        return err_set(err, ERR_TOO_LARGE, 0, "NV index %#" PRIx32 " holds %zu bytes, room is for %zu", index,
                       data.n, out->max - out->n);
    buf_put(out, buf_bytes(&data));
    return buf_check(out, "NV index", err);
}

int tpm_nv_write(struct tpm *t, uint32_t index, struct bytes data, struct err *err)
{
    AUTO(nv_drop) struct nv nv = { .object = tpm_object_none(t) };
    ESYS_TR authority = ESYS_TR_NONE;
    if (nv_find(t, index, &nv, err) < 0
        || nv_authority(&nv, index, TPMA_NV_OWNERWRITE, TPMA_NV_AUTHWRITE, &authority, err) < 0)
        return -1;
    if (data.n > nv.size)
        return err_set(err, ERR_TOO_LARGE, 0, "write %zu bytes to NV index %#" PRIx32 " of %zu", data.n,
                       index, nv.size);
    size_t offset = 0;
    do { /* once for no bytes, too: the index then counts as written */
        TPM2B_MAX_NV_BUFFER chunk = { .size = 0 };
        size_t left = data.n - offset;
        chunk.size = left < t->nv_chunk ? (uint16_t)left : t->nv_chunk;
        memcpy(chunk.buffer, data.p + offset, chunk.size);
        TSS2_RC rc = TPM_CALL(
            Esys_NV_Write(t->esys, authority, nv.object.tr, EMPTY_PASSWORD, &chunk, (uint16_t)offset));
        if (rc)
            return tpm_fail(err, rc, "write NV index %#" PRIx32 " at %zu of %zu", index, offset, data.n);
        offset += chunk.size;
    } while (offset < data.n);
    return 0;
}

int tpm_nv_define(struct tpm *t, uint32_t index, size_t size, struct err *err)
{
    AUTO(tpm_object_drop) struct tpm_object made = tpm_object_none(t);
    if (size > UINT16_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "NV index %#" PRIx32 " of %zu bytes", index, size);
    const TPM2B_AUTH empty = { .size = 0 };
    const TPM2B_NV_PUBLIC area = {
        .nvPublic = { .nvIndex = index,
                      .nameAlg = TPM2_ALG_SHA256,
                      .attributes = TPMA_NV_OWNERREAD | TPMA_NV_OWNERWRITE | TPMA_NV_AUTHREAD
                                    | TPMA_NV_AUTHWRITE | TPMA_NV_NO_DA,
                      .dataSize = (uint16_t)size },
    };
    TSS2_RC rc =
        TPM_CALL(Esys_NV_DefineSpace(t->esys, ESYS_TR_RH_OWNER, EMPTY_PASSWORD, &empty, &area, &made.tr));
    if (rc) {
        made.tr = ESYS_TR_NONE;
        return tpm_fail(err, rc, "define NV index %#" PRIx32 " of %zu bytes", index, size);
    }
    return 0;
}

int tpm_nv_undefine(struct tpm *t, uint32_t index, struct err *err)
{
    AUTO(tpm_object_drop) struct tpm_object nv = tpm_object_none(t);
    if (tpm_object_find(t, index, "NV index", &nv, err) < 0)
        return -1;
    TSS2_RC rc = TPM_CALL(Esys_NV_UndefineSpace(t->esys, ESYS_TR_RH_OWNER, nv.tr, EMPTY_PASSWORD));
    return rc ? tpm_fail(err, rc, "undefine NV index %#" PRIx32, index) : 0;
}
