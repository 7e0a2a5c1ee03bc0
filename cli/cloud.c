#include "cli/cloud.h"

#include "base/auto.h"
#include "base/file.h"
#include "cli/cloud_run.h"
#include "cli/commands.h"

#include <string.h>
#include <unistd.h>

#define STATE_MAX (256u << 10)
#define POLLS_MAX 360 /* of poll_seconds each */

/* ---- variables and state ---- */

const char *cloud_var(const struct deployment *d, const char *name)
{
    const char *value = json_string_value(json_object_get(d->vars, name));
    return value ? value : "";
}

static int no_memory(void)
{
    return fail(STATUS_ENVIRONMENT, "cloud", "cannot go on", "memory is short");
}

int cloud_set(struct deployment *d, const char *name, const char *value)
{
    return json_object_set_new(d->vars, name, json_string(value)) < 0 ? no_memory() : 0;
}

void deployment_done(struct deployment *d)
{
    json_decref(d->vars);
    json_decref(d->made);
    json_decref(d->found);
}

static bool listed(const json_t *list, const char *id)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v) if (strcmp(json_string_value(v), id) == 0) return true;
    return false;
}

static void unlist(json_t *list, const char *id)
{
    for (size_t i = json_array_size(list); i > 0; i--)
        if (strcmp(json_string_value(json_array_get(list, i - 1)), id) == 0)
            json_array_remove(list, i - 1);
}

static bool all_texts(const json_t *v)
{
    size_t i;
    json_t *item;
    const char *key;
    json_array_foreach(v, i, item) if (!json_is_string(item)) return false;
    json_object_foreach((json_t *)(uintptr_t)v, key, item) if (!json_is_string(item)) return false;
    return json_is_array(v) || json_is_object(v);
}

int cloud_load(struct deployment *d, bool must)
{
    AUTO(free_u8) uint8_t *text = NULL;
    AUTO(json_drop) json_t *root = NULL;
    json_t *vars, *made, *found;
    size_t n;
    struct err err = { 0 };
    if (file_read(d->state_file, STATE_MAX, &text, &n, &err) < 0) {
        if (err.kind == ERR_NOT_FOUND && !must)
            return 0;
        return fail(STATUS_INPUT, d->state_file, "no record of this machine",
                    err.kind == ERR_NOT_FOUND ? "deploy writes it: is --vm_name right, and the folder?"
                                              : err.cause);
    }
    if (json_parse(bytes_of(text, n), STATE_MAX, &root, &err) < 0)
        return fail_err(STATUS_INPUT, d->state_file, "not a record of a deployment", &err);
    vars = json_object_get(root, "vars");
    made = json_object_get(root, "made");
    found = json_object_get(root, "found");
    if (!json_is_object(vars) || !json_is_array(made) || !json_is_array(found) || !all_texts(vars)
        || !all_texts(made) || !all_texts(found))
        return fail(STATUS_INPUT, d->state_file, "not a record of a deployment", NULL);
    if (json_object_update_missing(d->vars, vars) < 0 || json_array_extend(d->made, made) < 0
        || json_array_extend(d->found, found) < 0)
        return no_memory();
    return 0;
}

static int save(const struct deployment *d)
{
    AUTO(buf_done) struct buf text = buf_new(STATE_MAX);
    AUTO(json_drop)
    json_t *root = json_pack("{s:s,s:O,s:O,s:O}", "cloud", d->cloud->name, "vars", d->vars, "made", d->made,
                             "found", d->found);
    struct err err = { 0 };
    if (!root)
        return no_memory();
    json_put(&text, root, true);
    buf_u8(&text, '\n');
    if (buf_check(&text, "state", &err) < 0
        || file_write_atomic(d->state_file, buf_bytes(&text), 0600, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, d->state_file, "cannot be written", &err);
    return 0;
}

/* ---- commands ---- */

static void put_word(struct buf *out, const struct deployment *d, const char *word, const char *item,
                     unsigned number)
{
    const char *from;
    while ((from = strstr(word, "${"))) {
        const char *end = strchr(from, '}');
        char name[64];
        snprintf(name, sizeof(name), "%.*s", (int)(end - from - 2), from + 2);
        buf_put(out, bytes_of(word, (size_t)(from - word)));
        if (strcmp(name, "item") == 0)
            buf_str(out, item);
        else if (strcmp(name, "number") == 0)
            buf_printf(out, "%02u", number);
        else if (d->dry_run && !json_object_get(d->vars, name))
            buf_printf(out, "${%s}", name); /* a shell that runs the printed commands has it by then */
        else
            buf_str(out, cloud_var(d, name));
        word = end + 1;
    }
    buf_str(out, word);
}

/* The word without its condition, or NULL if it is not wanted. */
static const char *wanted(const struct deployment *d, const char *word)
{
    char name[64];
    const char *colon = strchr(word, ':');
    if (word[0] != '?' || !colon)
        return word;
    snprintf(name, sizeof(name), "%.*s", (int)(colon - word - 1), word + 1);
    return *cloud_var(d, name) ? colon + 1 : NULL;
}

void cloud_put_command(struct buf *out, const struct deployment *d, const cloud_command c, const char *item,
                       unsigned number)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";
    bool first = true;
    for (size_t i = 0; i < CLOUD_ARGS_MAX && c[i]; i++) {
        AUTO(buf_done) struct buf word = buf_new(1u << 20);
        const char *w = wanted(d, c[i]);
        if (!w)
            continue;
        put_word(&word, d, w, item, number);
        buf_u8(&word, '\0');
        if (!first)
            buf_u8(out, ' ');
        first = false;
        const char *text = (const char *)word.p;
        if (*text && strspn(text, plain) == strlen(text))
            buf_str(out, text);
        else if (strstr(text, "${"))
            buf_printf(out, "\"%s\"", text);
        else
            buf_printf(out, "'%s'", text); /* our own words and checked options: no quotes in them */
    }
}

static int execute(const struct deployment *d, const cloud_command c, const char *item, unsigned number,
                   bool quiet, struct buf *out)
{
    char *argv[CLOUD_ARGS_MAX + 1] = { NULL };
    size_t n = 0;
    int rc = 0;
    for (size_t i = 0; i < CLOUD_ARGS_MAX && c[i]; i++) {
        struct buf word = buf_new(1u << 20);
        const char *w = wanted(d, c[i]);
        if (!w)
            continue;
        put_word(&word, d, w, item, number);
        argv[n] = buf_take_str(&word);
        if (!argv[n++])
            rc = no_memory();
    }
    if (rc == 0)
        rc = run_program((const char *const *)argv, quiet, out);
    for (size_t i = 0; i < n; i++)
        free(argv[i]);
    return rc;
}

/* What a tool printed: without the line break; "None" is AWS for nothing. */
static bool says_something(struct buf *out)
{
    while (out->n && (out->p[out->n - 1] == '\n' || out->p[out->n - 1] == '\r'))
        out->n--;
    buf_u8(out, '\0');
    return !out->failed && out->n > 1 && strcmp((const char *)out->p, "None") != 0;
}

static bool is_there(struct deployment *d, const struct cloud_step *s, const char *item, unsigned number)
{
    AUTO(buf_done) struct buf out = buf_new(1u << 20);
    if (!s->probe[0] || execute(d, s->probe, item, number, true, &out) != 0)
        return false;
    if (!s->capture)
        return out.n == 0 || says_something(&out);
    return says_something(&out) && cloud_set(d, s->capture, (const char *)out.p) == 0;
}

static int run_step(struct deployment *d, const struct cloud_step *s, const char *item, unsigned number)
{
    for (unsigned polls = 0;; polls++) {
        AUTO(buf_done) struct buf out = buf_new(1u << 20);
        bool keep = s->capture || s->wait;
        if (execute(d, s->run, item, number, false, keep ? &out : NULL) != 0)
            return fail(STATUS_ENVIRONMENT, s->title, "failed", "the tool says why above");
        if (!keep)
            return 0;
        if (!says_something(&out))
            return fail(STATUS_ENVIRONMENT, s->title, "failed", "the tool has printed nothing");
        const char *text = (const char *)out.p;
        if (s->capture)
            return cloud_set(d, s->capture, text);
        if (strcmp(text, s->wait) == 0)
            return 0;
        if (strstr(text, "delet") || strstr(text, "rror") || strstr(text, "ailed") || polls >= POLLS_MAX)
            return fail(STATUS_ENVIRONMENT, s->title, "failed", text);
        printf("      %s\n", text);
        fflush(stdout);
        sleep(d->poll_seconds);
    }
}

/* ---- one step ---- */

typedef int visit_fn(struct deployment *d, const struct cloud_step *s, const char *item, unsigned number);

static int for_each_item(struct deployment *d, const struct cloud_step *s, visit_fn *visit)
{
    char list[512], *rest = list;
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

static bool applies(const struct deployment *d, const struct cloud_step *s)
{
    return (!s->when || *cloud_var(d, s->when)) && (!s->each || *cloud_var(d, s->each));
}

static int take_back_item(struct deployment *d, const struct cloud_step *s, const char *item, unsigned number)
{
    if (s->undo[0] && execute(d, s->undo, item, number, false, NULL) != 0)
        return fail(STATUS_ENVIRONMENT, s->title, "cannot be taken back", "the tool says why above");
    if (s->undo_then[0] && execute(d, s->undo_then, item, number, false, NULL) != 0)
        return fail(STATUS_ENVIRONMENT, s->title, "cannot be taken back", "the tool says why above");
    return 0;
}

static int take_back(struct deployment *d, const struct cloud_step *s)
{
    if (!s->undo[0] || !applies(d, s))
        return 0;
    if (s->undo_unless && *cloud_var(d, s->undo_unless)) {
        printf("  stays  %s: %s is in it\n", s->title, cloud_var(d, s->undo_unless));
        return 0;
    }
    if (s->probe[0] && !s->each && !is_there(d, s, "", 0)) {
        printf("  gone   %s\n", s->title);
        return 0;
    }
    printf("  remove %s\n", s->title);
    fflush(stdout);
    return for_each_item(d, s, take_back_item);
}

static int make_item(struct deployment *d, const struct cloud_step *s, const char *item, unsigned number)
{
    return run_step(d, s, item, number);
}

/* There already: of this deployment, or somebody's. A network or a bucket of somebody's will do, and is not
 * ours to remove; an image or a machine of unknown bytes will not, and is not ours to replace. */
static int found(struct deployment *d, const struct cloud_step *s)
{
    if (listed(d->made, s->id) || listed(d->found, s->id))
        return 0;
    if (s->of_disk)
        return fail(STATUS_ENVIRONMENT, s->title, "one of this name is there, and not of this record",
                    "remove it, or choose another --vm_name");
    return json_array_append_new(d->found, json_string(s->id)) < 0 ? no_memory() : 0;
}

static int make(struct deployment *d, const struct cloud_step *s, size_t number, size_t *made_now)
{
    bool skip = false;
    int rc;
    printf("[%zu/%zu] %s\n", number, d->cloud->n, s->title);
    fflush(stdout);
    if (!s->each && is_there(d, s, "", 0)) {
        if ((rc = found(d, s)))
            return rc;
        skip = true;
    } else if (!s->probe[0] && listed(d->made, s->id)) {
        skip = true;
    }
    if (skip) {
        printf("      is there\n");
        return save(d);
    }
    if ((rc = for_each_item(d, s, make_item)))
        return rc;
    unlist(d->made, s->id);
    if (json_array_append_new(d->made, json_string(s->id)) < 0)
        return no_memory();
    ++*made_now;
    return save(d);
}

/* ---- all steps ---- */

static int print_script(const struct deployment *d)
{
    AUTO(buf_done) struct buf out = buf_new(1u << 20);
    for (size_t i = 0; i < d->cloud->n; i++) {
        const struct cloud_step *s = &d->cloud->steps[i];
        char list[512], *rest = list, *item;
        unsigned number = 0;
        if (!applies(d, s))
            continue;
        snprintf(list, sizeof(list), "%s", s->each ? cloud_var(d, s->each) : "-");
        buf_printf(&out, "# %s%s%s\n", s->title, s->wait ? ", until it prints " : "", s->wait ? s->wait : "");
        for (; (item = strsep(&rest, ",")); number++) {
            if (s->capture)
                buf_printf(&out, "%s=$(", s->capture);
            cloud_put_command(&out, d, s->run, item, number);
            buf_str(&out, s->capture ? ")\n" : "\n");
        }
    }
    return write_out(&out, NULL);
}

static int check_tool(const struct deployment *d)
{
    AUTO(buf_done) struct buf out = buf_new(1u << 20);
    const struct cloud *c = d->cloud;
    if (!program_exists(c->tool))
        return fail(STATUS_ENVIRONMENT, c->tool, "not found", c->tool_hint);
    if (execute(d, c->login, "", 0, true, &out) != 0 || !says_something(&out))
        return fail(STATUS_ENVIRONMENT, c->tool, "nobody is logged in", c->login_hint);
    return 0;
}

static void roll_back(struct deployment *d, size_t made_now)
{
    fprintf(stderr, "cvm-cli: %s: taking back what this run has made (--keep leaves it)\n", d->cloud->name);
    for (; made_now > 0 && json_array_size(d->made) > 0; made_now--) {
        size_t last = json_array_size(d->made) - 1;
        const char *id = json_string_value(json_array_get(d->made, last));
        for (size_t i = 0; i < d->cloud->n; i++)
            if (strcmp(d->cloud->steps[i].id, id) == 0 && take_back(d, &d->cloud->steps[i]) != 0)
                return; /* still in the record: cleanup can try again */
        json_array_remove(d->made, last);
        if (save(d) != 0)
            return;
    }
    if (json_array_size(d->made) == 0)
        unlink(d->state_file);
}

/* What was made of another disk goes first, last made first: an image holds its snapshot. */
static int drop_other_disk(struct deployment *d)
{
    int rc = 0;
    bool other = *cloud_var(d, "disk_id") && strcmp(cloud_var(d, "disk_id"), cloud_var(d, "disk_now")) != 0;
    if (other)
        printf("the disk is another one: what was made of the older one is replaced\n");
    for (size_t i = d->cloud->n; rc == 0 && other && i > 0; i--) {
        const struct cloud_step *s = &d->cloud->steps[i - 1];
        if (!s->of_disk || !listed(d->made, s->id))
            continue;
        if ((rc = take_back(d, s)) == 0) {
            unlist(d->made, s->id);
            rc = save(d);
        }
    }
    return rc ? rc : cloud_set(d, "disk_id", cloud_var(d, "disk_now"));
}

int cloud_deploy(struct deployment *d)
{
    size_t made_now = 0;
    int rc = 0;
    if (d->dry_run)
        return print_script(d);
    if ((rc = check_tool(d)) || (rc = drop_other_disk(d)) || (rc = save(d)))
        return rc;
    for (size_t i = 0; rc == 0 && i < d->cloud->n; i++)
        if (applies(d, &d->cloud->steps[i]))
            rc = make(d, &d->cloud->steps[i], i + 1, &made_now);
    if (rc && !d->keep)
        roll_back(d, made_now);
    if (rc == 0)
        printf("%s: address %s, record %s\n", cloud_var(d, "vm_name"), cloud_var(d, d->cloud->address),
               d->state_file);
    return rc;
}

int cloud_cleanup(struct deployment *d)
{
    AUTO(buf_done) struct buf out = buf_new(1u << 20);
    int rc = d->dry_run ? 0 : check_tool(d);
    for (size_t i = d->cloud->n; rc == 0 && i > 0; i--) {
        const struct cloud_step *s = &d->cloud->steps[i - 1];
        if (!listed(d->made, s->id))
            continue;
        if (d->dry_run && s->undo[0] && applies(d, s)) {
            cloud_put_command(&out, d, s->undo, "", 0);
            buf_u8(&out, '\n');
        }
        if (d->dry_run)
            continue;
        if ((rc = take_back(d, s)))
            break;
        unlist(d->made, s->id);
        rc = save(d);
    }
    if (rc == 0 && d->dry_run)
        return write_out(&out, NULL);
    if (rc == 0 && unlink(d->state_file) < 0)
        rc = fail(STATUS_ENVIRONMENT, d->state_file, "cannot be removed", NULL);
    return rc;
}
