#include "workload/log.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LOG_FILE_MAX (64u << 20)

struct measured_log {
    pthread_mutex_t lock; /* guards json and count */
    struct buf json;      /* the records, comma separated */
    size_t count;
    int fd;
    char boot_id[64];
    unsigned pcrs[MEASURED_REGISTERS_MAX];
    size_t pcr_count;
    struct tpm_banks banks;
    /* replay[pcr][bank]: what the register must hold now, and before the last record */
    struct digest replay[MEASURED_REGISTERS_MAX][TPM_BANKS_MAX];
    struct digest before[MEASURED_REGISTERS_MAX][TPM_BANKS_MAX];
    enum measured_verdict verdict;
    char text[160];
};

static int register_slot(const struct measured_log *log, unsigned pcr)
{
    for (size_t i = 0; i < log->pcr_count; i++)
        if (log->pcrs[i] == pcr)
            return (int)i;
    return -1;
}

static int replay_one(struct measured_log *log, const char *type, const char *name,
                      const uint8_t *content_sha384, const unsigned *pcrs, size_t n, struct err *err)
{
    memcpy(log->before, log->replay, sizeof(log->before));
    for (size_t b = 0; b < log->banks.n; b++) {
        struct digest d;
        if (measured_digest(log->banks.alg[b], type, name, content_sha384, &d, err) < 0)
            return -1;
        for (size_t i = 0; i < n; i++) {
            int slot = register_slot(log, pcrs[i]);
            if (slot < 0)
                return err_set(err, ERR_INPUT, 0, "PCR %u is not one of this log's", pcrs[i]);
            if (digest_extend(&log->replay[slot][b], digest_bytes(&d), err) < 0)
                return -1;
        }
    }
    return 0;
}

/* ---- reading the file of this boot ---- */

static int read_start(struct measured_log *log, const json_t *header, struct err *err)
{
    const json_t *start = json_object_get(header, "start");
    for (size_t i = 0; i < log->pcr_count; i++) {
        char key[8];
        snprintf(key, sizeof(key), "%u", log->pcrs[i]);
        const json_t *banks = json_object_get(start, key);
        for (size_t b = 0; b < log->banks.n; b++) {
            uint16_t alg = log->banks.alg[b];
            const char *hex = json_string_value(json_object_get(banks, digest_name(alg)));
            struct digest *d = &log->replay[i][b];
            *d = (struct digest){ .alg = alg, .n = (uint8_t)digest_size(alg) };
            if (!hex || hex_decode_fixed(bytes_str(hex), d->b, d->n, err) < 0)
                return err_set(err, ERR_INPUT, 0, "the first line has no start value of PCR %u in bank %s",
                               log->pcrs[i], digest_name(alg));
        }
    }
    return 0;
}

static int read_record(struct measured_log *log, const json_t *record, struct bytes line, struct err *err)
{
    const char *type = json_string_value(json_object_get(record, "type"));
    const char *name = json_string_value(json_object_get(record, "name"));
    const char *hex = json_string_value(json_object_get(record, "content_sha384"));
    const json_t *registers = json_object_get(record, "registers"), *v;
    unsigned pcrs[MEASURED_REGISTERS_MAX];
    uint8_t content[48];
    size_t i, n = json_array_size(registers);
    if (!type || !name || !hex || !json_is_array(registers) || n > MEASURED_REGISTERS_MAX
        || hex_decode_fixed(bytes_str(hex), content, sizeof(content), err) < 0)
        return err_set(err, ERR_INPUT, 0, "not a record of a measured log");
    json_array_foreach(registers, i, v) pcrs[i] = (unsigned)json_integer_value(v);
    if (replay_one(log, type, name, content, pcrs, n, err) < 0)
        return -1;
    if (log->count++)
        buf_u8(&log->json, ',');
    buf_put(&log->json, line);
    return 0;
}

static int read_line(struct measured_log *log, size_t number, struct bytes line, struct err *err)
{
    AUTO(json_drop) json_t *v = NULL;
    if (json_parse(line, LOG_FILE_MAX, &v, err) < 0)
        return -1;
    return number == 1 ? read_start(log, v, err) : read_record(log, v, line, err);
}

static bool of_this_boot(const struct measured_log *log, struct bytes first_line)
{
    AUTO(json_drop) json_t *v = NULL;
    struct err ignored;
    if (json_parse(first_line, LOG_FILE_MAX, &v, &ignored) < 0)
        return true; /* damaged: the reader says so */
    const char *boot = json_string_value(json_object_get(v, "boot_id"));
    return !boot || !strcmp(boot, log->boot_id);
}

/* A last line without its newline was cut by a crash before its extend: it never happened. */
static size_t whole_lines(const uint8_t *p, size_t n)
{
    while (n && p[n - 1] != '\n')
        n--;
    return n;
}

/* @return 1 if the file holds this boot's log, 0 if a new one must be begun, -1 on error */
static int load(struct measured_log *log, const char *path, struct err *err)
{
    AUTO(free_u8) uint8_t *p = NULL;
    size_t n = 0, number = 0;
    char previous[PATH_MAX];
    if (file_read(path, LOG_FILE_MAX, &p, &n, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    size_t whole = whole_lines(p, n);
    struct bytes rest = bytes_of(p, whole);
    while (rest.n) {
        const uint8_t *end = memchr(rest.p, '\n', rest.n);
        struct bytes line = bytes_of(rest.p, (size_t)(end - rest.p));
        if (++number == 1 && !of_this_boot(log, line)) {
            if (path_set(previous, sizeof(previous), err, "%s.previous", path) < 0)
                return -1;
            if (rename(path, previous) < 0)
                return err_set(err, ERR_IO, (uint32_t)errno, "%s: cannot set it aside: %s", path,
                               strerror(errno));
            return 0;
        }
        if (read_line(log, number, line, err) < 0) {
            char why[sizeof(err->cause)];
            memcpy(why, err->cause, sizeof(why));
            return err_set(err, ERR_INPUT, 0, "%s, line %zu: %.120s", path, number, why);
        }
        rest = bytes_of(end + 1, rest.n - line.n - 1);
    }
    if (number && whole < n && truncate(path, (off_t)whole) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "%s: cannot cut off a half line: %s", path,
                       strerror(errno));
    return number > 0;
}

/* ---- beginning a new file ---- */

static int begin(struct measured_log *log, const char *path, struct tpm *tpm, struct err *err)
{
    AUTO(buf_done) struct buf line = buf_new(65536);
    buf_str(&line, "{\"log\":\"" MEASURED_SCHEME "\",\"boot_id\":");
    json_put_string(&line, bytes_str(log->boot_id));
    buf_str(&line, ",\"start\":{");
    for (size_t i = 0; i < log->pcr_count; i++) {
        char key[8];
        snprintf(key, sizeof(key), "%u", log->pcrs[i]);
        json_put_key(&line, key);
        buf_str(&line, "{");
        for (size_t b = 0; tpm && b < log->banks.n; b++) {
            struct tpm_pcrs now;
            if (tpm_pcr_read(tpm, log->banks.alg[b], 1u << log->pcrs[i], &now, err) < 0)
                return -1;
            log->replay[i][b] = now.pcr[log->pcrs[i]];
            json_put_key(&line, digest_name(log->banks.alg[b]));
            buf_u8(&line, '"');
            hex_put(&line, digest_bytes(&log->replay[i][b]));
            buf_u8(&line, '"');
        }
        buf_str(&line, "}");
    }
    buf_str(&line, "}}\n");
    if (buf_check(&line, "log header", err) < 0)
        return -1;
    return file_write_atomic(path, buf_bytes(&line), 0600, err);
}

/* ---- comparing with the TPM ---- */

enum match { MATCH_NOW, MATCH_BEFORE, MATCH_NONE };

static int compare(struct measured_log *log, struct tpm *tpm, enum match *out, struct err *err)
{
    bool now = true, before = log->count > 0;
    for (size_t i = 0; i < log->pcr_count; i++) {
        for (size_t b = 0; b < log->banks.n; b++) {
            struct tpm_pcrs pcrs;
            if (tpm_pcr_read(tpm, log->banks.alg[b], 1u << log->pcrs[i], &pcrs, err) < 0)
                return -1;
            struct bytes value = digest_bytes(&pcrs.pcr[log->pcrs[i]]);
            if (now && !bytes_equal(value, digest_bytes(&log->replay[i][b])))
                snprintf(log->text, sizeof(log->text),
                         "PCR %u (%s) is not what the log's %zu events replay to", log->pcrs[i],
                         digest_name(log->banks.alg[b]), log->count);
            now = now && bytes_equal(value, digest_bytes(&log->replay[i][b]));
            before = before && bytes_equal(value, digest_bytes(&log->before[i][b]));
        }
    }
    *out = now ? MATCH_NOW : before ? MATCH_BEFORE : MATCH_NONE;
    return 0;
}

static int last_event(struct measured_log *log, json_t **out, struct err *err)
{
    AUTO(buf_done) struct buf all = buf_new(LOG_FILE_MAX + 2);
    AUTO(json_drop) json_t *array = NULL;
    buf_str(&all, "[");
    buf_put(&all, buf_bytes(&log->json));
    buf_str(&all, "]");
    if (buf_check(&all, "log", err) < 0 || json_parse(buf_bytes(&all), LOG_FILE_MAX + 2, &array, err) < 0)
        return -1;
    *out = json_incref(json_array_get(array, log->count - 1));
    return 0;
}

static int extend_all(struct measured_log *log, struct tpm *tpm, const char *type, const char *name,
                      const uint8_t *content, const unsigned *pcrs, size_t n, struct err *err)
{
    struct digest digests[TPM_BANKS_MAX];
    for (size_t b = 0; b < log->banks.n; b++)
        if (measured_digest(log->banks.alg[b], type, name, content, &digests[b], err) < 0)
            return -1;
    for (size_t i = 0; i < n; i++)
        if (tpm_pcr_extend(tpm, pcrs[i], digests, log->banks.n, err) < 0)
            return -1;
    return 0;
}

/* The record was written, the machine died before the extend: do it now. Only for events of one register,
 * where "before the last record" is one state and not several. */
static int heal(struct measured_log *log, struct tpm *tpm, struct err *err)
{
    AUTO(json_drop) json_t *event = NULL;
    uint8_t content[48];
    if (last_event(log, &event, err) < 0)
        return -1;
    const json_t *registers = json_object_get(event, "registers");
    unsigned pcrs[MEASURED_REGISTERS_MAX];
    size_t n = json_array_size(registers);
    for (size_t i = 0; i < n; i++)
        pcrs[i] = (unsigned)json_integer_value(json_array_get(registers, i));
    if (hex_decode_fixed(bytes_str(json_string_value(json_object_get(event, "content_sha384"))), content,
                         sizeof(content), err)
        < 0)
        return -1;
    return extend_all(log, tpm, json_string_value(json_object_get(event, "type")),
                      json_string_value(json_object_get(event, "name")), content, pcrs, n, err);
}

static int judge(struct measured_log *log, struct tpm *tpm, struct err *err)
{
    enum match match;
    if (!tpm) {
        log->verdict = MEASURED_UNROOTED;
        snprintf(log->text, sizeof(log->text), "no TPM: the log stands on nothing but the file");
        return 0;
    }
    if (compare(log, tpm, &match, err) < 0)
        return -1;
    if (match == MATCH_BEFORE && heal(log, tpm, err) < 0)
        return -1;
    log->verdict = match == MATCH_NOW      ? MEASURED_AGREES
                   : match == MATCH_BEFORE ? MEASURED_HEALED
                                           : MEASURED_DISAGREES;
    if (match == MATCH_NOW)
        snprintf(log->text, sizeof(log->text), "the log's %zu events replay to the PCRs", log->count);
    else if (match == MATCH_BEFORE)
        snprintf(log->text, sizeof(log->text),
                 "event %zu was recorded but not extended before a crash; extended now", log->count - 1);
    return 0;
}

static void log_free(struct measured_log **log)
{
    measured_log_close(*log);
}

int measured_log_open(const char *path, const char *boot_id, struct tpm *tpm, const unsigned *pcrs, size_t n,
                      struct measured_log **out, struct err *err)
{
    AUTO(log_free) struct measured_log *log = calloc(1, sizeof(*log));
    if (!log)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a log");
    if (n > MEASURED_REGISTERS_MAX || strlen(boot_id) >= sizeof(log->boot_id))
        return err_set(err, ERR_INPUT, 0, "%s: too many registers, or a boot id that is too long", path);
    pthread_mutex_init(&log->lock, NULL);
    log->fd = -1;
    log->json = buf_new(LOG_FILE_MAX);
    memcpy(log->boot_id, boot_id, strlen(boot_id) + 1);
    memcpy(log->pcrs, pcrs, n * sizeof(*pcrs));
    log->pcr_count = n;
    if (tpm && tpm_banks_get(tpm, &log->banks, err) < 0)
        return err_while(err, "open measured log");
    int there = load(log, path, err);
    if (there < 0 || (there == 0 && begin(log, path, tpm, err) < 0) || judge(log, tpm, err) < 0)
        return err_while(err, "open measured log");
    log->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (log->fd < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "%s: cannot open for appending: %s", path,
                       strerror(errno));
    *out = MOVE(log);
    return 0;
}

void measured_log_close(struct measured_log *log)
{
    if (!log)
        return;
    close_fd(&log->fd);
    buf_done(&log->json);
    pthread_mutex_destroy(&log->lock);
    free(log);
}

enum measured_verdict measured_log_verdict(const struct measured_log *log)
{
    return log->verdict;
}

const char *measured_log_verdict_text(const struct measured_log *log)
{
    return log->text;
}

static int format_record(struct measured_log *log, const char *type, const char *name, const uint8_t *content,
                         const unsigned *pcrs, size_t n, struct buf *out, struct err *err)
{
    struct timespec now;
    struct tm tm;
    char when[32];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
    buf_printf(out, "{\"seq\":%zu,\"boot_id\":", log->count);
    json_put_string(out, bytes_str(log->boot_id));
    json_put_key(out, "type");
    json_put_string(out, bytes_str(type));
    json_put_key(out, "name");
    json_put_string(out, bytes_str(name));
    json_put_key(out, "content_sha384");
    buf_u8(out, '"');
    hex_put(out, bytes_of(content, 48));
    buf_str(out, "\",\"digests\":{");
    for (size_t b = 0; b < log->banks.n; b++) {
        struct digest d;
        if (measured_digest(log->banks.alg[b], type, name, content, &d, err) < 0)
            return -1;
        json_put_key(out, digest_name(d.alg));
        buf_u8(out, '"');
        hex_put(out, digest_bytes(&d));
        buf_u8(out, '"');
    }
    buf_str(out, "},\"registers\":[");
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%u", i ? "," : "", pcrs[i]);
    buf_printf(out, "],\"time\":\"%s\"}\n", when);
    return buf_check(out, "log record", err);
}

static int append(struct measured_log *log, struct bytes line, struct err *err)
{
    off_t end = lseek(log->fd, 0, SEEK_END);
    for (size_t done = 0; done < line.n;) {
        ssize_t put = write(log->fd, line.p + done, line.n - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            int e = errno;
            (void)!ftruncate(log->fd, end); /* a half line would be cut off at the next open anyway */
            return err_set(err, ERR_IO, (uint32_t)e, "cannot append to the measured log: %s", strerror(e));
        }
        done += (size_t)put;
    }
    if (fdatasync(log->fd) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot sync the measured log: %s", strerror(errno));
    return 0;
}

int measured_log_add(struct measured_log *log, struct tpm *tpm, const char *type, const char *name,
                     struct bytes content, const unsigned *pcrs, size_t n, struct err *err)
{
    AUTO(buf_done) struct buf line = buf_new(65536);
    uint8_t content_sha384[48];
    if (log->verdict == MEASURED_DISAGREES)
        return err_set(err, ERR_DENIED, 0, "the measured log and the PCRs disagree: %s", log->text);
    if (log->count >= MEASURED_EVENTS_MAX || strlen(name) > MEASURED_NAME_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "more than %d events, or a name over %d bytes",
                       MEASURED_EVENTS_MAX, MEASURED_NAME_MAX);
    if (!tpm)
        n = 0; /* registers lists what was really extended */
    sha384(content, content_sha384);
    if (format_record(log, type, name, content_sha384, pcrs, n, &line, err) < 0
        || append(log, buf_bytes(&line), err) < 0)
        return err_while(err, "record event");
    if (replay_one(log, type, name, content_sha384, pcrs, n, err) < 0)
        return err_while(err, "record event");
    pthread_mutex_lock(&log->lock);
    if (log->count++)
        buf_u8(&log->json, ',');
    buf_put(&log->json, bytes_of(line.p, line.n - 1));
    pthread_mutex_unlock(&log->lock);
    if (tpm && extend_all(log, tpm, type, name, content_sha384, pcrs, n, err) < 0) {
        if (err)
            err->kind = ERR_UNAVAILABLE;
        return err_while(err, "extend event");
    }
    return 0;
}

void measured_log_json(struct measured_log *log, struct buf *out)
{
    pthread_mutex_lock(&log->lock);
    buf_u8(out, '[');
    buf_put(out, buf_bytes(&log->json));
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
