/* The pure part: what a blob says, and which policy belongs to PCR values. */
#include "tpm/sealed.h"

#include <tss2/tss2_tpm2_types.h>

#define HASH_SIZE   32
#define SELECT_SIZE 3 /* bytes of a selection of 24 PCRs */

/* fixedTPM, fixedParent, noDA; no password gives the secret, and there is no duplication. */
#define SEALED_ATTRIBUTES (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_NODA)

/* A TPM2B with its size as it stands, and what is in it. */
static bool take_sized(struct reader *r, struct bytes *whole, struct bytes *inside)
{
    const uint8_t *start = r->rest.p;
    if (!rd_tpm2b(r, inside))
        return false;
    *whole = bytes_of(start, inside->n + 2);
    return true;
}

static bool public_is_ours(struct bytes area, struct bytes *policy)
{
    struct reader r = reader_of(area);
    uint16_t type, name, scheme;
    uint32_t attributes;
    struct bytes unique;
    return rd_u16be(&r, &type) && rd_u16be(&r, &name) && rd_u32be(&r, &attributes) && rd_tpm2b(&r, policy)
           && rd_u16be(&r, &scheme) && rd_tpm2b(&r, &unique) && r.rest.n == 0 && type == TPM2_ALG_KEYEDHASH
           && name == TPM2_ALG_SHA256 && attributes == SEALED_ATTRIBUTES && policy->n == HASH_SIZE
           && scheme == TPM2_ALG_NULL && unique.n == HASH_SIZE;
}

static bool creation_is_ours(struct bytes data, uint32_t *mask, struct bytes *digest)
{
    struct reader r = reader_of(data);
    uint32_t banks;
    uint16_t bank, parent;
    uint8_t size, locality;
    struct bytes selection, name, qualified, outside;
    if (!rd_u32be(&r, &banks) || banks != 1 || !rd_u16be(&r, &bank) || bank != ALG_SHA256 || !rd_u8(&r, &size)
        || size != SELECT_SIZE || !rd_take(&r, size, &selection) || !rd_tpm2b(&r, digest)
        || digest->n != HASH_SIZE || !rd_u8(&r, &locality) || !rd_u16be(&r, &parent) || !rd_tpm2b(&r, &name)
        || !rd_tpm2b(&r, &qualified) || !rd_tpm2b(&r, &outside))
        return false;
    *mask = (uint32_t)le_uint(selection.p, selection.n);
    return r.rest.n == 0 && parent == TPM2_ALG_SHA256 && outside.n == 0;
}

static bool take_ticket(struct reader *r, struct bytes *ticket)
{
    const uint8_t *start = r->rest.p;
    size_t before = r->rest.n;
    uint16_t tag;
    uint32_t hierarchy;
    struct bytes digest;
    if (!rd_u16be(r, &tag) || !rd_u32be(r, &hierarchy) || !rd_tpm2b(r, &digest))
        return false;
    *ticket = bytes_of(start, before - r->rest.n);
    return tag == TPM2_ST_CREATION && hierarchy == TPM2_RH_OWNER && digest.n >= HASH_SIZE
           && digest.n <= DIGEST_MAX;
}

int sealed_parse(struct bytes raw, struct sealed *out, struct err *err)
{
    struct reader r = reader_of(raw);
    struct sealed s;
    struct bytes area, private_, creation;
    if (raw.n > SEALED_BLOB_MAX)
        return err_set(err, ERR_INPUT, 0, "sealed blob of %zu bytes: more than %d", raw.n, SEALED_BLOB_MAX);
    if (!take_sized(&r, &s.public_area, &area) || !public_is_ours(area, &s.policy))
        return err_set(err, ERR_INPUT, 0, "sealed blob: its public area is none of ours");
    if (!take_sized(&r, &s.private_area, &private_) || private_.n == 0)
        return err_set(err, ERR_INPUT, 0, "sealed blob cut short in its private area");
    if (!take_sized(&r, &s.creation_data, &creation) || !creation_is_ours(creation, &s.mask, &s.pcr_digest))
        return err_set(err, ERR_INPUT, 0, "sealed blob: its creation data is none of ours");
    if (!take_ticket(&r, &s.ticket))
        return err_set(err, ERR_INPUT, 0, "sealed blob: its ticket is malformed");
    if (r.rest.n)
        return err_set(err, ERR_INPUT, 0, "sealed blob: %zu bytes follow its end", r.rest.n);
    *out = s;
    return 0;
}

void sealed_pcr_digest(const struct tpm_pcrs *pcrs, uint8_t out[static HASH_SIZE])
{
    uint8_t all[TPM_PCRS * HASH_SIZE];
    size_t n = 0;
    for (unsigned i = 0; i < TPM_PCRS; i++)
        if (pcrs->mask & 1u << i) {
            memcpy(all + n, pcrs->pcr[i].b, HASH_SIZE);
            n += HASH_SIZE;
        }
    sha256(bytes_of(all, n), out);
}

void sealed_policy(uint32_t mask, const uint8_t pcr_digest[static HASH_SIZE], uint8_t out[static HASH_SIZE])
{
    const uint8_t command[] = { 0x00,
                                0x00,
                                0x01,
                                0x7F, /* TPM_CC_PolicyPCR */
                                0x00,
                                0x00,
                                0x00,
                                0x01,
                                0x00,
                                0x0B, /* one selection, SHA-256 */
                                SELECT_SIZE,
                                (uint8_t)mask,
                                (uint8_t)(mask >> 8),
                                (uint8_t)(mask >> 16) };
    uint8_t text[HASH_SIZE + sizeof(command) + HASH_SIZE] = { 0 };
    memcpy(text + HASH_SIZE, command, sizeof(command));
    memcpy(text + HASH_SIZE + sizeof(command), pcr_digest, HASH_SIZE);
    sha256(bytes_of(text, sizeof(text)), out);
}
