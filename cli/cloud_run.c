#include "cli/cloud_run.h"

#include "base/auto.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static void drain(int fd, struct buf *out)
{
    uint8_t block[4096];
    ssize_t n;
    while ((n = read(fd, block, sizeof(block))) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            buf_put(out, bytes_of(block, (size_t)n));
}

static int start(const char *const argv[], bool quiet, int out_fd, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return -1;
    int rc = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (rc == 0 && quiet)
        rc = posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    if (rc == 0 && out_fd >= 0)
        rc = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
    if (rc == 0)
        rc = posix_spawnp(pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv,
                          environ); /* unchanged */
    posix_spawn_file_actions_destroy(&actions);
    return rc == 0 ? 0 : -1;
}

int run_program(const char *const argv[], bool quiet, struct buf *out)
{
    int ends[2] = { -1, -1 }, status;
    pid_t pid;
    if (out && pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    int rc = start(argv, quiet, ends[1], &pid);
    if (out)
        close(ends[1]);
    if (rc == 0 && out)
        drain(ends[0], out);
    if (out)
        close(ends[0]);
    if (rc < 0)
        return -1;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) && !(out && out->failed) ? WEXITSTATUS(status) : -1;
}
