#include "agent/log_stream.h"

#include "base/auto.h"
#include "base/json.h"
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define BLOCK (16u << 10)

struct member {
    struct log_stream *stream;
    char name[ENGINE_NAME_MAX + 1];
    pthread_t thread;
    bool started;
};

struct log_stream {
    struct log_streams *all;
    struct MHD_Connection *connection;
    struct engine engine;
    struct engine_log_options options;
    char since[64];
    atomic_bool cancel;

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t room;
    struct buf queue;
    size_t sent; /* of queue */
    unsigned running;
    bool suspended, closed;
    uint64_t silent_since_ms;

    struct member member[LOG_STREAM_MEMBERS];
    size_t n;
};

struct log_streams {
    pthread_mutex_t lock;
    pthread_cond_t gone;
    struct log_stream *stream[LOG_STREAMS_MAX];
    bool stopped;
};

int log_streams_new(struct log_streams **out, struct err *err)
{
    struct log_streams *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(err, ERR_IO, ENOMEM, "no memory for log streams");
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->gone, NULL);
    *out = s;
    return 0;
}

void log_streams_free(struct log_streams *s)
{
    struct timespec until;
    bool busy = true;
    if (!s)
        return;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 2;
    pthread_mutex_lock(&s->lock);
    while (busy) {
        busy = false;
        for (size_t i = 0; i < LOG_STREAMS_MAX; i++)
            busy = busy || s->stream[i];
        if (busy && pthread_cond_timedwait(&s->gone, &s->lock, &until) != 0)
            break;
    }
    pthread_mutex_unlock(&s->lock);
    if (busy) /* an engine that does not let go: the process ends anyway */
        return;
    pthread_cond_destroy(&s->gone);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* With the stream's lock held: the event thread is to look again. */
static void wake(struct log_stream *l)
{
    if (!l->suspended)
        return;
    l->suspended = false;
    MHD_resume_connection(l->connection);
}

/* ---- the writers ---- */

static bool on_text(void *arg, bool is_stderr, struct bytes text)
{
    struct member *m = arg;
    struct log_stream *l = m->stream;
    (void)is_stderr;
    pthread_mutex_lock(&l->lock);
    while (!l->closed && l->queue.n - l->sent > LOG_STREAM_QUEUE)
        pthread_cond_wait(&l->room, &l->lock);
    bool go_on = !l->closed;
    if (go_on) {
        buf_str(&l->queue, "{\"name\":");
        json_put_string(&l->queue, bytes_str(m->name));
        buf_str(&l->queue, ",\"log\":");
        json_put_string(&l->queue, text);
        buf_str(&l->queue, "}\n");
        go_on = !l->queue.failed; /* one text of megabytes: the stream ends */
        wake(l);
    }
    pthread_mutex_unlock(&l->lock);
    return go_on;
}

static void *follow(void *arg)
{
    struct member *m = arg;
    struct log_stream *l = m->stream;
    struct err err = { 0 };
    if (engine_logs(&l->engine, m->name, &l->options, on_text, m, &err) < 0 && !atomic_load(&l->cancel))
        log_err(LOG_LEVEL_WARNING, "logs", &err);
    pthread_mutex_lock(&l->lock);
    l->running--;
    wake(l);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* ---- the reader ---- */

/* What is sent leaves room: a reader who is never quite up to date must not fill the queue with it. */
static void reuse(struct log_stream *l)
{
    if (l->sent < l->queue.n && l->sent < LOG_STREAM_QUEUE)
        return;
    memmove(l->queue.p, l->queue.p + l->sent, l->queue.n - l->sent);
    l->queue.n -= l->sent;
    l->sent = 0;
}

static ssize_t on_read(void *cls, uint64_t position, char *out, size_t max)
{
    struct log_stream *l = cls;
    (void)position;
    pthread_mutex_lock(&l->lock);
    size_t n = l->queue.n - l->sent;
    n = n < max ? n : max;
    ssize_t rc = (ssize_t)n;
    if (n) {
        memcpy(out, l->queue.p + l->sent, n);
        l->sent += n;
        reuse(l);
        pthread_cond_broadcast(&l->room);
    } else if (l->queue.failed) {
        rc = MHD_CONTENT_READER_END_WITH_ERROR; /* it is not whole */
    } else if (!l->running || l->closed) {
        rc = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        l->suspended = true;
        l->silent_since_ms = 0;
        MHD_suspend_connection(l->connection);
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

static void stream_free(struct log_stream *l)
{
    buf_done(&l->queue);
    pthread_cond_destroy(&l->room);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static void *join_and_free(void *arg)
{
    struct log_stream *l = arg;
    struct log_streams *all = l->all;
    for (size_t i = 0; i < l->n; i++) {
        if (l->member[i].started)
            pthread_join(l->member[i].thread, NULL);
    }
    pthread_mutex_lock(&all->lock);
    for (size_t i = 0; i < LOG_STREAMS_MAX; i++) {
        if (all->stream[i] == l)
            all->stream[i] = NULL;
    }
    pthread_cond_broadcast(&all->gone);
    pthread_mutex_unlock(&all->lock);
    stream_free(l);
    return NULL;
}

/* The connection is gone, or all is sent. The writers end within a second or so: not waited for here. */
static void on_free(void *cls)
{
    struct log_stream *l = cls;
    pthread_t thread;
    atomic_store(&l->cancel, true);
    pthread_mutex_lock(&l->lock);
    l->closed = true;
    l->suspended = false; /* there is no connection any more */
    pthread_cond_broadcast(&l->room);
    pthread_mutex_unlock(&l->lock);
    if (pthread_create(&thread, NULL, join_and_free, l) == 0)
        pthread_detach(thread);
    else
        join_and_free(l);
}

/* ---- all of them ---- */

void log_streams_stop(struct log_streams *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopped = true;
    for (size_t i = 0; i < LOG_STREAMS_MAX; i++) {
        struct log_stream *l = s->stream[i];
        if (!l)
            continue;
        atomic_store(&l->cancel, true);
        pthread_mutex_lock(&l->lock);
        l->closed = true;
        pthread_cond_broadcast(&l->room);
        wake(l);
        pthread_mutex_unlock(&l->lock);
    }
    pthread_mutex_unlock(&s->lock);
}

void log_streams_beat(struct log_streams *s, uint64_t now_ms)
{
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < LOG_STREAMS_MAX; i++) {
        struct log_stream *l = s->stream[i];
        if (!l)
            continue;
        pthread_mutex_lock(&l->lock);
        if (l->suspended && !l->silent_since_ms)
            l->silent_since_ms = now_ms;
        if (l->suspended && now_ms - l->silent_since_ms > LOG_STREAM_BEAT_MS) {
            buf_u8(&l->queue, '\n');
            wake(l);
        }
        pthread_mutex_unlock(&l->lock);
    }
    pthread_mutex_unlock(&s->lock);
}

static int enlist(struct log_streams *s, struct log_stream *l, struct err *err)
{
    int rc = -1;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < LOG_STREAMS_MAX && rc < 0 && !s->stopped; i++) {
        if (!s->stream[i]) {
            s->stream[i] = l;
            rc = 0;
        }
    }
    bool stopped = s->stopped;
    pthread_mutex_unlock(&s->lock);
    if (rc < 0 && stopped)
        err_set(err, ERR_UNAVAILABLE, 0, "the agent is shutting down: try again when it has restarted");
    else if (rc < 0)
        err_set(err, ERR_LIMITED, 0, "%d log streams are open already: end one of them", LOG_STREAMS_MAX);
    return rc;
}

static void start_members(struct log_stream *l)
{
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < l->n; i++) {
        l->member[i].started = pthread_create(&l->member[i].thread, NULL, follow, &l->member[i]) == 0;
        l->running += l->member[i].started;
    }
    pthread_mutex_unlock(&l->lock);
}

int log_stream_begin(struct log_streams *s, const struct engine *engine, char *const *names, size_t n,
                     const struct engine_log_options *options, struct MHD_Connection *connection,
                     struct MHD_Response **out, struct err *err)
{
    if (n > LOG_STREAM_MEMBERS)
        return err_set(err, ERR_INPUT, 0, "%zu containers: a stream follows %d at most, name them", n,
                       LOG_STREAM_MEMBERS);
    struct log_stream *l = calloc(1, sizeof(*l));
    if (!l)
        return err_set(err, ERR_IO, ENOMEM, "no memory for a log stream");
    *l = (struct log_stream){
        .all = s, .connection = connection, .engine = *engine, .options = *options, .n = n
    };
    l->queue = buf_new(8 * LOG_STREAM_QUEUE);
    l->engine.cancel = &l->cancel;
    if (options->since) {
        snprintf(l->since, sizeof(l->since), "%s", options->since);
        l->options.since = l->since;
    }
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->room, NULL);
    for (size_t i = 0; i < n; i++) {
        l->member[i].stream = l;
        snprintf(l->member[i].name, sizeof(l->member[i].name), "%s", names[i]);
    }
    if (enlist(s, l, err) < 0) {
        stream_free(l);
        return -1;
    }
    start_members(l);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_read, l, on_free);
    if (!response) {
        on_free(l);
        return err_set(err, ERR_IO, ENOMEM, "no memory for a log stream");
    }
    *out = response;
    return 0;
}
