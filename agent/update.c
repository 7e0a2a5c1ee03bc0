#include "agent/update.h"

#include "agent/measurements.h"
#include "agent/owner_version.h"
#include "agent/update_answer.h"
#include "agent/update_data.h"
#include "agent/update_rules.h"
#include "agent/update_store.h"
#include "base/auto.h"
#include "base/enc.h"
#include "base/fault.h"
#include "base/folder.h"
#include "base/json.h"
#include "base/log.h"
#include "workload/zip.h"

#include <errno.h>
#include <fcntl.h>

/* So long a service without a health check has run before the update counts as one that runs. */
#define SETTLE_MS 1500

struct step {
    struct workload *w;
    const struct update *u;
    struct update_places places;
    size_t events; /* in the workload log before it began */
    struct prepared *next;
    json_t *diff, *refused;
    struct runner_report report;
};

static void step_done(struct step *s)
{
    prepared_free(s->next);
    json_decref(s->diff);
    json_decref(s->refused);
}

static int check_machine(const struct workload *w, struct err *err)
{
    if (!w->now && w->why_not)
        return err_set(err, ERR_UNAVAILABLE, 0, "the workload does not run: %.250s", w->why_not);
    if (!w->now)
        return err_set(err, ERR_NOT_FOUND, 0,
                       "there is no workload to update: the first one comes with the disk");
    if (!w->has_engine || !w->measurements || !measurements_log(w->measurements) || !w->private_dir)
        return err_set(err, ERR_UNAVAILABLE, 0, "there is no %s: see the agent's log",
                       !w->has_engine ? "container engine" : "workload log, or no private folder");
    return 0;
}

/* ---- before anything changes ---- */

static int unpack(struct step *s, struct err *err)
{
    const struct workload_tree *now = s->w->now->tree;
    struct workload_tree *tree = NULL;
    if (folder_remove(AT_FDCWD, s->places.next, err) < 0
        || zip_extract(s->u->zip, s->places.next, NULL, err) < 0)
        return -1;
    /* what an update may leave out, as it must not change */
    if (update_carry(now, POLICY_PATH, s->places.next, err) < 0
        || update_carry(now, WORKLOAD_OWNER_PATH, s->places.next, err) < 0
        || workload_tree_read(s->places.next, NULL, &tree, err) < 0)
        return -1;
    return prepare_read(tree, s->w->etc, NULL, NULL, &s->next, err);
}

static struct runner runner_of(const struct step *s, const struct prepared *p)
{
    struct runner r = s->w->runner;
    r.listing = p->tree;
    return r;
}

/* What a service is, for the rules: the hash of its container, and what it depends on, which is no part of
 * the container. */
struct definitions {
    struct rule_service *service;
    char **text;
    size_t n;
};

static void definitions_done(struct definitions *d)
{
    for (size_t i = 0; d->text && i < d->n; i++)
        free(d->text[i]);
    free(d->text);
    free(d->service);
}

static char *define(const struct runner *r, const struct prepared *p, size_t i, struct err *err)
{
    const struct compose_service *s = &p->compose->services[i];
    AUTO(buf_done) struct buf text = buf_new(1u << 20);
    char config[ENGINE_ID_SIZE];
    if (runner_config(r, p->compose, s, p->images[i].id, config, err) < 0)
        return NULL;
    buf_str(&text, config);
    for (size_t k = 0; k < s->depends_count; k++)
        buf_printf(&text, " %s/%d/%d/%d", s->depends[k].service, (int)s->depends[k].condition,
                   (int)s->depends[k].required, (int)s->depends[k].restart);
    char *out = buf_take_str(&text);
    if (!out)
        err_set(err, ERR_IO, ENOMEM, "no memory for services");
    return out;
}

static int define_services(const struct step *s, const struct prepared *p, struct definitions *d,
                           struct err *err)
{
    const struct runner r = runner_of(s, p);
    d->n = p->compose->service_count;
    d->service = calloc(d->n + 1, sizeof(*d->service));
    d->text = calloc(d->n + 1, sizeof(*d->text));
    if (!d->service || !d->text)
        return err_set(err, ERR_IO, ENOMEM, "no memory for services");
    for (size_t i = 0; i < d->n; i++) {
        d->text[i] = define(&r, p, i, err);
        if (!d->text[i])
            return -1;
        d->service[i] = (struct rule_service){ p->compose->services[i].name, d->text[i] };
    }
    return 0;
}

static int first_refusal(const struct step *s, struct err *err)
{
    const char *first = json_string_value(json_array_get(s->refused, 0));
    size_t n = json_array_size(s->refused);
    if (!n)
        return 0;
    return err_set(err, ERR_DENIED, 0, "the policy refuses the update: %.220s%s", first,
                   n > 1 ? ", and more (dry_run=1 lists all)" : "");
}

/* What needs no images is judged first: nothing is pulled for an update that is refused anyway. */
static int judge(struct step *s, struct err *err)
{
    AUTO(definitions_done) struct definitions now = { NULL, NULL, 0 }, next = { NULL, NULL, 0 };
    AUTO(json_drop) json_t *nothing = json_object(), *early = json_array();
    const struct runner r = runner_of(s, s->next);
    s->refused = json_array();
    if (!nothing || !early || !s->refused)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the policy's verdict");
    if (update_judge(s->w->now, s->next, nothing, s->refused, err) < 0
        || (!s->u->dry_run && first_refusal(s, err) < 0))
        return -1;
    json_array_clear(s->refused);
    if (prepare_images(s->next, &r, err) < 0 || define_services(s, s->w->now, &now, err) < 0
        || define_services(s, s->next, &next, err) < 0)
        return -1;
    s->diff = update_diff(now.service, now.n, next.service, next.n);
    if (!s->diff)
        return err_set(err, ERR_IO, ENOMEM, "no memory for services");
    if (update_judge(s->w->now, s->next, s->diff, s->refused, err) < 0)
        return -1;
    return s->u->dry_run ? 0 : first_refusal(s, err);
}

/* ---- the change ---- */

struct measuring {
    const struct step *s;
    bool back;
};

static int measure_on_tpm(struct tpm *tpm, void *arg, struct err *err)
{
    const struct measuring *m = arg;
    const struct step *s = m->s;
    struct workload_log *log = measurements_log(s->w->measurements);
    return m->back ? workload_log_rollback(log, tpm, s->u->zip_sha384, s->w->now->plan, err)
                   : workload_log_update(log, tpm, s->u->zip_sha384, s->next->plan, err);
}

/* The update's sequence, or the old one again. */
static int measure(const struct step *s, bool back, struct err *err)
{
    struct measuring m = { s, back };
    return collector_with_tpm(s->w->collector, measure_on_tpm, &m, err);
}

static void set_root(struct workload_tree *t, const char *path)
{
    char *root = strdup(path);
    if (root) {
        free(t->root);
        t->root = root;
    }
}

static int apply(struct step *s, struct prepared *p, struct err *err)
{
    struct runner r = runner_of(s, p);
    r.settle_ms = SETTLE_MS;
    return runner_apply(&r, p->compose, p->images, p->compose->service_count, &s->report, err);
}

static struct update_note note_of(const struct step *s, enum update_phase phase)
{
    struct update_note note = { .phase = phase, .events = s->events, .version = s->u->version };
    snprintf(note.boot_id, sizeof(note.boot_id), "%s", collector_boot_id(s->w->collector));
    update_fingerprint(s->next->tree, note.next);
    return note;
}

/* From here on no other update with the owner's number is taken, whatever becomes of this one. */
static int accept_version(const struct step *s, struct err *err)
{
    const struct owner_version versions = { s->w->collector, s->u->state,
                                            collector_boot_id(s->w->collector) };
    return s->u->version ? owner_version_accept(&versions, s->u->version, err) : 0;
}

/* Until the new one is stored, which is last: whatever fails before finds the old one on the disk. Whether
 * the private copies were exchanged is told by *exchanged. */
static int change(struct step *s, bool *exchanged, struct err *err)
{
    struct update_note healthy = note_of(s, UPDATE_HEALTHY);
    fault_point("update-staged");
    if (measure(s, false, err) < 0)
        return -1;
    fault_point("update-measured");
    if (update_exchange(s->places.next, s->places.current, err) < 0)
        return -1;
    *exchanged = true;
    fault_point("update-exchanged");
    if (apply(s, s->next, err) < 0)
        return -1;
    fault_point("update-applied");
    if (!update_is_tree(s->places.staged, healthy.next))
        return err_set(err, ERR_IO, 0, "what was stored of the update is not the update any more");
    if (update_note_write(&s->places, &healthy, err) < 0)
        return -1;
    fault_point("update-healthy");
    if (accept_version(s, err) < 0)
        return -1;
    fault_point("update-accepted");
    if (update_store(s->w, &s->places, err) < 0)
        return -1;
    fault_point("update-stored");
    return 0;
}

/* The old workload again, in the registers and running. The update was accepted and failed: that is this
 * machine's matter, whatever kind of answer the engine gave. */
static void roll_back(struct step *s, bool exchanged, bool *whole, struct err *err)
{
    struct err why = { 0 };
    const struct update_note staged = note_of(s, UPDATE_STAGED);
    char cause[sizeof(err->cause)];
    int rc = update_note_write(&s->places, &staged, &why);
    if (exchanged)
        rc |= update_exchange(s->places.next, s->places.current, &why);
    fault_point("update-rolling-back");
    rc |= measure(s, true, &why);
    *whole = rc == 0;
    if (exchanged)
        rc |= apply(s, s->w->now, &why);
    memcpy(cause, err->cause, sizeof(cause));
    if (rc)
        err_set(err, ERR_IO, 0, "the update failed (%.120s), and going back did too: %.120s", cause,
                why.cause);
    else
        err_set(err, err->kind == ERR_IO ? ERR_IO : ERR_UNAVAILABLE, err->code,
                "the update failed and the old workload runs: %.240s", cause);
    if (rc)
        log_err(LOG_LEVEL_ERROR, "update", err);
}

/* The new one is what runs. */
static void settle(struct step *s)
{
    struct prepared *old = s->w->now;
    update_retire(s->w, &s->places, s->report.kept == 0);
    if (update_unstage(s->w, &s->places))
        update_note_remove(&s->places);
    set_root(s->next->tree, s->places.current);
    s->w->runner.listing = s->next->tree;
    s->w->now = MOVE(s->next);
    prepared_free(old);
    fault_point("update-settled");
}

/* A note that is left has the next start look after what lies on the disk. */
static void clear(const struct step *s)
{
    (void)!folder_remove(AT_FDCWD, s->places.next, NULL);
    if (update_unstage(s->w, &s->places))
        update_note_remove(&s->places);
}

static int carry_out(struct step *s, struct err *err)
{
    bool exchanged = false, whole = true;
    s->events = measured_log_count(workload_log_base(measurements_log(s->w->measurements)));
    const struct update_note staged = note_of(s, UPDATE_STAGED);
    int rc = update_note_write(&s->places, &staged, err);
    rc = rc < 0 ? rc : update_stage(s->w, &s->places, err);
    if (rc == 0) {
        rc = change(s, &exchanged, err);
        if (rc < 0)
            roll_back(s, exchanged, &whole, err);
    }
    if (rc == 0)
        settle(s);
    else if (whole) /* else the next start finds the note and puts the old one back */
        clear(s);
    return rc;
}

int update_run(struct workload *w, const struct update *u, json_t **answer, struct err *err)
{
    AUTO(step_done) struct step s = { .w = w, .u = u };
    if (check_machine(w, err) < 0 || update_places(w, u->state, &s.places, err) < 0)
        return -1;
    int rc = unpack(&s, err);
    rc = rc < 0 ? rc : judge(&s, err);
    rc = rc < 0 ? rc : workload_log_room(measurements_log(w->measurements), w->now->plan, s.next->plan, err);
    if (rc < 0 || u->dry_run) {
        (void)!folder_remove(AT_FDCWD, s.places.next, NULL);
        prepare_tidy_images(w);
        return rc < 0 ? rc : update_answer_dry(s.next->plan, s.diff, s.refused, answer, err);
    }
    if (w->before)
        w->before(w->ctx, s.next);
    rc = carry_out(&s, err);
    if (w->after)
        w->after(w->ctx, w, rc == 0);
    prepare_tidy_images(w);
    return rc < 0 ? rc : update_answer_done(w, s.diff, answer, err);
}
