#include "agent/listen.h"

#include "base/auto.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#define BACKLOG 512

_Static_assert(sizeof(((struct listeners *)0)->socket_path) >= sizeof(((struct sockaddr_un *)0)->sun_path),
               "any path that a Unix socket can have fits");

static int refused(const char *what, const char *where, struct err *err)
{
    int code = errno;
    return err_set(err, code == EADDRINUSE ? ERR_BUSY : ERR_IO, (uint32_t)code,
                   "cannot listen on %s %.120s: %s%s", what, where, strerror(code),
                   code == EADDRINUSE ? ": another program has it, choose another" : "");
}

static int listen_tcp(const struct endpoint *wanted, const char *what, int *out, struct err *err)
{
    char text[ENDPOINT_TEXT];
    const int on = 1;
    AUTO(close_fd) int fd = socket(wanted->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0
        || bind(fd, (const struct sockaddr *)&wanted->addr, wanted->n) < 0 || listen(fd, BACKLOG) < 0)
        return refused(what, endpoint_text(wanted, text), err);
    *out = fd;
    fd = -1;
    return 0;
}

/* A socket file that nobody answers was left by a killed process. Other files refuse connections as well. */
static bool is_stale(const struct sockaddr_un *addr)
{
    struct stat st;
    if (lstat(addr->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    AUTO(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 && errno == ECONNREFUSED;
}

static int make_parent(const char *path, struct err *err)
{
    char parent[sizeof(((struct listeners *)0)->socket_path)];
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return 0;
    if (path_set(parent, sizeof(parent), err, "%.*s", (int)(slash - path), path) < 0)
        return -1;
    return access(parent, F_OK) == 0 ? 0 : dir_make(parent, 0755, err);
}

static int listen_unix(const char *path, int *out, struct err *err)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    if (path_set(addr.sun_path, sizeof(addr.sun_path), err, "%s", path) < 0 || make_parent(path, err) < 0)
        return err_while(err, "make the Unix socket");
    if (is_stale(&addr))
        unlink(path);
    AUTO(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
        return refused("the Unix socket", path, err);
    if (chmod(path, 0666) < 0
        || listen(fd, BACKLOG) < 0) { /* as open to local callers as the loopback port */
        refused("the Unix socket", path, err);
        unlink(path);
        return -1;
    }
    *out = fd;
    fd = -1;
    return 0;
}

static void name_tcp(int fd, char out[static ENDPOINT_TEXT])
{
    struct endpoint e = { .n = sizeof(e.addr) };
    if (getsockname(fd, (struct sockaddr *)&e.addr, &e.n) == 0)
        endpoint_text(&e, out);
}

static void name_unix(int fd, char *out, size_t size)
{
    struct sockaddr_un addr = { 0 };
    socklen_t n = sizeof(addr);
    if (getsockname(fd, (struct sockaddr *)&addr, &n) == 0)
        snprintf(out, size, "%s", addr.sun_path);
}

/* Sockets of systemd, by name; others are closed. */
static int take_activated(struct listeners *l, struct err *err)
{
    char **names = NULL;
    int n = sd_listen_fds_with_names(1, &names);
    if (n < 0)
        return err_set(err, ERR_IO, (uint32_t)-n, "LISTEN_FDS is malformed: %s", strerror(-n));
    for (int i = 0; i < n; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        int *slot = !strcmp(names[i], "internal")     ? &l->internal
                    : !strcmp(names[i], "external")   ? &l->external
                    : !strcmp(names[i], "agent.sock") ? &l->socket
                                                      : NULL;
        if (slot && *slot < 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0)
            *slot = fd;
        else
            close(fd);
        free(names[i]);
    }
    free(names);
    return 0;
}

int listeners_open(const struct options *o, bool socket_optional, struct listeners *out,
                   struct err *why_no_socket, struct err *err)
{
    AUTO(listeners_close) struct listeners l = { .internal = -1, .external = -1, .socket = -1 };
    if (take_activated(&l, err) < 0
        || (l.internal < 0 && listen_tcp(&o->internal, "the internal address", &l.internal, err) < 0)
        || (l.external < 0 && listen_tcp(&o->external, "the external address", &l.external, err) < 0))
        return -1;
    if (l.socket < 0) {
        l.socket_made = listen_unix(o->socket, &l.socket, why_no_socket) == 0;
        if (!l.socket_made && !socket_optional) {
            *err = *why_no_socket;
            return -1;
        }
    }
    name_tcp(l.internal, l.internal_text);
    name_tcp(l.external, l.external_text);
    if (l.socket >= 0)
        name_unix(l.socket, l.socket_path, sizeof(l.socket_path));
    *out = l;
    l = (struct listeners){ .internal = -1, .external = -1, .socket = -1 };
    return 0;
}

void listeners_close(struct listeners *l)
{
    close_fd(&l->internal);
    close_fd(&l->external);
    close_fd(&l->socket);
    if (l->socket_made)
        unlink(l->socket_path);
    *l = (struct listeners){ .internal = -1, .external = -1, .socket = -1 };
}
