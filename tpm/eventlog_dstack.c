/* dstack's event log: a JSON list of {"imr","event_type","digest","event","event_payload"}, digests and
 * payloads in hex. The agent of dstack extends RTMR3 itself and may leave the digest empty: it is then
 * SHA-384 over the type (u32, little-endian), ":", the event's name, ":" and the payload. */
#include "tpm/eventlog_formats.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>

#define RTMR_SIZE 48
#define RTMRS     4

/* The memory that decoded strings lie in. Every event's JSON is longer than what is stored of it, so that as
 * many bytes as the text has are enough; a claim beyond them is refused all the same. */
struct arena {
    uint8_t *p;
    size_t n, used;
};

static uint8_t *arena_take(struct arena *a, size_t n)
{
    if (n > a->n - a->used)
        return NULL;
    uint8_t *at = a->p + a->used;
    a->used += n;
    return at;
}

static struct bytes member_text(const json_t *event, const char *key)
{
    const json_t *v = json_object_get(event, key);
    return bytes_of(json_string_value(v), json_string_length(v));
}

static int take_hex(const json_t *event, const char *key, size_t i, struct arena *a, struct bytes *out,
                    struct err *err)
{
    struct bytes text = member_text(event, key);
    struct err inner = { 0 };
    uint8_t *at = arena_take(a, text.n / 2);
    if (!at || hex_decode_fixed(text, at, text.n / 2, &inner) < 0)
        return err_set(err, ERR_INPUT, 0, "event %zu: \"%s\" is not hex: %s", i, key, inner.cause);
    *out = bytes_of(at, text.n / 2);
    return 0;
}

static int take_text(const json_t *event, const char *key, size_t i, struct arena *a, struct bytes *out,
                     struct err *err)
{
    struct bytes text = member_text(event, key);
    uint8_t *at = arena_take(a, text.n);
    if (!at)
        return err_set(err, ERR_INPUT, 0, "event %zu: no room for \"%s\"", i, key);
    memcpy(at, text.p, text.n);
    *out = bytes_of(at, text.n);
    return 0;
}

int eventlog_dstack_digest(const struct tpm_event *event, struct digest *out, struct err *err)
{
    const uint32_t t = event->type;
    const uint8_t type[] = { (uint8_t)t, (uint8_t)(t >> 8), (uint8_t)(t >> 16), (uint8_t)(t >> 24) };
    const struct bytes parts[] = { bytes_of(type, 4), bytes_str(":"), event->name, bytes_str(":"),
                                   event->data };
    return digest_parts(ALG_SHA384, parts, ARRAY_SIZE(parts), out, err);
}

static int compute_digest(struct tpm_event *e, size_t i, struct arena *a, struct err *err)
{
    struct digest d;
    uint8_t *at = arena_take(a, RTMR_SIZE);
    if (!at)
        return err_set(err, ERR_INPUT, 0, "event %zu: no room for its digest", i);
    if (eventlog_dstack_digest(e, &d, err) < 0)
        return -1;
    memcpy(at, d.b, RTMR_SIZE);
    e->digests = bytes_of(at, RTMR_SIZE);
    return 0;
}

static int read_event(const json_t *event, size_t i, struct arena *a, struct tpm_event *out, struct err *err)
{
    const json_t *imr = json_object_get(event, "imr"), *type = json_object_get(event, "event_type");
    struct tpm_event e = { .offset = i };
    if (!json_is_integer(imr) || json_integer_value(imr) < 0 || json_integer_value(imr) >= RTMRS)
        return err_set(err, ERR_INPUT, 0, "event %zu: \"imr\" is not a number from 0 to %d", i, RTMRS - 1);
    if (!json_is_integer(type) || json_integer_value(type) < 0 || json_integer_value(type) > UINT32_MAX)
        return err_set(err, ERR_INPUT, 0, "event %zu: \"event_type\" is not a 32-bit number", i);
    if (!json_is_string(json_object_get(event, "digest"))
        || !json_is_string(json_object_get(event, "event_payload"))
        || !json_is_string(json_object_get(event, "event")))
        return err_set(err, ERR_INPUT, 0, "event %zu lacks \"digest\", \"event\" or \"event_payload\"", i);
    e.index = (uint32_t)json_integer_value(imr);
    e.type = (uint32_t)json_integer_value(type);
    if (take_text(event, "event", i, a, &e.name, err) < 0
        || take_hex(event, "event_payload", i, a, &e.data, err) < 0
        || take_hex(event, "digest", i, a, &e.digests, err) < 0)
        return -1;
    if (e.digests.n == 0 && compute_digest(&e, i, a, err) < 0)
        return -1;
    if (e.digests.n != RTMR_SIZE)
        return err_set(err, ERR_INPUT, 0, "event %zu: digest of %zu bytes, want %d", i, e.digests.n,
                       RTMR_SIZE);
    *out = e;
    return 0;
}

int eventlog_read_dstack(struct bytes text, struct tpm_eventlog *log, struct err *err)
{
    AUTO(json_drop) json_t *list = NULL;
    const json_t *event;
    size_t i, cap = 0;
    if (json_parse(text, EVENTLOG_JSON_MAX, &list, err) < 0)
        return -1;
    if (!json_is_array(list))
        return err_set(err, ERR_INPUT, 0, "not a JSON list of events");
    log->kind = EVENTLOG_DSTACK;
    log->format = EVENTLOG_JSON;
    log->used = text.n;
    snprintf(log->spec, sizeof(log->spec), "dstack");
    if (eventlog_add_alg(log, ALG_SHA384, RTMR_SIZE, 0, err) < 0)
        return -1;
    log->storage = malloc(text.n);
    if (!log->storage)
        return err_set(err, ERR_IO, 0, "out of memory for a log of %zu bytes", text.n);
    struct arena a = { log->storage, text.n, 0 };
    json_array_foreach(list, i, event)
    {
        struct tpm_event e;
        if (read_event(event, i, &a, &e, err) < 0 || eventlog_add(log, &e, &cap, err) < 0)
            return -1;
    }
    return 0;
}
