#include "agent/service_sockets.h"

#include "agent/server.h"
#include "base/auto.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG    64
#define SOCKET     "agent.sock"
#define EVENTS_MAX 16

struct entry {
    char *name; /* never freed before the end: requests point to it */
    int fd;     /* -1: no socket now */
};

struct service_sockets {
    pthread_mutex_t lock; /* entries */
    int epoll;
    char dir[PATH_MAX];
    struct entry entries[SERVICE_SOCKETS_MAX];
    size_t n;
};

/* The folder stays: containers have it mounted, and see in it the socket that the next start of the agent
 * makes. */
static void remove_one(const struct service_sockets *s, const char *name)
{
    char path[PATH_MAX];
    struct err ignored;
    if (path_set(path, sizeof(path), &ignored, "%s/%s/" SOCKET, s->dir, name) == 0)
        unlink(path);
}

static void close_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

static void remove_leftovers(const struct service_sockets *s)
{
    AUTO(close_dir) DIR *d = opendir(s->dir);
    for (const struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            remove_one(s, e->d_name);
    }
}

static void drop(struct service_sockets **s)
{
    service_sockets_free(*s);
}

int service_sockets_new(const char *dir, struct service_sockets **out, struct err *err)
{
    AUTO(drop) struct service_sockets *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(err, ERR_IO, ENOMEM, "no memory for service sockets");
    pthread_mutex_init(&s->lock, NULL);
    s->epoll = -1;
    if (path_set(s->dir, sizeof(s->dir), err, "%s", dir) < 0 || dir_make(dir, 0755, err) < 0)
        return err_while(err, "make the folder of service sockets");
    if (chmod(dir, 0755) < 0) /* containers look into it, whatever the umask says */
        return err_set(err, ERR_IO, (uint32_t)errno, "%.100s: %s", dir, strerror(errno));
    remove_leftovers(s);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->epoll < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot make an epoll descriptor: %s", strerror(errno));
    *out = MOVE(s);
    return 0;
}

static void close_entry(struct service_sockets *s, struct entry *e)
{
    if (e->fd < 0)
        return;
    close(e->fd); /* leaves the epoll set too */
    e->fd = -1;
    remove_one(s, e->name);
}

void service_sockets_free(struct service_sockets *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        close_entry(s, &s->entries[i]);
        free(s->entries[i].name);
    }
    close_fd(&s->epoll);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* The folder of one service, and in it the socket: both as open as the container's users need. The address
 * goes through the folder's descriptor, for a socket's own has room for 107 bytes. */
static int listen_one(const struct service_sockets *s, const char *name, int *out, struct err *err)
{
    char folder[PATH_MAX];
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    if (path_set(folder, sizeof(folder), err, "%s/%s", s->dir, name) < 0)
        return -1;
    remove_one(s, name);
    bool made = (mkdir(folder, 0755) == 0 || errno == EEXIST) && chmod(folder, 0755) == 0;
    AUTO(close_fd) int at = made ? open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    AUTO(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" SOCKET, at);
    if (at < 0 || fd < 0 || bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0
        || fchmodat(at, SOCKET, 0666, 0) < 0 || listen(fd, BACKLOG) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot listen on %.160s/" SOCKET ": %s", folder,
                       strerror(errno));
    *out = fd;
    fd = -1;
    return 0;
}

static struct entry *find(struct service_sockets *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++) {
        if (!strcmp(s->entries[i].name, name))
            return &s->entries[i];
    }
    return NULL;
}

static int open_one(struct service_sockets *s, const char *name, struct err *err)
{
    struct entry *e = find(s, name);
    if (e && e->fd >= 0)
        return 0;
    if (!e) {
        char *copy = s->n < SERVICE_SOCKETS_MAX ? strdup(name) : NULL;
        if (!copy)
            return err_set(err, ERR_TOO_LARGE, 0, "more than %d services with a socket", SERVICE_SOCKETS_MAX);
        e = &s->entries[s->n++];
        *e = (struct entry){ copy, -1 };
    }
    if (listen_one(s, name, &e->fd, err) < 0)
        return -1;
    struct epoll_event event = { .events = EPOLLIN, .data.u32 = (uint32_t)(e - s->entries) };
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, e->fd, &event) < 0) {
        err_set(err, ERR_IO, (uint32_t)errno, "cannot watch the socket of %.64s: %s", name, strerror(errno));
        close_entry(s, e);
        return -1;
    }
    return 0;
}

int service_sockets_set(struct service_sockets *s, const char *const *names, size_t n, struct err *err)
{
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < s->n; i++) {
        bool wanted = false;
        for (size_t k = 0; k < n; k++)
            wanted = wanted || !strcmp(s->entries[i].name, names[k]);
        if (!wanted)
            close_entry(s, &s->entries[i]);
    }
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = open_one(s, names[i], err);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

const char *service_sockets_dir(const struct service_sockets *s)
{
    return s->dir;
}

int service_sockets_fd(const struct service_sockets *s)
{
    return s->epoll;
}

/* Under the lock, so that the descriptor is still that of the service. */
int service_sockets_accept(struct service_sockets *s, struct server *server, struct err *err)
{
    struct epoll_event events[EVENTS_MAX];
    int rc = 0;
    pthread_mutex_lock(&s->lock);
    int n = epoll_wait(s->epoll, events, EVENTS_MAX, 0);
    for (int i = 0; i < n && rc == 0; i++) {
        unsigned id = events[i].data.u32;
        if (s->entries[id].fd >= 0)
            rc = server_accept_service(server, s->entries[id].fd, id, err);
    }
    pthread_mutex_unlock(&s->lock);
    return rc;
}

const char *service_sockets_name(struct service_sockets *s, unsigned id)
{
    pthread_mutex_lock(&s->lock);
    const char *name = id < s->n ? s->entries[id].name : NULL;
    pthread_mutex_unlock(&s->lock);
    return name;
}
