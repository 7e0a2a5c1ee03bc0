#include "agent/linger.h"

#include "base/auto.h"
#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>

struct held {
    int fd;
    size_t n;
    uint64_t idle_at, end_at; /* milliseconds of the monotonic clock */
};

struct lingerer {
    pthread_mutex_t lock; /* over all below */
    pthread_t thread;
    bool running, stop;
    int wake; /* eventfd */
    size_t n;
    struct held held[LINGER_SOCKETS];
};

/* Throws away what is there. @return false when the socket is done with */
static bool drain(struct held *h, bool ready, uint64_t now)
{
    static uint8_t nowhere[65536]; /* one thread writes it, nobody reads it */
    for (int rounds = 0; ready && rounds < 16; rounds++) {
        ssize_t n = recv(h->fd, nowhere, sizeof(nowhere), MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        if (n < 0)
            break;
        h->n += (size_t)n;
        h->idle_at = now + LINGER_MS;
    }
    return h->n < LINGER_MAX && now < h->idle_at && now < h->end_at;
}

static void sweep(struct lingerer *l, const struct pollfd *ready, size_t n)
{
    uint64_t now = clock_ms();
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        bool readable = i < n && (ready[i].revents & (POLLIN | POLLHUP | POLLERR));
        if (drain(&l->held[i], readable, now))
            l->held[kept++] = l->held[i];
        else
            close(l->held[i].fd);
    }
    l->n = kept;
}

static void *run(void *arg)
{
    struct lingerer *l = arg;
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        struct pollfd fds[LINGER_SOCKETS + 1];
        size_t n = l->n;
        uint64_t count;
        for (size_t i = 0; i < n; i++)
            fds[i] = (struct pollfd){ .fd = l->held[i].fd, .events = POLLIN };
        fds[n] = (struct pollfd){ .fd = l->wake, .events = POLLIN };
        pthread_mutex_unlock(&l->lock);
        poll(fds, n + 1, n ? LINGER_MS / 4 : -1);
        if (fds[n].revents & POLLIN)
            (void)!read(l->wake, &count, sizeof(count));
        pthread_mutex_lock(&l->lock);
        sweep(l, fds, n); /* only this thread takes sockets out: the first n are those polled */
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

int linger_new(struct lingerer **out, struct err *err)
{
    struct lingerer *l = calloc(1, sizeof(*l));
    if (!l)
        return err_set(err, ERR_IO, ENOMEM, "no memory for lingering connections");
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake < 0) {
        free(l);
        return err_set(err, ERR_IO, (uint32_t)errno, "no eventfd");
    }
    pthread_mutex_init(&l->lock, NULL);
    *out = l;
    return 0;
}

static void wake(struct lingerer *l)
{
    const uint64_t one = 1;
    (void)!write(l->wake, &one, sizeof(one));
}

void linger_free(struct lingerer *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_mutex_unlock(&l->lock);
    wake(l);
    if (l->running)
        pthread_join(l->thread, NULL);
    while (l->n)
        close(l->held[--l->n].fd);
    close(l->wake);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

void linger_hold(struct lingerer *l, int fd)
{
    uint64_t now = clock_ms();
    pthread_mutex_lock(&l->lock);
    if (!l->running && !l->stop)
        l->running = pthread_create(&l->thread, NULL, run, l) == 0;
    int mine = l->running && l->n < LINGER_SOCKETS ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (mine >= 0)
        l->held[l->n++] =
            (struct held){ .fd = mine, .idle_at = now + LINGER_MS, .end_at = now + LINGER_ALL_MS };
    pthread_mutex_unlock(&l->lock);
    if (mine >= 0)
        wake(l);
}
