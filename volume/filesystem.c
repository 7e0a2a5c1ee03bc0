#include "volume/filesystem.h"

#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#define PROGRAM   "/usr/sbin/mke2fs"
#define WORDS_MAX 20

int filesystem_make(const char *device, const char *label, bool journal, struct err *err)
{
    static const char *const fixed[] = { "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-L" };
    static const char *const env[] = { "PATH=/usr/sbin:/usr/bin", NULL };
    const char *argv[WORDS_MAX];
    size_t n = sizeof(fixed) / sizeof(fixed[0]);
    memcpy(argv, fixed, sizeof(fixed));
    argv[n++] = label;
    argv[n++] = "-E";
    argv[n++] = journal ? "nodiscard" : "nodiscard,lazy_itable_init=1";
    argv[n++] = "-O";
    argv[n++] = journal ? "has_journal" : "^has_journal";
    argv[n++] = device;
    argv[n] = NULL;
    pid_t pid;
    int status = -1;
    int rc = posix_spawn(&pid, PROGRAM, NULL, NULL, (char *const *)(uintptr_t)argv,
                         (char *const *)(uintptr_t)env); /* not written to */
    if (rc || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return err_set(err, ERR_IO, (uint32_t)rc, "mke2fs on %s failed: %s", device,
                       rc ? strerror(rc) : "see its message above");
    return 0;
}
