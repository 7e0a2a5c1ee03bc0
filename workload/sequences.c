#include "workload/sequences.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"

#include <string.h>

#define LOG_JSON_MAX (65u << 20)

void sequences_done(struct sequences *s)
{
    json_decref(s->last.events);
    json_decref(s->base.events);
    json_decref(s->log);
}

const char *sequence_text(const json_t *event, const char *key)
{
    const char *s = json_string_value(json_object_get(event, key));
    return s ? s : "";
}

bool sequence_is_complete(const struct sequence *s)
{
    size_t n = json_array_size(s->events);
    return n && !strcmp(sequence_text(json_array_get(s->events, n - 1), "type"), "ready");
}

bool sequence_is_after(const struct sequence *s, const char *type)
{
    return s->first && !strcmp(sequence_text(s->first, "type"), type);
}

/* A rollback goes back to what the update before it replaced. */
static void next_sequence(struct sequences *s, const json_t *first)
{
    bool undoes = sequence_is_after(&s->last, "update") && !strcmp(sequence_text(first, "type"), "rollback");
    if (sequence_is_complete(&s->last) && !undoes) {
        json_decref(s->base.events);
        s->base = s->last;
    } else {
        json_decref(s->last.events);
    }
    s->last = (struct sequence){ .first = first, .events = json_array() };
}

int sequences_read(struct measured_log *log, size_t mark, struct sequences *out, struct err *err)
{
    AUTO(buf_done) struct buf all = buf_new(LOG_JSON_MAX);
    struct sequences s = { .last.events = json_array() };
    json_t *event;
    size_t i;
    measured_log_json_until(log, mark, &all);
    if (buf_check(&all, "log", err) < 0 || json_parse(buf_bytes(&all), LOG_JSON_MAX, &s.log, err) < 0) {
        sequences_done(&s);
        return -1;
    }
    json_array_foreach(s.log, i, event)
    {
        const char *type = sequence_text(event, "type");
        if (!strcmp(type, "livepatch"))
            continue;
        if (!strcmp(type, "update") || !strcmp(type, "rollback"))
            next_sequence(&s, event);
        else
            json_array_append(s.last.events, event);
    }
    *out = s;
    return 0;
}

static bool same_event(const json_t *event, const struct measure_event *e)
{
    char hex[97];
    return !strcmp(sequence_text(event, "type"), e->type) && !strcmp(sequence_text(event, "name"), e->name)
           && !strcmp(sequence_text(event, "content_sha384"), hex_to(hex, bytes_of(e->content_sha384, 48)));
}

/* True if what was measured is how the plan begins. */
bool sequence_begins(const struct sequence *s, const struct measure_plan *plan)
{
    size_t n = json_array_size(s->events);
    bool same = n <= plan->n;
    for (size_t i = 0; same && i < n; i++)
        same = same_event(json_array_get(s->events, i), &plan->events[i]);
    return same;
}

bool sequence_is_whole(const struct sequence *s, const struct measure_plan *plan)
{
    return s->events && json_array_size(s->events) == plan->n && sequence_begins(s, plan);
}
