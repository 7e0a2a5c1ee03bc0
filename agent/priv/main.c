/* cvm-agent-priv: the privileged part. It reads messages of one size, answers each, and keeps no state. */
#include "agent/priv/filter.h"
#include "agent/priv/message.h"
#include "agent/priv/verbs.h"
#include "base/auto.h"
#include "base/log.h"

#include <errno.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <systemd/sd-daemon.h>

#define CHILD_SOCKET_FD 3
#define AGENT_USER      "cvm-agent"

/* On the private medium, beside the copy of the workload. */
#define ENGINE_DIRECTORY "/run/cvm-agent/workload/engine"

enum { EXIT_USAGE = 2, EXIT_ENVIRONMENT = 4 };

struct verb {
    enum priv_verb verb;
    enum priv_status (*act)(struct priv_exchange *x);
};

static enum priv_status ping(struct priv_exchange *x)
{
    (void)x;
    return PRIV_OK;
}

static const struct verb verbs[] = {
    { PRIV_PING, ping },          { PRIV_FIREWALL, verb_firewall },       { PRIV_LIVEPATCH, verb_livepatch },
    { PRIV_ENGINE, verb_engine }, { PRIV_MAINTENANCE, verb_maintenance },
};

static enum priv_status act(struct priv_exchange *x)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        if (verbs[i].verb == x->request->verb)
            return verbs[i].act(x);
    }
    return PRIV_UNKNOWN_VERB;
}

/* What the verbs need themselves: rules for nft, modules. The engine's privileges are the launcher's. */
static const int kept[] = { CAP_NET_ADMIN, CAP_SYS_MODULE };

static bool is_kept(int cap)
{
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        if (kept[i] == cap)
            return true;
    }
    return false;
}

static void drop_privileges(void)
{
    struct rlimit none = { 0, 0 };
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
    umask(077);
    setrlimit(RLIMIT_CORE, &none);
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        if (!is_kept(cap))
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    }
    syscall(SYS_capget, &header, caps);
    uint32_t keep = 0;
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        keep |= 1u << kept[i];
    caps[0] = (struct __user_cap_data_struct){ .effective = caps[0].permitted & keep,
                                               .permitted = caps[0].permitted & keep };
    caps[1] = (struct __user_cap_data_struct){ 0 };
    syscall(SYS_capset, &header, caps);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* The launcher is forked first: it keeps what everything after it does not have. */
static int divide(struct priv_context *c, const char *directory, struct err *err)
{
    c->directory = directory;
    c->sys = "/sys";
    c->limited = prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE, 0, 0, 0) != 1;
    c->launcher = launcher_start(directory);
    drop_privileges();
#ifndef CVM_SANITIZED /* a sanitizer's own calls are not on the list */
    return filter_install(err);
#else
    (void)err;
    return 0;
#endif
}

static int refused(const struct err *err)
{
    char text[ERR_TEXT_MAX];
    log_event(LOG_LEVEL_ERROR, "refused", "error", err_text(err, text, sizeof(text)), NULL);
    return EXIT_ENVIRONMENT;
}

/* Only the agent's user, root, and whoever runs us (an agent started by an ordinary user) may ask. */
static bool may_ask(int fd)
{
    struct ucred peer;
    socklen_t n = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
        return false;
    const struct passwd *agent = getpwnam(AGENT_USER);
    return peer.uid == 0 || peer.uid == getuid() || (agent && peer.uid == agent->pw_uid);
}

static ssize_t receive(int from, uint8_t raw[static PRIV_MESSAGE_SIZE], int *fd)
{
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec part = { raw, PRIV_MESSAGE_SIZE };
    struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof(control.room)
    };
    ssize_t n;
    do
        n = recvmsg(from, &m, MSG_CMSG_CLOEXEC | MSG_TRUNC);
    while (n < 0 && errno == EINTR);
    const struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
        && c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(fd, CMSG_DATA(c), sizeof(*fd));
    return n;
}

static int answer(int to, const struct priv_message *reply, int fd)
{
    static uint8_t raw[PRIV_MESSAGE_SIZE];
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = { .room = { 0 } };
    struct iovec part = { raw, sizeof(raw) };
    struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
    priv_message_encode(reply, raw);
    if (fd >= 0) {
        m.msg_control = control.room;
        m.msg_controllen = sizeof(control.room);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    return sendmsg(to, &m, MSG_NOSIGNAL) == (ssize_t)sizeof(raw) ? 0 : -1;
}

/* Answers messages until the peer is gone. */
static void serve(int peer, const struct priv_context *context)
{
    static struct priv_message request, reply;
    static uint8_t raw[PRIV_MESSAGE_SIZE];
    for (;;) {
        AUTO(close_fd) int fd = -1;
        AUTO(close_fd) int reply_fd = -1;
        ssize_t n = receive(peer, raw, &fd);
        if (n <= 0)
            return;
        reply = (struct priv_message){ 0 };
        if ((size_t)n > sizeof(raw) || priv_message_decode(bytes_of(raw, (size_t)n), &request, NULL) < 0) {
            reply.status = PRIV_MALFORMED;
        } else {
            struct priv_exchange x = { context, &request, &reply, fd, -1 };
            reply.verb = request.verb;
            reply.sequence = request.sequence;
            reply.status = (uint16_t)act(&x);
            reply_fd = x.reply_fd;
        }
        if (answer(peer, &reply, reply_fd) < 0)
            return;
    }
}

static int run_child(struct priv_context *context, const char *directory)
{
    struct err err = { 0 };
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (!may_ask(CHILD_SOCKET_FD)) {
        log_event(LOG_LEVEL_ERROR, "refused", "error", "descriptor 3 is not a socket of the agent", NULL);
        return EXIT_ENVIRONMENT;
    }
    if (divide(context, directory, &err) < 0)
        return refused(&err);
    serve(CHILD_SOCKET_FD, context);
    return 0;
}

/* One caller at a time: there is one agent. */
static int run_activated(struct priv_context *context, const char *directory)
{
    struct err err = { 0 };
    if (sd_listen_fds(1) != 1 || sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, NULL, 0) <= 0) {
        fprintf(stderr,
                "cvm-agent-priv: start: no socket: this program is started by systemd or by cvm-agent\n");
        return EXIT_USAGE;
    }
    if (divide(context, directory, &err) < 0)
        return refused(&err);
    for (;;) {
        AUTO(close_fd) int fd = accept4(SD_LISTEN_FDS_START, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
            return EXIT_ENVIRONMENT;
        if (fd >= 0 && may_ask(fd))
            serve(fd, context);
    }
}

static int usage(void)
{
    fprintf(stderr, "cvm-agent-priv: usage: cvm-agent-priv [--child] [--engine-dir DIR] | --version\n");
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    static struct priv_context context;
    const char *directory = ENGINE_DIRECTORY;
    bool child = false;
    log_setup(LOG_LEVEL_INFO);
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        puts("cvm-agent-priv " CVM_VERSION);
        return 0;
    }
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--child"))
            child = true;
        else if (!strcmp(argv[i], "--engine-dir") && i + 1 < argc && argv[i + 1][0] == '/')
            directory = argv[++i];
        else
            return usage();
    }
    return child ? run_child(&context, directory) : run_activated(&context, directory);
}
