/* The process that starts the engine, because it keeps what the engine needs and everybody else gives up: all
 * capabilities. It reads single bytes from cvm-agent-priv and does nothing else. */
#include "agent/priv/verbs.h"

#include "base/auto.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PODMAN  "/usr/bin/podman"
#define STOP_MS 5000
#define POLL_MS 10

static pid_t engine;
static bool wanted; /* started, and not stopped since */

static void set_variable(char *out, size_t size, const char *name, const char *directory, const char *below)
{
    if (path_set(out, size, NULL, "%s=%s%s", name, directory, below) < 0)
        _exit(126);
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
    char log[PATH_MAX];
    const char *env[ARRAY_SIZE(variables) + 3] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
                                                   "DISABLE_HC_SYSTEMD=true" };
    for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
        set_variable(text[i], sizeof(text[i]), variables[i].name, directory, variables[i].below);
        env[i + 2] = text[i];
    }
    if (path_set(address, sizeof(address), NULL, "unix://%s/engine.sock", directory) < 0
        || path_set(log, sizeof(log), NULL, "%s/engine.log", directory) < 0 || chdir("/") < 0)
        _exit(126);
    int null = open("/dev/null", O_RDWR), output = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600);
    if (null < 0 || output < 0 || dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0);
    syscall(SYS_close_range, 3u, ~0u, 0u);
    umask(022);
    const char *argv[] = { PODMAN, "--log-level=error", "system", "service", "--time=0", address, NULL };
    execve(PODMAN, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
    _exit(127);
}

/* Whether mounts below path are seen in copies of the mount namespace. Source: proc(5), mountinfo: the fifth
 * member of a line is the mount point; "shared:N" is among the optional ones before " - ". */
static bool is_shared(const char *path)
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
    return shared;
}

/* podman starts a container with a user namespace in a copy of the mount namespace, and cleans up after it
 * there: what it unmounts must be unmounted here too. systemd makes all mounts shared; without it we do, for
 * the two folders that matter. */
static int share(const char *path)
{
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return errno;
    if (is_shared(path))
        return 0;
    if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0
        || mount(NULL, path, NULL, MS_SHARED | MS_REC, NULL) < 0)
        return errno;
    return 0;
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
    if (runs())
        return 0;
    if (access(PODMAN, X_OK) < 0)
        return errno;
    int rc = share(directory);
    rc = rc ? rc : share("/run/netns");
    if (rc)
        return rc;
    pid_t pid = fork();
    if (pid == 0)
        become_podman(directory);
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

__attribute__((noreturn)) static void launch(int fd, const char *directory)
{
    char what;
    for (;;) {
        ssize_t n = recv(fd, &what, 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != 1)
            break;
        wanted = what == 'p' || (wanted && what != 'k');
        int rc = what == 'k'                  ? stop()
                 : what != 'p' && what != 'r' ? EINVAL
                 : wanted                     ? start(directory)
                                              : ESRCH;
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
