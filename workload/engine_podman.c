/* The dialect of podman: its libpod interface, in whose words everything is asked for. Source: podman's API
 * reference (docs.podman.io, "libpod"), version 4. */
#include "workload/engine_call.h"

#include "base/auto.h"
#include "workload/registry.h"

#include <errno.h>
#include <string.h>

#define BODY_MAX (256u << 20) /* beyond what a compose file and its env_files can make */

static int as_it_is(const json_t *in, json_t **out, struct err *err)
{
    (void)err;
    *out = json_incref((json_t *)(uintptr_t)in);
    return 0;
}

/* podman reads a limit as a number of 64 bits without a sign, -1 (none) among them, and JSON's integers here
 * end below that: the list is written by hand. */
static void put_limits(const json_t *limits, struct buf *out)
{
    for (size_t i = 0; i < json_array_size(limits); i++) {
        const json_t *one = json_array_get(limits, i);
        AUTO(free_str) char *type = json_dumps(json_object_get(one, "type"), JSON_ENCODE_ANY);
        buf_printf(out, "%s{\"type\":%s,\"soft\":%" PRIu64 ",\"hard\":%" PRIu64 "}", i ? "," : "",
                   type ? type : "null", (uint64_t)json_integer_value(json_object_get(one, "soft")),
                   (uint64_t)json_integer_value(json_object_get(one, "hard")));
    }
}

/* The object with its limits at the end. */
static int body_of(const json_t *spec, struct buf *out, struct err *err)
{
    const json_t *limits = json_object_get(spec, "r_limits");
    AUTO(json_drop) json_t *rest = json_copy((json_t *)(uintptr_t)spec);
    json_object_del(rest, "r_limits");
    AUTO(free_str) char *text = rest ? json_dumps(rest, JSON_COMPACT) : NULL;
    if (!text)
        return err_set(err, ERR_IO, ENOMEM, "no memory for what the container engine is asked");
    buf_str(out, text);
    if (limits) {
        out->n--; /* its closing brace */
        buf_str(out, json_object_size(rest) ? ",\"r_limits\":[" : "\"r_limits\":[");
        put_limits(limits, out);
        buf_str(out, "]}");
    }
    return out->failed ? err_set(err, ERR_TOO_LARGE, 0, "a service's settings are too large for the engine")
                       : 0;
}

static int create(const struct engine *e, const json_t *spec, char id[static ENGINE_ID_SIZE], struct err *err)
{
    AUTO(json_drop) json_t *answer = NULL;
    AUTO(buf_done) struct buf body = buf_new(BODY_MAX);
    struct engine_path path = engine_path_of(e, "/containers/create", NULL);
    if (body_of(spec, &body, err) < 0)
        return -1;
    const struct engine_call call = { .method = "POST", .path = &path, .body = buf_bytes(&body) };
    if (engine_json(e, &call, &answer, err) < 0)
        return -1;
    engine_warn(e, engine_text(spec, "name"), answer);
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
