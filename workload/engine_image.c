/* Images: loaded from a .tar, pulled, looked up. */
#include "workload/engine_call.h"

#include "base/auto.h"
#include "base/enc.h"
#include "workload/registry.h"

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
    struct engine_path path = engine_path_of("/images/load", NULL);
    struct file file = { tar_fd, size };
    const struct engine_call call = { .method = "POST",
                                      .path = &path,
                                      .deadline_ms = ENGINE_SLOW_MS,
                                      .source = read_file,
                                      .source_size = size,
                                      .arg = &file };
    if (lseek(tar_fd, 0, SEEK_SET) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot read the image archive: %s", strerror(errno));
    return engine_do(e, &call, NULL, err) < 0 ? -1 : 0;
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

/* The answer is one JSON object a line: progress, an error, and at the end the image's id. */
static int judge_pull(const char *reference, struct buf *answer, char id[static ENGINE_ID_SIZE],
                      struct err *err)
{
    struct bytes rest = buf_bytes(answer);
    char found[ENGINE_ID_SIZE] = "";
    while (rest.n > 0) {
        const uint8_t *end = memchr(rest.p, '\n', rest.n);
        size_t n = end ? (size_t)(end - rest.p) : rest.n;
        AUTO(json_drop) json_t *line = NULL;
        if (n > 0 && json_parse(bytes_of(rest.p, n), ENGINE_ANSWER_MAX, &line, err) < 0)
            return err_while(err, "answer of the container engine to a pull");
        if (line && *engine_text(line, "error"))
            return engine_said("pull", 0, engine_text(line, "error"), err);
        if (line && *engine_text(line, "id") && engine_id(engine_text(line, "id"), found, err) < 0)
            return -1;
        n += end ? 1 : 0;
        rest = bytes_of(rest.p + n, rest.n - n);
    }
    if (!*found)
        return err_set(err, ERR_UNAVAILABLE, 0, "the container engine pulled %.150s without an id",
                       reference);
    memcpy(id, found, ENGINE_ID_SIZE);
    return 0;
}

int engine_image_pull(const struct engine *e, const char *reference, const struct engine_auth *auth,
                      char id[static ENGINE_ID_SIZE], struct err *err)
{
    AUTO(buf_wipe) struct buf header = buf_new(8192);
    AUTO(buf_done) struct buf answer = buf_new(0);
    struct engine_path path = engine_path_of("/images/pull?quiet=true&policy=always&reference=", reference);
    if (registry_on_loopback(reference))
        engine_path_add(&path, "&tlsVerify=false", NULL);
    if (auth && auth_header(auth, &header, err) < 0)
        return -1;
    const struct engine_call call = { .method = "POST",
                                      .path = &path,
                                      .header = auth ? (const char *)header.p : NULL,
                                      .deadline_ms = ENGINE_SLOW_MS };
    if (engine_do(e, &call, &answer, err) < 0)
        return -1;
    return judge_pull(reference, &answer, id, err);
}

int engine_image_id(const struct engine *e, const char *reference, char id[static ENGINE_ID_SIZE],
                    struct err *err)
{
    AUTO(json_drop) json_t *answer = NULL;
    struct engine_path path = engine_path_of("/images/", reference);
    engine_path_add(&path, "/json", NULL);
    if (engine_json(e, &(struct engine_call){ .method = "GET", .path = &path }, &answer, err) < 0)
        return -1;
    return engine_id(engine_text(answer, "Id"), id, err);
}
