/* --dry-run: the commands of a run to come, as a shell would run them. */
#include "cli/cloud.h"

#include "base/auto.h"
#include "cli/commands.h"

#include <string.h>

static void put_undo(struct buf *out, const struct deployment *d, const struct cloud_step *s)
{
    if (!s->undo[0] || !cloud_applies(d, s))
        return;
    buf_printf(out, "# remove: %s\n", s->title);
    cloud_put_command(out, d, s->undo, "", 0);
    buf_u8(out, '\n');
    if (s->undo_then[0]) {
        cloud_put_command(out, d, s->undo_then, "", 0);
        buf_u8(out, '\n');
    }
}

static void put_run(struct buf *out, const struct deployment *d, const struct cloud_step *s, const char *item,
                    unsigned number)
{
    if (s->token && !*cloud_var(d, s->token))
        buf_printf(out, "%s=$(openssl rand -hex 16)\n", s->token);
    if (s->capture)
        buf_printf(out, "%s=$(", s->capture);
    cloud_put_command(out, d, s->run, item, number);
    buf_str(out, s->capture ? ")\n" : "\n");
}

static bool stays(const struct deployment *d, const char *key)
{
    return cloud_listed(d->made, key) || cloud_listed(d->found, key);
}

/* What another disk replaces is removed first; what is made after that has new ids, which the shell captures.
 */
static void put_removals(struct buf *out, struct deployment *d)
{
    for (size_t i = d->cloud->n; i > 0; i--)
        if (d->cloud->steps[i - 1].of_disk && cloud_recorded(d, &d->cloud->steps[i - 1]))
            put_undo(out, d, &d->cloud->steps[i - 1]);
    for (size_t i = 0; i < d->cloud->n; i++)
        if (d->cloud->steps[i].of_disk)
            cloud_forget(d, &d->cloud->steps[i]);
}

int cloud_print_deploy(struct deployment *d)
{
    AUTO(buf_done) struct buf out = buf_new(1u << 20);
    if (cloud_other_disk(d))
        put_removals(&out, d);
    for (size_t i = 0; i < d->cloud->n; i++) {
        const struct cloud_step *s = &d->cloud->steps[i];
        char list[CLOUD_LIST_MAX], *rest = list, *item, key[80];
        unsigned number = 0;
        if (!s->run[0] || !cloud_applies(d, s) || (s->not_new && !stays(d, s->not_new)))
            continue;
        snprintf(list, sizeof(list), "%s", s->each ? cloud_var(d, s->each) : "-");
        buf_printf(&out, "# %s%s%s\n", s->title, s->wait ? ", until it prints " : "", s->wait ? s->wait : "");
        for (; (item = strsep(&rest, ",")); number++) {
            cloud_key(s, item, key);
            if (!s->reads && stays(d, key))
                buf_printf(&out, "#   in the record%s\n", s->once ? "" : ": only if it is gone meanwhile");
            else
                put_run(&out, d, s, item, number);
        }
    }
    return write_out(&out, NULL);
}

int cloud_print_cleanup(const struct deployment *d)
{
    AUTO(buf_done) struct buf out = buf_new(1u << 20);
    for (size_t i = 0; i < d->cloud->n; i++)
        if (d->cloud->steps[i].others[0] && cloud_recorded(d, &d->cloud->steps[i])) {
            buf_printf(&out, "# if nothing else is in it, this alone\n");
            put_undo(&out, d, &d->cloud->steps[i]);
            buf_printf(&out, "# else, each that is there\n");
        }
    for (size_t i = d->cloud->n; i > 0; i--)
        if (!d->cloud->steps[i - 1].others[0] && cloud_recorded(d, &d->cloud->steps[i - 1]))
            put_undo(&out, d, &d->cloud->steps[i - 1]);
    return write_out(&out, NULL);
}
