#include "tpm/eventlog_formats.h"

#include "base/auto.h"

#include <stdio.h>
#include <stdlib.h>

/* TCG_EfiSpecIdEvent and its predecessors begin with one of these (PFP 1.05, 10.4.5.1). */
#define SPEC_ID_SIZE  16
#define SPEC_ID_AGILE "Spec ID Event03"
#define SPEC_ID_STEM  "Spec ID Event"

/* Windows logs a TrustPoint as EV_NO_ACTION on this index; with any other type it is the end of a CCEL area.
 */
#define INDEX_NONE 0xFFFFFFFFu

int eventlog_add(struct tpm_eventlog *log, const struct tpm_event *event, size_t *cap, struct err *err)
{
    if (log->count == EVENTLOG_EVENTS_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "more than %d events at offset %zu", EVENTLOG_EVENTS_MAX,
                       event->offset);
    if (log->count == *cap) {
        size_t more = *cap ? *cap * 2 : 64;
        struct tpm_event *grown = reallocarray(log->events, more, sizeof(*grown));
        if (!grown)
            return err_set(err, ERR_IO, 0, "out of memory for %zu events", more);
        log->events = grown;
        *cap = more;
    }
    log->events[log->count++] = *event;
    return 0;
}

/* The digest size that the header gives for alg, or 0. */
static size_t alg_size(const struct tpm_eventlog *log, uint16_t alg)
{
    for (size_t i = 0; i < log->alg_count; i++)
        if (log->algs[i].alg == alg)
            return log->algs[i].size;
    return 0;
}

int eventlog_add_alg(struct tpm_eventlog *log, uint16_t alg, uint16_t size, size_t off, struct err *err)
{
    size_t known = digest_size(alg);
    if (size == 0 || size > DIGEST_MAX || (known && known != size))
        return err_set(err, ERR_INPUT, 0, "algorithm %#x with digests of %u bytes before offset %zu", alg,
                       size, off);
    if (alg_size(log, alg))
        return err_set(err, ERR_INPUT, 0, "algorithm %#x twice in the log's header, before offset %zu", alg,
                       off);
    log->algs[log->alg_count].alg = alg;
    log->algs[log->alg_count++].size = size;
    return 0;
}

/* TCG_EfiSpecIdEvent after its signature; off: where the event's data lie in the log. */
static int parse_spec_id(struct bytes data, size_t off, struct tpm_eventlog *log, struct err *err)
{
    struct reader r = reader_of(data);
    uint32_t n;
    uint8_t vendor;
    uint16_t alg, size;
    if (!rd_skip(&r, SPEC_ID_SIZE + 8)
        || !rd_u32le(&r, &n)) /* signature; platform class, versions, uintn size */
        return err_set(err, ERR_INPUT, 0, "Spec ID event cut short at offset %zu", off + r.off);
    if (n == 0 || n > EVENTLOG_ALGS_MAX)
        return err_set(err, ERR_INPUT, 0, "%" PRIu32 " algorithms in the log's header: want 1 to %d", n,
                       EVENTLOG_ALGS_MAX);
    for (uint32_t i = 0; i < n; i++) {
        if (!rd_u16le(&r, &alg) || !rd_u16le(&r, &size))
            return err_set(err, ERR_INPUT, 0, "Spec ID event cut short at offset %zu", off + r.off);
        if (eventlog_add_alg(log, alg, size, off + r.off, err) < 0)
            return -1;
    }
    if (!rd_u8(&r, &vendor) || !rd_skip(&r, vendor))
        return err_set(err, ERR_INPUT, 0, "Spec ID event cut short at offset %zu", off + r.off);
    return 0;
}

/* TCG_PCClientPCREvent: one SHA-1 digest. */
static int read_sha1_event(struct reader *r, struct tpm_event *out, struct err *err)
{
    uint32_t size;
    *out = (struct tpm_event){ .offset = r->off, .name = bytes_of(NULL, 0) };
    if (!rd_u32le(r, &out->index) || !rd_u32le(r, &out->type) || !rd_take(r, 20, &out->digests)
        || !rd_u32le(r, &size))
        return err_set(err, ERR_INPUT, 0, "event at offset %zu cut short at offset %zu", out->offset, r->off);
    if (!rd_take(r, size, &out->data))
        return err_set(err, ERR_INPUT, 0, "event at offset %zu says %" PRIu32 " bytes of data, %zu are left",
                       out->offset, size, r->rest.n);
    return 0;
}

/* TPML_DIGEST_VALUES in little-endian; each algorithm of the header at most once. */
static int read_digests(const struct tpm_eventlog *log, struct reader *r, struct bytes *out, struct err *err)
{
    const struct reader start = *r;
    uint32_t count, seen = 0;
    if (!rd_u32le(r, &count))
        return err_set(err, ERR_INPUT, 0, "digest count cut short at offset %zu", r->off);
    if (count > log->alg_count)
        return err_set(err, ERR_INPUT, 0, "%" PRIu32 " digests at offset %zu, the header has %zu algorithms",
                       count, start.off, log->alg_count);
    for (uint32_t k = 0; k < count; k++) {
        uint16_t alg;
        size_t i = 0;
        if (!rd_u16le(r, &alg))
            return err_set(err, ERR_INPUT, 0, "digest cut short at offset %zu", r->off);
        while (i < log->alg_count && log->algs[i].alg != alg)
            i++;
        if (i == log->alg_count || seen >> i & 1)
            return err_set(err, ERR_INPUT, 0, "algorithm %#x before offset %zu is %s", alg, r->off,
                           i == log->alg_count ? "not in the log's header" : "there twice");
        if (!rd_skip(r, log->algs[i].size))
            return err_set(err, ERR_INPUT, 0, "digest cut short at offset %zu", r->off);
        seen |= 1u << i;
    }
    *out = bytes_of(start.rest.p + 4, r->off - start.off - 4);
    return 0;
}

/* TCG_PCR_EVENT2 */
static int read_agile_event(const struct tpm_eventlog *log, struct reader *r, struct tpm_event *out,
                            struct err *err)
{
    uint32_t size;
    *out = (struct tpm_event){ .offset = r->off, .name = bytes_of(NULL, 0) };
    if (!rd_u32le(r, &out->index) || !rd_u32le(r, &out->type))
        return err_set(err, ERR_INPUT, 0, "event at offset %zu cut short", out->offset);
    if (read_digests(log, r, &out->digests, err) < 0)
        return -1;
    if (!rd_u32le(r, &size))
        return err_set(err, ERR_INPUT, 0, "event at offset %zu cut short at offset %zu", out->offset, r->off);
    if (!rd_take(r, size, &out->data))
        return err_set(err, ERR_INPUT, 0, "event at offset %zu says %" PRIu32 " bytes of data, %zu are left",
                       out->offset, size, r->rest.n);
    return 0;
}

/* An area longer than its log is filled with 0xFF or 0x00; eight such bytes, or fewer at the very end, are no
 * event (index and type would both be reserved). */
static bool at_padding(struct bytes rest)
{
    size_t n = rest.n < 8 ? rest.n : 8;
    for (size_t i = 0; i < n; i++)
        if (rest.p[i] != rest.p[0] || (rest.p[0] != 0xFF && rest.p[0] != 0x00))
            return false;
    return true;
}

static int check_padding(const struct reader *r, struct err *err)
{
    for (size_t i = 0; i < r->rest.n; i++)
        if (r->rest.p[i] != r->rest.p[0])
            return err_set(err, ERR_INPUT, 0,
                           "byte %#x at offset %zu, after the log's end marker at offset %zu", r->rest.p[i],
                           r->off + i, r->off);
    return 0;
}

static int check_index(const struct tpm_eventlog *log, const struct tpm_event *e, struct err *err)
{
    uint32_t max = log->kind == EVENTLOG_CCEL ? 4 : TPM_PCRS - 1;
    if (e->index <= max || e->type == EV_NO_ACTION)
        return 0;
    return err_set(err, ERR_INPUT, 0, "register %" PRIu32 " in the event at offset %zu: want 0 to %" PRIu32,
                   e->index, e->offset, max);
}

/* A log of SHA-384 alone that never names a register above 4: a TPM log has separators in PCR 0 to 7. */
static enum tpm_eventlog_kind guess_kind(const struct tpm_eventlog *log)
{
    if (log->alg_count != 1 || log->algs[0].alg != ALG_SHA384)
        return EVENTLOG_TPM;
    for (size_t i = 0; i < log->count; i++)
        if (log->events[i].index > 4 && log->events[i].type != EV_NO_ACTION)
            return EVENTLOG_TPM;
    return EVENTLOG_CCEL;
}

static bool is_spec_id(const struct tpm_event *e)
{
    return e->type == EV_NO_ACTION && e->data.n >= SPEC_ID_SIZE
           && memcmp(e->data.p, SPEC_ID_STEM, strlen(SPEC_ID_STEM)) == 0 && e->data.p[SPEC_ID_SIZE - 1] == 0
           && e->data.p[13] == '0' && e->data.p[14] >= '0' && e->data.p[14] <= '9';
}

/* The first event always has the SHA-1 form; what it says decides the form of the others. */
static int read_header(struct reader *r, struct tpm_eventlog *log, size_t *cap, struct err *err)
{
    struct tpm_event first;
    if (read_sha1_event(r, &first, err) < 0)
        return -1;
    bool spec = is_spec_id(&first);
    snprintf(log->spec, sizeof(log->spec), "%s", spec ? (const char *)first.data.p : "sha1-only");
    log->format = strcmp(log->spec, SPEC_ID_AGILE) == 0 ? EVENTLOG_AGILE : EVENTLOG_SHA1_ONLY;
    if (log->format == EVENTLOG_AGILE) {
        if (parse_spec_id(first.data, r->off - first.data.n, log, err) < 0)
            return -1;
    } else if (eventlog_add_alg(log, ALG_SHA1, 20, r->off, err) < 0) {
        return -1;
    }
    return eventlog_add(log, &first, cap, err);
}

static int read_binary(struct bytes raw, struct tpm_eventlog *log, struct err *err)
{
    struct reader r = reader_of(raw);
    struct tpm_event e;
    size_t cap = 0;
    if (read_header(&r, log, &cap, err) < 0)
        return err_while(err, "read event log");
    while (r.rest.n && !at_padding(r.rest)) {
        if (log->format == EVENTLOG_AGILE && r.rest.n >= 8 && le_uint(r.rest.p, 4) == INDEX_NONE
            && le_uint(r.rest.p + 4, 4) != EV_NO_ACTION)
            return err_set(err, ERR_INPUT, 0, "half an end marker at offset %zu", r.off);
        if ((log->format == EVENTLOG_AGILE ? read_agile_event(log, &r, &e, err)
                                           : read_sha1_event(&r, &e, err))
                < 0
            || eventlog_add(log, &e, &cap, err) < 0)
            return err_while(err, "read event log");
    }
    log->used = r.off;
    if (check_padding(&r, err) < 0)
        return err_while(err, "read event log");
    return 0;
}

static int finish_binary(struct tpm_eventlog *log, struct err *err)
{
    if (log->kind == EVENTLOG_AUTO)
        log->kind = guess_kind(log);
    for (size_t i = 0; i < log->count; i++)
        if (check_index(log, &log->events[i], err) < 0)
            return err_while(err, "read event log");
    return 0;
}

static bool begins_as_json(struct bytes raw)
{
    size_t i = 0;
    while (i < raw.n && (raw.p[i] == ' ' || raw.p[i] == '\n' || raw.p[i] == '\r' || raw.p[i] == '\t'))
        i++;
    return i < raw.n && raw.p[i] == '[';
}

int tpm_eventlog_parse(struct bytes raw, enum tpm_eventlog_kind kind, struct tpm_eventlog *out,
                       struct err *err)
{
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { .kind = kind };
    if (raw.n > EVENTLOG_SIZE_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "event log of %zu bytes, at most %u are read", raw.n,
                       EVENTLOG_SIZE_MAX);
    if (kind == EVENTLOG_DSTACK || (kind == EVENTLOG_AUTO && begins_as_json(raw))) {
        if (eventlog_read_dstack(raw, &log, err) < 0)
            return err_while(err, "read JSON event log");
    } else if (read_binary(raw, &log, err) < 0 || finish_binary(&log, err) < 0) {
        return -1;
    }
    *out = log;
    log = (struct tpm_eventlog){ 0 };
    return 0;
}

void tpm_eventlog_done(struct tpm_eventlog *log)
{
    free(log->events);
    free(log->storage);
    *log = (struct tpm_eventlog){ 0 };
}

bool tpm_eventlog_looks_like(struct bytes raw)
{
    AUTO(tpm_eventlog_done) struct tpm_eventlog log = { 0 };
    struct reader r = reader_of(raw);
    struct tpm_event first;
    if (begins_as_json(raw))
        return memmem(raw.p, raw.n, "\"imr\"", 5) && memmem(raw.p, raw.n, "\"event_type\"", 12);
    if (read_sha1_event(&r, &first, NULL) < 0)
        return false;
    if (is_spec_id(&first))
        return true;
    if (tpm_eventlog_parse(raw, EVENTLOG_TPM, &log, NULL) < 0 || log.count < 2)
        return false;
    for (size_t i = 0; i < log.count; i++)
        if (!tpm_event_type_name(log.events[i].type))
            return false;
    return true;
}

size_t tpm_event_digests(const struct tpm_eventlog *log, const struct tpm_event *event,
                         struct tpm_event_digest out[static EVENTLOG_ALGS_MAX])
{
    struct reader r = reader_of(event->digests);
    size_t n = 0;
    bool tagged =
        log->format == EVENTLOG_AGILE && event != log->events; /* the header event has the SHA-1 form */
    if (!tagged && event->digests.n) {
        out[0] =
            (struct tpm_event_digest){ log->format == EVENTLOG_JSON ? ALG_SHA384 : ALG_SHA1, event->digests };
        return 1;
    }
    while (n < EVENTLOG_ALGS_MAX && rd_u16le(&r, &out[n].alg)
           && rd_take(&r, alg_size(log, out[n].alg), &out[n].value))
        n++;
    return n;
}

bool tpm_event_digest(const struct tpm_eventlog *log, const struct tpm_event *event, uint16_t alg,
                      struct bytes *out)
{
    struct tpm_event_digest all[EVENTLOG_ALGS_MAX];
    size_t n = tpm_event_digests(log, event, all);
    for (size_t i = 0; i < n; i++)
        if (all[i].alg == alg) {
            *out = all[i].value;
            return true;
        }
    return false;
}

int tpm_eventlog_rtmr(const struct tpm_eventlog *log, uint32_t index)
{
    if (log->kind == EVENTLOG_DSTACK)
        return index < 4 ? (int)index : -1;
    return log->kind == EVENTLOG_CCEL && index >= 1 && index <= 4 ? (int)index - 1 : -1;
}
