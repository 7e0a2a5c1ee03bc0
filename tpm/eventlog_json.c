#include "tpm/eventlog_formats.h"

#include "base/auto.h"
#include "base/json.h"

#include <stdio.h>

static json_t *digests_json(const struct tpm_eventlog *log, const struct tpm_event *event)
{
    struct tpm_event_digest all[EVENTLOG_ALGS_MAX];
    size_t n = tpm_event_digests(log, event, all);
    json_t *out = json_object();
    char id[8];
    for (size_t i = 0; i < n; i++) {
        snprintf(id, sizeof(id), "0x%04x", all[i].alg);
        json_object_set_new(out, digest_name(all[i].alg) ?: id, json_hex(all[i].value));
    }
    return out;
}

static json_t *verdict_json(int matches)
{
    return matches < 0 ? json_null() : json_boolean(matches);
}

static json_t *event_json(const struct tpm_eventlog *log, size_t i)
{
    static const char *const index_name[] = {
        [EVENTLOG_TPM] = "pcr", [EVENTLOG_CCEL] = "mr_index", [EVENTLOG_DSTACK] = "imr"
    };
    const struct tpm_event *e = &log->events[i];
    AUTO(json_drop)
    json_t *out = json_pack("{s:I, s:I, s:I, s:s?, s:o, s:I, s:o}", "index", (json_int_t)i,
                            index_name[log->kind], (json_int_t)e->index, "type", (json_int_t)e->type,
                            "type_name", tpm_event_type_name(e->type), "digests", digests_json(log, e),
                            "size", (json_int_t)e->data.n, "data", json_hex(e->data));
    if (log->kind == EVENTLOG_DSTACK)
        json_object_set_new(out, "event", json_text(e->name));
    if (json_object_set_new(out, "data_matches_digest", verdict_json(tpm_event_data_matches(log, e))) < 0
        || json_object_set_new(out, "decoded", tpm_event_decode(e)) < 0)
        return NULL;
    return MOVE(out);
}

static json_t *banks_json(const struct tpm_replay *replay)
{
    json_t *out = json_object();
    for (size_t k = 0; k < replay->n; k++)
        json_object_set_new(out, digest_name(replay->bank[k].alg), tpm_pcrs_values_json(&replay->bank[k]));
    return out;
}

int tpm_eventlog_json(const struct tpm_eventlog *log, json_t **out, struct err *err)
{
    struct tpm_replay replay;
    if (tpm_eventlog_replay(log, &replay, err) < 0)
        return -1;
    AUTO(json_drop) json_t *events = json_array();
    for (size_t i = 0; i < log->count; i++)
        if (json_array_append_new(events, event_json(log, i)) < 0)
            return err_set(err, ERR_IO, 0, "out of memory for %zu events", log->count);
    json_t *v =
        json_pack("{s:s, s:o, s:O}", "spec", log->spec, "banks", banks_json(&replay), "events", events);
    if (!v)
        return err_set(err, ERR_IO, 0, "out of memory for an event log");
    *out = v;
    return 0;
}
