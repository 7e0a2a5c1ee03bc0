/* The dialect of podman: its libpod interface, in whose words everything is asked for. Source: podman's API
 * reference (docs.podman.io, "libpod"), version 4. */
#include "workload/engine_call.h"

#include "base/auto.h"
#include "workload/registry.h"

#include <string.h>

static int as_it_is(const json_t *in, json_t **out, struct err *err)
{
    (void)err;
    *out = json_incref((json_t *)(uintptr_t)in);
    return 0;
}

static int create(const struct engine *e, const json_t *spec, char id[static ENGINE_ID_SIZE], struct err *err)
{
    AUTO(json_drop) json_t *answer = NULL;
    struct engine_path path = engine_path_of(e, "/containers/create", NULL);
    if (engine_post(e, &path, spec, &answer, err) < 0)
        return -1;
    return engine_id(engine_text(answer, "Id"), id, err);
}

/* The answer is one JSON object a line: progress, an error, and at the end the image's id. */
static int pull(const struct engine *e, const char *reference, const char *header,
                char id[static ENGINE_ID_SIZE], struct err *err)
{
    AUTO(buf_done) struct buf answer = buf_new(0);
    char found[ENGINE_ID_SIZE] = "";
    struct engine_path path =
        engine_path_of(e, "/images/pull?quiet=true&policy=always&reference=", reference);
    if (registry_on_loopback(reference))
        engine_path_add(&path, "&tlsVerify=false", NULL);
    const struct engine_call call = {
        .method = "POST", .path = &path, .header = header, .deadline_ms = ENGINE_SLOW_MS
    };
    if (engine_do(e, &call, &answer, err) < 0 || engine_progress("pull", &answer, found, err) < 0)
        return -1;
    if (!*found)
        return err_set(err, ERR_UNAVAILABLE, 0, "the container engine pulled %.150s without an id",
                       reference);
    memcpy(id, found, ENGINE_ID_SIZE);
    return 0;
}

static int check_health(const struct engine *e, const char *name, unsigned deadline_ms,
                        enum engine_health *out, struct err *err)
{
    AUTO(json_drop) json_t *answer = NULL;
    struct engine_path path = engine_path_of(e, "/containers/", name);
    engine_path_add(&path, "/healthcheck", NULL);
    const struct engine_call call = { .method = "GET", .path = &path, .deadline_ms = deadline_ms };
    if (engine_json(e, &call, &answer, err) < 0)
        return -1;
    *out = engine_health_of(engine_text(answer, "Status"));
    return 0;
}

const struct engine_dialect engine_podman = {
    .api = "/v4.0.0/libpod",
    .exists = "/exists",
    .stop = "/stop?ignore=true&timeout=",
    .load = "/images/load",
    .network = as_it_is,
    .volume = as_it_is,
    .create = create,
    .pull = pull,
    .check_health = check_health,
};
