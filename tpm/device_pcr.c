/* PCRs and their banks. */
#include "tpm/device_internal.h"

#define READ_ROUNDS_MAX 16 /* of a bank that changes under our hands */

/* Resettable at locality 0 (PC Client Platform TPM Profile, PCR attributes): a debugger's and the
 * applications'. */
#define PCR_DEBUG       16
#define PCR_APPLICATION 23

int tpm_banks_get(struct tpm *t, struct tpm_banks *out, struct err *err)
{
    if (t->banks.n == 0)
        return err_set(err, ERR_NOT_FOUND, 0, "the TPM has no bank with all %d PCRs: allocate one and reboot",
                       TPM_PCRS);
    *out = t->banks;
    return 0;
}

int tpm_bank_require(const struct tpm *t, uint16_t alg, struct err *err)
{
    char have[96] = "";
    size_t used = 0;
    for (size_t i = 0; i < t->banks.n; i++) {
        const char *name = digest_name(t->banks.alg[i]);
        if (t->banks.alg[i] == alg)
            return 0;
        int n = snprintf(have + used, sizeof(have) - used, " %s", name ? name : "unknown");
        used += n > 0 && (size_t)n < sizeof(have) - used ? (size_t)n : 0;
    }
    const char *name = digest_name(alg);
    return err_set(err, ERR_NOT_FOUND, 0, "PCR bank %s (%#x) is not active; active:%s",
                   name ? name : "unknown", alg, have);
}

TPML_PCR_SELECTION tpm_pcr_selection(uint16_t alg, uint32_t mask)
{
    return (TPML_PCR_SELECTION){
        .count = 1,
        .pcrSelections = { { .hash = alg,
                             .sizeofSelect = 3,
                             .pcrSelect = { (uint8_t)mask, (uint8_t)(mask >> 8), (uint8_t)(mask >> 16) } } },
    };
}

/* One command: as many of the PCRs of mask as the TPM gives at once, at most 8. got: which they were. */
static int read_some(struct tpm *t, uint32_t mask, struct tpm_pcrs *out, uint32_t *got, uint32_t *counter,
                     struct err *err)
{
    AUTO(esys_drop) TPML_PCR_SELECTION *chosen = NULL;
    AUTO(esys_drop) TPML_DIGEST *values = NULL;
    TPML_PCR_SELECTION wanted = tpm_pcr_selection(out->alg, mask);
    TSS2_RC rc = TPM_CALL(Esys_PCR_Read(t->esys, NO_SESSIONS, &wanted, counter, &chosen, &values));
    if (rc)
        return tpm_fail(err, rc, "read PCRs");
    const TPMS_PCR_SELECTION *bank = &chosen->pcrSelections[0];
    uint32_t given = chosen->count == 1 && bank->hash == out->alg && bank->sizeofSelect <= 4
                         ? (uint32_t)le_uint(bank->pcrSelect, bank->sizeofSelect)
                         : 0;
    if (given == 0 || (given & ~mask) || (uint32_t)__builtin_popcount(given) != values->count)
        return err_set(err, ERR_IO, 0, "the TPM gave PCRs %#" PRIx32 " where %#" PRIx32 " were asked", given,
                       mask);
    for (uint32_t i = 0, pcr = 0; pcr < TPM_PCRS; pcr++) {
        if (!(given & 1u << pcr))
            continue;
        const TPM2B_DIGEST *value = &values->digests[i++];
        if (value->size != digest_size(out->alg) || value->size > DIGEST_MAX)
            return err_set(err, ERR_IO, 0, "the TPM gave PCR %" PRIu32 " with %u bytes", pcr, value->size);
        out->pcr[pcr].alg = out->alg;
        out->pcr[pcr].n = (uint8_t)value->size;
        memcpy(out->pcr[pcr].b, value->buffer, value->size);
    }
    *got = given;
    return 0;
}

int tpm_pcr_read(struct tpm *t, uint16_t alg, uint32_t mask, struct tpm_pcrs *out, struct err *err)
{
    if (mask & ~TPM_PCRS_ALL)
        return err_set(err, ERR_INPUT, 0, "PCR mask %#" PRIx32 ": only PCRs 0 to 23 exist", mask);
    if (tpm_bank_require(t, alg, err) < 0)
        return -1;
    struct tpm_pcrs pcrs = { .alg = alg, .mask = mask };
    uint32_t counter = 0, first_counter = 0;
    int rounds = 0;
    for (uint32_t left = mask, got = 0; left; left &= ~got) {
        if (read_some(t, left, &pcrs, &got, &counter, err) < 0)
            return -1;
        if (left == mask) {
            first_counter = counter;
        } else if (counter != first_counter) {
            if (++rounds == READ_ROUNDS_MAX)
                return err_set(err, ERR_BUSY, 0, "PCRs changed during each of %d readings: try again",
                               READ_ROUNDS_MAX);
            left = mask;
            got = 0;
        }
    }
    *out = pcrs;
    return 0;
}

int tpm_pcr_extend(struct tpm *t, unsigned pcr, const struct digest *digests, size_t n, struct err *err)
{
    TPML_DIGEST_VALUES values = { .count = 0 };
    if (pcr >= TPM_PCRS || n == 0 || n > TPM_BANKS_MAX)
        return err_set(err, ERR_INPUT, 0, "extend PCR %u in %zu banks: PCRs are 0 to 23, banks 1 to %d", pcr,
                       n, TPM_BANKS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct digest *d = &digests[i];
        /* the TPM would skip a bank that it does not have, and say nothing */
        if (tpm_bank_require(t, d->alg, err) < 0)
            return -1;
        if (d->n == 0 || d->n != digest_size(d->alg))
            return err_set(err, ERR_INPUT, 0, "extend PCR %u: %u bytes are no %s digest", pcr, d->n,
                           digest_name(d->alg));
        values.digests[i].hashAlg = d->alg;
        memcpy(&values.digests[i].digest, d->b, d->n);
        values.count++;
    }
    TSS2_RC rc = TPM_CALL(Esys_PCR_Extend(t->esys, ESYS_TR_PCR0 + pcr, EMPTY_PASSWORD, &values));
    return rc ? tpm_fail(err, rc, "extend PCR %u", pcr) : 0;
}

int tpm_pcr_reset(struct tpm *t, unsigned pcr, struct err *err)
{
    if (pcr != PCR_DEBUG && pcr != PCR_APPLICATION)
        return err_set(err, ERR_DENIED, 0, "reset PCR %u: only %d and %d can be reset", pcr, PCR_DEBUG,
                       PCR_APPLICATION);
    TSS2_RC rc = TPM_CALL(Esys_PCR_Reset(t->esys, ESYS_TR_PCR0 + pcr, EMPTY_PASSWORD));
    return rc ? tpm_fail(err, rc, "reset PCR %u", pcr) : 0;
}
