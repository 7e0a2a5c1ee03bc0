#include "agent/logs_route.h"

#include "agent/log_stream.h"
#include "agent/operate.h"
#include "agent/server.h"
#include "agent/workload.h"
#include "base/auto.h"
#include "base/chain.h"
#include "base/json.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TAIL_MAX       1000000
#define LOG_MAX        (4u << 20) /* of one container: the end of what there is */
#define SINCE_ROOM     32
#define FOLLOW_SECONDS (24u * 3600u)

struct logs {
    struct engine_log_options options;
    char since[SINCE_ROOM];
    char **names; /* containers */
    char **shown; /* as asked for */
    size_t n;
};

void logs_free(struct logs *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->n; i++) {
        free(l->names[i]);
        free(l->shown[i]);
    }
    free(l->names);
    free(l->shown);
    free(l);
}

/* ---- what is asked ---- */

/* "90s", "1h30m": so long before now. */
static bool is_span(const char *text, time_t now, char out[static SINCE_ROOM])
{
    static const struct {
        char unit;
        unsigned seconds;
    } units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
    uint64_t sum = 0;
    size_t next = 0;
    while (*text) {
        size_t digits = strspn(text, "0123456789");
        while (next < ARRAY_SIZE(units) && units[next].unit != text[digits])
            next++;
        if (!digits || digits > 9 || next == ARRAY_SIZE(units))
            return false;
        sum += strtoul(text, NULL, 10) * units[next++].seconds;
        text += digits + 1;
    }
    snprintf(out, SINCE_ROOM, "%" PRIu64, sum < (uint64_t)now ? (uint64_t)now - sum : 0);
    return true;
}

/* Engines read times each in its own way; seconds since 1970 all do. */
static bool read_time(const char *text, char out[static SINCE_ROOM])
{
    static const char digits[] = "0123456789";
    time_t at;
    size_t n = strlen(text), whole = strspn(text, digits);
    size_t number = text[whole] == '.' ? whole + 1 + strspn(text + whole + 1, digits) : whole;
    if (whole && number == n && n < SINCE_ROOM) {
        memcpy(out, text, n + 1);
        return true;
    }
    if (rfc3339_parse(text, &at, &(struct err){ 0 }) == 0) {
        snprintf(out, SINCE_ROOM, "%lld", (long long)(at > 0 ? at : 0));
        return true;
    }
    return n && is_span(text, time(NULL), out);
}

static int read_options(const struct request *r, struct engine_log_options *out,
                        char since[static SINCE_ROOM], struct err *err)
{
    const char *tail = query_get(&r->query, "tail"), *follow = query_get(&r->query, "follow");
    char *end = NULL;
    const char *from = query_get(&r->query, "since");
    *out = (struct engine_log_options){ .tail = -1, .since = from ? since : NULL };
    if (tail) {
        unsigned long n = isdigit((unsigned char)*tail) ? strtoul(tail, &end, 10) : TAIL_MAX + 1;
        if (n > TAIL_MAX || *end)
            return err_set(err, ERR_INPUT, 0, "tail takes a number of lines, at most %d", TAIL_MAX);
        out->tail = (int64_t)n;
    }
    if (from && !read_time(from, since))
        return err_set(
            err, ERR_INPUT, 0,
            "since takes a time as 2026-01-31T12:00:00Z, seconds since 1970, or how long ago as 1h30m");
    if (follow && strcmp(follow, "0") != 0 && strcmp(follow, "1") != 0)
        return err_set(err, ERR_INPUT, 0, "follow takes 1 or 0");
    out->follow = follow && *follow == '1';
    return 0;
}

int logs_prepare(struct request *r, struct err *err)
{
    struct operate *o = server_operate(r->server);
    const struct workload *w = o ? operate_workload(o) : NULL;
    struct engine_log_options options;
    char since[SINCE_ROOM];
    if (read_options(r, &options, since, err) < 0)
        return -1;
    if (!w)
        return err_set(err, ERR_NOT_FOUND, 0, "this agent runs no workload, so there are no containers");
    if (!w->has_engine)
        return err_set(err, ERR_UNAVAILABLE, 0, "there is no container engine: %.200s",
                       w->why_not ? w->why_not : "see the agent's log");
    return 0;
}

/* ---- which containers ---- */

static int add(struct logs *l, const char *container, const char *shown, struct err *err)
{
    char **names = realloc(l->names, (l->n + 1) * sizeof(*names));
    if (names)
        l->names = names;
    char **as = realloc(l->shown, (l->n + 1) * sizeof(*as));
    if (as)
        l->shown = as;
    if (names && as) {
        l->names[l->n] = strdup(container);
        l->shown[l->n] = strdup(shown);
        l->n++;
        if (l->names[l->n - 1] && l->shown[l->n - 1])
            return 0;
    }
    return err_set(err, ERR_IO, ENOMEM, "no memory for containers");
}

static int add_named(struct logs *l, const struct engine_state *all, size_t n, const char *name,
                     struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(all[i].name, name) || !strcmp(all[i].service, name))
            return add(l, all[i].name, name, err);
    }
    return err_set(err, ERR_NOT_FOUND, 0, "the workload has no container or service \"%.100s\"", name);
}

static int choose(const struct request *r, struct logs *l, const struct engine_state *all, size_t n,
                  struct err *err)
{
    bool named = false;
    for (size_t i = 0; i < r->query.n; i++) {
        if (strcmp(r->query.pair[i].name, "name") != 0)
            continue;
        named = true;
        if (add_named(l, all, n, r->query.pair[i].value, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < n && !named; i++) {
        if (add(l, all[i].name, all[i].name, err) < 0)
            return -1;
    }
    return 0;
}

/* ---- all there is ---- */

/* The end of a container's output; the front is dropped when it grows too long. */
static bool keep_end(void *arg, bool is_stderr, struct bytes text)
{
    struct buf *out = arg;
    (void)is_stderr;
    if (text.n > LOG_MAX)
        text = bytes_of(text.p + text.n - LOG_MAX, LOG_MAX);
    if (out->n + text.n > 2 * LOG_MAX) {
        size_t drop = out->n + text.n - LOG_MAX;
        drop = drop < out->n ? drop : out->n;
        memmove(out->p, out->p + drop, out->n - drop);
        out->n -= drop;
    }
    buf_put(out, text);
    return !out->failed;
}

static int put_one(const struct engine *e, const struct logs *l, size_t i, struct buf *out, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(2 * LOG_MAX);
    if (engine_logs(e, l->names[i], &l->options, keep_end, &text, err) < 0)
        return -1;
    size_t skip = text.n > LOG_MAX ? text.n - LOG_MAX : 0;
    buf_str(out, i ? ",{\"name\":" : "{\"name\":");
    json_put_string(out, bytes_str(l->shown[i]));
    buf_str(out, ",\"log\":");
    json_put_string(out, bytes_of(text.p + skip, text.n - skip));
    buf_str(out, "}");
    return 0;
}

static int put_all(const struct engine *e, const struct logs *l, struct buf *out, struct err *err)
{
    buf_str(out, "[");
    for (size_t i = 0; i < l->n; i++) {
        if (put_one(e, l, i, out, err) < 0)
            return -1;
    }
    buf_str(out, "]\n");
    return 0;
}

static int work(struct request *r, struct buf *out, struct err *err)
{
    const struct workload *w = operate_workload(server_operate(r->server));
    struct logs *l = r->logs = calloc(1, sizeof(*l));
    struct engine_state *all = NULL;
    size_t n = 0;
    if (!l)
        return err_set(err, ERR_IO, ENOMEM, "no memory for logs");
    int rc = read_options(r, &l->options, l->since, err);
    rc = rc < 0 ? rc : engine_list(&w->runner.engine, w->runner.project, &all, &n, err);
    rc = rc < 0 ? rc : choose(r, l, all, n, err);
    free(all);
    if (rc == 0 && !l->options.follow)
        rc = put_all(&w->runner.engine, l, out, err);
    return rc;
}

int logs_begin(struct request *r, struct err *err)
{
    return operate_begin_on(r, OPERATE_ENGINE, work, NULL, err);
}

int logs_answer(struct request *r, struct buf *out, struct err *err)
{
    struct operate *o = server_operate(r->server);
    if (!r->logs->options.follow)
        return operate_answer(r, out, err);
    server_allow(r->server, r, FOLLOW_SECONDS);
    return log_stream_begin(operate_streams(o), &operate_workload(o)->runner.engine, r->logs->names,
                            r->logs->n, &r->logs->options, r->connection, &r->stream, err);
}
