/* Images: loaded from a .tar, pulled, looked up. */
#include "workload/engine_call.h"

#include "base/auto.h"
#include "base/enc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

struct file {
    int fd;
    uint64_t left;
};

static ssize_t read_file(void *arg, void *out, size_t n)
{
    struct file *f = arg;
    ssize_t got;
    if (n > f->left)
        n = (size_t)f->left;
    do
        got = read(f->fd, out, n);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        f->left -= (uint64_t)got;
    return got;
}

int engine_image_load(const struct engine *e, int tar_fd, uint64_t size, struct err *err)
{
    struct engine_path path = engine_path_of(e, engine_dialect(e)->load, NULL);
    struct file file = { tar_fd, size };
    const struct engine_call call = { .method = "POST",
                                      .path = &path,
                                      .deadline_ms = ENGINE_SLOW_MS,
                                      .source = read_file,
                                      .source_size = size,
                                      .arg = &file };
    if (lseek(tar_fd, 0, SEEK_SET) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot read the image archive: %s", strerror(errno));
    AUTO(buf_done) struct buf answer = buf_new(0);
    struct err why = { 0 };
    if (engine_do(e, &call, &answer, &why) >= 0 && engine_progress("load", &answer, NULL, &why) == 0)
        return 0;
    if (e->kind == ENGINE_DOCKER && strstr(why.cause, "manifest.json"))
        return err_set(
            err, ERR_INPUT, 0,
            "docker reads docker-archives, and this is none: write it with \"skopeo copy oci-archive:A.tar "
            "docker-archive:B.tar:NAME\", or use podman");
    if (err)
        *err = why;
    return -1;
}

/* Base64 of {"username":…,"password":…}: the engine's decoder wants padding, so spaces bring the text to a
 * multiple of three bytes. */
static int auth_header(const struct engine_auth *auth, struct buf *out, struct err *err)
{
    AUTO(buf_wipe) struct buf text = buf_new(4096);
    buf_str(&text, "{");
    json_put_key(&text, "username");
    json_put_string(&text, bytes_str(auth->username));
    json_put_key(&text, "password");
    json_put_string(&text, bytes_str(auth->password));
    buf_str(&text, "}");
    while (text.n % 3 != 0 && !text.failed)
        buf_str(&text, " ");
    if (buf_check(&text, "registry credentials", err) < 0)
        return -1;
    buf_str(out, "X-Registry-Auth: ");
    b64url_put(out, buf_bytes(&text));
    buf_u8(out, 0);
    return buf_check(out, "registry credentials", err);
}

int engine_progress(const char *what, const struct buf *answer, char *id, struct err *err)
{
    struct bytes rest = buf_bytes(answer);
    while (rest.n > 0) {
        const uint8_t *end = memchr(rest.p, '\n', rest.n);
        size_t n = end ? (size_t)(end - rest.p) : rest.n;
        AUTO(json_drop) json_t *line = NULL;
        if (n > 1 && json_parse(bytes_of(rest.p, n), ENGINE_ANSWER_MAX, &line, err) < 0)
            return err_while(err, "what the container engine says while it works");
        if (line && *engine_text(line, "error"))
            return engine_said(what, 0, engine_text(line, "error"), err);
        if (id && line && *engine_text(line, "id") && engine_id(engine_text(line, "id"), id, err) < 0)
            return -1;
        n += end ? 1 : 0;
        rest = bytes_of(rest.p + n, rest.n - n);
    }
    return 0;
}

int engine_image_pull(const struct engine *e, const char *reference, const struct engine_auth *auth,
                      char id[static ENGINE_ID_SIZE], struct err *err)
{
    AUTO(buf_wipe) struct buf header = buf_new(8192);
    if (auth && auth_header(auth, &header, err) < 0)
        return -1;
    return engine_dialect(e)->pull(e, reference, auth ? (const char *)header.p : NULL, id, err);
}

int engine_image_id(const struct engine *e, const char *reference, char id[static ENGINE_ID_SIZE],
                    struct err *err)
{
    AUTO(json_drop) json_t *answer = NULL;
    struct engine_path path = engine_path_of(e, "/images/", reference);
    engine_path_add(&path, "/json", NULL);
    if (engine_json(e, &(struct engine_call){ .method = "GET", .path = &path }, &answer, err) < 0)
        return -1;
    return engine_id(engine_text(answer, "Id"), id, err);
}

/* ---- those that nobody uses ---- */

static int get_list(const struct engine *e, const char *what, json_t **out, struct err *err)
{
    struct engine_path path = engine_path_of(e, what, NULL);
    const struct engine_call call = { .method = "GET", .path = &path };
    if (engine_json(e, &call, out, err) < 0)
        return -1;
    size_t n = json_array_size(*out);
    return n <= ENGINE_LIST_MAX ? 0
                                : err_set(err, ERR_TOO_LARGE, 0, "the container engine lists %zu things", n);
}

/* @return 1 if one of the containers has the image, 0 if none has, -1 */
static int in_use(const json_t *containers, const char *image, struct err *err)
{
    for (size_t i = 0; i < json_array_size(containers); i++) {
        char id[ENGINE_ID_SIZE];
        if (engine_id(engine_text(json_array_get(containers, i), "ImageID"), id, err) < 0)
            return -1; /* which one it uses is not known: nothing is idle for certain */
        if (!strcmp(id, image))
            return 1;
    }
    return 0;
}

int engine_images_idle(const struct engine *e, char (**out)[ENGINE_ID_SIZE], size_t *n, struct err *err)
{
    AUTO(json_drop) json_t *images = NULL;
    AUTO(json_drop) json_t *containers = NULL;
    size_t found = 0;
    if (get_list(e, "/images/json", &images, err) < 0
        || get_list(e, "/containers/json?all=true", &containers, err) < 0)
        return err_while(err, "list images");
    AUTO(free_str) char *memory = calloc(json_array_size(images) + 1, ENGINE_ID_SIZE);
    if (!memory)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a list of images");
    char(*ids)[ENGINE_ID_SIZE] = (char(*)[ENGINE_ID_SIZE])memory;
    for (size_t i = 0; i < json_array_size(images); i++) {
        int used = engine_id(engine_text(json_array_get(images, i), "Id"), ids[found], err);
        used = used < 0 ? used : in_use(containers, ids[found], err);
        if (used < 0)
            return err_while(err, "list images");
        found += !used;
    }
    *out = ids;
    *n = found;
    memory = NULL; /* the caller's */
    return 0;
}

/* By force, for one with several names would stay otherwise. */
int engine_image_remove(const struct engine *e, const char *id, struct err *err)
{
    struct err why = { 0 };
    struct engine_path path = engine_path_of(e, "/images/", id);
    engine_path_add(&path, "?force=true", NULL);
    const struct engine_call call = { .method = "DELETE", .path = &path, .deadline_ms = 2 * ENGINE_QUICK_MS };
    if (engine_do(e, &call, NULL, &why) >= 0 || why.kind == ERR_NOT_FOUND)
        return 0;
    if (err)
        *err = why;
    return -1;
}
