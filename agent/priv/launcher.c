/* The process that starts the engine, because it keeps what the engine needs and everybody else gives up: all
 * capabilities. It reads single bytes from cvm-agent-priv and does nothing else. */
#include "agent/priv/verbs.h"

#include "base/auto.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STOP_MS 5000
#define POLL_MS 10

static pid_t engine;
static char wanted; /* what was started, and not stopped since: 'p', 'd' or 0 */

static void set_variable(char *out, size_t size, const char *name, const char *directory, const char *below)
{
    if (path_set(out, size, NULL, "%s=%s%s", name, directory, below) < 0)
        _exit(126);
}

/* No descriptor of ours, no terminal; what it says goes to a file. It ends when we do. */
static void detach(const char *directory)
{
    char log[PATH_MAX];
    if (path_set(log, sizeof(log), NULL, "%s/engine.log", directory) < 0 || chdir("/") < 0)
        _exit(126);
    int null = open("/dev/null", O_RDWR), output = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (null < 0 || output < 0 || dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    syscall(SYS_close_range, 3u, ~0u, 0u);
    umask(022);
}

/* Own home, own configuration, own policy: nothing of the machine's engine is read or changed. Health checks
 * are not run by timers of systemd, but when we ask. */
__attribute__((noreturn)) static void become_podman(const char *directory)
{
    static const struct {
        const char *name, *below;
    } variables[] = { { "HOME", "/home" },
                      { "TMPDIR", "/tmp" },
                      { "CONTAINERS_CONF", "/containers.conf" },
                      { "CONTAINERS_STORAGE_CONF", "/storage.conf" },
                      { "CONTAINERS_REGISTRIES_CONF", "/registries.conf" },
                      { "REGISTRY_AUTH_FILE", "/auth.json" } };
    static char text[ARRAY_SIZE(variables)][PATH_MAX];
    static char address[PATH_MAX];
    const char *env[ARRAY_SIZE(variables) + 3] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                                   "DISABLE_HC_SYSTEMD=true" };
    for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
        set_variable(text[i], sizeof(text[i]), variables[i].name, directory, variables[i].below);
        env[i + 2] = text[i];
    }
    if (path_set(address, sizeof(address), NULL, "unix://%s/engine.sock", directory) < 0)
        _exit(126);
    detach(directory);
    const char *argv[] = { PODMAN, "--log-level=error", "system", "service", "--time=0", address, NULL };
    execve(PODMAN, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
    _exit(127);
}

/* All else is in daemon.json. */
__attribute__((noreturn)) static void become_docker(const char *directory)
{
    static char home[PATH_MAX], config[PATH_MAX];
    set_variable(home, sizeof(home), "HOME", directory, "/home");
    if (path_set(config, sizeof(config), NULL, "%s/daemon.json", directory) < 0)
        _exit(126);
    detach(directory);
    const char *env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", home, NULL };
    const char *argv[] = { DOCKERD, "--config-file", config, NULL };
    execve(DOCKERD, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
    _exit(127);
}

/* Whether path is a mount of its own, and whether mounts below it are seen in copies of the mount namespace.
 * Source: proc(5), mountinfo: the fifth member of a line is the mount point; "shared:N" is among the optional
 * ones before " - ". */
static bool find_mount(const char *path, bool *itself)
{
    AUTO(close_file) FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[4 * PATH_MAX], point[PATH_MAX];
    size_t longest = 0;
    bool shared = false;
    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%*d %*d %*s %*s %4095s", point) != 1)
            continue;
        size_t n = strcmp(point, "/") ? strlen(point) : 0;
        if (strncmp(path, point, n) != 0 || (path[n] && path[n] != '/') || n < longest)
            continue;
        char *end = strstr(line, " - ");
        if (end)
            *end = '\0';
        longest = n;
        shared = strstr(line, " shared:") != NULL;
    }
    *itself = longest == strlen(path);
    return shared;
}

/* podman starts a container with a user namespace in a copy of the mount namespace, and cleans up after it
 * there: what it unmounts must be unmounted here too. systemd makes all mounts shared; without it we do, for
 * the two folders that matter. */
static int share(const char *path)
{
    bool itself;
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return errno;
    if (find_mount(path, &itself))
        return 0;
    if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0
        || mount(NULL, path, NULL, MS_SHARED | MS_REC, NULL) < 0)
        return errno;
    return 0;
}

static int prepare_podman(const char *directory)
{
    int rc = share(directory);
    return rc ? rc : share("/run/netns");
}

/* The folder that ours is in, as it is seen below views/: read-only, without devices and set-id programs. A
 * user namespace takes these flags along and cannot undo them; docker itself can only say read-only. */
static int show(const char *directory, const char *name, unsigned long more)
{
    char parent[PATH_MAX], view[PATH_MAX];
    bool itself;
    unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | more;
    if (path_set(parent, sizeof(parent), NULL, "%s", directory) < 0
        || path_set(view, sizeof(view), NULL, "%s/views/%s", directory, name) < 0)
        return ENAMETOOLONG;
    *strrchr(parent, '/') = '\0';
    (void)find_mount(view, &itself);
    if (!itself
        && (mount(parent, view, NULL, MS_BIND, NULL) < 0 || mount(NULL, view, NULL, MS_PRIVATE, NULL) < 0))
        return errno;
    return mount(NULL, view, NULL, MS_BIND | MS_REMOUNT | flags, NULL) < 0 ? errno : 0;
}

/* A daemon that ends with its launcher may still be about it: two on one folder would not do. */
static void await_former(const char *directory)
{
    char path[PATH_MAX], text[24];
    if (path_set(path, sizeof(path), NULL, "%s/docker.pid", directory) < 0)
        return;
    for (unsigned waited = 0; waited < STOP_MS; waited += POLL_MS) {
        const struct timespec pause = { 0, POLL_MS * 1000000 };
        if (file_read_line(path, text, sizeof(text), NULL) < 0)
            return;
        long pid = strtol(text, NULL, 10);
        if (pid <= 0 || kill((pid_t)pid, 0) < 0)
            break;
        nanosleep(&pause, NULL);
    }
    unlink(path); /* it was killed: the number may be another's by now */
}

/* Volumes lie in the folder: what the medium's own mount does not allow (/run has no programs) they shall. */
static int prepare_docker(const char *directory)
{
    bool itself;
    (void)find_mount(directory, &itself);
    if (!itself && mount(directory, directory, NULL, MS_BIND | MS_REC, NULL) < 0)
        return errno;
    if (mount(NULL, directory, NULL, MS_BIND | MS_REMOUNT, NULL) < 0)
        return errno;
    await_former(directory);
    int rc = show(directory, "files", 0);
    return rc ? rc : show(directory, "secrets", MS_NOEXEC);
}

static const struct program {
    char which;
    const char *path;
    int (*prepare)(const char *directory); /* 0 or an errno */
    void (*become)(const char *directory);
} programs[] = {
    { 'p', PODMAN, prepare_podman, become_podman },
    { 'd', DOCKERD, prepare_docker, become_docker },
};

static const struct program *program_of(char which)
{
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
        if (programs[i].which == which)
            return &programs[i];
    }
    return NULL;
}

static bool runs(void)
{
    int status;
    if (engine > 0 && waitpid(engine, &status, WNOHANG) == engine)
        engine = 0;
    return engine > 0;
}

static int start(const char *directory)
{
    const struct program *p = program_of(wanted);
    if (!p)
        return ESRCH;
    if (runs())
        return 0;
    if (access(p->path, X_OK) < 0)
        return errno;
    int rc = p->prepare(directory);
    if (rc)
        return rc;
    pid_t pid = fork();
    if (pid == 0)
        p->become(directory);
    if (pid < 0)
        return errno;
    engine = pid;
    return 0;
}

/* Ends the service; the containers have parents of their own. */
static int stop(void)
{
    if (!runs())
        return 0;
    kill(engine, SIGTERM);
    for (unsigned waited = 0; runs() && waited < STOP_MS; waited += POLL_MS) {
        const struct timespec pause = { 0, POLL_MS * 1000000 };
        nanosleep(&pause, NULL);
    }
    if (runs()) {
        kill(engine, SIGKILL);
        waitpid(engine, NULL, 0);
        engine = 0;
    }
    return 0;
}

/* The launcher of a helper that is no more stops its engine before it ends: an engine that stops removes its
 * socket, which must not be the new one's. The lock goes with the process. */
static void await_launcher(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && flock(fd, LOCK_EX) < 0 && errno == EINTR)
        continue;
}

__attribute__((noreturn)) static void launch(int fd, const char *directory)
{
    char what;
    await_launcher(directory);
    for (;;) {
        ssize_t n = recv(fd, &what, 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != 1)
            break;
        if (what == 'k')
            wanted = '\0';
        else if (program_of(what))
            wanted = what;
        int rc = what == 'k'                       ? stop()
                 : what == '?'                     ? (runs() ? 0 : ESRCH)
                 : what == 'r' || program_of(what) ? start(directory)
                                                   : EINVAL;
        uint8_t answer = (uint8_t)rc;
        if (send(fd, &answer, 1, MSG_NOSIGNAL) != 1)
            break;
    }
    stop();
    _exit(0);
}

int launcher_start(const char *directory)
{
    int pair[2];
    (void)mkdir(directory,
                0700); /* in a folder of the agent's user root alone cannot, without its privileges */
    if (geteuid() != 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NAME, "priv-launcher", 0, 0, 0);
        syscall(SYS_dup3, pair[1], 3, O_CLOEXEC);
        syscall(SYS_close_range, 4u, ~0u, 0u); /* the agent's socket is not the launcher's */
        launch(3, directory);
    }
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return -1;
    }
    return pair[0];
}
