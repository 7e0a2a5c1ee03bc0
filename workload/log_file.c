/* The file of a measured log: a first line that says where the registers began, then one record a line. Every
 * line ends with "chain": SHA-256 over the chain of the line before and this line without it. */
#include "workload/log_internal.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define CHAIN_KEY ",\"chain\":\""
#define CHAIN_END "\"}"
#define CHAIN_LEN (sizeof(CHAIN_KEY) - 1 + 64 + sizeof(CHAIN_END) - 1)

/* ---- the chain ---- */

static void chain_next(const uint8_t before[static 32], struct bytes record, uint8_t out[static 32])
{
    const struct bytes parts[] = { bytes_of(before, 32), record };
    struct digest d;
    if (digest_parts(ALG_SHA256, parts, ARRAY_SIZE(parts), &d, NULL) < 0)
        abort(); /* as sha256(): libcrypto is unusable */
    memcpy(out, d.b, 32);
}

/* {...} → {...,"chain":"HEX"}\n */
static void put_chained(struct buf *line, struct bytes record, const uint8_t chain[static 32])
{
    buf_put(line, bytes_of(record.p, record.n - 1));
    buf_str(line, CHAIN_KEY);
    hex_put(line, bytes_of(chain, 32));
    buf_str(line, CHAIN_END "\n");
}

/* {...,"chain":"HEX"} → {...}, if it follows what was before. */
static int unchain(uint8_t chain[static 32], struct bytes line, struct buf *record, struct err *err)
{
    uint8_t said[32], want[32];
    const uint8_t *tail = line.n > CHAIN_LEN ? line.p + line.n - CHAIN_LEN : NULL;
    if (!tail || memcmp(tail, CHAIN_KEY, sizeof(CHAIN_KEY) - 1) != 0
        || hex_decode_fixed(bytes_of(tail + sizeof(CHAIN_KEY) - 1, 64), said, sizeof(said), err) < 0
        || memcmp(line.p + line.n - 2, CHAIN_END, 2) != 0)
        return err_set(err, ERR_INPUT, 0, "not a line of a measured log");
    record->n = 0;
    buf_put(record, bytes_of(line.p, line.n - CHAIN_LEN));
    buf_u8(record, '}');
    if (buf_check(record, "line", err) < 0)
        return -1;
    chain_next(chain, buf_bytes(record), want);
    if (memcmp(said, want, sizeof(want)) != 0)
        return err_set(err, ERR_INPUT, 0, "changed since it was written: the hash chain breaks here");
    memcpy(chain, want, sizeof(want));
    return 0;
}

/* ---- the first line ---- */

static void put_digest(struct buf *out, const char *key, const struct digest *d)
{
    json_put_key(out, key);
    buf_u8(out, '"');
    hex_put(out, digest_bytes(d));
    buf_u8(out, '"');
}

int log_begin(struct measured_log *log, struct err *err)
{
    AUTO(buf_done) struct buf first = buf_new(65536), line = buf_new(65536);
    static const uint8_t none[32];
    buf_str(&first, "{\"log\":\"" MEASURED_SCHEME "\",\"boot_id\":");
    json_put_string(&first, bytes_str(log->boot_id));
    buf_str(&first, ",\"start\":{");
    for (size_t i = 0; i < log->pcr_count; i++) {
        char key[12];
        snprintf(key, sizeof(key), "%u", log->pcrs[i]);
        json_put_key(&first, key);
        buf_u8(&first, '{');
        for (size_t b = 0; b < log->banks.n; b++)
            put_digest(&first, digest_name(log->banks.alg[b]), &log->start.pcr[i][b]);
        buf_u8(&first, '}');
    }
    if (log->has_rtmr3) {
        json_put_key(&first, "rtmr3");
        buf_u8(&first, '{');
        put_digest(&first, digest_name(ALG_SHA384), &log->start.rtmr3);
        buf_u8(&first, '}');
    }
    buf_str(&first, "}}");
    if (buf_check(&first, "log header", err) < 0)
        return -1;
    chain_next(none, buf_bytes(&first), log->chain);
    put_chained(&line, buf_bytes(&first), log->chain);
    return buf_check(&line, "log header", err) < 0
               ? -1
               : file_write_atomic(log->path, buf_bytes(&line), 0600, err);
}

static int read_value(const json_t *banks, uint16_t alg, const char *name, struct digest *out,
                      struct err *err)
{
    const char *hex = json_string_value(json_object_get(banks, digest_name(alg)));
    struct digest d = { .alg = alg, .n = (uint8_t)digest_size(alg) };
    if (!hex || strlen(hex) != 2u * d.n || hex_decode_fixed(bytes_str(hex), d.b, d.n, err) < 0)
        return err_set(err, ERR_INPUT, 0, "the first line has no start value of %s in bank %s", name,
                       digest_name(alg));
    *out = d;
    return 0;
}

static int read_first(struct measured_log *log, const json_t *first, struct err *err)
{
    const char *scheme = json_string_value(json_object_get(first, "log"));
    const json_t *start = json_object_get(first, "start");
    if (!scheme || strcmp(scheme, MEASURED_SCHEME) != 0)
        return err_set(err, ERR_INPUT, 0, "not the first line of a measured log");
    for (size_t i = 0; i < log->pcr_count; i++) {
        char key[12], name[20];
        snprintf(key, sizeof(key), "%u", log->pcrs[i]);
        snprintf(name, sizeof(name), "PCR %u", log->pcrs[i]);
        for (size_t b = 0; b < log->banks.n; b++)
            if (read_value(json_object_get(start, key), log->banks.alg[b], name, &log->start.pcr[i][b], err)
                < 0)
                return -1;
    }
    if (log->has_rtmr3
        && read_value(json_object_get(start, "rtmr3"), ALG_SHA384, "RTMR3", &log->start.rtmr3, err) < 0)
        return -1;
    log->now = log->before = log->start;
    return 0;
}

/* ---- records ---- */

static int read_record(struct measured_log *log, const json_t *v, struct bytes text, struct err *err)
{
    const char *hex = json_string_value(json_object_get(v, "content_sha384"));
    const json_t *registers = json_object_get(v, "registers"), *pcr;
    const json_t *seq = json_object_get(v, "seq");
    struct log_event e = { .type = json_string_value(json_object_get(v, "type")),
                           .name = json_string_value(json_object_get(v, "name")) };
    uint8_t content[48];
    size_t i;
    if (!e.type || !e.name || !hex || strlen(hex) != 2 * sizeof(content) || !json_is_array(registers)
        || json_array_size(registers) > MEASURED_REGISTERS_MAX || !json_is_integer(seq)
        || json_integer_value(seq) != (json_int_t)log->count
        || hex_decode_fixed(bytes_str(hex), content, sizeof(content), err) < 0)
        return err_set(err, ERR_INPUT, 0, "not the next record of a measured log");
    if (log->count >= MEASURED_EVENTS_MAX)
        return err_set(err, ERR_INPUT, 0, "more than %d events", MEASURED_EVENTS_MAX);
    json_array_foreach(registers, i, pcr)
    {
        json_int_t n = json_integer_value(pcr);
        if (!json_is_integer(pcr) || n < 0 || n >= TPM_PCRS || log_slot(log, (unsigned)n) < 0)
            return err_set(err, ERR_INPUT, 0, "a register that is not one of this log's");
        e.pcrs |= 1u << n;
    }
    e.content_sha384 = content;
    if (log_step(log, &e, err) < 0)
        return -1;
    log_keep(log, &e, text);
    return buf_check(&log->json, "log", err);
}

static int read_line(struct measured_log *log, size_t number, struct bytes line, struct err *err)
{
    AUTO(buf_done) struct buf record = buf_new(LOG_FILE_MAX);
    AUTO(json_drop) json_t *v = NULL;
    if (unchain(log->chain, line, &record, err) < 0
        || json_parse(buf_bytes(&record), LOG_FILE_MAX, &v, err) < 0)
        return -1;
    return number == 1 ? read_first(log, v, err) : read_record(log, v, buf_bytes(&record), err);
}

/* ---- the file ---- */

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

static int set_aside(const struct measured_log *log, struct err *err)
{
    char previous[PATH_MAX];
    if (path_set(previous, sizeof(previous), err, "%s.previous", log->path) < 0)
        return -1;
    if (rename(log->path, previous) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "%s: cannot set it aside: %s", log->path,
                       strerror(errno));
    return 0;
}

int log_load(struct measured_log *log, bool *found, struct err *err)
{
    AUTO(free_u8) uint8_t *p = NULL;
    size_t n = 0, number = 0;
    *found = false;
    if (file_read(log->path, LOG_DISK_MAX, &p, &n, err) < 0)
        return err->kind == ERR_NOT_FOUND ? 0 : -1;
    size_t whole = whole_lines(p, n);
    for (struct bytes rest = bytes_of(p, whole); rest.n;) {
        const uint8_t *end = memchr(rest.p, '\n', rest.n);
        struct bytes line = bytes_of(rest.p, (size_t)(end - rest.p));
        if (++number == 1 && !of_this_boot(log, line))
            return set_aside(log, err);
        if (read_line(log, number, line, err) < 0) {
            char why[sizeof(err->cause)];
            memcpy(why, err->cause, sizeof(why));
            return err_set(err, err->kind == ERR_IO ? ERR_IO : ERR_INPUT, 0, "%s, line %zu: %.120s",
                           log->path, number, why);
        }
        rest = bytes_of(end + 1, rest.n - line.n - 1);
    }
    if (number && whole < n && truncate(log->path, (off_t)whole) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "%s: cannot cut off a half line: %s", log->path,
                       strerror(errno));
    *found = number > 0;
    return 0;
}

static int write_line(int fd, struct bytes line, struct err *err)
{
    off_t end = lseek(fd, 0, SEEK_END);
    for (size_t done = 0; done < line.n;) {
        ssize_t put = write(fd, line.p + done, line.n - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            int e = errno;
            (void)!ftruncate(fd, end); /* a half line would be cut off at the next open anyway */
            return err_set(err, ERR_IO, (uint32_t)e, "cannot append to the measured log: %s", strerror(e));
        }
        done += (size_t)put;
    }
    if (fdatasync(fd) == 0)
        return 0;
    int e = errno;
    (void)!ftruncate(fd, end); /* it will not be extended: it must not be there either */
    return err_set(err, ERR_IO, (uint32_t)e, "cannot sync the measured log: %s", strerror(e));
}

int log_append(struct measured_log *log, struct bytes record, struct err *err)
{
    AUTO(buf_done) struct buf line = buf_new(LOG_FILE_MAX);
    uint8_t chain[32];
    chain_next(log->chain, record, chain);
    put_chained(&line, record, chain);
    if (buf_check(&line, "log record", err) < 0 || write_line(log->fd, buf_bytes(&line), err) < 0)
        return -1;
    memcpy(log->chain, chain, sizeof(log->chain));
    return 0;
}

/* ---- room ---- */

/* Without its name; the sequence number as long as it can be. */
#define RECORD_SIZE 400

int measured_log_room(struct measured_log *log, size_t events, size_t names, struct err *err)
{
    size_t record = RECORD_SIZE;
    for (size_t b = 0; b < log->banks.n; b++)
        record += 2 * digest_size(log->banks.alg[b]) + sizeof("\"sha3_512\":\"\",");
    pthread_mutex_lock(&log->lock);
    size_t count = log->count, bytes = log->json.max - log->json.n;
    pthread_mutex_unlock(&log->lock);
    size_t left = count < MEASURED_EVENTS_MAX ? MEASURED_EVENTS_MAX - count : 0;
    if (events > left)
        return err_set(err, ERR_UNAVAILABLE, 0,
                       "the log of this boot has room for %zu more events, and %zu are needed: reboot first",
                       left, events);
    if (names > bytes || events > (bytes - names) / record)
        return err_set(
            err, ERR_UNAVAILABLE, 0,
            "the log of this boot has room for %zu more bytes, and %zu events need more: reboot first", bytes,
            events);
    return 0;
}
