/* After a kill: the old workload or the new one, whole. */
#include "agent/update.h"

#include "agent/measurements.h"
#include "agent/owner_version.h"
#include "agent/update_data.h"
#include "base/auto.h"
#include "base/folder.h"
#include "base/log.h"

#include <fcntl.h>

struct undoing {
    struct workload_log *log;
    size_t from;
    bool undone;
};

static int undo_on_tpm(struct tpm *tpm, void *arg, struct err *err)
{
    struct undoing *u = arg;
    return workload_log_undo(u->log, tpm, u->from, &u->undone, err);
}

/* That it was measured stays in the history: so must its end, whatever is measured at this start. */
static int undo(const struct workload *w, const struct update_note *note, struct err *err)
{
    struct undoing u = { w->measurements ? measurements_log(w->measurements) : NULL, note->events, false };
    if (!u.log)
        return err_set(err, ERR_UNAVAILABLE, 0, "the workload log could not be opened");
    if (collector_with_tpm(w->collector, undo_on_tpm, &u, err) < 0)
        return -1;
    if (u.undone)
        log_event(LOG_LEVEL_WARNING, "update", "state", "cut short: rolled back", NULL);
    return 0;
}

/* It may have been killed before that. */
static int accept_version(const struct workload *w, const char *state, const struct update_note *note,
                          struct err *err)
{
    const struct owner_version versions = { w->collector, state, note->boot_id };
    uint64_t last;
    if (!note->version)
        return 0;
    if (owner_version_last(&versions, &last, err) < 0)
        return -1;
    return note->version > last ? owner_version_accept(&versions, note->version, err) : 0;
}

/* Of this boot: what is staged is known, and cvm-agent-priv may still be at it. */
static int resume(const struct workload *w, const char *state, const struct update_places *p,
                  const struct update_note *note, struct err *err)
{
    if (update_await_stored(w, err) < 0)
        return -1;
    if (note->phase == UPDATE_STAGED && access(p->next, F_OK) == 0 && update_is_tree(p->current, note->next)
        && update_exchange(p->next, p->current, err) < 0)
        return err_while(err, "undo an update that was cut short");
    if (note->phase == UPDATE_STAGED && undo(w, note, err) < 0)
        return err_while(err, "undo an update that was cut short");
    if (note->phase == UPDATE_HEALTHY) {
        if (accept_version(w, state, note, err) < 0)
            return err_while(err, "an update that was cut short");
        if (!update_is_tree(p->data, note->next) && update_is_tree(p->staged, note->next)
            && update_store(w, p, err) < 0)
            return err_while(err, "an update that was cut short");
        update_retire(w, p, false);
    }
    (void)!update_unstage(w, p);
    return 0;
}

int update_recover(const struct workload *w, const char *state, const char *boot_id, struct err *err)
{
    struct update_places p;
    struct update_note note;
    if (!w->private_dir)
        return 0;
    if (update_places(w, state, &p, err) < 0)
        return -1;
    update_note_read(&p, &note);
    if (note.phase != UPDATE_NONE && !strcmp(note.boot_id, boot_id) && resume(w, state, &p, &note, err) < 0)
        return -1;
    update_note_remove(&p);
    (void)!folder_remove(AT_FDCWD, p.next, NULL);
    return 0;
}
