/* Taking back what was begun or made: after a failure, for another disk, and at the end. */
#include "cli/cloud.h"

#include "base/auto.h"
#include "cli/commands.h"

#include <string.h>
#include <unistd.h>

static const struct cloud_step *step_of(const struct deployment *d, const char *id)
{
    size_t n = strcspn(id, ":");
    for (size_t i = 0; i < d->cloud->n; i++)
        if (strncmp(d->cloud->steps[i].id, id, n) == 0 && d->cloud->steps[i].id[n] == '\0')
            return &d->cloud->steps[i];
    return NULL;
}

bool cloud_recorded(const struct deployment *d, const struct cloud_step *s)
{
    const json_t *const lists[] = { d->begun, d->made };
    for (size_t k = 0; k < ARRAY_SIZE(lists); k++) {
        size_t i;
        json_t *v;
        json_array_foreach(lists[k], i, v) if (step_of(d, json_string_value(v)) == s) return true;
    }
    return false;
}

static int undo(struct deployment *d, const struct cloud_step *s)
{
    printf("  remove %s\n", s->title);
    fflush(stdout);
    if ((s->undo[0] && cloud_execute(d, s->undo, "", 0, NULL, NULL) != 0)
        || (s->undo_then[0] && cloud_execute(d, s->undo_then, "", 0, NULL, NULL) != 0))
        return fail(STATUS_ENVIRONMENT, s->title, "cannot be taken back",
                    "the tool says why above; it stays in the record");
    return 0;
}

/* What belongs to a thing that is gone is gone: a tool may not be able to say so (an object of no bucket). */
static enum cloud_look look_above(struct deployment *d, const struct cloud_step *s)
{
    const struct cloud_step *above = s->of ? step_of(d, s->of) : NULL;
    if (!above || !above->probe[0])
        return CLOUD_UNKNOWN;
    return cloud_look(d, above, "", 0) == CLOUD_ABSENT ? CLOUD_ABSENT : CLOUD_UNKNOWN;
}

/* What of somebody else's lies in it. @return 0 with the name, or "", in out; or the exit status */
static int others_in(struct deployment *d, const struct cloud_step *s, char *out, size_t size)
{
    AUTO(buf_done) struct buf text = buf_new(1u << 20);
    if (cloud_execute(d, s->others, "", 0, &text, NULL) != 0)
        return fail(STATUS_ENVIRONMENT, s->title, "cannot tell what else is in it",
                    "the tool says why above; the record is kept");
    bool some = cloud_says_something(&text);
    snprintf(out, size, "%s", some ? (const char *)text.p : "");
    return text.failed ? fail(STATUS_ENVIRONMENT, s->title, "too much is in it", NULL) : 0;
}

static int take_back(struct deployment *d, const struct cloud_step *s)
{
    char other[256] = "";
    int rc = 0;
    if (!s->undo[0] || !cloud_applies(d, s))
        return 0;
    bool known = s->capture && *cloud_var(d, s->capture);
    enum cloud_look look = cloud_look(d, s, "", 0);
    if (look == CLOUD_THERE && s->probe_id[0] && !known)
        look = cloud_look(d, s, "", 0); /* found by its mark: from here on by its id */
    if (look == CLOUD_UNKNOWN)
        look = look_above(d, s);
    if (look == CLOUD_UNKNOWN)
        return STATUS_ENVIRONMENT;
    if (look == CLOUD_ABSENT) {
        printf("  gone   %s\n", s->title);
        return 0;
    }
    if (s->others[0] && (rc = others_in(d, s, other, sizeof(other))))
        return rc;
    if (*other) {
        printf("  stays  %s: %s is in it\n", s->title, other);
        return 0;
    }
    return undo(d, s);
}

int cloud_take_back(struct deployment *d, const struct cloud_step *s)
{
    int rc = take_back(d, s);
    if (rc)
        return rc;
    cloud_forget(d, s);
    return cloud_save(d);
}

/* If everything lies in one thing, which is ours and holds nothing else, that alone goes.
 * @return 0 with *done, or the exit status */
static int take_back_whole(struct deployment *d, const json_t *list, bool *done)
{
    char other[256] = "";
    int rc;
    *done = false;
    for (size_t i = 0; i < d->cloud->n; i++) {
        const struct cloud_step *s = &d->cloud->steps[i];
        if (!s->others[0] || !cloud_listed(list, s->id) || !cloud_recorded(d, s))
            continue;
        enum cloud_look look = cloud_look(d, s, "", 0);
        if (look == CLOUD_UNKNOWN)
            return STATUS_ENVIRONMENT;
        if (look == CLOUD_THERE && (rc = others_in(d, s, other, sizeof(other))))
            return rc;
        if (look == CLOUD_THERE && *other)
            return 0;
        if (look == CLOUD_ABSENT)
            printf("  gone   %s, with all that was in it\n", s->title);
        else if ((rc = undo(d, s)))
            return rc;
        *done = true;
        return 0;
    }
    return 0;
}

void cloud_roll_back(struct deployment *d)
{
    bool whole = false;
    fprintf(stderr, "cvm-cli: %s: taking back what this run has made (--keep leaves it)\n", d->cloud->name);
    if (take_back_whole(d, d->now, &whole) != 0)
        return; /* still in the record: cleanup can try again */
    if (whole) {
        unlink(d->state_file);
        return;
    }
    for (size_t n = json_array_size(d->now); n > 0; n--) {
        const struct cloud_step *s = step_of(d, json_string_value(json_array_get(d->now, n - 1)));
        if (s && cloud_recorded(d, s) && cloud_take_back(d, s) != 0)
            return;
    }
    if (json_array_size(d->made) == 0 && json_array_size(d->begun) == 0)
        unlink(d->state_file);
}

int cloud_cleanup(struct deployment *d)
{
    bool whole = false;
    int rc;
    if (d->dry_run)
        return cloud_print_cleanup(d);
    if ((rc = cloud_check_tool(d)))
        return rc;
    AUTO(json_drop) json_t *all = json_copy(d->made);
    if (!all || json_array_extend(all, d->begun) < 0)
        return fail(STATUS_ENVIRONMENT, "cloud", "cannot go on", "memory is short");
    rc = take_back_whole(d, all, &whole);
    for (size_t i = d->cloud->n; rc == 0 && !whole && i > 0; i--)
        if (cloud_recorded(d, &d->cloud->steps[i - 1]))
            rc = cloud_take_back(d, &d->cloud->steps[i - 1]);
    if (rc == 0 && unlink(d->state_file) < 0)
        rc = fail(STATUS_ENVIRONMENT, d->state_file, "cannot be removed", NULL);
    return rc;
}
