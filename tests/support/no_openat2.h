/** tests/support/no_openat2.h: a process in which openat2(2) is missing, as under RestrictSUIDSGID of
 * systemd. */
#ifndef CVM_TESTS_NO_OPENAT2_H
#define CVM_TESTS_NO_OPENAT2_H

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/** Runs check(arg) in such a child. @return whether it said true */
static inline bool without_openat2(bool (*check)(void *arg), void *arg)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = { .len = 4, .filter = code };
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        bool off = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                   && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0
                   && syscall(SYS_openat2, 0, "", NULL, 0) < 0 && errno == ENOSYS;
        _exit(off && check(arg) ? 0 : 1);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

#endif
