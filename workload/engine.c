#include "workload/engine_call.h"

#include "base/auto.h"
#include "workload/engine_http.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static void put(struct engine_path *p, const char *text, size_t n)
{
    if (n >= sizeof(p->text) - p->n) {
        p->cut = true;
        return;
    }
    memcpy(p->text + p->n, text, n);
    p->n += n;
    p->text[p->n] = '\0';
}

void engine_path_add(struct engine_path *p, const char *text, const char *value)
{
    put(p, text, strlen(text));
    for (const char *c = value; c && *c; c++) {
        char escape[4];
        if (isalnum((unsigned char)*c) || strchr("-._~/:@", *c)) {
            put(p, c, 1);
        } else {
            snprintf(escape, sizeof(escape), "%%%02X", (unsigned)(unsigned char)*c);
            put(p, escape, 3);
        }
    }
}

const struct engine_dialect *engine_dialect(const struct engine *e)
{
    return e->kind == ENGINE_DOCKER ? &engine_docker : &engine_podman;
}

struct engine_path engine_path_of(const struct engine *e, const char *text, const char *value)
{
    struct engine_path p = { .n = 0 };
    engine_path_add(&p, engine_dialect(e)->api, NULL);
    engine_path_add(&p, text, value);
    return p;
}

const char *engine_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* The engine's words for what its policy does not let through, and for what a registry refuses. Elsewhere
 * they are those of a runtime or of a service. */
static const struct {
    const char *words;
    enum err_kind kind;
} meanings[] = {
    { "Source image rejected", ERR_DENIED },
    { "signature was required", ERR_DENIED },
    { "rejected by policy", ERR_DENIED },
    { "unauthorized", ERR_DENIED },
    { "authentication required", ERR_DENIED },
    { "no basic auth credentials", ERR_DENIED },
    { "denied", ERR_DENIED },
    { "manifest unknown", ERR_NOT_FOUND },
    { "name unknown", ERR_NOT_FOUND },
    { "no such image", ERR_NOT_FOUND },
    { "payload does not match", ERR_INPUT },
    { "no space left on device", ERR_TOO_LARGE },
};

static enum err_kind kind_of_status(unsigned status)
{
    switch (status) {
    case 400:
        return ERR_INPUT;
    case 401:
    case 403:
        return ERR_DENIED;
    case 404:
        return ERR_NOT_FOUND;
    case 409:
        return ERR_BUSY;
    default:
        return ERR_UNAVAILABLE;
    }
}

static enum err_kind kind_of_words(unsigned status, const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(meanings); i++) {
        if (strcasestr(text, meanings[i].words))
            return meanings[i].kind;
    }
    return kind_of_status(status);
}

static int say(const char *what, enum err_kind kind, unsigned status, const char *text, struct err *err)
{
    char clean[241];
    size_t n = 0;
    for (; text[n] && n + 1 < sizeof(clean); n++)
        clean[n] = text[n] >= ' ' && text[n] != 0x7f ? text[n] : ' ';
    clean[n] = '\0';
    return err_set(err, kind, status, "container engine, %.60s: %s", what,
                   n ? clean : "failed without a word");
}

int engine_said(const char *what, unsigned status, const char *text, struct err *err)
{
    return say(what, kind_of_words(status, text), status, text, err);
}

/* {"cause":…,"message":…,"response":500}; of docker the message alone */
static int refused(const struct engine *e, const struct engine_call *call, unsigned status,
                   const struct buf *answer, struct err *err)
{
    AUTO(json_drop) json_t *body = NULL;
    const char *what = call->path->text + strlen(engine_dialect(e)->api);
    bool image = !strncmp(what, "/images/", strlen("/images/"));
    char route[61], status_text[32];
    const char *text = status_text;
    snprintf(route, sizeof(route), "%.*s", (int)strcspn(what, "?"), what);
    snprintf(status_text, sizeof(status_text), "HTTP status %u", status);
    if (json_parse(buf_bytes(answer), ENGINE_ANSWER_MAX, &body, NULL) == 0 && *engine_text(body, "message"))
        text = engine_text(body, "message");
    return say(route, image ? kind_of_words(status, text) : kind_of_status(status), status, text, err);
}

int engine_do(const struct engine *e, const struct engine_call *call, struct buf *out, struct err *err)
{
    const struct engine_request q = {
        .method = call->method,
        .target = call->path->text,
        .type = call->source ? "application/x-tar" : "application/json",
        .header = call->header,
        .body = bytes_of(call->body.p, call->body.n),
        .source = call->source,
        .source_size = call->source_size,
        .sink = call->sink,
        .arg = call->arg,
        .deadline_ms = call->deadline_ms ? call->deadline_ms : ENGINE_QUICK_MS,
        .cancel = e->cancel,
        .max_body = ENGINE_ANSWER_MAX,
    };
    AUTO(buf_done) struct buf answer = buf_new(ENGINE_ANSWER_MAX);
    unsigned status;
    if (call->path->cut)
        return err_set(err, ERR_INPUT, 0, "a name is too long for the container engine");
    AUTO(close_fd) int fd = e->dial.connect(e->dial.ctx, err);
    if (fd < 0 || engine_exchange(fd, &q, &status, &answer, err) < 0)
        return err_while(err, "container engine");
    if (status / 100 != 2 && status != 304)
        return refused(e, call, status, &answer, err);
    if (out) {
        *out = answer;
        answer = buf_new(0);
    }
    return (int)status;
}

int engine_json(const struct engine *e, const struct engine_call *call, json_t **out, struct err *err)
{
    AUTO(buf_done) struct buf body = buf_new(0);
    if (engine_do(e, call, &body, err) < 0)
        return -1;
    return json_parse(buf_bytes(&body), ENGINE_ANSWER_MAX, out, err) < 0
               ? err_while(err, "answer of the container engine")
               : 0;
}

int engine_post(const struct engine *e, const struct engine_path *path, const json_t *body, json_t **out,
                struct err *err)
{
    AUTO(free_str) char *text = json_dumps(body, JSON_COMPACT);
    if (!text)
        return err_set(err, ERR_IO, ENOMEM, "no memory for what the container engine is asked");
    const struct engine_call call = { .method = "POST", .path = path, .body = bytes_str(text) };
    return out ? engine_json(e, &call, out, err) : engine_do(e, &call, NULL, err) < 0 ? -1 : 0;
}

int engine_id(const char *text, char out[static ENGINE_ID_SIZE], struct err *err)
{
    if (!strncmp(text, "sha256:", 7))
        text += 7;
    if (strspn(text, "0123456789abcdef") != ENGINE_ID_SIZE - 1 || text[ENGINE_ID_SIZE - 1])
        return err_set(err, ERR_INPUT, 0, "the container engine gave an id that is none: %.80s", text);
    memcpy(out, text, ENGINE_ID_SIZE);
    return 0;
}

int engine_ping(const struct engine *e, char *version, size_t size, struct err *err)
{
    AUTO(json_drop) json_t *answer = NULL;
    struct engine_path path = engine_path_of(e, "/version", NULL);
    if (engine_json(e, &(struct engine_call){ .method = "GET", .path = &path }, &answer, err) < 0)
        return -1;
    if (version)
        snprintf(version, size, "%s", engine_text(answer, "Version"));
    return 0;
}

int engine_check_owner(const struct engine *e, const struct owner *owner, struct err *err)
{
    const struct engine_dialect *d = engine_dialect(e);
    return d->check_owner ? d->check_owner(e, owner, err) : 0;
}

/* A name that is taken is the thing that was asked for. */
static int create(const struct engine *e, const char *kind, const char *name, const json_t *in,
                  int (*dialect)(const json_t *, json_t **, struct err *), struct err *err)
{
    AUTO(json_drop) json_t *body = NULL;
    struct err why = { 0 };
    struct engine_path path = engine_path_of(e, kind, "/");
    engine_path_add(&path, "", name);
    engine_path_add(&path, engine_dialect(e)->exists, NULL);
    if (engine_do(e, &(struct engine_call){ .method = "GET", .path = &path }, NULL, &(struct err){ 0 }) >= 0)
        return 0;
    path = engine_path_of(e, kind, "/create");
    if (dialect(in, &body, err) < 0)
        return -1;
    if (engine_post(e, &path, body, NULL, &why) == 0 || why.kind == ERR_BUSY)
        return 0;
    if (err)
        *err = why;
    return -1;
}

int engine_network_create(const struct engine *e, const char *name, const json_t *body, struct err *err)
{
    return create(e, "/networks", name, body, engine_dialect(e)->network, err);
}

int engine_volume_create(const struct engine *e, const char *name, const json_t *body, struct err *err)
{
    return create(e, "/volumes", name, body, engine_dialect(e)->volume, err);
}

int engine_network_remove(const struct engine *e, const char *name, struct err *err)
{
    struct engine_path path = engine_path_of(e, "/networks/", name);
    struct err why = { 0 };
    if (engine_do(e, &(struct engine_call){ .method = "DELETE", .path = &path }, NULL, &why) >= 0
        || why.kind == ERR_NOT_FOUND)
        return 0;
    if (err)
        *err = why;
    return -1;
}
