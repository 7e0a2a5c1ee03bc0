/* cvm-agent-priv: the privileged part. It reads messages of one size, answers each, and knows nothing of
 * earlier ones but whether an update is being stored. */
#include "agent/priv/filter.h"
#include "agent/priv/message.h"
#include "agent/priv/rights.h"
#include "agent/priv/verbs.h"
#include "base/auto.h"
#include "base/log.h"
#include "base/passfd.h"

#include <errno.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

#define CHILD_SOCKET_FD 3
#define AGENT_USER      "cvm-agent"

/* On the private medium, beside the copy of the workload. */
#define ENGINE_DIRECTORY "/run/cvm-agent/workload/engine"

/* On the data partition. */
#define WORKLOAD_DIRECTORY "/data/workload"

enum { EXIT_USAGE = 2, EXIT_ENVIRONMENT = 4 };

struct places {
    const char *engine, *workload; /* absolute */
};

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

/* What the verbs need themselves: rules for nft, modules. The engine's privileges are the launcher's, those
 * for the data partition the store's. */
static const int kept[] = { CAP_NET_ADMIN, CAP_SYS_MODULE };

/* Launcher and store are forked first: they keep what everything after them does not have. */
static int divide(struct priv_context *c, const struct places *p, struct err *err)
{
    static struct priv_store store;
    c->directory = p->engine;
    c->sys = "/sys";
    c->limited = prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE, 0, 0, 0) != 1;
    c->launcher = launcher_start(p->engine);
    store.socket = store_start(p->workload);
    store.busy = store.socket >= 0; /* it says so when it is ready */
    c->store = &store;
    rights_keep(kept, ARRAY_SIZE(kept));
    return filter_confine(FILTER_VERBS, err);
}

static int refused(const struct err *err)
{
    char text[ERR_TEXT_MAX];
    log_event(LOG_LEVEL_ERROR, "refused", "error", err_text(err, text, sizeof(text)), NULL);
    return EXIT_ENVIRONMENT;
}

/* Looked up before system calls are filtered: name services may need others. Root, if there is no such user.
 */
static uid_t agent_user(void)
{
    const struct passwd *agent = getpwnam(AGENT_USER);
    return agent ? agent->pw_uid : 0;
}

/* Only the agent's user, root, and whoever runs us (an agent started by an ordinary user) may ask. */
static bool may_ask(int fd, uid_t agent)
{
    struct ucred peer;
    socklen_t n = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
        return false;
    return peer.uid == 0 || peer.uid == getuid() || peer.uid == agent;
}

static bool want_credentials(int fd)
{
    const int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0;
}

static int answer(int to, const struct priv_message *reply, int fd)
{
    static uint8_t raw[PRIV_MESSAGE_SIZE];
    priv_message_encode(reply, raw);
    return passfd_send(to, bytes_of(raw, sizeof(raw)), fd);
}

/* Answers messages until the peer is gone. */
static void serve(int peer, const struct priv_context *context)
{
    static struct priv_message request, reply;
    static uint8_t raw[PRIV_MESSAGE_SIZE];
    for (;;) {
        AUTO(close_fd) int fd = -1;
        AUTO(close_fd) int reply_fd = -1;
        struct ucred from; /* the socket may have been made by another user than the one it serves */
        ssize_t n = passfd_receive(peer, raw, sizeof(raw), &fd, &from);
        if (n <= 0)
            return;
        reply = (struct priv_message){ 0 };
        if ((size_t)n > sizeof(raw) || priv_message_decode(bytes_of(raw, (size_t)n), &request, NULL) < 0) {
            reply.status = PRIV_MALFORMED;
        } else {
            struct priv_exchange x = { context, &request, &reply, from, fd, -1 };
            reply.verb = request.verb;
            reply.sequence = request.sequence;
            reply.status = (uint16_t)act(&x);
            reply_fd = x.reply_fd;
        }
        if (answer(peer, &reply, reply_fd) < 0)
            return;
    }
}

static int run_child(struct priv_context *context, const struct places *places)
{
    struct err err = { 0 };
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (!may_ask(CHILD_SOCKET_FD, agent_user()) || !want_credentials(CHILD_SOCKET_FD)) {
        log_event(LOG_LEVEL_ERROR, "refused", "error", "descriptor 3 is not a socket of the agent", NULL);
        return EXIT_ENVIRONMENT;
    }
    if (divide(context, places, &err) < 0)
        return refused(&err);
    serve(CHILD_SOCKET_FD, context);
    return 0;
}

/* One caller at a time: there is one agent. */
static int run_activated(struct priv_context *context, const struct places *places)
{
    struct err err = { 0 };
    if (sd_listen_fds(1) != 1 || sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_SEQPACKET, 1, NULL, 0) <= 0) {
        fprintf(stderr,
                "cvm-agent-priv: start: no socket: this program is started by systemd or by cvm-agent\n");
        return EXIT_USAGE;
    }
    const uid_t agent = agent_user();
    if (divide(context, places, &err) < 0)
        return refused(&err);
    for (;;) {
        AUTO(close_fd) int fd = accept4(SD_LISTEN_FDS_START, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
            return EXIT_ENVIRONMENT;
        if (fd >= 0 && may_ask(fd, agent) && want_credentials(fd))
            serve(fd, context);
    }
}

static int usage(void)
{
    fprintf(
        stderr,
        "cvm-agent-priv: usage: cvm-agent-priv [--child] [--engine-dir DIR] [--workload DIR] | --version\n");
    return EXIT_USAGE;
}

/* Absolute, and with a name at its end. */
static bool is_place(const char *path)
{
    return path[0] == '/' && path[strlen(path) - 1] != '/';
}

int main(int argc, char **argv)
{
    static struct priv_context context;
    struct places places = { ENGINE_DIRECTORY, WORKLOAD_DIRECTORY };
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
            places.engine = argv[++i];
        else if (!strcmp(argv[i], "--workload") && i + 1 < argc && is_place(argv[i + 1]))
            places.workload = argv[++i];
        else
            return usage();
    }
    return child ? run_child(&context, &places) : run_activated(&context, &places);
}
