#include "cli/commands.h"

#include "base/auto.h"
#include "base/enc.h"
#include "tpm/eventlog.h"

#define DATA_SHOWN 100

struct request {
    const char *path;
    uint16_t bank; /* 0: the log's best */
    bool json;
    const char *pcrs_path;
    struct tpm_pcrs pcrs; /* of the file, if pcrs_path */
};

/* How a register of the file compares with the log. */
enum verdict { AGREES, DIFFERS, UNEXPLAINED, UNTOUCHED };
static const char *const verdict_text[] = {
    [AGREES] = "agrees",
    [DIFFERS] = "differs from the log",
    [UNEXPLAINED] = "is extended, but the log has no event for it",
    [UNTOUCHED] = "has its start value, and the log no event for it",
};
static const char *const verdict_word[] = { "agrees", "differs", "unexplained", "untouched" };

/* TCG PC Client Platform TPM Profile: 17 to 22 start with all ones, the others with zeros. */
static bool start_value(unsigned index, const struct digest *value)
{
    uint8_t start = index >= 17 && index <= 22 ? 0xFF : 0;
    for (size_t i = 0; i < value->n; i++)
        if (value->b[i] != start)
            return false;
    return true;
}

static enum verdict judge(const struct tpm_pcrs *log, const struct tpm_pcrs *file, unsigned i)
{
    if (!(log->mask & 1u << i))
        return start_value(i, &file->pcr[i]) ? UNTOUCHED : UNEXPLAINED;
    return bytes_equal(digest_bytes(&log->pcr[i]), digest_bytes(&file->pcr[i])) ? AGREES : DIFFERS;
}

/* The bank to print: SHA-256, else the last of the log, which is its longest in the logs that we know. */
static uint16_t best_bank(const struct tpm_replay *replay)
{
    if (tpm_replay_bank(replay, ALG_SHA256))
        return ALG_SHA256;
    return replay->n ? replay->bank[replay->n - 1].alg : 0;
}

static const char *register_word(const struct tpm_eventlog *log)
{
    return log->kind == EVENTLOG_TPM ? "PCR" : log->kind == EVENTLOG_CCEL ? "MR" : "RTMR";
}

static void put_event(struct buf *out, const struct tpm_eventlog *log, const struct tpm_event *e,
                      size_t number, uint16_t bank)
{
    struct bytes digest = bytes_of(NULL, 0);
    char type[16];
    const char *name = tpm_event_type_name(e->type);
    AUTO(json_drop) json_t *decoded = tpm_event_decode(e);
    AUTO(buf_done) struct buf text = buf_new(1 << 20);
    snprintf(type, sizeof(type), "0x%08" PRIx32, e->type);
    buf_printf(out, "%4zu %3" PRIu32 "  %-33s ", number, e->index, name ? name : type);
    if (tpm_event_digest(log, e, bank, &digest))
        hex_put(out, digest);
    else
        buf_str(out, "-");
    if (decoded && !json_is_null(decoded))
        json_put(&text, decoded, false);
    if (text.n && !text.failed)
        buf_printf(out, "  %.*s%s", (int)(text.n < DATA_SHOWN ? text.n : DATA_SHOWN), (const char *)text.p,
                   text.n > DATA_SHOWN ? "..." : "");
    buf_u8(out, '\n');
}

static void put_registers(struct buf *out, const struct tpm_eventlog *log, const struct tpm_pcrs *bank)
{
    buf_printf(out, "\nreplayed registers, %s\n", digest_name(bank->alg));
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        if (!(bank->mask & 1u << i))
            continue;
        buf_printf(out, "  %s %-2u ", register_word(log), i);
        hex_put(out, digest_bytes(&bank->pcr[i]));
        int rtmr = tpm_eventlog_rtmr(log, i);
        if (log->kind == EVENTLOG_CCEL && rtmr >= 0)
            buf_printf(out, "  (RTMR%d)", rtmr);
        buf_u8(out, '\n');
    }
}

static void put_comparison(struct buf *out, const struct tpm_eventlog *log, const struct tpm_pcrs *bank,
                           const struct request *rq)
{
    buf_printf(out, "\ncompared with %s, %s\n", rq->pcrs_path, digest_name(rq->pcrs.alg));
    for (unsigned i = 0; i < TPM_PCRS; i++)
        if (rq->pcrs.mask & 1u << i)
            buf_printf(out, "  %s %-2u %s\n", register_word(log), i, verdict_text[judge(bank, &rq->pcrs, i)]);
}

static int print_text(const struct request *rq, const struct tpm_eventlog *log, const struct tpm_pcrs *bank)
{
    AUTO(buf_done) struct buf out = buf_new(SIZE_MAX / 2);
    buf_printf(&out, "%s, %zu events in %zu bytes\n\n", log->spec, log->count, log->used);
    buf_printf(&out, "   # %3s  %-33s %s\n", register_word(log), "type", digest_name(bank->alg));
    for (size_t i = 0; i < log->count; i++)
        put_event(&out, log, &log->events[i], i, bank->alg);
    put_registers(&out, log, bank);
    if (rq->pcrs_path)
        put_comparison(&out, log, bank, rq);
    return write_out(&out, NULL);
}

static int print_json(const struct request *rq, const struct tpm_eventlog *log, const struct tpm_pcrs *bank)
{
    AUTO(json_drop) json_t *out = NULL;
    struct err err = { 0 };
    if (tpm_eventlog_json(log, &out, &err) < 0)
        return fail_err(status_of(&err), rq->path, "cannot replay the log", &err);
    if (rq->bank) {
        json_t *one = json_object();
        json_object_set_new(one, digest_name(rq->bank), tpm_pcrs_values_json(bank));
        json_object_set_new(out, "banks", one);
    }
    if (rq->pcrs_path) {
        json_t *compared = json_object();
        for (unsigned i = 0; i < TPM_PCRS; i++) {
            char key[4];
            snprintf(key, sizeof(key), "%u", i);
            if (rq->pcrs.mask & 1u << i)
                json_object_set_new(compared, key, json_string(verdict_word[judge(bank, &rq->pcrs, i)]));
        }
        json_object_set_new(out, "compared", compared);
    }
    return write_json(out);
}

/* Registers that firmware alone extends before it hands over its log: PCRs 0 to 7, RTMRs 0 to 2. Others may
 * be extended by the running system, which keeps its own logs (IMA in PCR 10, for one). */
static bool firmware_register(const struct tpm_eventlog *log, unsigned i)
{
    return log->kind == EVENTLOG_TPM ? i <= 7 : i <= 3;
}

/* The answer of --pcrs: 0, or 1 with the registers named. */
static int agreement(const struct request *rq, const struct tpm_eventlog *log, const struct tpm_pcrs *bank)
{
    AUTO(buf_done) struct buf bad = buf_new(512);
    for (unsigned i = 0; i < TPM_PCRS; i++) {
        if (!(rq->pcrs.mask & 1u << i))
            continue;
        enum verdict v = judge(bank, &rq->pcrs, i);
        if (v == DIFFERS || (v == UNEXPLAINED && firmware_register(log, i)))
            buf_printf(&bad, "%s%u (%s)", bad.n ? ", " : "", i, verdict_word[v]);
    }
    if (!bad.n)
        return STATUS_DONE;
    AUTO(free_str) char *text = buf_take_str(&bad);
    return fail(STATUS_NO, rq->path, "the log does not give these registers", text);
}

static int read_pcrs(struct request *rq)
{
    AUTO(free_u8) uint8_t *data = NULL;
    size_t n = 0;
    struct err err = { 0 };
    int rc = read_input(rq->pcrs_path, TPM_PCRS_FILE_MAX, &data, &n);
    if (rc)
        return rc;
    if (tpm_pcrs_parse_bank(bytes_of(data, n), rq->bank, &rq->pcrs, &err) < 0)
        return fail_err(STATUS_INPUT, rq->pcrs_path, "not a PCR file", &err);
    if (rq->bank && rq->bank != rq->pcrs.alg)
        return fail(STATUS_USAGE, rq->pcrs_path, "the file is of another bank than --bank says",
                    digest_name(rq->pcrs.alg));
    rq->bank = rq->pcrs.alg;
    return 0;
}

static int read_log(struct request *rq, enum tpm_eventlog_kind kind)
{
    AUTO(free_u8) uint8_t *data = NULL;
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    struct tpm_replay replay;
    struct err err = { 0 };
    size_t n = 0;
    int rc = read_input(rq->path, EVENTLOG_SIZE_MAX, &data, &n);
    if (rc)
        return rc;
    if (tpm_eventlog_parse(bytes_of(data, n), kind, &log, &err) < 0)
        return fail_err(status_of(&err), rq->path, "not an event log", &err);
    if (tpm_eventlog_replay(&log, &replay, &err) < 0)
        return fail_err(status_of(&err), rq->path, "cannot replay the log", &err);
    uint16_t alg = rq->bank ? rq->bank : best_bank(&replay);
    const struct tpm_pcrs *bank = alg ? tpm_replay_bank(&replay, alg) : NULL;
    if (!bank)
        return fail(STATUS_INPUT, rq->path, "the log has no such bank",
                    alg ? digest_name(alg) : "none known");
    rc = rq->json ? print_json(rq, &log, bank) : print_text(rq, &log, bank);
    if (rc)
        return rc;
    return rq->pcrs_path ? agreement(rq, &log, bank) : STATUS_DONE;
}

static int run(int argc, char **argv)
{
    struct request rq = { 0 };
    const char *bank = NULL;
    bool ccel = false;
    const struct option_row rows[] = {
        { "ccel", OPTION_FLAG, &ccel },
        { "bank", OPTION_TEXT, &bank },
        { "pcrs", OPTION_TEXT, &rq.pcrs_path },
        { "json", OPTION_FLAG, &rq.json },
    };
    int rc = options_parse(&command_eventlog, argc, argv, rows, ARRAY_SIZE(rows), &rq.path, 1, 1);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    rq.bank = bank ? digest_by_name(bank) : 0;
    if (bank && !rq.bank)
        return fail(STATUS_USAGE, bank, "no such bank", "one of sha1, sha256, sha384, sha512, sm3_256");
    if (rq.pcrs_path && (rc = read_pcrs(&rq)))
        return rc;
    return read_log(&rq, ccel ? EVENTLOG_CCEL : EVENTLOG_AUTO);
}

const struct command command_eventlog = {
    "eventlog",
    "FILE [--ccel] [--bank B] [--pcrs F] [--json]",
    "Prints a boot log and the registers that it gives",
    "FILE is a TPM log, a CCEL (--ccel where the content does not say it) or dstack's JSON; - is standard\n"
    "input. In a CCEL the register number is that of the RTMR plus 1.\n"
    "\n"
    "  --bank B   digests and registers of this bank (sha1, sha256, sha384, sha512)\n"
    "  --pcrs F   compares with a PCR file {\"alg\":\"sha256\",\"pcrs\":{\"0\":hex,...}}; exit status 1 if "
    "a\n"
    "             register differs, or one of the firmware's is extended without an event; others that the\n"
    "             running system extends (PCR 10 and up) are listed only. Of a file with several banks,\n"
    "             {\"sha256\":{\"0\":hex,...},...}, one is compared: that of --bank, else SHA-256\n"
    "  --json     {\"spec\":...,\"banks\":{\"sha256\":{\"0\":hex}},\"events\":[...]}\n"
    "\n"
    "A log is a hint: only registers that a quote signed make it worth something.\n",
    run,
};
