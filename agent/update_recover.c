/* After a kill: the old workload or the new one, whole. */
#include "agent/update.h"

#include "agent/update_data.h"
#include "base/auto.h"
#include "base/folder.h"

#include <fcntl.h>

/* Of this boot: what is staged is known, and cvm-agent-priv may still be at it. */
static int resume(const struct workload *w, const struct update_places *p, const struct update_note *note,
                  struct err *err)
{
    if (update_await_stored(w, err) < 0)
        return -1;
    if (note->phase == UPDATE_STAGED && update_is_tree(p->current, note->next)
        && update_exchange(p->next, p->current, err) < 0)
        return err_while(err, "undo an update that was cut short");
    if (note->phase == UPDATE_HEALTHY) {
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
    if (note.phase != UPDATE_NONE && !strcmp(note.boot_id, boot_id) && resume(w, &p, &note, err) < 0)
        return -1;
    update_note_remove(&p);
    (void)!folder_remove(AT_FDCWD, p.next, NULL);
    return 0;
}
