/* Output of containers: a stream of frames, each u8 stream (1 or 2), three zero bytes, u32 big-endian size.
 */
#include "workload/engine_call.h"

#include "base/auto.h"

#include <string.h>

#define FRAME_HEAD 8

struct frames {
    uint8_t head[FRAME_HEAD];
    size_t head_n;
    uint32_t left; /* bytes of the frame that are to come */
    bool damaged;
    engine_log_sink *sink;
    void *arg;
};

/* Whatever cuts the transport makes: the head may come in pieces too. */
static bool take(void *arg, struct bytes data)
{
    struct frames *f = arg;
    while (data.n > 0) {
        if (f->left == 0) {
            size_t n = FRAME_HEAD - f->head_n;
            n = n < data.n ? n : data.n;
            memcpy(f->head + f->head_n, data.p, n);
            f->head_n += n;
            data = bytes_of(data.p + n, data.n - n);
            if (f->head_n < FRAME_HEAD)
                return true;
            f->damaged = f->head[0] > 2 || f->head[1] || f->head[2] || f->head[3];
            if (f->damaged)
                return false;
            f->left = (uint32_t)be_uint(f->head + 4, 4);
            f->head_n = 0;
            continue;
        }
        size_t n = f->left < data.n ? f->left : data.n;
        if (!f->sink(f->arg, f->head[0] == 2, bytes_of(data.p, n)))
            return false;
        f->left -= (uint32_t)n;
        data = bytes_of(data.p + n, data.n - n);
    }
    return true;
}

static bool pass(void *arg, struct bytes data)
{
    struct frames *f = arg;
    return f->sink(f->arg, false, data);
}

/* What comes without frames has one stream. */
static int has_frames(const struct engine *e, const char *name, bool *out, struct err *err)
{
    AUTO(json_drop) json_t *container = NULL;
    struct engine_path path = engine_path_of(e, "/containers/", name);
    *out = true;
    if (!engine_dialect(e)->raw_tty)
        return 0;
    engine_path_add(&path, "/json", NULL);
    if (engine_json(e, &(struct engine_call){ .method = "GET", .path = &path }, &container, err) < 0)
        return -1;
    *out = !json_is_true(json_object_get(json_object_get(container, "Config"), "Tty"));
    return 0;
}

int engine_logs(const struct engine *e, const char *name, const struct engine_log_options *options,
                engine_log_sink *sink, void *arg, struct err *err)
{
    struct frames frames = { .sink = sink, .arg = arg };
    char tail[24];
    bool framed;
    if (has_frames(e, name, &framed, err) < 0)
        return -1;
    struct engine_path path = engine_path_of(e, "/containers/", name);
    engine_path_add(&path, "/logs?stdout=true&stderr=true", NULL);
    snprintf(tail, sizeof(tail), "%" PRId64, options->tail);
    if (options->tail >= 0)
        engine_path_add(&path, "&tail=", tail);
    if (options->since)
        engine_path_add(&path, "&since=", options->since);
    if (options->until)
        engine_path_add(&path, "&until=", options->until);
    if (options->follow)
        engine_path_add(&path, "&follow=true", NULL);
    if (options->timestamps)
        engine_path_add(&path, "&timestamps=true", NULL);
    const struct engine_call call = { .method = "GET",
                                      .path = &path,
                                      .deadline_ms = options->follow ? ENGINE_STREAM_MS : 2 * ENGINE_QUICK_MS,
                                      .sink = framed ? take : pass,
                                      .arg = &frames };
    if (engine_do(e, &call, NULL, err) < 0)
        return -1;
    return frames.damaged
               ? err_set(err, ERR_UNAVAILABLE, 0, "the container engine's log stream is not in frames")
               : 0;
}
