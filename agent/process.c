#include "agent/process.h"

#include "base/auto.h"
#include "base/fault.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <malloc.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

#define ARENAS_MAX      2
#define DESCRIPTORS     4096
#define GROUPS_MAX      2
#define MMAP_THRESHOLD  (256 << 10) /* documents go back to the kernel at once */
#define CHILD_SOCKET_FD 3

void process_harden(void)
{
    struct rlimit files, none = { 0, 0 };
    mallopt(M_ARENA_MAX, ARENAS_MAX);
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD);
    mallopt(M_TRIM_THRESHOLD, MMAP_THRESHOLD);
    setrlimit(RLIMIT_CORE, &none);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < DESCRIPTORS) {
        files.rlim_cur = files.rlim_max < DESCRIPTORS ? files.rlim_max : DESCRIPTORS;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* Dropping from the bounding set takes a capability itself, so it comes before the change of user. */
static void empty_bounding_set(void)
{
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

static void drop_capabilities(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    syscall(SYS_capset, &header, none);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int process_drop_root(bool *dropped, struct err *err)
{
    const struct passwd *user = geteuid() == 0 ? getpwnam(AGENT_USER) : NULL;
    gid_t groups[GROUPS_MAX];
    size_t n = 0;
    *dropped = false;
    if (!user) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        return 0;
    }
    uid_t uid = user->pw_uid;
    gid_t gid = user->pw_gid;
    groups[n++] = gid;
    const struct group *tss = getgrnam("tss");
    if (tss)
        groups[n++] = tss->gr_gid;
    empty_bounding_set();
    if (setgroups(n, groups) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot become user " AGENT_USER ": %s",
                       strerror(errno));
    drop_capabilities();
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* setresuid(2) has set it anew */
    *dropped = true;
    return 0;
}

static int priv_path(char *out, size_t size, struct err *err)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot read /proc/self/exe: %s", strerror(errno));
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    if (path_set(out, size, err, "%s/cvm-agent-priv", self) < 0)
        return -1;
    if (access(out, X_OK) < 0)
        return err_set(err, ERR_NOT_FOUND, (uint32_t)errno, "no program %.160s: install it beside cvm-agent",
                       out);
    return 0;
}

__attribute__((noreturn)) static void become_priv(const char *path, const char *engine_dir,
                                                  const char *workload, int fd)
{
    const char *argv[7] = { path, "--child" };
    const char *env[3] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin" };
    size_t n = 2;
    if (engine_dir) {
        argv[n++] = "--engine-dir";
        argv[n++] = engine_dir;
    }
    if (workload) {
        argv[n++] = "--workload";
        argv[n++] = workload;
    }
    env[1] = fault_environment();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (fd == CHILD_SOCKET_FD)
        fcntl(fd, F_SETFD, 0);
    else
        dup2(fd, CHILD_SOCKET_FD);
    execve(path, (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
    _exit(127);
}

int process_start_priv(const char *engine_dir, const char *workload, pid_t *pid, int *fd, struct err *err)
{
    char path[PATH_MAX];
    int pair[2];
    if (priv_path(path, sizeof(path), err) < 0)
        return -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot make a socket pair: %s", strerror(errno));
    const int on = 1; /* also of what we send before it has begun to listen */
    (void)!setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
    pid_t child = fork();
    if (child == 0)
        become_priv(path, engine_dir, workload, pair[1]);
    close(pair[1]);
    if (child < 0) {
        close(pair[0]);
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot start %.160s: %s", path, strerror(errno));
    }
    *pid = child;
    *fd = pair[0];
    return 0;
}

static void exit_now(int sig)
{
    (void)sig;
    _exit(0);
}

void process_exit_within(unsigned ms)
{
    const struct itimerval timer = { .it_value = { ms / 1000, (suseconds_t)(ms % 1000) * 1000 } };
    struct sigaction act = { .sa_handler = exit_now };
    sigset_t alarm_only;
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    sigaction(SIGALRM, &act, NULL);
    pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}
