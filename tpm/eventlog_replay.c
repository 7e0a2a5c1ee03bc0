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

/* A replay under way: many small hashes, bank by bank. */
struct replaying {
    struct tpm_replay replay;
    struct hasher *hasher[EVENTLOG_ALGS_MAX];
};

static void replaying_done(struct replaying *r)
{
    for (size_t k = 0; k < EVENTLOG_ALGS_MAX; k++)
        hasher_free(r->hasher[k]);
}

static int start_banks(const struct tpm_eventlog *log, struct replaying *r, struct err *err)
{
    for (size_t i = 0; i < log->alg_count; i++) {
        uint16_t alg = log->algs[i].alg;
        size_t k = r->replay.n;
        if (!digest_size(alg))
            continue;
        if (hasher_new(alg, &r->hasher[k], err) < 0)
            return -1;
        set_zero(&r->replay.bank[k], alg);
        r->replay.n++;
    }
    return 0;
}

static int extend(const struct tpm_eventlog *log, const struct tpm_event *e, struct replaying *r,
                  struct err *err)
{
    struct bytes value;
    for (size_t k = 0; k < r->replay.n; k++) {
        struct tpm_pcrs *bank = &r->replay.bank[k];
        if (!tpm_event_digest(log, e, bank->alg, &value))
            continue;
        struct digest *pcr = &bank->pcr[e->index];
        const struct bytes parts[] = { digest_bytes(pcr), value };
        if (hasher_parts(r->hasher[k], parts, ARRAY_SIZE(parts), pcr, err) < 0)
            return -1;
        bank->mask |= 1u << e->index;
    }
    return 0;
}

int tpm_eventlog_replay(const struct tpm_eventlog *log, struct tpm_replay *out, struct err *err)
{
    AUTO(replaying_done) struct replaying r = { .replay = { 0 } };
    uint8_t locality;
    if (start_banks(log, &r, err) < 0)
        return err_while(err, "replay event log");
    for (size_t i = 0; i < log->count; i++) {
        const struct tpm_event *e = &log->events[i];
        bool mrtd = log->kind == EVENTLOG_CCEL && e->index == 0;
        if (startup_locality(log, e, &locality) && set_locality(e, locality, &r.replay, err) < 0)
            return err_while(err, "replay event log");
        if (e->type != EV_NO_ACTION && !mrtd && extend(log, e, &r, err) < 0)
            return err_while(err, "replay event log");
    }
    *out = r.replay;
    return 0;
}

/* Values of EV_SEPARATOR: boot goes on (either), an error came before (PFP 1.05, 10.4.1), and the one that
 * Windows ends its own log with. */
static const char separators[][4] = {
    { 0 }, { '\xFF', '\xFF', '\xFF', '\xFF' }, { 1 }, { 'W', 'B', 'C', 'L' }
};

struct separator_digests {
    size_t n;
    struct digest of[EVENTLOG_ALGS_MAX][ARRAY_SIZE(separators)];
};

static int make_separators(const struct tpm_eventlog *log, struct separator_digests *out, struct err *err)
{
    out->n = 0;
    for (size_t i = 0; i < log->alg_count; i++) {
        if (!digest_size(log->algs[i].alg))
            continue;
        for (size_t k = 0; k < ARRAY_SIZE(separators); k++)
            if (digest_of(log->algs[i].alg, bytes_of(separators[k], 4), &out->of[out->n][k], err) < 0)
                return -1;
        out->n++;
    }
    return 0;
}

static bool is_separator_digest(const struct separator_digests *known, const struct tpm_event_digest *d)
{
    for (size_t i = 0; i < known->n; i++)
        for (size_t k = 0; k < ARRAY_SIZE(separators); k++)
            if (known->of[i][k].alg == d->alg && bytes_equal(digest_bytes(&known->of[i][k]), d->value))
                return true;
    return false;
}

int tpm_eventlog_check_separators(const struct tpm_eventlog *log, struct err *err)
{
    struct separator_digests known;
    struct tpm_event_digest digests[EVENTLOG_ALGS_MAX];
    if (make_separators(log, &known, err) < 0)
        return err_while(err, "check separators");
    for (size_t i = 0; i < log->count; i++) {
        const struct tpm_event *e = &log->events[i];
        size_t n = e->type == EV_NO_ACTION ? 0 : tpm_event_digests(log, e, digests);
        for (size_t k = 0; k < n; k++) {
            if (!digest_size(digests[k].alg)
                || is_separator_digest(&known, &digests[k]) == (e->type == EV_SEPARATOR))
                continue;
            if (e->type == EV_EFI_VARIABLE_BOOT && tpm_event_data_matches(log, e) == 1)
                break; /* a boot order of 1, 0 is measured by its value, which reads 01 00 00 00 */
            return err_set(err, ERR_DENIED, 0, "event at offset %zu: %s", e->offset,
                           e->type == EV_SEPARATOR ? "a separator whose digest is none of a separator"
                                                   : "a separator's digest under another type");
        }
    }
    return 0;
}

const struct tpm_pcrs *tpm_replay_bank(const struct tpm_replay *replay, uint16_t alg)
{
    for (size_t k = 0; k < replay->n; k++)
        if (replay->bank[k].alg == alg)
            return &replay->bank[k];
    return NULL;
}
