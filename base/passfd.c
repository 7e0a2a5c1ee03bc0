#include "base/passfd.h"

#include "base/auto.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define CONTROL_MAX (CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred)))

int passfd_send(int to, struct bytes data, int fd)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { .room = { 0 } };
    struct iovec part = { (void *)(uintptr_t)data.p, data.n };
    struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
    if (fd >= 0) {
        m.msg_control = control.room;
        m.msg_controllen = sizeof(control.room);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    return sendmsg(to, &m, MSG_NOSIGNAL) == (ssize_t)data.n ? 0 : -1;
}

/* One descriptor is what anybody sends: more are closed, and none is taken. */
static int take_descriptor(const struct cmsghdr *c)
{
    int all[CONTROL_MAX / sizeof(int)];
    size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(all, CMSG_DATA(c), n * sizeof(int));
    if (n == 1)
        return all[0];
    for (size_t i = 0; i < n; i++)
        close(all[i]);
    return -1;
}

/* Whether credentials came. */
static bool take_control(struct msghdr *m, int *fd, struct ucred *peer)
{
    bool known = false;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_RIGHTS)
            *fd = take_descriptor(c); /* the kernel puts all into one */
        if (peer && c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len == CMSG_LEN(sizeof(*peer))) {
            memcpy(peer, CMSG_DATA(c), sizeof(*peer));
            known = true;
        }
    }
    return known;
}

ssize_t passfd_receive(int from, void *room, size_t size, int *fd, struct ucred *peer)
{
    union {
        struct cmsghdr align;
        char room[CONTROL_MAX];
    } control;
    struct iovec part = { room, size };
    struct msghdr m = { .msg_iov = &part,
                        .msg_iovlen = 1,
                        .msg_control = control.room,
                        .msg_controllen = CMSG_SPACE(sizeof(int)) + (peer ? CMSG_SPACE(sizeof(*peer)) : 0) };
    ssize_t n;
    *fd = -1;
    do
        n = recvmsg(from, &m, MSG_CMSG_CLOEXEC | MSG_TRUNC);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n;
    bool known = take_control(&m, fd, peer);
    if (!(m.msg_flags & MSG_CTRUNC) && (known || !peer))
        return n;
    close_fd(fd);
    *fd = -1;
    errno = EBADMSG;
    return -1;
}
