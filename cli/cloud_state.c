/* The record of a deployment: variables, and which steps were begun, made, or found there. */
#include "cli/cloud.h"

#include "base/auto.h"
#include "base/file.h"
#include "cli/commands.h"

#include <string.h>

#define STATE_MAX (256u << 10)

static int no_memory(void)
{
    return fail(STATUS_ENVIRONMENT, "cloud", "cannot go on", "memory is short");
}

const char *cloud_var(const struct deployment *d, const char *name)
{
    const char *value = json_string_value(json_object_get(d->vars, name));
    return value ? value : "";
}

int cloud_set(struct deployment *d, const char *name, const char *value)
{
    return json_object_set_new(d->vars, name, json_string(value)) < 0 ? no_memory() : 0;
}

int cloud_start(struct deployment *d, const struct cloud *cloud)
{
    d->cloud = cloud;
    d->vars = json_object();
    d->begun = json_array();
    d->made = json_array();
    d->found = json_array();
    d->now = json_array();
    return d->vars && d->begun && d->made && d->found && d->now ? 0 : no_memory();
}

void deployment_done(struct deployment *d)
{
    json_decref(d->vars);
    json_decref(d->begun);
    json_decref(d->made);
    json_decref(d->found);
    json_decref(d->now);
}

bool cloud_listed(const json_t *list, const char *id)
{
    size_t i;
    json_t *v;
    json_array_foreach(list, i, v) if (strcmp(json_string_value(v), id) == 0) return true;
    return false;
}

int cloud_list(json_t *list, const char *id)
{
    cloud_unlist(list, id);
    return json_array_append_new(list, json_string(id)) < 0 ? no_memory() : 0;
}

void cloud_unlist(json_t *list, const char *id)
{
    for (size_t i = json_array_size(list); i > 0; i--)
        if (strcmp(json_string_value(json_array_get(list, i - 1)), id) == 0)
            json_array_remove(list, i - 1);
}

/* A step's own id, and those of its items: "ports", "ports:80". */
static void unlist_all(json_t *list, const char *id)
{
    size_t n = strlen(id);
    for (size_t i = json_array_size(list); i > 0; i--) {
        const char *have = json_string_value(json_array_get(list, i - 1));
        if (strncmp(have, id, n) == 0 && (have[n] == '\0' || have[n] == ':'))
            json_array_remove(list, i - 1);
    }
}

void cloud_forget(struct deployment *d, const struct cloud_step *s)
{
    unlist_all(d->begun, s->id);
    unlist_all(d->made, s->id);
    unlist_all(d->found, s->id);
    if (s->capture)
        json_object_del(d->vars, s->capture);
    if (s->token)
        json_object_del(d->vars, s->token);
    for (size_t i = 0; i < d->cloud->n; i++)
        if (d->cloud->steps[i].of && strcmp(d->cloud->steps[i].of, s->id) == 0)
            cloud_forget(d, &d->cloud->steps[i]);
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
    json_t *vars = json_object_get(root, "vars"), *made = json_object_get(root, "made"),
           *found = json_object_get(root, "found"), *begun = json_object_get(root, "begun");
    if (!json_is_object(vars) || !json_is_array(made) || !json_is_array(found) || !all_texts(vars)
        || !all_texts(made) || !all_texts(found) || (begun && (!json_is_array(begun) || !all_texts(begun))))
        return fail(STATUS_INPUT, d->state_file, "not a record of a deployment", NULL);
    if (json_object_update_missing(d->vars, vars) < 0 || json_array_extend(d->made, made) < 0
        || json_array_extend(d->found, found) < 0 || (begun && json_array_extend(d->begun, begun) < 0))
        return no_memory();
    return 0;
}

int cloud_save(const struct deployment *d)
{
    AUTO(buf_done) struct buf text = buf_new(STATE_MAX);
    AUTO(json_drop)
    json_t *root = json_pack("{s:s,s:O,s:O,s:O,s:O}", "cloud", d->cloud->name, "vars", d->vars, "begun",
                             d->begun, "made", d->made, "found", d->found);
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
