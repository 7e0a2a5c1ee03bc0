#include "agent/priv_client.h"

#include "base/auto.h"
#include "base/file.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

int priv_connect(const char *path, struct priv_client *out, struct err *err)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    if (path_set(addr.sun_path, sizeof(addr.sun_path), err, "%s", path) < 0)
        return -1;
    AUTO(close_fd) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return err_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_UNAVAILABLE, (uint32_t)errno,
                       "cannot reach cvm-agent-priv at %.100s: %s", path, strerror(errno));
    *out = (struct priv_client){ fd, 0 };
    fd = -1;
    return 0;
}

static int transfer(int fd, uint8_t raw[static PRIV_MESSAGE_SIZE], unsigned deadline_ms, struct err *err)
{
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    if (send(fd, raw, PRIV_MESSAGE_SIZE, MSG_NOSIGNAL) != (ssize_t)PRIV_MESSAGE_SIZE)
        return err_set(err, ERR_UNAVAILABLE, (uint32_t)errno, "cvm-agent-priv is gone: %s", strerror(errno));
    if (poll(&wait, 1, (int)deadline_ms) != 1)
        return err_set(err, ERR_UNAVAILABLE, 0, "cvm-agent-priv did not answer within %u ms", deadline_ms);
    if (recv(fd, raw, PRIV_MESSAGE_SIZE, MSG_TRUNC) != (ssize_t)PRIV_MESSAGE_SIZE)
        return err_set(err, ERR_UNAVAILABLE, 0, "cvm-agent-priv is gone");
    return 0;
}

static int judge(const struct priv_message *reply, struct err *err)
{
    static const char *const reasons[] = { NULL, "took the message for malformed", "does not know the verb",
                                           "does not support the verb in this build" };
    if (reply->status == PRIV_OK)
        return 0;
    return err_set(err, ERR_UNAVAILABLE, reply->status, "cvm-agent-priv %s",
                   reply->status < ARRAY_SIZE(reasons) ? reasons[reply->status] : "failed");
}

int priv_call(struct priv_client *c, enum priv_verb verb, struct bytes payload, unsigned deadline_ms,
              struct priv_message *reply, struct err *err)
{
    struct priv_message m = { .verb = (uint16_t)verb,
                              .sequence = ++c->sequence,
                              .payload_size = (uint32_t)payload.n };
    uint8_t raw[PRIV_MESSAGE_SIZE];
    if (c->fd < 0)
        return err_set(err, ERR_UNAVAILABLE, 0, "there is no cvm-agent-priv");
    if (payload.n > PRIV_PAYLOAD_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "a payload of %zu bytes, at most %u", payload.n,
                       PRIV_PAYLOAD_MAX);
    memcpy(m.payload, payload.p, payload.n);
    priv_message_encode(&m, raw);
    if (transfer(c->fd, raw, deadline_ms, err) < 0
        || priv_message_decode(bytes_of(raw, sizeof(raw)), &m, err) < 0)
        return -1;
    if (m.sequence != c->sequence || m.verb != (uint16_t)verb)
        return err_set(err, ERR_INPUT, 0, "cvm-agent-priv answered another message");
    if (judge(&m, err) < 0)
        return -1;
    *reply = m;
    return 0;
}
