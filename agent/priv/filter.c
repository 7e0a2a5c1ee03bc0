#include "agent/priv/filter.h"

#include "base/auto.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#else
#error "no filter for this architecture: add its AUDIT_ARCH_ constant"
#endif

/* With any arguments. What is missing everywhere is missing on purpose: namespaces, ptrace, bpf, keys,
 * io_uring, kexec, init_module (the kernel is given files), ioctl, files by handle, other processes' memory.
 */
static const unsigned for_all[] = {
    /* files */
    SYS_read, SYS_write, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_lseek, SYS_openat, SYS_close,
    SYS_close_range, SYS_fcntl, SYS_dup, SYS_dup3, SYS_pipe2, SYS_memfd_create, SYS_ftruncate, SYS_fchmod,
    SYS_fsync, SYS_fdatasync, SYS_newfstatat, SYS_fstat, SYS_statx, SYS_statfs, SYS_fstatfs, SYS_faccessat,
    SYS_faccessat2, SYS_readlinkat, SYS_getdents64, SYS_mkdirat, SYS_renameat, SYS_renameat2, SYS_unlinkat,
    SYS_umask,
#ifdef SYS_open /* older calls, which x86-64 has and newer architectures do not */
    SYS_open, SYS_access, SYS_stat, SYS_lstat, SYS_readlink, SYS_mkdir, SYS_rename, SYS_unlink, SYS_dup2,
    SYS_pipe, SYS_poll, SYS_select, SYS_getrlimit, SYS_arch_prctl, SYS_time,
#endif
    /* messages over what is open */
    SYS_sendto, SYS_sendmsg, SYS_recvfrom, SYS_recvmsg, SYS_ppoll, SYS_pselect6,
    /* memory */
    SYS_mmap, SYS_mprotect, SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk,
    /* processes */
    SYS_wait4, SYS_waitid, SYS_kill, SYS_tgkill, SYS_exit, SYS_exit_group, SYS_prctl, SYS_rt_sigaction,
    SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_restart_syscall, SYS_sigaltstack, SYS_getpid, SYS_getppid,
    SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_prlimit64, SYS_set_tid_address,
    SYS_set_robust_list, SYS_rseq, SYS_futex, SYS_sched_getaffinity, SYS_sched_yield, SYS_uname, SYS_sysinfo,
    SYS_getrandom,
    /* clocks */
    SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday
};

static const unsigned for_verbs[] = {
    /* sockets, once made */
    SYS_connect, SYS_bind, SYS_accept4, SYS_getsockname, SYS_getpeername, SYS_setsockopt, SYS_getsockopt,
    SYS_shutdown,
    /* the program nft */
    SYS_execve, SYS_pidfd_open,
    /* livepatches */
    SYS_finit_module, SYS_delete_module
};

/* No program, no socket, no module; mounts without a place: nothing of the machine's tree is mounted over. */
static const unsigned for_store[] = { SYS_fspick, SYS_fsconfig, SYS_open_tree, SYS_mount_setattr, SYS_fchown,
                                      SYS_flock,
                                      /* to become who asks */
                                      SYS_setgroups, SYS_setresgid, SYS_setresuid, SYS_capget, SYS_capset };

static const struct list {
    const unsigned *call;
    size_t n;
} own_list[] = { [FILTER_VERBS] = { for_verbs, ARRAY_SIZE(for_verbs) },
                 [FILTER_STORE] = { for_store, ARRAY_SIZE(for_store) } };

#define NEW_NAMESPACES                                                                                       \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID              \
     | CLONE_NEWNET)

#define LOAD(member)           BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define IF_EQUAL(k, yes, no)   BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (k), (yes), (no))
#define IF_ANY_BIT(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (k), (yes), (no))
#define END(verdict)           BPF_STMT(BPF_RET | BPF_K, (verdict))
#define ALLOW                  SECCOMP_RET_ALLOW
#define FAIL(number)           (SECCOMP_RET_ERRNO | (number))

/* Both architectures are little-endian: the lower half of an argument comes first, and all that is looked at
 * is there. The jumps count instructions to skip. */
static const struct sock_filter head[] = {
    LOAD(arch),
    IF_EQUAL(OWN_ARCH, 1, 0),
    END(SECCOMP_RET_KILL_PROCESS),
    LOAD(nr),
    /* its flags lie in memory, which a filter does not see: the C library then calls clone */
    IF_EQUAL(SYS_clone3, 0, 1),
    END(FAIL(ENOSYS)),
    IF_EQUAL(SYS_clone, 0, 4),
    LOAD(args[0]),
    IF_ANY_BIT(NEW_NAMESPACES, 0, 1),
    END(FAIL(EPERM)),
    END(ALLOW),
};

/* The engine's socket, and nft's. */
static const struct sock_filter sockets[] = {
    IF_EQUAL(SYS_socket, 0, 7), LOAD(args[0]), IF_EQUAL(AF_UNIX, 4, 0),
    IF_EQUAL(AF_NETLINK, 0, 2), LOAD(args[2]), IF_EQUAL(NETLINK_NETFILTER, 1, 0),
    END(FAIL(EPERM)),           END(ALLOW),
};

#define CODE_MAX                                                                                             \
    (ARRAY_SIZE(head) + ARRAY_SIZE(sockets) + 2 * (ARRAY_SIZE(for_all) + ARRAY_SIZE(for_verbs))              \
     + 2 * ARRAY_SIZE(for_store) + 1)

static size_t add_list(struct sock_filter *code, size_t n, const unsigned *call, size_t calls)
{
    for (size_t i = 0; i < calls; i++) {
        code[n++] = (struct sock_filter)IF_EQUAL(call[i], 0, 1);
        code[n++] = (struct sock_filter)END(ALLOW);
    }
    return n;
}

int filter_install(enum filter_part part, struct err *err)
{
    struct sock_filter code[CODE_MAX];
    struct sock_fprog program = { .filter = code };
    size_t n = ARRAY_SIZE(head);
    memcpy(code, head, sizeof(head));
    if (part == FILTER_VERBS) {
        memcpy(code + n, sockets, sizeof(sockets));
        n += ARRAY_SIZE(sockets);
    }
    n = add_list(code, n, for_all, ARRAY_SIZE(for_all));
    n = add_list(code, n, own_list[part].call, own_list[part].n);
    code[n++] = (struct sock_filter)END(FAIL(EPERM));
    program.len = (unsigned short)n;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0)
        return err_set(err, ERR_UNAVAILABLE, (uint32_t)errno, "cannot filter system calls: %s",
                       strerror(errno));
    return 0;
}

int filter_confine(enum filter_part part, struct err *err)
{
#ifdef CVM_SANITIZED
    (void)part;
    (void)err;
    return 0;
#else
    return filter_install(part, err);
#endif
}
