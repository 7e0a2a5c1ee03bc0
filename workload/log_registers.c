/* The registers of a measured log: reading, extending, comparing, healing, and the report of it all. */
#include "workload/log_internal.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/fault.h"
#include "base/json.h"

#include <stdarg.h>

#define RTMR3_NAME "rtmr3"

int log_read(const struct measured_log *log, struct tpm *tpm, struct log_values *out, struct err *err)
{
    uint32_t mask = 0;
    for (size_t i = 0; i < log->pcr_count; i++)
        mask |= 1u << log->pcrs[i];
    for (size_t b = 0; b < log->banks.n; b++) {
        struct tpm_pcrs pcrs;
        if (tpm_pcr_read(tpm, log->banks.alg[b], mask, &pcrs, err) < 0)
            return -1;
        for (size_t i = 0; i < log->pcr_count; i++)
            out->pcr[i][b] = pcrs.pcr[log->pcrs[i]];
    }
    if (!log->has_rtmr3)
        return 0;
    out->rtmr3 = (struct digest){ .alg = ALG_SHA384, .n = RTMR_BYTES };
    return log->rtmr3.read(log->rtmr3.ctx, out->rtmr3.b, err);
}

/* ---- extending ---- */

static int extend_slot(struct measured_log *log, struct tpm *tpm, size_t slot, struct err *err)
{
    unsigned pcr = log->pcrs[slot];
    if (log->last_pcrs & 1u << pcr) {
        if (tpm_pcr_extend(tpm, pcr, log->last, log->banks.n, err) < 0)
            return -1;
        fault_point("log-extended");
    }
    if (log->last_restarts && log->reset & 1u << pcr) {
        if (tpm_pcr_reset(tpm, pcr, err) < 0)
            return -1;
        fault_point("log-reset");
    }
    return 0;
}

static int extend_rtmr3(struct measured_log *log, struct err *err)
{
    if (log->rtmr3.extend(log->rtmr3.ctx, log->last_rtmr3.b, err) < 0)
        return -1;
    fault_point("log-extended");
    return 0;
}

int log_extend(struct measured_log *log, struct tpm *tpm, struct err *err)
{
    for (size_t i = 0; tpm && i < log->pcr_count; i++)
        if (extend_slot(log, tpm, i, err) < 0)
            return -1;
    return log->has_rtmr3 ? extend_rtmr3(log, err) : 0;
}

/* ---- comparing ---- */

enum match { MATCH_NOW, MATCH_BEFORE, MATCH_NONE };

static bool same(const struct digest *a, const struct digest *b)
{
    return bytes_equal(digest_bytes(a), digest_bytes(b));
}

/* A PCR that is reset before its first event may hold anything until then. */
static bool waits_for_reset(const struct measured_log *log, size_t slot)
{
    return (log->reset & ~log->touched) >> log->pcrs[slot] & 1;
}

static enum match match_slot(const struct measured_log *log, const struct log_values *held, size_t slot)
{
    bool now = true, before = log->count > 0;
    if (waits_for_reset(log, slot))
        return MATCH_NOW;
    for (size_t b = 0; b < log->banks.n; b++) {
        now = now && same(&held->pcr[slot][b], &log->now.pcr[slot][b]);
        before = before && same(&held->pcr[slot][b], &log->before.pcr[slot][b]);
    }
    return now ? MATCH_NOW : before ? MATCH_BEFORE : MATCH_NONE;
}

static enum match match_rtmr3(const struct measured_log *log, const struct log_values *held)
{
    return same(&held->rtmr3, &log->now.rtmr3)                    ? MATCH_NOW
           : log->count && same(&held->rtmr3, &log->before.rtmr3) ? MATCH_BEFORE
                                                                  : MATCH_NONE;
}

__attribute__((format(printf, 3, 4))) static void conclude(struct measured_log *log,
                                                           enum measured_verdict verdict, const char *fmt,
                                                           ...)
{
    char *text = atomic_load(&log->text) ? log->text_later : log->text_open;
    if (atomic_load(&log->text) == log->text_later)
        return; /* said once: others may be reading it */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, LOG_TEXT_MAX, fmt, ap);
    va_end(ap);
    atomic_store(&log->text, text);
    atomic_store(&log->verdict, verdict);
}

/* @return true if a register holds neither what the log gives nor what it gave one event ago */
static bool disagrees(struct measured_log *log, const struct log_values *held, bool *behind)
{
    *behind = false;
    for (size_t i = 0; log->banks.n && i < log->pcr_count; i++) {
        enum match match = match_slot(log, held, i);
        if (match == MATCH_NONE) {
            conclude(log, MEASURED_DISAGREES, "PCR %u is not what the log's %zu events replay to",
                     log->pcrs[i], log->count);
            return true;
        }
        *behind = *behind || match == MATCH_BEFORE;
    }
    if (!log->has_rtmr3)
        return false;
    enum match match = match_rtmr3(log, held);
    if (match == MATCH_NONE)
        conclude(log, MEASURED_DISAGREES, "RTMR3 is not what the log's %zu events replay to", log->count);
    *behind = *behind || match == MATCH_BEFORE;
    return match == MATCH_NONE;
}

/* Each register is where the log is, or one event behind: the crash came between two of them. */
static int heal(struct measured_log *log, struct tpm *tpm, const struct log_values *held, struct err *err)
{
    for (size_t i = 0; log->banks.n && i < log->pcr_count; i++)
        if (match_slot(log, held, i) == MATCH_BEFORE && extend_slot(log, tpm, i, err) < 0)
            return -1;
    if (log->has_rtmr3 && match_rtmr3(log, held) == MATCH_BEFORE && extend_rtmr3(log, err) < 0)
        return -1;
    return 0;
}

int log_settle(struct measured_log *log, struct tpm *tpm, struct err *err)
{
    struct log_values held = { .rtmr3 = { .alg = 0 } };
    bool behind, first = !atomic_load(&log->text);
    if (!log->banks.n && !log->has_rtmr3) {
        if (first)
            conclude(log, MEASURED_UNROOTED, "no TPM: the log stands on nothing but the file");
        return 0;
    }
    if (log->banks.n && !tpm)
        return err_set(err, ERR_UNAVAILABLE, 0, "the TPM that the log is extended into is not there");
    if (log_read(log, tpm, &held, err) < 0)
        return -1;
    if (disagrees(log, &held, &behind))
        return 0;
    if (behind && heal(log, tpm, &held, err) < 0)
        return -1;
    log->owed = false;
    if (first && behind)
        conclude(log, MEASURED_HEALED, "event %zu was recorded but not extended before a crash; extended now",
                 log->count - 1);
    else if (first)
        conclude(log, MEASURED_AGREES, "the log's %zu events replay to the registers", log->count);
    return 0;
}

/* ---- the report ---- */

static void put_pair(struct buf *out, const struct digest *replay, const struct digest *value)
{
    json_put_key(out, digest_name(value->alg));
    buf_str(out, "{\"replay\":\"");
    hex_put(out, digest_bytes(replay));
    buf_str(out, "\",\"value\":\"");
    hex_put(out, digest_bytes(value));
    buf_str(out, "\"}");
}

static void put_verdict(struct buf *out, const char *key, bool agrees)
{
    json_put_key(out, key);
    buf_printf(out, "{\"verdict\":\"%s\"", agrees ? "agrees" : "disagrees");
}

static void put_registers(const struct measured_log *log, const struct log_values *held, struct buf *out)
{
    json_put_key(out, "registers");
    buf_u8(out, '{');
    for (size_t i = 0; log->banks.n && i < log->pcr_count; i++) {
        char key[12];
        bool waits = waits_for_reset(log, i);
        snprintf(key, sizeof(key), "%u", log->pcrs[i]);
        put_verdict(out, key, match_slot(log, held, i) == MATCH_NOW);
        if (waits)
            buf_str(out, ",\"note\":\"reset before the first event\"");
        for (size_t b = 0; b < log->banks.n; b++)
            put_pair(out, &log->now.pcr[i][b], &held->pcr[i][b]);
        buf_u8(out, '}');
    }
    if (log->has_rtmr3) {
        put_verdict(out, RTMR3_NAME, match_rtmr3(log, held) == MATCH_NOW);
        put_pair(out, &log->now.rtmr3, &held->rtmr3);
        buf_u8(out, '}');
    }
    buf_u8(out, '}');
}

static bool all_agree(const struct measured_log *log, const struct log_values *held)
{
    for (size_t i = 0; log->banks.n && i < log->pcr_count; i++)
        if (match_slot(log, held, i) != MATCH_NOW)
            return false;
    return !log->has_rtmr3 || match_rtmr3(log, held) == MATCH_NOW;
}

static const char *verdict_word(const struct measured_log *log, const struct log_values *held)
{
    if (!log->banks.n && !log->has_rtmr3)
        return "unrooted";
    if (atomic_load(&log->verdict) == MEASURED_DISAGREES || !all_agree(log, held))
        return "disagrees";
    return atomic_load(&log->verdict) == MEASURED_HEALED ? "healed" : "agrees";
}

/* What the registers say now may be news. */
static void put_detail(const struct measured_log *log, const struct log_values *held, struct buf *out)
{
    AUTO(buf_done) struct buf text = buf_new(LOG_TEXT_MAX);
    bool known = atomic_load(&log->verdict) == MEASURED_DISAGREES || all_agree(log, held);
    for (size_t i = 0; !known && log->banks.n && i < log->pcr_count; i++)
        if (match_slot(log, held, i) != MATCH_NOW)
            buf_printf(&text, "%sPCR %u", text.n ? ", " : "", log->pcrs[i]);
    if (!known && log->has_rtmr3 && match_rtmr3(log, held) != MATCH_NOW)
        buf_printf(&text, "%sRTMR3", text.n ? ", " : "");
    buf_str(&text, " not what the log's events replay to");
    json_put_string(out, known ? bytes_str(atomic_load(&log->text)) : buf_bytes(&text));
}

int measured_log_report(struct measured_log *log, struct tpm *tpm, struct buf *out, struct err *err)
{
    struct log_values held = { .rtmr3 = { .alg = 0 } };
    pthread_mutex_lock(&log->writer);
    int rc = log->banks.n && !tpm
                 ? err_set(err, ERR_UNAVAILABLE, 0, "the TPM does not answer: its registers are not known")
                 : log_read(log, tpm, &held, err);
    if (rc == 0) {
        buf_str(out, "{\"scheme\":\"" MEASURED_SCHEME "\",\"boot_id\":");
        json_put_string(out, bytes_str(log->boot_id));
        json_put_key(out, "verdict");
        buf_printf(out, "\"%s\"", verdict_word(log, &held));
        json_put_key(out, "detail");
        put_detail(log, &held, out);
        put_registers(log, &held, out);
        json_put_key(out, "events");
        measured_log_json(log, out);
        rc = buf_check(out, "report", err);
    }
    pthread_mutex_unlock(&log->writer);
    return rc;
}
