/* The container engine: its configuration, its socket. What starts it is launcher.c. Everything lies in one
 * folder on the private medium, which is root's alone: whoever has the socket is root. */
#include "agent/priv/verbs.h"

#include "base/auto.h"
#include "base/buf.h"
#include "base/file.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define SOCKET        "engine.sock"
#define DIRECTORY_MAX 44 /* measured: below longer paths conmon 2.1.6 does not tidy up ended containers */
#define START_MS      45000
#define RESTART_MS    10000
#define POLL_MS       5

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

static int make_folder(const char *directory, const char *name, struct err *err)
{
    char path[PATH_MAX];
    struct stat st;
    if (path_set(path, sizeof(path), err, "%s%s", directory, name) < 0)
        return -1;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot make %.150s: %s", path, strerror(errno));
    if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
        return err_set(err, ERR_IO, 0, "%.150s is not a folder of ours: remove it", path);
    return 0;
}

/* The one that holds ours may be somebody else's (the agent's private medium); it is made if it is not there.
 */
static int make_folders(const char *directory, struct err *err)
{
    static const char *const names[] = { "",
                                         "/home",
                                         "/home/.config",
                                         "/home/.config/containers",
                                         "/tmp",
                                         "/home/.config/containers/registries.d",
                                         "/net" };
    char parent[PATH_MAX];
    if (strlen(directory) > DIRECTORY_MAX)
        return err_set(err, ERR_INPUT, 0, "the engine's folder %.100s is longer than %d bytes", directory,
                       DIRECTORY_MAX);
    if (path_set(parent, sizeof(parent), err, "%s", directory) < 0)
        return -1;
    char *slash = strrchr(parent, '/');
    if (!slash || slash == parent)
        return err_set(err, ERR_INPUT, 0, "%.100s is no folder for the engine", directory);
    *slash = '\0';
    if (dir_make(parent, 0755, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (make_folder(directory, names[i], err) < 0)
            return -1;
    }
    return 0;
}

static int put_file(const char *directory, const char *name, struct bytes text, struct err *err)
{
    char path[PATH_MAX];
    return path_set(path, sizeof(path), err, "%s/%s", directory, name) < 0
               ? -1
               : file_write_atomic(path, text, 0600, err);
}

static bool unified_cgroups(void)
{
    struct statfs fs;
    return statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* crun wants cgroup v2; runc does with both. */
static const char *runtime(void)
{
    bool crun = access("/usr/bin/crun", X_OK) == 0;
    bool runc = access("/usr/sbin/runc", X_OK) == 0 || access("/usr/bin/runc", X_OK) == 0;
    return crun && (unified_cgroups() || !runc) ? "crun" : "runc";
}

/* podman lowers its own limit to this, and could not raise a container's above it. */
static rlim_t processes_max(rlim_t hard)
{
    char text[24];
    if (file_read_line("/proc/sys/kernel/pid_max", text, sizeof(text), NULL) < 0)
        return hard;
    rlim_t most = (rlim_t)strtoull(text, NULL, 10);
    return most < hard ? most : hard;
}

/* In a container that may not raise limits, the engine's own defaults cannot be set. */
static void put_limits(struct buf *out)
{
    struct rlimit files, processes;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || getrlimit(RLIMIT_NPROC, &processes) < 0)
        return;
    unsigned long long n = processes_max(processes.rlim_max);
    buf_printf(out, "default_ulimits = [\"nofile=%llu:%llu\", \"nproc=%llu:%llu\"]\n",
               (unsigned long long)files.rlim_max, (unsigned long long)files.rlim_max, n, n);
}

/* Source: containers.conf(5). */
static int put_containers_conf(const struct priv_context *c, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(16384);
    bool systemd =
        access("/run/systemd/system", F_OK) == 0 && access("/run/dbus/system_bus_socket", F_OK) == 0;
    buf_str(&text, "[containers]\nlog_driver = \"k8s-file\"\n");
    if (c->limited)
        put_limits(&text);
    buf_printf(&text,
               "[engine]\ncgroup_manager = \"%s\"\nruntime = \"%s\"\nevents_logger = \"file\"\n"
               "image_copy_tmp_dir = \"%s/tmp\"\ntmp_dir = \"%s/run/libpod\"\n",
               systemd ? "systemd" : "cgroupfs", runtime(), c->directory, c->directory);
    buf_printf(&text, "[network]\nnetwork_backend = \"netavark\"\nnetwork_config_dir = \"%s/net\"\n",
               c->directory);
    return buf_check(&text, "containers.conf", err) < 0
               ? -1
               : put_file(c->directory, "containers.conf", buf_bytes(&text), err);
}

/* Source: containers-storage.conf(5). */
static int put_storage_conf(const struct priv_context *c, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(16384);
    buf_printf(&text,
               "[storage]\ndriver = \"overlay\"\ngraphroot = \"%s/storage\"\nrunroot = \"%s/run\"\n"
               "[storage.options.overlay]\nmountopt = \"nodev\"\n",
               c->directory, c->directory);
    return buf_check(&text, "storage.conf", err) < 0
               ? -1
               : put_file(c->directory, "storage.conf", buf_bytes(&text), err);
}

static int put_configuration(const struct priv_context *c, struct bytes policy, struct err *err)
{
    static const char registries[] = "unqualified-search-registries = []\nshort-name-mode = \"enforcing\"\n";
    static const char lookaside[] = "default-docker:\n  use-sigstore-attachments: true\n";
    if (put_containers_conf(c, err) < 0 || put_storage_conf(c, err) < 0
        || put_file(c->directory, "registries.conf", bytes_str(registries), err) < 0
        || put_file(c->directory, "auth.json", bytes_str("{}"), err) < 0
        || put_file(c->directory, "home/.config/containers/registries.d/default.yaml", bytes_str(lookaside),
                    err)
               < 0)
        return err_while(err, "configure the container engine");
    return put_file(c->directory, "home/.config/containers/policy.json", policy, err);
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

static int await_engine(const char *directory, unsigned most_ms, struct err *err)
{
    for (unsigned waited = 0; waited < most_ms; waited += POLL_MS) {
        const struct timespec pause = { 0, POLL_MS * 1000000 };
        int fd = engine_dial(directory);
        if (fd >= 0)
            return fd;
        nanosleep(&pause, NULL);
    }
    return err_set(err, ERR_IO, 0, "the container engine does not answer; see %.150s/engine.log", directory);
}

/* The socket of the one before must not be taken for the new one's. */
static int start_engine(const struct priv_context *c, struct err *err)
{
    char path[PATH_MAX];
    if (path_set(path, sizeof(path), err, "%s/" SOCKET, c->directory) < 0 || ask_launcher(c, 'k', err) < 0)
        return -1;
    unlink(path);
    return ask_launcher(c, 'p', err);
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

static enum priv_status start(struct priv_exchange *x)
{
    const struct priv_message *q = x->request;
    AUTO(buf_done) struct buf policy = buf_new(PRIV_POLICY_MAX);
    struct err err = { 0 };
    unsigned kind = q->payload[0];
    if (q->payload_size != 2 || q->payload[1] || (kind != PRIV_PODMAN && kind != PRIV_DOCKER)
        || read_policy(x->fd, &policy, &err) < 0)
        return PRIV_MALFORMED;
    if (kind == PRIV_DOCKER)
        return priv_say(
            x, PRIV_FAILED, 0,
            "docker is not supported: it can neither put a container into a user namespace of its own "
            "nor check signatures; use podman");
    if (make_folders(x->ctx->directory, &err) < 0 || put_configuration(x->ctx, buf_bytes(&policy), &err) < 0
        || start_engine(x->ctx, &err) < 0)
        return priv_say_err(x, &err);
    AUTO(close_fd) int fd = await_engine(x->ctx->directory, START_MS, &err);
    return fd < 0 ? priv_say_err(x, &err) : PRIV_OK;
}

/* An engine that has ended though it should run (out of memory, killed) is started again. */
static enum priv_status connect_engine(struct priv_exchange *x)
{
    struct err err = { 0 };
    x->reply_fd = engine_dial(x->ctx->directory);
    int why = errno;
    if (x->reply_fd < 0 && ask_launcher(x->ctx, 'r', &err) == 0)
        x->reply_fd = await_engine(x->ctx->directory, RESTART_MS, &err);
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
    default:
        return PRIV_MALFORMED;
    }
}
