/* The event that explains why a register differs. */
#include "cli/diff.h"

#include "base/auto.h"
#include "base/enc.h"

#include <stdlib.h>

/* What was extended into one register on one side; either from a log or from listed digests. */
struct extended {
    const struct tpm_eventlog *log;      /* NULL: digests only */
    const struct event_digests *digests; /* if no log */
    size_t *item;                        /* numbers in the log, owned */
    uint16_t bank;
    size_t n;
};

static void extended_done(struct extended *e)
{
    free(e->item);
}

/* @return 1, or -1 */
static int from_log(const struct tpm_eventlog *log, uint32_t index, uint16_t bank, struct extended *out,
                    struct err *err)
{
    *out = (struct extended){ .log = log, .bank = bank };
    out->item = calloc(log->count + 1, sizeof(*out->item));
    if (!out->item)
        return err_set(err, ERR_IO, 0, "no memory for %zu events", log->count);
    for (size_t i = 0; i < log->count; i++)
        if (log->events[i].index == index && log->events[i].type != EV_NO_ACTION)
            out->item[out->n++] = i;
    return 1;
}

/* @return 1 if this side has the register's events, 0 if not, -1 on error */
static int events_of(const struct diff_side *side, const struct difference *d, struct extended *out,
                     struct err *err)
{
    const struct registers *r = &side->pinned.want;
    if (d->rtmr >= 0 && side->ccel.there)
        return from_log(&side->ccel.log, (uint32_t)d->rtmr + 1, ALG_SHA384, out, err);
    if (d->pcr < 0)
        return 0;
    if (side->tpm.there)
        return from_log(&side->tpm.log, (uint32_t)d->pcr, r->bank, out, err);
    if (!side->golden || side->pinned.match[d->pcr] != MATCH_EXACT)
        return 0;
    *out = (struct extended){ .digests = &r->events[d->pcr], .n = r->events[d->pcr].n };
    return 1;
}

static struct bytes digest_at(const struct extended *e, size_t i)
{
    struct bytes value = bytes_of(NULL, 0);
    if (i < e->n && !e->log)
        return digest_bytes(&e->digests->item[i]);
    if (i < e->n && !tpm_event_digest(e->log, &e->log->events[e->item[i]], e->bank, &value))
        return bytes_of(NULL, 0);
    return value;
}

static json_t *describe(const struct extended *e, size_t i)
{
    if (i >= e->n)
        return json_null();
    json_t *out = json_object();
    json_object_set_new(out, "digest", json_hex(digest_at(e, i)));
    if (!e->log)
        return out;
    const struct tpm_event *event = &e->log->events[e->item[i]];
    const char *name = tpm_event_type_name(event->type);
    json_object_set_new(out, "offset", json_integer((json_int_t)event->offset));
    json_object_set_new(out, "type", json_integer((json_int_t)event->type));
    json_object_set_new(out, "type_name", name ? json_string(name) : json_null());
    json_object_set_new(out, "decoded", tpm_event_decode(event));
    return out;
}

/* @return 1 with *out set, 0 if the events do not explain it, -1 on error */
static int explain(const struct diff_side *a, const struct diff_side *b, const struct difference *d,
                   json_t **out, struct err *err)
{
    AUTO(extended_done) struct extended x = { 0 };
    AUTO(extended_done) struct extended y = { 0 };
    size_t i = 0;
    int in_a = events_of(a, d, &x, err), in_b = in_a == 1 ? events_of(b, d, &y, err) : 0;
    if (in_a < 0 || in_b < 0)
        return -1;
    if (!in_a || !in_b)
        return 0;
    while (i < x.n && i < y.n && bytes_equal(digest_at(&x, i), digest_at(&y, i)))
        i++;
    if (i == x.n && i == y.n)
        return 0;
    *out = json_pack("{s:s, s:I, s:o, s:o}", "register", d->name, "number", (json_int_t)i, "a",
                     describe(&x, i), "b", describe(&y, i));
    return *out ? 1 : err_set(err, ERR_IO, 0, "out of memory for an event");
}

int diff_event(const struct diff_side *a, const struct diff_side *b, const struct diff *d, json_t **out,
               struct err *err)
{
    for (size_t i = 0; i < d->n; i++) {
        int rc = explain(a, b, &d->list[i], out, err);
        if (rc)
            return rc < 0 ? -1 : 0;
    }
    return 0;
}
