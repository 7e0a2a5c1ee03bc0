#include "cli/cloud_run.h"

#include "base/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

bool program_exists(const char *name)
{
    const char *path = getenv("PATH");
    char list[8192], *rest = list, *dir, at[PATH_MAX];
    snprintf(list, sizeof(list), "%s", path ? path : "");
    while ((dir = strsep(&rest, ":"))) {
        int n = snprintf(at, sizeof(at), "%s/%s", *dir ? dir : ".", name);
        if (n > 0 && (size_t)n < sizeof(at) && access(at, X_OK) == 0)
            return true;
    }
    return false;
}

static int drain(int fd, struct buf *out)
{
    uint8_t block[4096];
    ssize_t n;
    if (lseek(fd, 0, SEEK_SET) < 0)
        return -1;
    while ((n = read(fd, block, sizeof(block))) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            buf_put(out, bytes_of(block, (size_t)n));
    return n < 0 || out->failed ? -1 : 0;
}

static int start(const char *const argv[], int out_fd, int errors_fd, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return -1;
    int rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0 && out_fd >= 0)
        rc = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    if (rc == 0 && errors_fd >= 0)
        rc = posix_spawn_file_actions_adddup2(&actions, errors_fd, STDERR_FILENO);
    if (rc == 0)
        rc = posix_spawnp(pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv,
                          environ); /* unchanged */
    posix_spawn_file_actions_destroy(&actions);
    return rc == 0 ? 0 : -1;
}

/* A file in memory takes each stream: two pipes would have to be read by turns. */
static int memory_file(const struct buf *wanted, int *fd)
{
    return !wanted || (*fd = memfd_create("output", MFD_CLOEXEC)) >= 0 ? 0 : -1;
}

int run_program(const char *const argv[], struct buf *out, struct buf *errors)
{
    AUTO(close_fd) int out_fd = -1;
    AUTO(close_fd) int errors_fd = -1;
    int status;
    pid_t pid;
    if (memory_file(out, &out_fd) < 0 || memory_file(errors, &errors_fd) < 0
        || start(argv, out_fd, errors_fd, &pid) < 0)
        return -1;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    if ((out && drain(out_fd, out) < 0) || (errors && drain(errors_fd, errors) < 0))
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
