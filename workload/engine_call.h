/** workload/engine_call.h: one request to the engine and its answer. Internal to workload/. */
#ifndef CVM_WORKLOAD_ENGINE_CALL_H
#define CVM_WORKLOAD_ENGINE_CALL_H

#include "base/json.h"
#include "workload/engine.h"

#define ENGINE_PATH_MAX   2048
#define ENGINE_ANSWER_MAX (8u << 20)
#define ENGINE_QUICK_MS   30000u
#define ENGINE_SLOW_MS    (30u * 60 * 1000) /* images come and go by gigabytes */
#define ENGINE_STREAM_MS  (24u * 3600 * 1000)

/** A path with its query, built piece by piece. */
struct engine_path {
    char text[ENGINE_PATH_MAX];
    size_t n;
    bool cut;
};

/** Appends text as it is, then value percent-encoded (NULL: nothing). */
void engine_path_add(struct engine_path *p, const char *text, const char *value);

/** Where the engines' interfaces differ, as far as it is no matter of whole requests. */
struct engine_dialect {
    const char *api;    /* what every path begins with */
    const char *exists; /* behind /networks/NAME and /volumes/NAME: is there one? */
    const char *stop;   /* behind /containers/NAME, before the seconds */
    const char *load;   /* where archives go */
    bool raw_tty;       /* output of a container with a terminal comes without frames */
    /** A request body in the engine's words from one in podman's; *out is a new reference. */
    int (*network)(const json_t *in, json_t **out, struct err *err);
    int (*volume)(const json_t *in, json_t **out, struct err *err);
    /** Creates a container from a SpecGenerator object. */
    int (*create)(const struct engine *e, const json_t *spec, char id[static ENGINE_ID_SIZE],
                  struct err *err);
    /** Pulls, after which the image has its id.
     *  @param header  credentials as a header line, or NULL */
    int (*pull)(const struct engine *e, const char *reference, const char *header,
                char id[static ENGINE_ID_SIZE], struct err *err);
    int (*check_health)(const struct engine *e, const char *name, unsigned deadline_ms,
                        enum engine_health *out, struct err *err);
    int (*check_owner)(const struct engine *e, const struct owner *owner, struct err *err); /* NULL: fine */
};

const struct engine_dialect *engine_dialect(const struct engine *e);

extern const struct engine_dialect engine_podman, engine_docker;

/** A path that begins with text and an encoded value. */
struct engine_path engine_path_of(const struct engine *e, const char *text, const char *value);

struct engine_call {
    const char *method;
    const struct engine_path *path;
    struct bytes body;  /* JSON, unless source is set */
    const char *header; /* one more, or NULL */
    unsigned deadline_ms;
    /* as in struct engine_request */
    ssize_t (*source)(void *arg, void *out, size_t n);
    uint64_t source_size;
    bool (*sink)(void *arg, struct bytes data);
    void *arg;
};

/** Makes the call.
 *  @param out  the body of a 2xx answer; buf_done() is due on success. NULL: not wanted
 *  @return the status (2xx, 304), or -1: what the engine says as the cause, ERR_NOT_FOUND (404), ERR_BUSY
 * (409), ERR_INPUT (400), ERR_DENIED (401, 403, signature policy), ERR_UNAVAILABLE (all else) */
MUST_USE int engine_do(const struct engine *e, const struct engine_call *call, struct buf *out,
                       struct err *err);

/** POSTs a JSON body.
 *  @param out  NULL: the answer is not wanted; else as engine_json() */
MUST_USE int engine_post(const struct engine *e, const struct engine_path *path, const json_t *body,
                         json_t **out, struct err *err);

/** As engine_do() for an answer in JSON; *out is a new reference. */
MUST_USE int engine_json(const struct engine *e, const struct engine_call *call, json_t **out,
                         struct err *err);

/** Sets *err to what the engine said about an image: control characters out, cut, and the kind that its words
 * mean.
 *  @return -1 */
int engine_said(const char *what, unsigned status, const char *text, struct err *err);

/** Looks through an answer of one JSON object a line, as loads and pulls have it, for an error.
 *  @param id  ENGINE_ID_SIZE bytes, where the last "id" goes, which must be one; NULL: ids do not matter
 *  @return 0, or -1 with what the engine said */
MUST_USE int engine_progress(const char *what, const struct buf *answer, char *id, struct err *err);

/** Puts a file of at most 1 MiB into a container that has not started.
 *  @param file  {"source": path here, "target": absolute path there, "uid", "gid", "mode"}: ids in the
 * container
 *  @return 0, or -1: ERR_TOO_LARGE, ERR_INPUT, or what the engine says */
MUST_USE int engine_put_file(const struct engine *e, const char *id, const json_t *file, struct err *err);

/** Hands the warnings of a creation's answer to e->warn. */
void engine_warn(const struct engine *e, const char *container, const json_t *answer);

/** What the engine's word for a container's health means. */
enum engine_health engine_health_of(const char *word);

/** Member of a JSON object as text, "" if it is absent or of another type. */
const char *engine_text(const json_t *object, const char *key);

/** Copies an image or container id without "sha256:".
 *  @return 0, or -1 with ERR_INPUT: not 64 lower-case hex digits */
MUST_USE int engine_id(const char *text, char out[static ENGINE_ID_SIZE], struct err *err);

#endif
