#include "workload/log_internal.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>

/* ---- the replay ---- */

int log_slot(const struct measured_log *log, unsigned pcr)
{
    for (size_t i = 0; i < log->pcr_count; i++)
        if (log->pcrs[i] == pcr)
            return (int)i;
    return -1;
}

bool log_restarts(const char *type)
{
    return !strcmp(type, "update") || !strcmp(type, "rollback");
}

static struct digest zero_of(uint16_t alg)
{
    return (struct digest){ .alg = alg, .n = (uint8_t)digest_size(alg) };
}

static int event_digest(const struct log_event *e, uint16_t alg, struct digest *out, struct err *err)
{
    return measured_digest(alg, e->type, e->name, e->content_sha384, out, err);
}

static int step_pcrs(const struct measured_log *log, const struct log_event *e, struct log_values *v,
                     struct digest *digests, struct err *err)
{
    for (size_t b = 0; b < log->banks.n; b++) {
        if (event_digest(e, log->banks.alg[b], &digests[b], err) < 0)
            return -1;
        for (size_t i = 0; i < log->pcr_count; i++) {
            if (e->pcrs >> log->pcrs[i] & 1
                && digest_extend(&v->pcr[i][b], digest_bytes(&digests[b]), err) < 0)
                return -1;
            if (log_restarts(e->type) && log->reset >> log->pcrs[i] & 1)
                v->pcr[i][b] = zero_of(log->banks.alg[b]);
        }
    }
    return 0;
}

int log_step(struct measured_log *log, const struct log_event *e, struct err *err)
{
    struct log_values next = log->now;
    struct digest digests[TPM_BANKS_MAX], rtmr3 = zero_of(ALG_SHA384);
    for (unsigned i = 0; i < TPM_PCRS; i++)
        if (e->pcrs >> i & 1 && log_slot(log, i) < 0)
            return err_set(err, ERR_INPUT, 0, "PCR %u is not one of this log's", i);
    if (step_pcrs(log, e, &next, digests, err) < 0)
        return -1;
    if (log->has_rtmr3
        && (event_digest(e, ALG_SHA384, &rtmr3, err) < 0
            || digest_extend(&next.rtmr3, digest_bytes(&rtmr3), err) < 0))
        return -1;
    log->before = log->now;
    log->now = next;
    memcpy(log->last, digests, sizeof(log->last));
    log->last_rtmr3 = rtmr3;
    log->last_pcrs = e->pcrs;
    log->last_restarts = log_restarts(e->type);
    log->touched |= e->pcrs;
    return 0;
}

void log_keep(struct measured_log *log, const struct log_event *e, struct bytes record)
{
    struct digest d;
    bool known = event_digest(e, ALG_SHA256, &d, NULL) == 0;
    pthread_mutex_lock(&log->lock);
    if (log->count++)
        buf_u8(&log->json, ',');
    buf_put(&log->json, record);
    if (!known || digest_extend(&log->history, digest_bytes(&d), NULL) < 0)
        abort(); /* as sha256(): libcrypto is unusable */
    pthread_mutex_unlock(&log->lock);
}

/* ---- open and close ---- */

static void log_free(struct measured_log **log)
{
    measured_log_close(*log);
}

static int prepare(struct measured_log *log, const struct measured_log_options *o, struct tpm *tpm,
                   struct err *err)
{
    pthread_mutex_init(&log->writer, NULL);
    pthread_mutex_init(&log->lock, NULL);
    log->fd = -1;
    log->json = buf_new(LOG_FILE_MAX);
    log->history = zero_of(ALG_SHA256);
    if (o->pcr_count > MEASURED_REGISTERS_MAX || strlen(o->boot_id) >= sizeof(log->boot_id))
        return err_set(err, ERR_INPUT, 0, "%s: too many registers, or a boot id that is too long", o->path);
    memcpy(log->boot_id, o->boot_id, strlen(o->boot_id) + 1);
    memcpy(log->pcrs, o->pcrs, o->pcr_count * sizeof(*o->pcrs));
    log->pcr_count = o->pcr_count;
    log->reset = o->reset;
    log->has_rtmr3 = o->rtmr3 != NULL;
    if (o->rtmr3)
        log->rtmr3 = *o->rtmr3;
    if (path_set(log->path, sizeof(log->path), err, "%s", o->path) < 0)
        return -1;
    return tpm ? tpm_banks_get(tpm, &log->banks, err) : 0;
}

/* A register that is reset before its first event begins at zero, whatever it holds now. */
static int begin(struct measured_log *log, struct tpm *tpm, struct err *err)
{
    if (log_read(log, tpm, &log->start, err) < 0)
        return -1;
    for (size_t i = 0; i < log->pcr_count; i++)
        for (size_t b = 0; b < log->banks.n; b++)
            if (log->reset >> log->pcrs[i] & 1)
                log->start.pcr[i][b] = zero_of(log->banks.alg[b]);
    log->now = log->before = log->start;
    return log_begin(log, err);
}

int measured_log_open_with(const struct measured_log_options *options, struct tpm *tpm,
                           struct measured_log **out, struct err *err)
{
    AUTO(log_free) struct measured_log *log = calloc(1, sizeof(*log));
    bool found;
    if (!log)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a log");
    if (prepare(log, options, tpm, err) < 0 || log_load(log, &found, err) < 0
        || (!found && begin(log, tpm, err) < 0) || log_settle(log, tpm, err) < 0)
        return err_while(err, "open measured log");
    log->fd = open(log->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (log->fd < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "%s: cannot open for appending: %s", log->path,
                       strerror(errno));
    measured_log_change_begin(log);
    measured_log_change_end(log); /* what was loaded is shown */
    *out = MOVE(log);
    return 0;
}

int measured_log_open(const char *path, const char *boot_id, struct tpm *tpm, const unsigned *pcrs, size_t n,
                      struct measured_log **out, struct err *err)
{
    const struct measured_log_options o = { .path = path, .boot_id = boot_id, .pcrs = pcrs, .pcr_count = n };
    return measured_log_open_with(&o, tpm, out, err);
}

void measured_log_close(struct measured_log *log)
{
    if (!log)
        return;
    close_fd(&log->fd);
    buf_done(&log->json);
    pthread_mutex_destroy(&log->writer);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

/* ---- verdict ---- */

enum measured_verdict measured_log_verdict(const struct measured_log *log)
{
    return atomic_load(&log->verdict);
}

const char *measured_log_verdict_text(const struct measured_log *log)
{
    return atomic_load(&log->text);
}

static int may_extend(const struct measured_log *log, struct err *err)
{
    if (measured_log_verdict(log) != MEASURED_DISAGREES)
        return 0;
    return err_set(err, ERR_DENIED, 0, "the measured log and the registers disagree: %s",
                   measured_log_verdict_text(log));
}

int measured_log_check(struct measured_log *log, struct tpm *tpm, struct err *err)
{
    pthread_mutex_lock(&log->writer);
    int rc = may_extend(log, err);
    if (rc == 0)
        rc = log_settle(log, tpm, err);
    if (rc == 0)
        rc = may_extend(log, err);
    pthread_mutex_unlock(&log->writer);
    return rc;
}

bool measured_log_began_zero(const struct measured_log *log, unsigned pcr)
{
    int slot = log_slot(log, pcr);
    for (size_t b = 0; slot >= 0 && b < log->banks.n; b++)
        if (!bytes_zero(digest_bytes(&log->start.pcr[slot][b])))
            return false;
    return true;
}

bool measured_log_rtmr3_began_zero(const struct measured_log *log)
{
    return bytes_zero(digest_bytes(&log->start.rtmr3));
}

int measured_log_reset(struct measured_log *log, struct tpm *tpm, struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&log->writer);
    for (size_t i = 0; tpm && rc == 0 && i < log->pcr_count; i++)
        if ((log->reset & ~log->touched) >> log->pcrs[i] & 1)
            rc = tpm_pcr_reset(tpm, log->pcrs[i], err);
    pthread_mutex_unlock(&log->writer);
    if (rc == 0)
        fault_point("log-reset");
    return rc;
}

/* ---- adding ---- */

static void put_hex(struct buf *out, const char *key, struct bytes data)
{
    json_put_key(out, key);
    buf_u8(out, '"');
    hex_put(out, data);
    buf_u8(out, '"');
}

/* Registers in the order given: PCR 23 before 15. */
static int format_record(const struct measured_log *log, const struct log_event *e, const unsigned *pcrs,
                         size_t n, struct buf *out, struct err *err)
{
    time_t now = time(NULL);
    struct tm tm;
    char when[32];
    gmtime_r(&now, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_printf(out, "{\"seq\":%zu,\"boot_id\":", log->count);
    json_put_string(out, bytes_str(log->boot_id));
    json_put_key(out, "type");
    json_put_string(out, bytes_str(e->type));
    json_put_key(out, "name");
    json_put_string(out, bytes_str(e->name));
    put_hex(out, "content_sha384", bytes_of(e->content_sha384, 48));
    buf_str(out, ",\"digests\":{");
    for (size_t b = 0; b < log->banks.n; b++) {
        struct digest d;
        if (event_digest(e, log->banks.alg[b], &d, err) < 0)
            return -1;
        put_hex(out, digest_name(d.alg), digest_bytes(&d));
    }
    buf_str(out, "},\"registers\":[");
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%u", i ? "," : "", pcrs[i]);
    buf_printf(out, "],\"time\":\"%s\"}", when);
    return buf_check(out, "log record", err);
}

/* The record is there: the event belongs to the log, whatever becomes of the extend. */
static int record(struct measured_log *log, const struct log_event *e, const unsigned *pcrs, size_t n,
                  struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(65536);
    if (format_record(log, e, pcrs, n, &text, err) < 0)
        return -1;
    if (log->json.n + text.n + 1 > log->json.max)
        return err_set(err, ERR_TOO_LARGE, 0, "the log is full: %u bytes", LOG_FILE_MAX);
    fault_point("log-append");
    if (log_append(log, buf_bytes(&text), err) < 0 || log_step(log, e, err) < 0)
        return -1;
    log_keep(log, e, buf_bytes(&text));
    log->owed = true;
    fault_point("log-appended");
    return 0;
}

static int add_locked(struct measured_log *log, struct tpm *tpm, struct log_event *e, const unsigned *pcrs,
                      size_t n, struct err *err)
{
    if (may_extend(log, err) < 0)
        return -1;
    if (log->count >= MEASURED_EVENTS_MAX || strlen(e->name) > MEASURED_NAME_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "more than %d events, or a name over %d bytes",
                       MEASURED_EVENTS_MAX, MEASURED_NAME_MAX);
    if (log->banks.n && !tpm)
        return err_set(err, ERR_UNAVAILABLE, 0, "the TPM does not answer: nothing can be measured");
    if (log->owed && (log_settle(log, tpm, err) < 0 || may_extend(log, err) < 0))
        return -1;
    n = log->banks.n ? n : 0; /* registers lists what is really extended */
    for (size_t i = 0; i < n; i++) {
        if (log_slot(log, pcrs[i]) < 0)
            return err_set(err, ERR_INPUT, 0, "PCR %u is not one of this log's", pcrs[i]);
        e->pcrs |= 1u << pcrs[i];
    }
    if (record(log, e, pcrs, n, err) < 0)
        return err_while(err, "record event");
    if (log_extend(log, tpm, err) < 0) {
        if (err)
            err->kind = ERR_UNAVAILABLE;
        return err_while(err, "extend event");
    }
    log->owed = false;
    return 0;
}

int measured_log_add_sha384(struct measured_log *log, struct tpm *tpm, const char *type, const char *name,
                            const uint8_t content_sha384[static 48], const unsigned *pcrs, size_t n,
                            struct err *err)
{
    struct log_event e = { .type = type, .name = name, .content_sha384 = content_sha384 };
    pthread_mutex_lock(&log->writer);
    measured_log_change_begin(log);
    int rc = add_locked(log, tpm, &e, pcrs, n, err);
    measured_log_change_end(log);
    pthread_mutex_unlock(&log->writer);
    return rc;
}

int measured_log_add(struct measured_log *log, struct tpm *tpm, const char *type, const char *name,
                     struct bytes content, const unsigned *pcrs, size_t n, struct err *err)
{
    uint8_t content_sha384[48];
    sha384(content, content_sha384);
    return measured_log_add_sha384(log, tpm, type, name, content_sha384, pcrs, n, err);
}

/* ---- for readers ---- */

void measured_log_json(struct measured_log *log, struct buf *out)
{
    measured_log_json_until(log, SIZE_MAX, out);
}

void measured_log_mark(struct measured_log *log, struct measured_mark *out)
{
    pthread_mutex_lock(&log->lock);
    *out = log->shown;
    pthread_mutex_unlock(&log->lock);
}

void measured_log_change_begin(struct measured_log *log)
{
    pthread_mutex_lock(&log->lock);
    if (log->changes++ == 0)
        log->shown.generation++;
    pthread_mutex_unlock(&log->lock);
}

void measured_log_change_end(struct measured_log *log)
{
    pthread_mutex_lock(&log->lock);
    if (--log->changes == 0) {
        log->shown.generation++;
        log->shown.end = log->json.n;
        memcpy(log->shown.history, log->history.b, sizeof(log->shown.history));
    }
    pthread_mutex_unlock(&log->lock);
}

void measured_log_json_until(struct measured_log *log, size_t end, struct buf *out)
{
    pthread_mutex_lock(&log->lock);
    buf_u8(out, '[');
    buf_put(out, bytes_of(log->json.p, end < log->json.n ? end : log->json.n));
    buf_u8(out, ']');
    pthread_mutex_unlock(&log->lock);
}

size_t measured_log_count(struct measured_log *log)
{
    pthread_mutex_lock(&log->lock);
    size_t n = log->count;
    pthread_mutex_unlock(&log->lock);
    return n;
}
