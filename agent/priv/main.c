/* cvm-agent-priv: the privileged part. It reads messages of one size, answers each, and keeps no state. */
#include "agent/priv/message.h"
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

enum { EXIT_USAGE = 2, EXIT_ENVIRONMENT = 4 };

struct verb {
    enum priv_verb verb;
    enum priv_status (*act)(const struct priv_message *request, struct priv_message *reply);
};

static enum priv_status ping(const struct priv_message *request, struct priv_message *reply)
{
    (void)request, (void)reply;
    return PRIV_OK;
}

static enum priv_status not_supported(const struct priv_message *request, struct priv_message *reply)
{
    (void)request, (void)reply;
    return PRIV_NOT_SUPPORTED;
}

static const struct verb verbs[] = {
    { PRIV_PING, ping },
    { PRIV_FIREWALL, not_supported },
    { PRIV_LIVEPATCH, not_supported },
    { PRIV_ENGINE, not_supported },
    { PRIV_MAINTENANCE, not_supported },
};

static enum priv_status act(const struct priv_message *request, struct priv_message *reply)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        if (verbs[i].verb == request->verb)
            return verbs[i].act(request, reply);
    }
    return PRIV_UNKNOWN_VERB;
}

/* Nothing that a verb of this build needs is privileged. */
static void drop_privileges(void)
{
    struct rlimit none = { 0, 0 };
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct no_caps[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
    umask(077);
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    syscall(SYS_capset, &header, no_caps);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
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

/* Answers messages until the peer is gone. */
static void serve(int fd)
{
    static struct priv_message request, reply;
    static uint8_t raw[PRIV_MESSAGE_SIZE];
    for (;;) {
        ssize_t n = recv(fd, raw, sizeof(raw), MSG_TRUNC);
        struct err err = { 0 };
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        reply = (struct priv_message){ 0 };
        if ((size_t)n > sizeof(raw) || priv_message_decode(bytes_of(raw, (size_t)n), &request, &err) < 0) {
            reply.status = PRIV_MALFORMED;
        } else {
            reply.verb = request.verb;
            reply.sequence = request.sequence;
            reply.status = (uint16_t)act(&request, &reply);
        }
        priv_message_encode(&reply, raw);
        if (send(fd, raw, sizeof(raw), MSG_NOSIGNAL) != (ssize_t)sizeof(raw))
            return;
    }
}

static int run_child(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (!may_ask(CHILD_SOCKET_FD)) {
        log_event(LOG_LEVEL_ERROR, "refused", "error", "descriptor 3 is not a socket of the agent", NULL);
        return EXIT_ENVIRONMENT;
    }
    drop_privileges();
    serve(CHILD_SOCKET_FD);
    return 0;
}

/* One caller at a time: there is one agent. */
static int run_activated(void)
{
    if (sd_listen_fds(1) != 1 || sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, NULL, 0) <= 0) {
        fprintf(stderr,
                "cvm-agent-priv: start: no socket: this program is started by systemd or by cvm-agent\n");
        return EXIT_USAGE;
    }
    drop_privileges();
    for (;;) {
        AUTO(close_fd) int fd = accept4(SD_LISTEN_FDS_START, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
            return EXIT_ENVIRONMENT;
        if (fd >= 0 && may_ask(fd))
            serve(fd);
    }
}

int main(int argc, char **argv)
{
    log_setup(LOG_LEVEL_INFO);
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        puts("cvm-agent-priv " CVM_VERSION);
        return 0;
    }
    if (argc == 2 && !strcmp(argv[1], "--child"))
        return run_child();
    if (argc == 1)
        return run_activated();
    fprintf(stderr, "cvm-agent-priv: usage: cvm-agent-priv [--child | --version]: unknown argument\n");
    return EXIT_USAGE;
}
