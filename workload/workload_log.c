#include "workload/workload_log.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/json.h"
#include "workload/sequences.h"

#include <errno.h>

struct workload_log {
    struct measured_log *base;
    struct rtmr_io rtmr3;
    bool mirror; /* events go into PCR 15 too */
    const char *no_rtmr3;
};

static const unsigned pcrs_mirrored[] = { WORKLOAD_PCR_NOW, WORKLOAD_PCR_HISTORY };
static const unsigned pcrs_patch[] = { WORKLOAD_PCR_PATCH, WORKLOAD_PCR_HISTORY };
static const unsigned pcrs_all[] = { WORKLOAD_PCR_NOW, WORKLOAD_PCR_HISTORY, WORKLOAD_PCR_PATCH };

/* ---- life ---- */

static void log_drop(struct workload_log **log)
{
    workload_log_close(*log);
}

int workload_log_open(const struct workload_log_options *options, struct tpm *tpm, struct workload_log **out,
                      struct err *err)
{
    AUTO(log_drop) struct workload_log *log = calloc(1, sizeof(*log));
    const struct measured_log_options o = {
        .path = options->path,
        .boot_id = options->boot_id,
        .pcrs = pcrs_all,
        .pcr_count = ARRAY_SIZE(pcrs_all),
        .reset = 1u << WORKLOAD_PCR_NOW,
        .rtmr3 = options->rtmr3,
    };
    if (!log)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the workload log");
    if (measured_log_open_with(&o, tpm, &log->base, err) < 0)
        return err_while(err, "open the workload log");
    log->mirror = measured_log_began_zero(log->base, WORKLOAD_PCR_HISTORY);
    log->no_rtmr3 = options->no_rtmr3;
    if (options->rtmr3 && !measured_log_rtmr3_began_zero(log->base))
        log->no_rtmr3 = "RTMR3 was not zero at the first start: somebody else extended it before";
    *out = MOVE(log);
    return 0;
}

void workload_log_close(struct workload_log *log)
{
    if (!log)
        return;
    measured_log_close(log->base);
    free(log);
}

/* ---- measuring ---- */

static size_t mirrored(const struct workload_log *log)
{
    return log->mirror ? ARRAY_SIZE(pcrs_mirrored) : 1;
}

/* The events of a plan from one on. */
static int measure(struct workload_log *log, struct tpm *tpm, const struct measure_plan *plan, size_t from,
                   struct err *err)
{
    for (size_t i = from; i < plan->n; i++)
        if (measured_log_add_sha384(log->base, tpm, plan->events[i].type, plan->events[i].name,
                                    plan->events[i].content_sha384, pcrs_mirrored, mirrored(log), err)
            < 0)
            return -1;
    return 0;
}

/* `update` or `rollback`: PCR 23 begins again. */
static int begin_change(struct workload_log *log, struct tpm *tpm, const char *type, const char *zip_hex,
                        struct err *err)
{
    static const unsigned history[] = { WORKLOAD_PCR_HISTORY };
    return measured_log_check(log->base, tpm, err) < 0
                   || measured_log_add(log->base, tpm, type, zip_hex, bytes_of(NULL, 0), history,
                                       log->mirror ? 1 : 0, err)
                          < 0
               ? -1
               : 0;
}

static int restart(struct workload_log *log, struct tpm *tpm, const char *type, const char *zip_hex,
                   const struct measure_plan *plan, struct err *err)
{
    return begin_change(log, tpm, type, zip_hex, err) < 0 ? -1 : measure(log, tpm, plan, 0, err);
}

static int another_workload(struct err *err)
{
    return err_set(err, ERR_DENIED, 0,
                   "this boot has measured another workload than the one that is here now: "
                   "update it through the agent, or reboot");
}

static int start(struct workload_log *log, struct tpm *tpm, const struct measure_plan *plan,
                 const struct sequences *s, enum workload_start *how, struct err *err)
{
    size_t done = json_array_size(s->last.events);
    if (!s->last.first && done == 0) {
        *how = WORKLOAD_MEASURED;
        return measured_log_reset(log->base, tpm, err) < 0 ? -1 : measure(log, tpm, plan, 0, err);
    }
    if (sequence_is_whole(&s->last, plan)) {
        *how = WORKLOAD_UNCHANGED;
        return 0;
    }
    bool here = !s->last.first
                || sequence_is_whole(&s->base, plan); /* what runs where nothing newer was measured whole */
    if (here && sequence_is_after(&s->last, "update")) {
        *how = WORKLOAD_ROLLED_BACK;
        return restart(log, tpm, "rollback", sequence_text(s->last.first, "name"), plan, err);
    }
    if (here && sequence_begins(&s->last, plan) && !sequence_is_complete(&s->last)) {
        *how = WORKLOAD_CONTINUED;
        return measure(log, tpm, plan, done, err);
    }
    return another_workload(err);
}

int workload_log_start(struct workload_log *log, struct tpm *tpm, const struct measure_plan *plan,
                       enum workload_start *how, struct err *err)
{
    AUTO(sequences_done) struct sequences s = { .log = NULL };
    measured_log_change_begin(log->base);
    int rc = measured_log_check(log->base, tpm, err) < 0 || sequences_read(log->base, SIZE_MAX, &s, err) < 0
                     || start(log, tpm, plan, &s, how, err) < 0
                 ? -1
                 : 0;
    measured_log_change_end(log->base);
    return rc < 0 ? err_while(err, "measure the workload") : 0;
}

static int change(struct workload_log *log, struct tpm *tpm, const char *type,
                  const uint8_t zip_sha384[static 48], const struct measure_plan *plan, struct err *err)
{
    char hex[97];
    measured_log_change_begin(log->base);
    int rc = restart(log, tpm, type, hex_to(hex, bytes_of(zip_sha384, 48)), plan, err);
    measured_log_change_end(log->base);
    return rc;
}

/* Bytes of its names, as JSON. */
static size_t names_of(const struct measure_plan *plan)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n; i++) {
        AUTO(buf_done) struct buf name = buf_new(6 * MEASURED_NAME_MAX + 2);
        json_put_string(&name, bytes_str(plan->events[i].name));
        n += name.n;
    }
    return n;
}

int workload_log_room(struct workload_log *log, const struct measure_plan *now,
                      const struct measure_plan *next, struct err *err)
{
    return measured_log_room(log->base, 2 + now->n + next->n, names_of(now) + names_of(next), err);
}

int workload_log_update(struct workload_log *log, struct tpm *tpm, const uint8_t zip_sha384[static 48],
                        const struct measure_plan *plan, struct err *err)
{
    return change(log, tpm, "update", zip_sha384, plan, err) < 0 ? err_while(err, "measure the update") : 0;
}

int workload_log_rollback(struct workload_log *log, struct tpm *tpm, const uint8_t zip_sha384[static 48],
                          const struct measure_plan *plan, struct err *err)
{
    return change(log, tpm, "rollback", zip_sha384, plan, err) < 0 ? err_while(err, "measure the rollback")
                                                                   : 0;
}

/* What ran before, from its own record. */
static int measure_again(struct workload_log *log, struct tpm *tpm, const struct sequence *s, struct err *err)
{
    const json_t *event;
    uint8_t sha384[48];
    size_t i;
    json_array_foreach(s->events, i, event)
    {
        if (hex_decode_fixed(bytes_str(sequence_text(event, "content_sha384")), sha384, sizeof(sha384), err)
                < 0
            || measured_log_add_sha384(log->base, tpm, sequence_text(event, "type"),
                                       sequence_text(event, "name"), sha384, pcrs_mirrored, mirrored(log),
                                       err)
                   < 0)
            return -1;
    }
    return 0;
}

int workload_log_undo(struct workload_log *log, struct tpm *tpm, size_t from, bool *undone, struct err *err)
{
    AUTO(sequences_done) struct sequences s = { .log = NULL };
    *undone = false;
    if (sequences_read(log->base, SIZE_MAX, &s, err) < 0)
        return -1;
    if (!sequence_is_after(&s.last, "update")
        || json_integer_value(json_object_get(s.last.first, "seq")) < (json_int_t)from)
        return 0;
    measured_log_change_begin(log->base);
    int rc = !s.base.events ? err_set(err, ERR_INPUT, 0, "the log has an update and nothing before it") : 0;
    if (rc == 0)
        rc = begin_change(log, tpm, "rollback", sequence_text(s.last.first, "name"), err);
    if (rc == 0)
        rc = measure_again(log, tpm, &s.base, err);
    measured_log_change_end(log->base);
    *undone = rc == 0;
    return rc < 0 ? err_while(err, "measure the rollback") : 0;
}

int workload_log_livepatch(struct workload_log *log, struct tpm *tpm, const char *name,
                           const uint8_t content_sha384[static 48], struct err *err)
{
    if (measured_log_check(log->base, tpm, err) < 0
        || measured_log_add_sha384(log->base, tpm, "livepatch", name, content_sha384, pcrs_patch,
                                   log->mirror ? 2 : 1, err)
               < 0)
        return err_while(err, "measure the livepatch");
    return 0;
}

/* ---- for readers ---- */

enum measured_verdict workload_log_verdict(struct workload_log *log)
{
    return measured_log_verdict(log->base);
}

const char *workload_log_verdict_text(struct workload_log *log)
{
    return measured_log_verdict_text(log->base);
}

const char *workload_log_no_mirror(const struct workload_log *log)
{
    return log->mirror ? NULL
                       : "PCR 15 was not zero at the first start: it does not mirror the workload's history";
}

const char *workload_log_no_rtmr3(const struct workload_log *log)
{
    return log->no_rtmr3;
}

void workload_log_mark(struct workload_log *log, struct measured_mark *out)
{
    measured_log_mark(log->base, out);
}

void workload_log_json(struct workload_log *log, size_t end, struct buf *out)
{
    measured_log_json_until(log->base, end, out);
}

static void put_member(struct buf *out, const char *key, const char *value)
{
    if (!value)
        return;
    json_put_key(out, key);
    json_put_string(out, bytes_str(value));
}

int workload_log_golden(struct workload_log *log, size_t mark, struct buf *out, struct err *err)
{
    AUTO(sequences_done) struct sequences s = { .log = NULL };
    const json_t *event;
    size_t i;
    if (sequences_read(log->base, mark, &s, err) < 0)
        return -1;
    if (!json_array_size(s.last.events))
        return 0;
    buf_u8(out, '[');
    json_array_foreach(s.last.events, i, event)
    {
        buf_str(out, i ? ",{" : "{");
        put_member(out, "type", sequence_text(event, "type"));
        put_member(out, "name", sequence_text(event, "name"));
        put_member(out, "content_sha384", sequence_text(event, "content_sha384"));
        buf_u8(out, '}');
    }
    buf_u8(out, ']');
    return buf_check(out, "golden workload", err) < 0 ? -1 : 1;
}

int workload_log_report(struct workload_log *log, struct tpm *tpm, struct buf *out, struct err *err)
{
    if (measured_log_report(log->base, tpm, out, err) < 0)
        return err_while(err, "report the measurements");
    json_put_key(out, "missing");
    buf_u8(out, '{');
    put_member(out, "mirror", workload_log_no_mirror(log));
    put_member(out, "rtmr3", workload_log_no_rtmr3(log));
    buf_str(out, "}}");
    return buf_check(out, "report", err);
}

struct measured_log *workload_log_base(struct workload_log *log)
{
    return log->base;
}
