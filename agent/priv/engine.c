/* The container engine: its start, its socket. What it finds is engine_files.c, what starts it launcher.c. */
#include "agent/priv/engine_files.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define SOCKET     "engine.sock"
#define START_MS   45000
#define RESTART_MS 10000
#define POLL_MS    5
#define LAST_WORDS 600 /* of the engine's log */
#define NAME_BYTES "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

int engine_dial(const char *directory)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    if (path_set(addr.sun_path, sizeof(addr.sun_path), NULL, "%s/" SOCKET, directory) < 0) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
        int why = errno;
        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static int ask_launcher(const struct priv_context *c, char what, struct err *err)
{
    uint8_t answer;
    if (c->launcher < 0)
        return err_set(err, ERR_UNAVAILABLE, 0, "containers need root: start cvm-agent as root");
    if (send(c->launcher, &what, 1, MSG_NOSIGNAL) != 1 || recv(c->launcher, &answer, 1, 0) != 1)
        return err_set(err, ERR_IO, (uint32_t)errno, "what starts the container engine is gone");
    return answer == 0
               ? 0
               : err_set(err, ERR_IO, answer, "cannot start the container engine: %s", strerror(answer));
}

/* The last thing that it said. */
static int ended(const char *directory, struct err *err)
{
    char path[PATH_MAX], tail[LAST_WORDS + 1] = "";
    struct stat st;
    if (path_set(path, sizeof(path), err, "%s/engine.log", directory) < 0)
        return -1;
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &st) < 0
        || pread(fd, tail, LAST_WORDS, st.st_size > LAST_WORDS ? st.st_size - LAST_WORDS : 0) < 0)
        *tail = '\0';
    for (size_t n = strlen(tail); n > 0 && tail[n - 1] == '\n'; n--)
        tail[n - 1] = '\0';
    const char *line = strrchr(tail, '\n');
    return err_set(err, ERR_IO, 0, "the container engine ended: %.250s", line ? line + 1 : tail);
}

static int await_engine(const struct priv_context *c, unsigned most_ms, struct err *err)
{
    for (unsigned waited = 0; waited < most_ms; waited += POLL_MS) {
        const struct timespec pause = { 0, POLL_MS * 1000000 };
        int fd = engine_dial(c->directory);
        if (fd >= 0)
            return fd;
        if (ask_launcher(c, '?', &(struct err){ 0 }) < 0)
            return ended(c->directory, err);
        nanosleep(&pause, NULL);
    }
    return err_set(err, ERR_IO, 0, "the container engine does not answer; see %.150s/engine.log",
                   c->directory);
}

/* The socket of the one before must not be taken for the new one's. */
static int start_engine(const struct priv_context *c, char which, struct err *err)
{
    char path[PATH_MAX];
    if (path_set(path, sizeof(path), err, "%s/" SOCKET, c->directory) < 0 || ask_launcher(c, 'k', err) < 0)
        return -1;
    unlink(path);
    return ask_launcher(c, which, err);
}

static int read_policy(int fd, struct buf *out, struct err *err)
{
    size_t size;
    if (priv_sealed(fd, PRIV_POLICY_MAX, &size, err) < 0)
        return -1;
    uint8_t *room = buf_room(out, size);
    return room && pread(fd, room, size, 0) == (ssize_t)size
               ? 0
               : err_set(err, ERR_IO, ENOMEM, "no memory for the signature policy");
}

/* A user's name as useradd(8) lets it be, so that it is one word wherever it is written. */
static int read_owner(const struct priv_message *q, char out[static PRIV_OWNER_MAX + 1])
{
    size_t n = q->payload_size - 2;
    if (n > PRIV_OWNER_MAX)
        return -1;
    memcpy(out, q->payload + 2, n);
    out[n] = '\0';
    return n > 0 && *out != '-' && strspn(out, NAME_BYTES) == n ? 0 : -1;
}

static enum priv_status start(struct priv_exchange *x)
{
    const struct priv_message *q = x->request;
    AUTO(buf_done) struct buf policy = buf_new(PRIV_POLICY_MAX);
    char owner[PRIV_OWNER_MAX + 1];
    struct err err = { 0 };
    unsigned kind = q->payload[0];
    bool docker = kind == PRIV_DOCKER;
    if (q->payload_size < 2 || q->payload[1] || (kind != PRIV_PODMAN && !docker)
        || (docker ? read_owner(q, owner) < 0 : q->payload_size != 2)
        || read_policy(x->fd, &policy, &err) < 0)
        return PRIV_MALFORMED;
    if ((docker ? docker_files(x->ctx, owner, &err) : podman_files(x->ctx, buf_bytes(&policy), &err)) < 0
        || start_engine(x->ctx, docker ? 'd' : 'p', &err) < 0)
        return priv_say_err(x, &err);
    AUTO(close_fd) int fd = await_engine(x->ctx, START_MS, &err);
    return fd < 0 ? priv_say_err(x, &err) : PRIV_OK;
}

/* An engine that has ended though it should run (out of memory, killed) is started again. */
static enum priv_status connect_engine(struct priv_exchange *x)
{
    struct err err = { 0 };
    x->reply_fd = engine_dial(x->ctx->directory);
    int why = errno;
    if (x->reply_fd < 0 && ask_launcher(x->ctx, 'r', &err) == 0)
        x->reply_fd = await_engine(x->ctx, RESTART_MS, &err);
    return x->reply_fd >= 0 ? PRIV_OK
                            : priv_say(x, PRIV_FAILED, (uint32_t)why, "the container engine does not run: %s",
                                       strerror(why));
}

enum priv_status verb_engine(struct priv_exchange *x)
{
    struct err err = { 0 };
    switch (x->request->flags) {
    case PRIV_ENGINE_START:
        return start(x);
    case PRIV_ENGINE_STOP:
        return ask_launcher(x->ctx, 'k', &err) < 0 ? priv_say_err(x, &err) : PRIV_OK;
    case PRIV_ENGINE_CONNECT:
        return connect_engine(x);
    case PRIV_ENGINE_STAGE:
    case PRIV_ENGINE_EXCHANGE:
    case PRIV_ENGINE_DISCARD:
    case PRIV_ENGINE_STORED:
        return verb_store(x);
    default:
        return PRIV_MALFORMED;
    }
}
