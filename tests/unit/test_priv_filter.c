/* agent/priv/filter: what a process may still do, and what not, in children that filter themselves. */
#include "evidence.h"

#include "agent/priv/filter.h"
#include "base/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static enum filter_part part = FILTER_VERBS; /* whose list */

/* Runs act in a child behind the filter; the child's status. */
static int behind_filter(int (*act)(void))
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        struct err err = { 0 };
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_install(part, &err) < 0)
            _exit(100);
        _exit(act());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static long number, arguments[6];

/* The call's errno, 0 when it succeeded. */
static int call(void)
{
    long *a = arguments;
    return syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]) < 0 ? errno : 0;
}

static void answers(int wanted, long nr, long a, long b, long c)
{
    number = nr;
    arguments[0] = a;
    arguments[1] = b;
    arguments[2] = c;
    int status = behind_filter(call);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != wanted)
        fail_msg("call %ld: status %#x, wanted errno %d", nr, status, wanted);
}

static void what_is_not_listed_is_refused(void **state)
{
    (void)state;
    static const long calls[] = { SYS_mount,
                                  SYS_umount2,
                                  SYS_unshare,
                                  SYS_setns,
                                  SYS_ptrace,
                                  SYS_bpf,
                                  SYS_keyctl,
                                  SYS_init_module,
                                  SYS_kexec_load,
                                  SYS_perf_event_open,
                                  SYS_open_by_handle_at,
                                  SYS_process_vm_writev,
                                  SYS_pivot_root,
                                  SYS_chroot,
                                  SYS_setuid,
                                  SYS_capset,
                                  SYS_reboot,
                                  SYS_ioctl,
                                  SYS_chown,
                                  SYS_execveat,
                                  SYS_settimeofday,
                                  SYS_userfaultfd,
                                  SYS_mknodat,
                                  SYS_io_uring_setup,
                                  SYS_seccomp,
                                  100000 };
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        answers(EPERM, calls[i], -1, -1, -1);
}

static void verbs_do_not_mount(void **state)
{
    (void)state;
    static const long calls[] = { SYS_fspick, SYS_fsconfig, SYS_open_tree, SYS_mount_setattr, SYS_setresuid };
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        answers(EPERM, calls[i], -1, -1, -1);
}

static void sockets_of_two_kinds(void **state)
{
    (void)state;
    answers(0, SYS_socket, AF_UNIX, SOCK_STREAM, 0);
    answers(0, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
    answers(EPERM, SYS_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    answers(EPERM, SYS_socket, AF_INET, SOCK_STREAM, 0);
    answers(EPERM, SYS_socket, AF_INET6, SOCK_DGRAM, 0);
    answers(EPERM, SYS_socket, AF_VSOCK, SOCK_STREAM, 0);
    answers(EPERM, SYS_socket, AF_PACKET, SOCK_RAW, 0);
    answers(EPERM, SYS_socket, AF_ALG, SOCK_SEQPACKET, 0);
}

static void no_namespaces(void **state)
{
    (void)state;
    static const long flags[] = { CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID,
                                  CLONE_NEWUSER | CLONE_NEWNS };
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
        answers(EPERM, SYS_clone, flags[i] | SIGCHLD, 0, 0);
    answers(ENOSYS, SYS_clone3, 0, 0, 0);
}

static int start_program(void)
{
    pid_t pid = fork();
    int status = 1;
    if (pid == 0) {
        char *const argv[] = { (char[]){ "/bin/true" }, NULL };
        execve(argv[0], argv, (char *const[]){ NULL });
        _exit(99);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static void programs_start(void **state)
{
    (void)state;
    assert_int_equal(behind_filter(start_program), 0);
}

static int start_nothing(void)
{
    return start_program() == 99 ? 0 : 1;
}

/* Nothing that leads out of the files: no program, no socket, no module, no mount over another. */
static void the_store_has_its_own_list(void **state)
{
    (void)state;
    static const long calls[] = { SYS_execve,       SYS_socket,        SYS_connect,    SYS_accept4,
                                  SYS_finit_module, SYS_delete_module, SYS_move_mount, SYS_fsopen,
                                  SYS_fsmount,      SYS_mount,         SYS_unshare,    SYS_ptrace,
                                  SYS_chroot,       SYS_mknodat,       SYS_ioctl,      SYS_setns };
    part = FILTER_STORE;
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        answers(EPERM, calls[i], -1, -1, -1);
    answers(EPERM, SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0);
    answers(EBADF, SYS_fspick, -1, (long)"", 8 /* FSPICK_EMPTY_PATH */);
    answers(EBADF, SYS_flock, -1, LOCK_EX, 0);
    answers(EBADF, SYS_fchown, -1, 0, 0);
    assert_int_equal(behind_filter(start_nothing), 0);
    part = FILTER_VERBS;
}

/* unshare is refused by the filter that its parent had set; without it root could. */
static int start_unshare(void)
{
    char *const argv[] = { (char[]){ "/usr/bin/unshare" }, (char[]){ "--user" }, (char[]){ "/bin/true" },
                           NULL };
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup3(null, 2, 0);
    execve(argv[0], argv, (char *const[]){ NULL });
    return 99;
}

static void programs_are_filtered_too(void **state)
{
    (void)state;
    if (access("/usr/bin/unshare", X_OK) < 0)
        skip();
    int status = behind_filter(start_unshare);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
}

static void needs_no_new_privileges_first(void **state)
{
    (void)state;
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        struct err err = { 0 };
        bool refused = setuid(65534) == 0 && filter_install(part, &err) < 0 && err.kind == ERR_UNAVAILABLE;
        _exit(refused ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (geteuid() != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
        skip();
    assert_int_equal(status, 0);
}

#ifdef __x86_64__
/* getpid of 32-bit programs, whose numbers mean something else. */
static int other_architecture(void)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
    return result > 0 ? 0 : 1;
}

static void another_architecture_ends_the_process(void **state)
{
    (void)state;
    int status = behind_filter(other_architecture);
    assert_true(WIFSIGNALED(status));
    assert_true(WTERMSIG(status) == SIGSYS || WTERMSIG(status) == SIGSEGV); /* SIGSEGV: a kernel without it */
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_listed_is_refused),
        cmocka_unit_test(verbs_do_not_mount),
        cmocka_unit_test(sockets_of_two_kinds),
        cmocka_unit_test(no_namespaces),
        cmocka_unit_test(programs_start),
        cmocka_unit_test(the_store_has_its_own_list),
        cmocka_unit_test(programs_are_filtered_too),
        cmocka_unit_test(needs_no_new_privileges_first),
#ifdef __x86_64__
        cmocka_unit_test(another_architecture_ends_the_process),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
