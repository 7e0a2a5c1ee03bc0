#include "agent_process.h"

#include "http_client.h"
#include "stats.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX   32
#define START_TIME 30e6 /* us */

static void run_child(const char *program, const char *state, const char *const *extra, int log_fd)
{
    char socket_path[PATH_MAX];
    const char *args[ARGS_MAX] = { program,       "--internal",  "127.0.0.1:0", "--external",
                                   "127.0.0.1:0", "--state",     state,         "--socket",
                                   socket_path,   "--log-level", "info" };
    size_t n = 11;
    snprintf(socket_path, sizeof(socket_path), "%s/agent.sock", state);
    for (; *extra && n + 1 < ARGS_MAX; extra++)
        args[n++] = *extra;
    dup2(log_fd, STDERR_FILENO);
    execv(program, (char *const *)(uintptr_t)args);
    _exit(127);
}

/* The log's "listening" line names the port that the kernel chose. */
static uint16_t find_port(FILE *log)
{
    char line[8192];
    while (fgets(line, sizeof(line), log)) {
        const char *at =
            strstr(line, "\"event\":\"listening\"") ? strstr(line, "\"internal\":\"127.0.0.1:") : NULL;
        if (at)
            return (uint16_t)atoi(at + strlen("\"internal\":\"127.0.0.1:"));
    }
    return 0;
}

int agent_start(struct agent_process *a, const char *program, const char *state, const char *const *extra,
                struct err *err)
{
    int fds[2];
    struct http_client client = { .fd = -1 };
    if (pipe(fds) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "pipe: %s", strerror(errno));
    *a = (struct agent_process){ .started_us = now_us() };
    a->pid = fork();
    if (a->pid == 0) {
        close(fds[0]);
        run_child(program, state, extra, fds[1]);
    }
    close(fds[1]);
    FILE *log = fdopen(fds[0], "r");
    a->port = log ? find_port(log) : 0;
    if (!a->port) {
        agent_stop(a);
        return err_set(err, ERR_UNAVAILABLE, 0, "%s did not start", program);
    }
    while (now_us() - a->started_us < START_TIME) {
        if (http_client_open(&client, a->port, err) == 0
            && http_client_get(&client, "/platform", NULL, err) == 200) {
            a->answering_us = now_us();
            http_client_close(&client);
            return 0; /* the log pipe stays open: the child must not get SIGPIPE */
        }
        http_client_close(&client);
        usleep(500);
    }
    agent_stop(a);
    return err_set(err, ERR_UNAVAILABLE, 0, "%s does not answer", program);
}

int agent_stop(struct agent_process *a)
{
    int status = 0;
    if (a->pid <= 0)
        return -1;
    kill(a->pid, SIGTERM);
    waitpid(a->pid, &status, 0);
    a->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

unsigned long agent_memory_kib(const struct agent_process *a, const char *key)
{
    char path[64], line[256];
    unsigned long kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)a->pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof(line), f))
        if (!strncmp(line, key, strlen(key)) && line[strlen(key)] == ':')
            kib = strtoul(line + strlen(key) + 1, NULL, 10);
    if (f)
        fclose(f);
    return kib;
}
