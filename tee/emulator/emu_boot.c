#include "tee/emulator/emu_boot.h"

#include "base/auto.h"
#include "tee/emulator/emu_boot_events.h"

#include <string.h>

#define RTMR_SIZE 48

/* Header event in the SHA-1 form, body TCG_EfiSpecIDEvent. */
static void put_spec_id(struct buf *out, uint32_t index, const struct tpm_banks *banks)
{
    buf_u32le(out, index);
    buf_u32le(out, 3); /* EV_NO_ACTION */
    buf_fill(out, 0, 20);
    buf_u32le(out, (uint32_t)(16 + 4 + 4 + 4 + 4 * banks->n + 1));
    buf_put(out, bytes_of("Spec ID Event03", 16));
    buf_u32le(out, 0);                     /* client platform */
    buf_put(out, bytes_of("\0\2\0\2", 4)); /* version 2.0, errata 0, 64-bit UINTN */
    buf_u32le(out, (uint32_t)banks->n);
    for (size_t i = 0; i < banks->n; i++) {
        buf_u16le(out, banks->alg[i]);
        buf_u16le(out, (uint16_t)digest_size(banks->alg[i]));
    }
    buf_u8(out, 0);
}

static int put_event(struct buf *out, uint32_t index, const struct boot_event *e,
                     const struct tpm_banks *banks, struct err *err)
{
    buf_u32le(out, index);
    buf_u32le(out, e->type);
    buf_u32le(out, (uint32_t)banks->n);
    for (size_t i = 0; i < banks->n; i++) {
        struct digest d;
        if (digest_of(banks->alg[i], e->hashed, &d, err) < 0)
            return -1;
        buf_u16le(out, banks->alg[i]);
        buf_put(out, digest_bytes(&d));
    }
    buf_u32le(out, (uint32_t)e->data.n);
    buf_put(out, e->data);
    return 0;
}

struct log_job {
    const struct tpm_banks *banks;
    struct buf *out;
    uint8_t *rtmrs; /* CCEL only */
};

static int log_visit(void *arg, const struct boot_event *e, struct err *err)
{
    struct log_job *j = arg;
    return put_event(j->out, e->pcr, e, j->banks, err);
}

int boot_log(const struct boot_facts *facts, const struct tpm_banks *banks, struct buf *out, struct err *err)
{
    struct log_job j = { banks, out, NULL };
    put_spec_id(out, 0, banks);
    if (boot_events(facts, log_visit, &j, err) < 0)
        return err_while(err, "write the boot log");
    return buf_check(out, "the boot log", err);
}

/* UEFI 2.10, table 38.4.1: PCR 0 is the MRTD, which no event extends; 1 and 7 go to RTMR0, 2 to 6 to RTMR1, 8
 * to 15 to RTMR2; the log's index is one more. */
static int ccel_visit(void *arg, const struct boot_event *e, struct err *err)
{
    struct log_job *j = arg;
    if (e->pcr == 0)
        return 0;
    unsigned rtmr = e->pcr == 1 || e->pcr == 7 ? 0 : e->pcr < 7 ? 1 : 2;
    struct digest value = { .alg = ALG_SHA384, .n = RTMR_SIZE }, measured;
    memcpy(value.b, j->rtmrs + (size_t)rtmr * RTMR_SIZE, RTMR_SIZE);
    if (digest_of(ALG_SHA384, e->hashed, &measured, err) < 0
        || digest_extend(&value, digest_bytes(&measured), err) < 0)
        return -1;
    memcpy(j->rtmrs + (size_t)rtmr * RTMR_SIZE, value.b, RTMR_SIZE);
    return put_event(j->out, rtmr + 1, e, j->banks, err);
}

int boot_ccel(const struct boot_facts *facts, struct buf *out, uint8_t *rtmrs, struct err *err)
{
    static const struct tpm_banks sha384_only = { 1, { ALG_SHA384 } };
    struct log_job j = { &sha384_only, out, rtmrs };
    memset(rtmrs, 0, 4u * RTMR_SIZE);
    put_spec_id(out, 1, &sha384_only);
    if (boot_events(facts, ccel_visit, &j, err) < 0)
        return err_while(err, "write the CC event log");
    if (out->n < BOOT_CCEL_SIZE)
        buf_fill(out, 0xFF, BOOT_CCEL_SIZE - out->n);
    return buf_check(out, "the CC event log", err);
}

void boot_ccel_table(uint8_t out[static CCEL_TABLE_SIZE])
{
    static const uint8_t table[CCEL_TABLE_SIZE] = {
        'C',
        'C',
        'E',
        'L',
        CCEL_TABLE_SIZE,
        0,
        0,
        0,
        1,
        0,
        'I',
        'N',
        'T',
        'E',
        'L',
        ' ',
        'E',
        'D',
        'K',
        '2',
        ' ',
        ' ',
        ' ',
        ' ',
        2,
        0,
        0,
        0,
        ' ',
        ' ',
        ' ',
        ' ',
        0x13,
        0,
        0,
        1,
        2,
        0,
        0,
        0, /* type 2: TDX */
        0,
        (BOOT_CCEL_SIZE >> 8) & 0xFF,
        (BOOT_CCEL_SIZE >> 16) & 0xFF,
        0,
        0,
        0,
        0,
        0, /* length, */
        0,
        0xF0,
        0xDB,
        0xBE,
        0,
        0,
        0,
        0, /* address */
    };
    uint8_t sum = 0;
    memcpy(out, table, sizeof(table));
    for (size_t i = 0; i < sizeof(table); i++)
        sum = (uint8_t)(sum + table[i]);
    out[9] = (uint8_t)(0 - sum);
}

/* ---- The TPM ---- */

struct extend_job {
    struct tpm *tpm; /* NULL: replay only */
    const struct tpm_banks *banks;
    struct tpm_pcrs replay; /* of the first bank */
};

static int extend_visit(void *arg, const struct boot_event *e, struct err *err)
{
    struct extend_job *j = arg;
    struct digest d[TPM_BANKS_MAX] = { { 0 } };
    for (size_t i = 0; i < j->banks->n; i++)
        if (digest_of(j->banks->alg[i], e->hashed, &d[i], err) < 0)
            return -1;
    if (digest_extend(&j->replay.pcr[e->pcr], digest_bytes(&d[0]), err) < 0)
        return -1;
    return j->tpm ? tpm_pcr_extend(j->tpm, e->pcr, d, j->banks->n, err) : 0;
}

static void extend_begin(struct extend_job *j, struct tpm *tpm, const struct tpm_banks *banks)
{
    *j = (struct extend_job){ .tpm = tpm, .banks = banks, .replay = { .alg = banks->alg[0] } };
    for (size_t i = 0; i < TPM_PCRS; i++)
        j->replay.pcr[i] = (struct digest){ .alg = banks->alg[0], .n = (uint8_t)digest_size(banks->alg[0]) };
}

int boot_measure(const struct boot_facts *facts, struct tpm *tpm, const struct tpm_banks *banks, bool *fresh,
                 struct err *err)
{
    struct tpm_pcrs now;
    struct extend_job j;
    bool zero = true, same = true;
    if (banks->n == 0)
        return err_set(err, ERR_INPUT, 0, "the TPM has no active PCR bank");
    extend_begin(&j, NULL, banks);
    if (tpm_pcr_read(tpm, banks->alg[0], FIRMWARE_PCRS, &now, err) < 0
        || boot_events(facts, extend_visit, &j, err) < 0)
        return err_while(err, "compare the PCRs with the emulated boot");
    for (size_t i = 0; i < 8; i++) {
        zero = zero && bytes_zero(digest_bytes(&now.pcr[i]));
        same = same && bytes_equal(digest_bytes(&now.pcr[i]), digest_bytes(&j.replay.pcr[i]));
    }
    *fresh = zero;
    if (same)
        return 0;
    if (!zero)
        return err_set(
            err, ERR_INPUT, 0,
            "the TPM's PCRs 0 to 7 hold another boot: reset the TPM (TPM2_Startup after power-on)");
    extend_begin(&j, tpm, banks);
    if (boot_events(facts, extend_visit, &j, err) < 0)
        return err_while(err, "measure the emulated boot");
    return 0;
}
