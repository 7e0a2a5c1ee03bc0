#include "tpm/eventlog_formats.h"

#include "base/auto.h"

/* EV_NO_ACTION on PCR 0 with this text and one byte: the locality of TPM2_Startup, where PCR 0 begins
 * (PFP 1.05, 10.4.5.3). */
#define STARTUP_LOCALITY "StartupLocality"

static bool startup_locality(const struct tpm_eventlog *log, const struct tpm_event *e, uint8_t *out)
{
    struct reader r = reader_of(e->data);
    struct bytes text;
    return log->kind == EVENTLOG_TPM && e->type == EV_NO_ACTION && e->index == 0 && e->data.n == 17
           && rd_take(&r, 16, &text) && memcmp(text.p, STARTUP_LOCALITY, 16) == 0 && rd_u8(&r, out);
}

static void set_zero(struct tpm_pcrs *bank, uint16_t alg)
{
    *bank = (struct tpm_pcrs){ .alg = alg };
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        bank->pcr[i].alg = alg;
        bank->pcr[i].n = (uint8_t)digest_size(alg);
    }
}

static int set_locality(const struct tpm_event *e, uint8_t locality, struct tpm_replay *replay,
                        struct err *err)
{
    for (size_t k = 0; k < replay->n; k++) {
        struct tpm_pcrs *bank = &replay->bank[k];
        if (bank->mask & 1)
            return err_set(err, ERR_INPUT, 0, "StartupLocality at offset %zu, after PCR 0 was extended",
                           e->offset);
        bank->pcr[0].b[bank->pcr[0].n - 1] = locality;
    }
    return 0;
}

static int extend(const struct tpm_eventlog *log, const struct tpm_event *e, struct tpm_replay *replay,
                  struct err *err)
{
    struct bytes value;
    for (size_t k = 0; k < replay->n; k++) {
        struct tpm_pcrs *bank = &replay->bank[k];
        if (!tpm_event_digest(log, e, bank->alg, &value))
            continue;
        if (digest_extend(&bank->pcr[e->index], value, err) < 0)
            return -1;
        bank->mask |= 1u << e->index;
    }
    return 0;
}

int tpm_eventlog_replay(const struct tpm_eventlog *log, struct tpm_replay *out, struct err *err)
{
    struct tpm_replay replay = { 0 };
    uint8_t locality;
    for (size_t i = 0; i < log->alg_count; i++)
        if (digest_size(log->algs[i].alg))
            set_zero(&replay.bank[replay.n++], log->algs[i].alg);
    for (size_t i = 0; i < log->count; i++) {
        const struct tpm_event *e = &log->events[i];
        bool mrtd = log->kind == EVENTLOG_CCEL && e->index == 0;
        if (startup_locality(log, e, &locality) && set_locality(e, locality, &replay, err) < 0)
            return err_while(err, "replay event log");
        if (e->type != EV_NO_ACTION && !mrtd && extend(log, e, &replay, err) < 0)
            return err_while(err, "replay event log");
    }
    *out = replay;
    return 0;
}

const struct tpm_pcrs *tpm_replay_bank(const struct tpm_replay *replay, uint16_t alg)
{
    for (size_t k = 0; k < replay->n; k++)
        if (replay->bank[k].alg == alg)
            return &replay->bank[k];
    return NULL;
}
