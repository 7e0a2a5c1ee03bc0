/* A boot log against registers that a quote proves. */
#include "base/auto.h"
#include "base/buf.h"
#include "tpm/quote_verify.h"

#define FIRMWARE_PCRS 0x0000FFu /* 0 to 7: firmware alone */
#define BOOT_PCRS     0x0003FFu /* 8 and 9 too: boot loader and EFI stub, all in the firmware's log */

/* TCG PC Client Platform TPM Profile: 17 to 22 start with all ones, the others with zeros. */
static bool untouched(unsigned index, const struct digest *value)
{
    uint8_t start = index >= 17 && index <= 22 ? 0xFF : 0;
    for (size_t i = 0; i < value->n; i++)
        if (value->b[i] != start)
            return false;
    return true;
}

static void compare(const struct tpm_pcrs *log, const struct tpm_pcrs *values, uint32_t covered,
                    struct tpm_log_verdict *out)
{
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        uint32_t bit = 1u << i;
        if (!(covered & values->mask & bit))
            continue;
        if (!(log->mask & bit))
            out->unknown |= untouched(i, &values->pcr[i]) ? 0 : bit;
        else if (bytes_equal(digest_bytes(&log->pcr[i]), digest_bytes(&values->pcr[i])))
            out->explained |= bit;
        else
            out->extended |= bit;
    }
}

static const char *pcr_list(uint32_t mask, char *out, size_t size)
{
    AUTO(buf_done) struct buf text = buf_new(size);
    for (unsigned i = 0; i < TPM_PCRS; i++)
        if (mask & 1u << i)
            buf_printf(&text, "%s%u", text.n ? ", " : "", i);
    snprintf(out, size, "%.*s", (int)text.n, (const char *)buf_bytes(&text).p);
    return out;
}

static int check(const struct tpm_eventlog *log, const struct tpm_replay *replay,
                 const struct tpm_pcrs *values, uint32_t covered, struct tpm_log_verdict *v, struct err *err)
{
    char pcrs[96];
    const struct tpm_pcrs *bank = tpm_replay_bank(replay, values->alg);
    if (!(covered & values->mask))
        return err_set(err, ERR_DENIED, 0, "no PCR value is proven by the quote");
    if (!bank)
        return err_set(err, ERR_DENIED, 0, "the log has no bank %s", digest_name(values->alg));
    if (tpm_eventlog_check_separators(log, err) < 0)
        return -1;
    compare(bank, values, covered, v);
    if (v->extended & BOOT_PCRS)
        return err_set(err, ERR_DENIED, 0, "the log does not give the values of PCR %s",
                       pcr_list(v->extended & BOOT_PCRS, pcrs, sizeof(pcrs)));
    if (v->unknown & FIRMWARE_PCRS)
        return err_set(err, ERR_DENIED, 0, "PCR %s: extended, but the log has no event for it",
                       pcr_list(v->unknown & FIRMWARE_PCRS, pcrs, sizeof(pcrs)));
    if (!v->explained)
        return err_set(err, ERR_DENIED, 0, "the log explains no PCR of the quote");
    return 0;
}

void tpm_log_verify(const struct tpm_eventlog *log, const struct tpm_replay *replay,
                    const struct tpm_pcrs *values, uint32_t covered, struct checks *checks,
                    struct tpm_log_verdict *out)
{
    struct tpm_log_verdict v = { 0 };
    struct err err = { 0 };
    char pcrs[96];
    *out = v;
    if (check(log, replay, values, covered, &v, &err) < 0) {
        checks_add_rc(checks, "tpm.eventlog_replay", -1, NULL, &err);
        return;
    }
    checks_add(checks, "tpm.eventlog_replay", CHECK_OK, "%s bank: the log gives PCR %s",
               digest_name(values->alg), pcr_list(v.explained, pcrs, sizeof(pcrs)));
    if (v.extended)
        checks_warn(checks, "the log does not explain PCR %s: extended since boot",
                    pcr_list(v.extended, pcrs, sizeof(pcrs)));
    *out = v;
}
