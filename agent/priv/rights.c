#include "agent/priv/rights.h"

#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool is_kept(const int *capabilities, size_t n, int cap)
{
    for (size_t i = 0; i < n; i++) {
        if (capabilities[i] == cap)
            return true;
    }
    return false;
}

void rights_keep(const int *capabilities, size_t n)
{
    struct rlimit none = { 0, 0 };
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
    uint32_t keep = 0; /* all that are ever kept are in the first word */
    umask(077);
    setrlimit(RLIMIT_CORE, &none);
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++) {
        if (!is_kept(capabilities, n, cap))
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    }
    syscall(SYS_capget, &header, caps);
    for (size_t i = 0; i < n; i++)
        keep |= 1u << capabilities[i];
    caps[0] = (struct __user_cap_data_struct){ .effective = caps[0].permitted & keep,
                                               .permitted = caps[0].permitted & keep };
    caps[1] = (struct __user_cap_data_struct){ 0 };
    syscall(SYS_capset, &header, caps);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void rights_become(uid_t uid, gid_t gid, pid_t parent)
{
    if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        _exit(126);
    rights_keep(NULL, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* setresuid(2) clears it */
    if (getppid() != parent)
        _exit(126);
}
