/* Containers: made, started, stopped, looked at. */
#include "workload/engine_call.h"

#include "base/auto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WARNINGS_MAX 16 /* of one container */

int engine_create(const struct engine *e, const json_t *spec, char id[static ENGINE_ID_SIZE], struct err *err)
{
    const json_t *files = json_object_get(spec, "files");
    AUTO(json_drop) json_t *rest = json_copy((json_t *)(uintptr_t)spec);
    char made[ENGINE_ID_SIZE];
    json_object_del(rest, "files");
    if (engine_dialect(e)->create(e, rest, made, err) < 0)
        return -1;
    for (size_t i = 0; i < json_array_size(files); i++) {
        if (engine_put_file(e, made, json_array_get(files, i), err) == 0)
            continue;
        int left = engine_remove(e, made, &(struct err){ 0 }); /* or it is found, and replaced, next time */
        (void)left;
        return err_while(err, "put a secret or config into a container");
    }
    memcpy(id, made, ENGINE_ID_SIZE);
    return 0;
}

void engine_warn(const struct engine *e, const char *container, const json_t *answer)
{
    const json_t *warnings = json_object_get(answer, "Warnings");
    for (size_t i = 0; e->warn && i < json_array_size(warnings) && i < WARNINGS_MAX; i++) {
        const char *text = json_string_value(json_array_get(warnings, i));
        if (text && *text)
            e->warn(e->warn_ctx, container, text);
    }
}

/* POST /containers/NAME/verb?query; absent is what a missing container means. */
static int act(const struct engine *e, const char *name, const char *verb, unsigned deadline_ms,
               struct err *err)
{
    struct engine_path path = engine_path_of(e, "/containers/", name);
    engine_path_add(&path, verb, NULL);
    const struct engine_call call = { .method = "POST", .path = &path, .deadline_ms = deadline_ms };
    return engine_do(e, &call, NULL, err) < 0 ? -1 : 0;
}

int engine_start(const struct engine *e, const char *name, struct err *err)
{
    return act(e, name, "/start", 2 * ENGINE_QUICK_MS, err);
}

int engine_stop(const struct engine *e, const char *name, unsigned grace_s, struct err *err)
{
    char verb[48];
    snprintf(verb, sizeof(verb), "%s%u", engine_dialect(e)->stop, grace_s);
    return act(e, name, verb, ENGINE_QUICK_MS + grace_s * 1000, err);
}

int engine_kill(const struct engine *e, const char *name, const char *signal, struct err *err)
{
    struct engine_path verb = { .n = 0 };
    engine_path_add(&verb, "/kill?signal=", signal);
    return act(e, name, verb.text, 0, err);
}

int engine_rename(const struct engine *e, const char *name, const char *to, struct err *err)
{
    struct engine_path verb = { .n = 0 };
    engine_path_add(&verb, "/rename?name=", to);
    return act(e, name, verb.text, 0, err);
}

int engine_remove(const struct engine *e, const char *name, struct err *err)
{
    struct engine_path path = engine_path_of(e, "/containers/", name);
    struct err why = { 0 };
    engine_path_add(&path, "?force=true&v=true&depend=true&timeout=0", NULL);
    const struct engine_call call = { .method = "DELETE", .path = &path, .deadline_ms = 2 * ENGINE_QUICK_MS };
    if (engine_do(e, &call, NULL, &why) >= 0 || why.kind == ERR_NOT_FOUND)
        return 0;
    if (err)
        *err = why;
    return -1;
}

enum engine_health engine_health_of(const char *word)
{
    return !strcmp(word, "healthy")     ? ENGINE_HEALTHY
           : !strcmp(word, "unhealthy") ? ENGINE_UNHEALTHY
           : !strcmp(word, "starting")  ? ENGINE_HEALTH_STARTING
                                        : ENGINE_HEALTH_NONE;
}

/* An image or a container may have a check; ["NONE"] switches the image's off. */
static bool has_check(const json_t *container)
{
    const json_t *check = json_object_get(json_object_get(container, "Config"), "Healthcheck");
    const json_t *test = json_object_get(check, "Test");
    const char *first = json_string_value(json_array_get(test, 0));
    return first && strcmp(first, "NONE") != 0;
}

/* The engines' defaults, which stand for 0 (docs.docker.com, Dockerfile reference, HEALTHCHECK). */
static uint64_t health_start_ms(const json_t *container)
{
    const json_t *check = json_object_get(json_object_get(container, "Config"), "Healthcheck");
    static const struct {
        const char *key;
        json_int_t usual, most;
    } rows[] = { { "StartPeriod", 0, INT64_MAX / 8 },
                 { "Interval", 30000000000, INT64_MAX / 8 },
                 { "Timeout", 30000000000, INT64_MAX / 8 },
                 { "Retries", 3, 1000 } };
    json_int_t value[ARRAY_SIZE(rows)];
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        json_int_t n = json_integer_value(json_object_get(check, rows[i].key));
        value[i] = n <= 0 ? rows[i].usual : n < rows[i].most ? n : rows[i].most;
    }
    const uint64_t one = (uint64_t)(value[1] + value[2]) / 1000000; /* milliseconds */
    return (uint64_t)value[0] / 1000000 + (uint64_t)(value[3] + 1) * one;
}

static void copy(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%s", text);
}

static int state_of(const json_t *container, struct engine_state *out, struct err *err)
{
    const json_t *state = json_object_get(container, "State");
    const json_t *labels = json_object_get(json_object_get(container, "Config"), "Labels");
    struct engine_state s = { 0 };
    if (engine_id(engine_text(container, "Id"), s.id, err) < 0
        || engine_id(engine_text(container, "Image"), s.image, err) < 0)
        return -1;
    const char *name = engine_text(container, "Name");
    copy(s.name, sizeof(s.name), name[0] == '/' ? name + 1 : name);
    copy(s.service, sizeof(s.service), engine_text(labels, ENGINE_LABEL_SERVICE));
    copy(s.config, sizeof(s.config), engine_text(labels, ENGINE_LABEL_CONFIG));
    copy(s.status, sizeof(s.status), engine_text(state, "Status"));
    s.running = json_is_true(json_object_get(state, "Running"));
    s.ended =
        !s.running && (!strcmp(s.status, "exited") || !strcmp(s.status, "stopped")); /* not yet tidied up */
    s.oom_killed = json_is_true(json_object_get(state, "OOMKilled"));
    s.exit_code = (int)json_integer_value(json_object_get(state, "ExitCode"));
    s.pid = (int64_t)json_integer_value(json_object_get(state, "Pid"));
    s.restarts = (uint32_t)json_integer_value(json_object_get(container, "RestartCount"));
    const json_t *health = json_object_get(state, "Health");
    s.health = engine_health_of(engine_text(health, "Status"));
    if (has_check(container) && s.health == ENGINE_HEALTH_NONE)
        s.health = ENGINE_HEALTH_STARTING;
    s.health_start_ms = s.health == ENGINE_HEALTH_NONE ? 0 : health_start_ms(container);
    *out = s;
    return 0;
}

int engine_inspect(const struct engine *e, const char *name, struct engine_state *out, struct err *err)
{
    AUTO(json_drop) json_t *answer = NULL;
    struct engine_path path = engine_path_of(e, "/containers/", name);
    engine_path_add(&path, "/json", NULL);
    if (engine_json(e, &(struct engine_call){ .method = "GET", .path = &path }, &answer, err) < 0)
        return -1;
    return state_of(answer, out, err);
}

bool engine_runs_checks(const struct engine *e)
{
    return e->kind == ENGINE_DOCKER;
}

int engine_check_health(const struct engine *e, const char *name, unsigned deadline_ms,
                        enum engine_health *out, struct err *err)
{
    return engine_dialect(e)->check_health(e, name, deadline_ms, out, err);
}

static void free_states(struct engine_state **s)
{
    free(*s);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct engine_state *)a)->name, ((const struct engine_state *)b)->name);
}

static int inspect_all(const struct engine *e, const json_t *list, struct engine_state **out, size_t *n,
                       struct err *err)
{
    size_t count = json_array_size(list), found = 0;
    if (count > ENGINE_LIST_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "%zu containers, at most %d", count, ENGINE_LIST_MAX);
    AUTO(free_states) struct engine_state *states = calloc(count + 1, sizeof(*states));
    if (!states)
        return err_set(err, ERR_IO, ENOMEM, "no memory for %zu containers", count);
    for (size_t i = 0; i < count; i++) {
        char id[ENGINE_ID_SIZE];
        struct err why = { 0 };
        if (engine_id(engine_text(json_array_get(list, i), "Id"), id, err) < 0)
            return -1;
        if (engine_inspect(e, id, &states[found], &why) == 0) {
            found++;
        } else if (why.kind != ERR_NOT_FOUND) { /* gone since is fine */
            if (err)
                *err = why;
            return -1;
        }
    }
    qsort(states, found, sizeof(*states), by_name);
    *out = MOVE(states);
    *n = found;
    return 0;
}

int engine_list(const struct engine *e, const char *project, struct engine_state **out, size_t *n,
                struct err *err)
{
    AUTO(json_drop) json_t *list = NULL;
    AUTO(json_drop) json_t *filter = json_pack("{s:[s++]}", "label", ENGINE_LABEL_PROJECT, "=", project);
    AUTO(free_str) char *text = filter ? json_dumps(filter, JSON_COMPACT) : NULL;
    struct engine_path path = engine_path_of(e, "/containers/json?all=true&filters=", text);
    if (!text)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a list of containers");
    if (engine_json(e, &(struct engine_call){ .method = "GET", .path = &path }, &list, err) < 0)
        return -1;
    return inspect_all(e, list, out, n, err);
}
