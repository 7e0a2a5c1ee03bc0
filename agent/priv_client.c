#include "agent/priv_client.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/log.h"
#include "base/passfd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#define FIREWALL_MS     10000
#define LIVEPATCH_MS    60000 /* the old patches' transitions */
#define ENGINE_START_MS 60000
#define ENGINE_MS       15000 /* it may have to be started again */
#define MAINTENANCE_MS  10000

static int dial(const char *path, struct err *err)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    if (path_set(addr.sun_path, sizeof(addr.sun_path), err, "%s", path) < 0)
        return -1;
    AUTO(close_fd) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE, (uint32_t)errno,
                       "cannot reach cvm-agent-priv at %.100s: %s", path, strerror(errno));
    int out = fd;
    fd = -1;
    return out;
}

int priv_connect(const char *path, struct priv_client *out, struct err *err)
{
    int fd = dial(path, err);
    if (fd < 0)
        return -1;
    out->fd = fd;
    out->path = path;
    return 0;
}

void priv_disconnect(struct priv_client *c)
{
    close_fd(&c->fd);
    close_fd(&c->engine.policy);
    c->fd = c->engine.policy = -1;
    c->path = NULL;
}

/* Nobody is there any more. */
static void hang_up(struct priv_client *c)
{
    close_fd(&c->fd);
    c->fd = -1;
}

static int receive_message(struct priv_client *c, uint8_t raw[static PRIV_MESSAGE_SIZE], int *fd,
                           struct err *err)
{
    ssize_t n = passfd_receive(c->fd, raw, PRIV_MESSAGE_SIZE, fd, NULL);
    if (n == (ssize_t)PRIV_MESSAGE_SIZE)
        return 0;
    int why = n < 0 ? errno : 0;
    close_fd(fd);
    *fd = -1;
    hang_up(c);
    return n > 0 ? err_set(err, ERR_INPUT, 0, "cvm-agent-priv sent %zd bytes, want %u", n, PRIV_MESSAGE_SIZE)
                 : err_set(err, ERR_UNAVAILABLE, (uint32_t)why,
                           "cvm-agent-priv has ended before it answered; try again");
}

/* Waits for the reply with our sequence number; earlier ones are late answers to calls that gave up. */
static int await_reply(struct priv_client *c, const struct priv_request *q, struct priv_message *reply,
                       int *fd, struct err *err)
{
    uint8_t raw[PRIV_MESSAGE_SIZE];
    int64_t until = (int64_t)clock_ms() + q->deadline_ms;
    for (;;) {
        int64_t left = until - (int64_t)clock_ms();
        struct pollfd wait = { .fd = c->fd, .events = POLLIN };
        int ready = left > 0 ? poll(&wait, 1, (int)left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return err_set(err, ERR_UNAVAILABLE, 0, "cvm-agent-priv did not answer within %u ms",
                           q->deadline_ms);
        if (receive_message(c, raw, fd, err) < 0)
            return -1;
        int whole = priv_message_decode(bytes_of(raw, sizeof(raw)), reply, err);
        if (whole == 0 && reply->sequence == c->sequence && reply->verb == (uint16_t)q->verb)
            return 0;
        close_fd(fd);
        *fd = -1;
        if (whole < 0)
            return -1;
        if (reply->sequence == c->sequence)
            return err_set(err, ERR_INPUT, 0, "cvm-agent-priv answered another message");
    }
}

static int judge(const struct priv_message *reply, struct err *err)
{
    static const char *const reasons[] = { NULL, "took the message for malformed", "does not know the verb",
                                           "does not support the verb in this build" };
    int length = (int)reply->payload_size;
    if (reply->status == PRIV_OK)
        return 0;
    if (reply->status < ARRAY_SIZE(reasons))
        return err_set(err, ERR_UNAVAILABLE, reply->status, "cvm-agent-priv %s", reasons[reply->status]);
    if (reply->status == PRIV_BUSY)
        return err_set(err, ERR_BUSY, 0, "an update is being stored: try again when that is done");
    return err_set(err, reply->status == PRIV_REFUSED ? ERR_UNAVAILABLE : ERR_IO, reply->flags, "%.*s",
                   length, (const char *)reply->payload);
}

static int send_message(struct priv_client *c, const struct priv_request *q, struct err *err)
{
    struct priv_message m = { .verb = (uint16_t)q->verb,
                              .sequence = ++c->sequence,
                              .flags = q->flags,
                              .payload_size = (uint32_t)q->payload.n };
    uint8_t raw[PRIV_MESSAGE_SIZE];
    memcpy(m.payload, bytes_of(q->payload.p, 0).p,
           q->payload.n); /* a request without a payload has no pointer */
    priv_message_encode(&m, raw);
    if (c->fd >= 0 && passfd_send(c->fd, bytes_of(raw, sizeof(raw)), q->fd) == 0)
        return 0;
    int why = c->fd >= 0 ? errno : ENOTCONN;
    hang_up(c);
    return err_set(err, ERR_UNAVAILABLE, (uint32_t)why, "cvm-agent-priv is gone: %s", strerror(why));
}

static int exchange(struct priv_client *c, const struct priv_request *q, struct priv_message *reply, int *fd,
                    struct err *err)
{
    if (await_reply(c, q, reply, fd, err) < 0)
        return -1;
    if (judge(reply, err) == 0 && (*fd >= 0) == q->wants_fd)
        return 0;
    bool good = reply->status == PRIV_OK;
    close_fd(fd);
    *fd = -1;
    return good ? err_set(err, ERR_INPUT, 0, "cvm-agent-priv sent a reply %s a descriptor",
                          q->wants_fd ? "without" : "with")
                : -1;
}

static struct priv_request engine_request(const struct priv_engine_order *o,
                                          uint8_t payload[static 2 + PRIV_OWNER_MAX])
{
    size_t n = strlen(o->owner);
    payload[0] = (uint8_t)o->kind;
    payload[1] = 0;
    memcpy(payload + 2, o->owner, n);
    return (struct priv_request){ .verb = PRIV_ENGINE,
                                  .flags = PRIV_ENGINE_START,
                                  .payload = bytes_of(payload, 2 + n),
                                  .fd = o->policy,
                                  .deadline_ms = ENGINE_START_MS };
}

/* A new helper at the old one's socket. Its engine stopped with it. */
static int call_again(struct priv_client *c, struct err *err)
{
    struct priv_message reply;
    uint8_t payload[2 + PRIV_OWNER_MAX];
    int none;
    struct err why = { 0 };
    if (!c->path)
        return err_set(err, ERR_UNAVAILABLE, 0, "cvm-agent-priv has ended: restart cvm-agent");
    c->fd = dial(c->path, err);
    if (c->fd < 0)
        return -1;
    log_event(LOG_LEVEL_WARNING, "priv", "state", "connected again", NULL);
    const struct priv_request q = engine_request(&c->engine, payload);
    if (c->engine.policy >= 0 && (send_message(c, &q, &why) < 0 || exchange(c, &q, &reply, &none, &why) < 0))
        log_err(LOG_LEVEL_ERROR, "priv", &why); /* a request that needs the engine will say so */
    return c->fd < 0 ? err_set(err, ERR_UNAVAILABLE, 0, "cvm-agent-priv has ended again") : 0;
}

static int do_locked(struct priv_client *c, const struct priv_request *q, struct priv_message *reply, int *fd,
                     struct err *err)
{
    struct err why = { 0 };
    if (send_message(c, q, &why) < 0 && (call_again(c, err) < 0 || send_message(c, q, err) < 0))
        return -1;
    return exchange(c, q, reply, fd, err);
}

int priv_do(struct priv_client *c, const struct priv_request *request, struct priv_message *reply,
            int *reply_fd, struct err *err)
{
    int fd = -1;
    if (request->payload.n > PRIV_PAYLOAD_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "a payload of %zu bytes, at most %u", request->payload.n,
                       PRIV_PAYLOAD_MAX);
    pthread_mutex_lock(&c->lock);
    int rc = c->fd < 0 && !c->path ? err_set(err, ERR_UNAVAILABLE, 0, "there is no cvm-agent-priv")
                                   : do_locked(c, request, reply, &fd, err);
    pthread_mutex_unlock(&c->lock);
    if (rc == 0 && request->wants_fd)
        *reply_fd = fd;
    return rc;
}

int priv_call(struct priv_client *c, enum priv_verb verb, struct bytes payload, unsigned deadline_ms,
              struct priv_message *reply, struct err *err)
{
    const struct priv_request q = { .verb = verb, .payload = payload, .fd = -1, .deadline_ms = deadline_ms };
    return priv_do(c, &q, reply, NULL, err);
}

/* A file in memory that nobody, we included, can change any more: what is checked is what is used. */
static int sealed_file(const char *name, struct bytes data, struct err *err)
{
    AUTO(close_fd) int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t done = 0;
    while (fd >= 0 && done < data.n) {
        ssize_t n = write(fd, data.p + done, data.n - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    if (fd < 0 || done < data.n
        || fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "no memory for %zu bytes of %s: %s", data.n, name,
                       strerror(errno));
    int out = fd;
    fd = -1;
    return out;
}

int priv_firewall(struct priv_client *c, const struct priv_port *ports, size_t n, struct err *err)
{
    uint8_t payload[PRIV_PORTS_MAX * PRIV_PORT_SIZE];
    struct priv_message reply;
    if (n > PRIV_PORTS_MAX)
        return err_set(err, ERR_INPUT, 0, "%zu firewall rules, at most %u", n, PRIV_PORTS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct priv_port *p = &ports[i];
        if (p->first == 0 || p->last < p->first)
            return err_set(err, ERR_INPUT, 0, "firewall rule %zu: ports %u to %u", i, p->first, p->last);
        const uint8_t record[PRIV_PORT_SIZE] = { p->udp ? 17 : 6,
                                                 0,
                                                 (uint8_t)p->first,
                                                 (uint8_t)(p->first >> 8),
                                                 (uint8_t)p->last,
                                                 (uint8_t)(p->last >> 8),
                                                 0,
                                                 0 };
        memcpy(payload + i * PRIV_PORT_SIZE, record, PRIV_PORT_SIZE);
    }
    return priv_call(c, PRIV_FIREWALL, bytes_of(payload, n * PRIV_PORT_SIZE), FIREWALL_MS, &reply, err);
}

int priv_livepatch_ready(struct priv_client *c, struct err *err)
{
    struct priv_message reply;
    return priv_call(c, PRIV_LIVEPATCH, bytes_of(NULL, 0), LIVEPATCH_MS, &reply, err);
}

int priv_livepatch(struct priv_client *c, struct bytes module, struct err *err)
{
    struct priv_message reply;
    AUTO(close_fd) int fd = sealed_file("livepatch", module, err);
    const struct priv_request q = {
        .verb = PRIV_LIVEPATCH, .flags = PRIV_LIVEPATCH_LOAD, .fd = fd, .deadline_ms = LIVEPATCH_MS
    };
    return fd < 0 ? -1 : priv_do(c, &q, &reply, NULL, err);
}

/* What a helper that comes after this one shall be told; a policy of -1: nothing. */
static void remember_engine(struct priv_client *c, const struct priv_engine_order *o)
{
    pthread_mutex_lock(&c->lock);
    close_fd(&c->engine.policy);
    c->engine = *o;
    pthread_mutex_unlock(&c->lock);
}

int priv_engine_start(struct priv_client *c, enum priv_engine_kind kind, const char *owner,
                      struct bytes policy, struct err *err)
{
    struct priv_message reply;
    uint8_t payload[2 + PRIV_OWNER_MAX];
    struct priv_engine_order order = { .kind = kind, .policy = -1 };
    struct bytes name = bytes_str(kind == PRIV_DOCKER ? owner : "");
    if (name.n > PRIV_OWNER_MAX)
        return err_set(err, ERR_INPUT, 0, "container_owner %.60s is longer than %u bytes", owner,
                       PRIV_OWNER_MAX);
    memcpy(order.owner, name.p, name.n);
    if (policy.n > PRIV_POLICY_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "a signature policy of %zu bytes, at most %u", policy.n,
                       PRIV_POLICY_MAX);
    order.policy = sealed_file("policy.json", policy, err);
    const struct priv_request q = engine_request(&order, payload);
    if (order.policy < 0)
        return -1;
    int rc = priv_do(c, &q, &reply, NULL, err);
    remember_engine(c, &order);
    return rc;
}

int priv_engine_stop(struct priv_client *c, struct err *err)
{
    struct priv_message reply;
    const struct priv_request q = {
        .verb = PRIV_ENGINE, .flags = PRIV_ENGINE_STOP, .fd = -1, .deadline_ms = ENGINE_START_MS
    };
    remember_engine(c, &(struct priv_engine_order){ .policy = -1 });
    return priv_do(c, &q, &reply, NULL, err);
}

int priv_engine_connect(void *ctx, struct err *err)
{
    struct priv_message reply;
    int fd = -1;
    const struct priv_request q = { .verb = PRIV_ENGINE,
                                    .flags = PRIV_ENGINE_CONNECT,
                                    .fd = -1,
                                    .wants_fd = true,
                                    .deadline_ms = ENGINE_MS };
    return priv_do(ctx, &q, &reply, &fd, err) < 0 ? -1 : fd;
}

int priv_maintenance(struct priv_client *c, const char *id, int signal, struct err *err)
{
    uint8_t payload[PRIV_MAINTENANCE_SIZE] = { 0 };
    struct priv_message reply;
    if (hex_decode_fixed(bytes_str(id), payload, 32, err) < 0)
        return err_while(err, "container id");
    payload[32] = (uint8_t)signal;
    return priv_call(c, PRIV_MAINTENANCE, bytes_of(payload, sizeof(payload)), MAINTENANCE_MS, &reply, err);
}
