#include "swtpm.h"

#include "evidence.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_WAIT_MS 5000

bool swtpm_available(void)
{
    if (system("command -v swtpm tpm2_checkquote >/dev/null 2>&1") == 0)
        return true;
    fprintf(stderr, "SKIPPED: swtpm and tpm2-tools are not installed\n");
    return false;
}

/* Until somebody listens: the file alone appears earlier. */
static void wait_for(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    for (int ms = 0; ms < START_WAIT_MS; ms += 5) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        int rc = connect(fd, (const struct sockaddr *)&at, sizeof(at));
        close(fd);
        if (rc == 0)
            return;
        usleep(5000);
    }
    fail_msg("nobody listens at %s", path);
}

void swtpm_start(struct swtpm *s)
{
    char data[80], control[88], server[128], ctrl[128], state[128], log[128];
    snprintf(data, sizeof(data), "%s/sock", s->dir);
    snprintf(control, sizeof(control), "%s.ctrl", data);
    snprintf(state, sizeof(state), "dir=%s", s->dir);
    snprintf(server, sizeof(server), "type=unixio,path=%s", data);
    snprintf(ctrl, sizeof(ctrl), "type=unixio,path=%s", control);
    snprintf(log, sizeof(log), "file=%s/log", s->dir);
    unlink(data);
    unlink(control);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that crashes leaves none behind */
        close(STDIN_FILENO);
        dup2(open("/dev/null", O_RDWR), STDOUT_FILENO);
        dup2(STDOUT_FILENO, STDERR_FILENO);
        execlp("swtpm", "swtpm", "socket", "--tpm2", "--tpmstate", state, "--server", server, "--ctrl", ctrl,
               "--flags", "not-need-init", "--log", log, (char *)NULL);
        _exit(127);
    }
    wait_for(data);
    wait_for(control);
}

void swtpm_new(struct swtpm *s)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(s->dir, sizeof(s->dir), "%s/swtpm.XXXXXX", tmp && strlen(tmp) < 32 ? tmp : "/tmp");
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->tcti, sizeof(s->tcti), "swtpm:path=%s/sock", s->dir);
    swtpm_start(s);
}

void swtpm_kill(struct swtpm *s)
{
    if (s->pid <= 0)
        return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

void swtpm_done(struct swtpm *s)
{
    char command[128];
    swtpm_kill(s);
    snprintf(command, sizeof(command), "rm -rf '%s'", s->dir);
    assert_int_equal(system(command), 0);
}

int tpm2_tool(const char *tcti, const char *fmt, ...)
{
    char command[2048];
    int n = snprintf(command, sizeof(command), "export TPM2TOOLS_TCTI='%s'; ", tcti);
    va_list ap;
    va_start(ap, fmt);
    int more = vsnprintf(command + n, sizeof(command) - (size_t)n, fmt, ap);
    va_end(ap);
    assert_true(more >= 0 && (size_t)(n + more) < sizeof(command));
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
