/* The dialect of docker: Docker Engine API v1.41. */
#include "workload/engine_docker.h"

#include "base/auto.h"
#include "base/clock.h"
#include "workload/engine_call.h"

#include <errno.h>
#include <string.h>

#define POLL_MS 50

/* The network of the creation is in the body; those after it are connected before the start. */
static int connect_all(const struct engine *e, const char *id, const json_t *networks, struct err *err)
{
    const char *name;
    json_t *settings;
    json_object_foreach((json_t *)(uintptr_t)networks, name, settings)
    {
        AUTO(json_drop) json_t *body = json_pack("{s:s, s:O}", "Container", id, "EndpointConfig", settings);
        struct engine_path path = engine_path_of(e, "/networks/", name);
        engine_path_add(&path, "/connect", NULL);
        if (engine_post(e, &path, body, NULL, err) < 0)
            return err_while(err, "connect to a network");
    }
    return 0;
}

static int create(const struct engine *e, const json_t *spec, char id[static ENGINE_ID_SIZE], struct err *err)
{
    AUTO(json_drop) json_t *body = NULL;
    AUTO(json_drop) json_t *networks = NULL;
    AUTO(json_drop) json_t *answer = NULL;
    char made[ENGINE_ID_SIZE];
    struct engine_path path = engine_path_of(e, "/containers/create?name=", engine_text(spec, "name"));
    if (docker_container(spec, &body, &networks, err) < 0 || engine_post(e, &path, body, &answer, err) < 0
        || engine_id(engine_text(answer, "Id"), made, err) < 0)
        return -1;
    engine_warn(e, engine_text(spec, "name"), answer);
    if (connect_all(e, made, networks, err) < 0) {
        int left = engine_remove(e, made, &(struct err){ 0 }); /* or it is found, and replaced, next time */
        (void)left;
        return -1;
    }
    memcpy(id, made, ENGINE_ID_SIZE);
    return 0;
}

/* Progress has short ids of layers; the image's is asked for afterwards. */
static int pull(const struct engine *e, const char *reference, const char *header,
                char id[static ENGINE_ID_SIZE], struct err *err)
{
    AUTO(buf_done) struct buf answer = buf_new(0);
    struct engine_path path = engine_path_of(e, "/images/create?fromImage=", reference);
    const struct engine_call call = {
        .method = "POST", .path = &path, .header = header, .deadline_ms = ENGINE_SLOW_MS
    };
    if (engine_do(e, &call, &answer, err) < 0 || engine_progress("pull", &answer, NULL, err) < 0)
        return -1;
    return engine_image_id(e, reference, id, err);
}

/* ["CMD", ...] or ["CMD-SHELL", text] as what exec takes. */
static json_t *command_of(const json_t *container)
{
    const json_t *check = json_object_get(json_object_get(container, "Config"), "Healthcheck");
    const json_t *test = json_object_get(check, "Test");
    const char *how = json_string_value(json_array_get(test, 0));
    if (!how || (strcmp(how, "CMD") != 0 && strcmp(how, "CMD-SHELL") != 0))
        return NULL;
    json_t *out = !strcmp(how, "CMD") ? json_array() : json_pack("[s, s]", "/bin/sh", "-c");
    for (size_t i = 1; i < json_array_size(test); i++)
        json_array_append(out, json_array_get(test, i));
    return out;
}

/* @return the exit status, or -1 */
static int run_inside(const struct engine *e, const char *name, const json_t *command, unsigned deadline_ms,
                      struct err *err)
{
    AUTO(json_drop) json_t *body = json_pack("{s:O}", "Cmd", command);
    AUTO(json_drop) json_t *detached = json_pack("{s:b}", "Detach", 1);
    AUTO(json_drop) json_t *made = NULL;
    char id[ENGINE_ID_SIZE];
    const uint64_t until = clock_ms() + deadline_ms;
    struct engine_path path = engine_path_of(e, "/containers/", name);
    engine_path_add(&path, "/exec", NULL);
    if (engine_post(e, &path, body, &made, err) < 0 || engine_id(engine_text(made, "Id"), id, err) < 0)
        return -1;
    path = engine_path_of(e, "/exec/", id);
    engine_path_add(&path, "/start", NULL);
    if (engine_post(e, &path, detached, NULL, err) < 0)
        return -1;
    path = engine_path_of(e, "/exec/", id);
    engine_path_add(&path, "/json", NULL);
    for (;;) {
        AUTO(json_drop) json_t *state = NULL;
        if (engine_json(e, &(struct engine_call){ .method = "GET", .path = &path }, &state, err) < 0)
            return -1;
        if (json_is_false(json_object_get(state, "Running")))
            return (int)json_integer_value(json_object_get(state, "ExitCode")) & 0xff;
        if (clock_ms() >= until)
            return err_set(err, ERR_UNAVAILABLE, 0, "a health check took more than %u ms", deadline_ms);
        clock_sleep(POLL_MS);
    }
}

/* docker runs checks at their interval, the first one an interval after the start, and has no call that runs
 * one: whoever waits for health need not wait that long. */
static int check_health(const struct engine *e, const char *name, unsigned deadline_ms,
                        enum engine_health *out, struct err *err)
{
    AUTO(json_drop) json_t *container = NULL;
    struct engine_path path = engine_path_of(e, "/containers/", name);
    engine_path_add(&path, "/json", NULL);
    if (engine_json(e, &(struct engine_call){ .method = "GET", .path = &path }, &container, err) < 0)
        return -1;
    const json_t *health = json_object_get(json_object_get(container, "State"), "Health");
    enum engine_health says = engine_health_of(engine_text(health, "Status"));
    AUTO(json_drop) json_t *command = command_of(container);
    if (!command)
        return err_set(err, ERR_NOT_FOUND, 0, "the container has no health check");
    int status = says == ENGINE_HEALTHY ? 0 : run_inside(e, name, command, deadline_ms, err);
    if (status < 0)
        return -1;
    *out = status == 0 ? ENGINE_HEALTHY : says;
    return 0;
}

/* With user namespaces docker keeps its files in a folder that is called after the ids. */
static int check_owner(const struct engine *e, const struct owner *owner, struct err *err)
{
    AUTO(json_drop) json_t *info = NULL;
    struct engine_path path = engine_path_of(e, "/info", NULL);
    char want[32];
    if (engine_json(e, &(struct engine_call){ .method = "GET", .path = &path }, &info, err) < 0)
        return -1;
    const json_t *security = json_object_get(info, "SecurityOptions");
    bool mapped = false;
    for (size_t i = 0; i < json_array_size(security); i++) {
        const char *one = json_string_value(json_array_get(security, i));
        mapped = mapped || (one && !strcmp(one, "name=userns"));
    }
    const char *root = engine_text(info, "DockerRootDir"), *slash = strrchr(root, '/');
    snprintf(want, sizeof(want), "/%u.%u", owner->uid, owner->gid);
    if (!mapped || !slash || strcmp(slash, want) != 0)
        return err_set(
            err, ERR_DENIED, 0,
            "docker does not give containers the ids from %u and %u: the ranges of container_owner "
            "in /etc/subuid and /etc/subgid must be its first",
            owner->uid, owner->gid);
    return 0;
}

const struct engine_dialect engine_docker = {
    .api = "/v1.41",
    .exists = "",
    .stop = "/stop?t=",
    .load = "/images/load?quiet=1",
    .raw_tty = true,
    .network = docker_network,
    .volume = docker_volume,
    .create = create,
    .pull = pull,
    .check_health = check_health,
    .check_owner = check_owner,
};
