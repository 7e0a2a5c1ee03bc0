#include "cli/cloud.h"

#include "base/auto.h"
#include "base/enc.h"
#include "cli/commands.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* ---- one step ---- */

int cloud_for_each(struct deployment *d, const struct cloud_step *s, cloud_visit_fn *visit)
{
    char list[CLOUD_LIST_MAX], *rest = list;
    unsigned number = 0;
    if (!s->each)
        return visit(d, s, "", 0);
    snprintf(list, sizeof(list), "%s", cloud_var(d, s->each));
    for (char *item; (item = strsep(&rest, ",")); number++) {
        int rc = *item ? visit(d, s, item, number) : 0;
        if (rc)
            return rc;
    }
    return 0;
}

bool cloud_applies(const struct deployment *d, const struct cloud_step *s)
{
    return (!s->when || *cloud_var(d, s->when)) && (!s->each || *cloud_var(d, s->each));
}

void cloud_key(const struct cloud_step *s, const char *item, char key[static 80])
{
    snprintf(key, 80, "%s%s%s", s->id, s->each ? ":" : "", s->each ? item : "");
}

static int is_there(void)
{
    printf("      is there\n");
    return 0;
}

/* There already: of this deployment, or somebody's. A network or a bucket of somebody's will do, and is not
 * ours to remove; an image or a machine of unknown bytes will not, and is not ours to replace. */
static int adopt(struct deployment *d, const struct cloud_step *s, const char *key)
{
    int rc = 0;
    if (cloud_listed(d->begun, key) || (s->each && !cloud_listed(d->made, key))) {
        cloud_unlist(d->begun, key); /* a run that was interrupted has made it */
        rc = cloud_list(d->made, key);
    } else if (!cloud_listed(d->made, key) && !cloud_listed(d->found, key)) {
        if (!s->shared)
            return fail(STATUS_ENVIRONMENT, s->title, "one of this name is there, and not of this record",
                        "remove it, or choose another --vm_name");
        rc = cloud_list(d->found, key);
    }
    return rc || (rc = cloud_save(d)) ? rc : is_there();
}

/* Before the command runs the record says so: whatever becomes of the run, the thing is known. */
static int begin(struct deployment *d, const struct cloud_step *s, const char *key)
{
    uint8_t random[16];
    char token[2 * sizeof(random) + 1];
    int rc;
    if (s->token && !*cloud_var(d, s->token)) {
        if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
            return fail(STATUS_ENVIRONMENT, s->title, "no random bytes", NULL);
        if ((rc = cloud_set(d, s->token, hex_to(token, bytes_of(random, sizeof(random))))))
            return rc;
    }
    if (s->brings && ((rc = cloud_list(d->begun, s->brings)) || (rc = cloud_list(d->now, s->brings))))
        return rc;
    cloud_unlist(d->found, key);
    if ((rc = cloud_list(d->begun, key)) || (rc = cloud_list(d->now, key)))
        return rc;
    return cloud_save(d);
}

static int make_item(struct deployment *d, const struct cloud_step *s, const char *item, unsigned number)
{
    char key[80];
    int rc;
    cloud_key(s, item, key);
    if (s->reads)
        return (rc = cloud_run_step(d, s, item, number)) ? rc : cloud_save(d);
    bool made = cloud_listed(d->made, key), begun = cloud_listed(d->begun, key);
    if (made && (s->once || !s->probe[0]))
        return is_there();
    if (s->probe[0]) {
        enum cloud_look look = cloud_look(d, s, item, number);
        if (look == CLOUD_UNKNOWN)
            return STATUS_ENVIRONMENT;
        if (look == CLOUD_THERE && !(begun && s->again))
            return adopt(d, s, key);
        if (look == CLOUD_ABSENT && made && !s->each)
            cloud_forget(d, s); /* gone meanwhile, and with it what belonged to it */
    }
    if ((rc = begin(d, s, key)) || (rc = cloud_run_step(d, s, item, number)))
        return rc;
    cloud_unlist(d->begun, key);
    return (rc = cloud_list(d->made, key)) ? rc : cloud_save(d);
}

static int make(struct deployment *d, const struct cloud_step *s, size_t number)
{
    if (!s->run[0] || !cloud_applies(d, s) || (s->not_new && cloud_listed(d->now, s->not_new)))
        return 0;
    printf("[%zu/%zu] %s\n", number, d->cloud->n, s->title);
    fflush(stdout);
    return cloud_for_each(d, s, make_item);
}

/* ---- all steps ---- */

bool cloud_other_disk(const struct deployment *d)
{
    return *cloud_var(d, "disk_id") && strcmp(cloud_var(d, "disk_id"), cloud_var(d, "disk_now")) != 0;
}

/* What was made of another disk goes first, last made first: an image holds its snapshot. */
static int drop_other_disk(struct deployment *d)
{
    int rc = 0;
    bool other = cloud_other_disk(d);
    if (other)
        printf("the disk is another one: what was made of the older one is replaced\n");
    for (size_t i = d->cloud->n; rc == 0 && other && i > 0; i--)
        if (d->cloud->steps[i - 1].of_disk && cloud_recorded(d, &d->cloud->steps[i - 1]))
            rc = cloud_take_back(d, &d->cloud->steps[i - 1]);
    return rc ? rc : cloud_set(d, "disk_id", cloud_var(d, "disk_now"));
}

/* What the account must have, beside somebody who is logged in. Who may not ask goes on: the step that needs
 * it will say so. */
static int check_need(const struct deployment *d)
{
    AUTO(buf_done) struct buf out = buf_new(1u << 20);
    AUTO(buf_done) struct buf errors = buf_new(1u << 20);
    const struct cloud *c = d->cloud;
    if (!c->need[0] || cloud_execute(d, c->need, "", 0, &out, &errors) == 0)
        return 0;
    buf_u8(&errors, '\0');
    if (!errors.failed && strstr((const char *)errors.p, c->need_absent))
        return fail(STATUS_ENVIRONMENT, c->need_name, "is not there", c->need_hint);
    fprintf(stderr, "cvm-cli: %s: cannot be looked for: %s\n", c->need_name, c->need_hint);
    return 0;
}

int cloud_deploy(struct deployment *d)
{
    int rc;
    if (d->dry_run)
        return cloud_print_deploy(d);
    if ((rc = cloud_check_tool(d)) || (rc = check_need(d)) || (rc = drop_other_disk(d))
        || (rc = cloud_save(d)))
        return rc;
    for (size_t i = 0; rc == 0 && i < d->cloud->n; i++)
        rc = make(d, &d->cloud->steps[i], i + 1);
    if (rc && !d->keep)
        cloud_roll_back(d);
    if (rc == 0)
        printf("%s: address %s, record %s\n", cloud_var(d, "vm_name"), cloud_var(d, d->cloud->address),
               d->state_file);
    return rc;
}
