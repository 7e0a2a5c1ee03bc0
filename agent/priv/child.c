#include "agent/priv/child.h"

#include "base/auto.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Standard input and outputs are files in memory: no pipe can fill up, nobody waits for anybody. */
static int memory_file(struct bytes content)
{
    int fd = memfd_create("child", MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    if (write(fd, content.p, content.n) == (ssize_t)content.n && lseek(fd, 0, SEEK_SET) == 0)
        return fd;
    close(fd);
    return -1;
}

__attribute__((noreturn)) static void become(const char *const *argv, const int fds[3])
{
    const char *env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL };
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    for (int i = 0; i < 3; i++)
        dup2(fds[i], i); /* memfds come after 0, 1, 2, which are open */
    execve(argv[0], (char *const *)(uintptr_t)argv, (char *const *)(uintptr_t)env);
    _exit(127);
}

static int await(pid_t pid, unsigned deadline_ms, int *status)
{
    AUTO(close_fd) int handle = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd wait = { .fd = handle, .events = POLLIN };
    int ready = handle < 0 ? -1 : poll(&wait, 1, (int)deadline_ms);
    if (ready != 1)
        kill(pid, SIGKILL);
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        ;
    return ready == 1 ? 0 : -1;
}

static int read_back(int fd, struct buf *out, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || (size_t)st.st_size > out->max)
        return err_set(err, ERR_TOO_LARGE, 0, "a program wrote over %zu bytes", out->max);
    uint8_t *room = st.st_size > 0 ? buf_room(out, (size_t)st.st_size) : NULL;
    if (st.st_size > 0 && (!room || pread(fd, room, (size_t)st.st_size, 0) != st.st_size))
        return err_set(err, ERR_IO, ENOMEM, "no memory for what a program wrote");
    return 0;
}

static void first_line(int fd, char *out, size_t size)
{
    ssize_t n = pread(fd, out, size - 1, 0);
    out[n > 0 ? n : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
}

int child_run(const char *const *argv, struct bytes in, struct buf *out, char *complaint, size_t size,
              unsigned deadline_ms, struct err *err)
{
    AUTO(close_fd) int input = memory_file(in);
    AUTO(close_fd) int output = memory_file(bytes_of(NULL, 0));
    AUTO(close_fd) int errors = memory_file(bytes_of(NULL, 0));
    int status = 0;
    complaint[0] = '\0';
    if (input < 0 || output < 0 || errors < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "no memory to run %.60s", argv[0]);
    pid_t pid = fork();
    if (pid == 0)
        become(argv, (const int[]){ input, output, errors });
    if (pid < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot run %.60s: %s", argv[0], strerror(errno));
    if (await(pid, deadline_ms, &status) < 0)
        return err_set(err, ERR_IO, 0, "%.60s did not end within %u ms", argv[0], deadline_ms);
    first_line(errors, complaint, size);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        if (code == 127)
            return err_set(err, ERR_IO, 0, "there is no %.60s: install it", argv[0]);
        return err_set(err, ERR_IO, 0, "%.60s failed (%d): %.180s", argv[0], code, complaint);
    }
    return read_back(output, out, err);
}
