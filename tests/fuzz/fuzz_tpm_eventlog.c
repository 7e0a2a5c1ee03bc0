/* A log that parses is covered by its events without a gap, what follows is padding, its used part alone
 * parses the same, and its JSON comes out with the registers that the replay names. */
#include "fuzz.h"

#include "base/json.h"
#include "tpm/eventlog.h"

static void check_layout(const struct tpm_eventlog *log, struct bytes raw)
{
    CHECK(log->used <= raw.n && log->count >= 1 && log->count <= EVENTLOG_EVENTS_MAX);
    for (size_t i = 0; i < log->count; i++) {
        const struct tpm_event *e = &log->events[i];
        size_t end = i + 1 < log->count ? log->events[i + 1].offset : log->used;
        CHECK((size_t)(e->data.p + e->data.n - raw.p) == end);
        CHECK((size_t)(e->digests.p - raw.p) >= e->offset + 8);
    }
    for (size_t i = log->used; i < raw.n; i++)
        CHECK(raw.p[i] == raw.p[log->used] && (raw.p[i] == 0 || raw.p[i] == 0xFF));
    struct tpm_eventlog again = { 0 };
    CHECK(tpm_eventlog_parse(bytes_of(raw.p, log->used), log->kind, &again, NULL) == 0);
    CHECK(again.count == log->count && again.used == log->used);
    tpm_eventlog_done(&again);
}

static void check_json(const struct tpm_eventlog *log)
{
    struct tpm_replay replay;
    struct err err = { 0 };
    json_t *v = NULL;
    if (tpm_eventlog_replay(log, &replay, &err) < 0) {
        CHECK(err.kind == ERR_INPUT && tpm_eventlog_json(log, &v, NULL) < 0);
        return;
    }
    CHECK(tpm_eventlog_json(log, &v, &err) == 0);
    CHECK(json_array_size(json_object_get(v, "events")) == log->count);
    CHECK(json_object_size(json_object_get(v, "banks")) == replay.n);
    for (size_t k = 0; k < replay.n; k++)
        CHECK((replay.bank[k].mask & ~TPM_PCRS_ALL) == 0);
    json_decref(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tpm_eventlog log = { 0 };
    struct err err = { 0 };
    const struct bytes raw = bytes_of(data, size);
    tpm_eventlog_looks_like(raw);
    if (tpm_eventlog_parse(raw, EVENTLOG_AUTO, &log, &err) < 0) {
        CHECK(err.kind == ERR_INPUT || err.kind == ERR_TOO_LARGE);
        CHECK(log.events == NULL && log.storage == NULL);
        return 0;
    }
    CHECK(log.kind != EVENTLOG_AUTO && log.alg_count >= 1 && log.alg_count <= EVENTLOG_ALGS_MAX);
    if (log.kind != EVENTLOG_DSTACK)
        check_layout(&log, raw);
    check_json(&log);
    tpm_eventlog_done(&log);
    return 0;
}
