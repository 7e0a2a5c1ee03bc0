/* Stores the workload of an accepted update on the data partition: beside the old one, then in its place. One
 * process has the rights for that and does nothing else: it takes orders of one size from cvm-agent-priv, one
 * at a time. It reads nothing of the update itself: a child with the rights of who asks copies the files, so
 * nothing can be stored that he could not read. Where the workload lies is fixed when we start. */
#include "agent/priv/data.h"
#include "agent/priv/filter.h"
#include "agent/priv/rights.h"
#include "agent/priv/verbs.h"
#include "base/auto.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/log.h"
#include "base/passfd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define COPY_SECONDS 1500

static const struct folder_limits limits = { PRIV_STORE_ENTRIES_MAX, PRIV_STORE_BYTES_MAX };

struct order {
    struct priv_order asked;
    uid_t uid; /* who asks */
    gid_t gid;
};

/* Where updates go: the folder above the workload, and its name there. */
struct place {
    char parent[PATH_MAX], name[NAME_MAX + 1];
};

static struct priv_outcome outcome_of(int rc, const struct err *err)
{
    struct priv_outcome o = { .failed = rc < 0 };
    if (rc < 0) {
        o.refused = err->kind == ERR_UNAVAILABLE;
        o.code = err->code;
        snprintf(o.text, sizeof(o.text), "%s", err->cause);
    }
    return o;
}

/* ---- copying, with the rights of who asks ---- */

__attribute__((noreturn)) static void copy(const struct order *order, int from, int into, int report,
                                           pid_t parent)
{
    struct err err = { 0 };
    rights_become(order->uid, order->gid, parent);
    int rc = folder_copy(from, into, &limits, &err);
    fault_point("store-copied");
    const struct priv_outcome o = outcome_of(rc, &err);
    (void)!write(report, &o, sizeof(o));
    _exit(0);
}

static int await_copy(int report, pid_t child, struct err *err)
{
    struct pollfd wait = { .fd = report, .events = POLLIN };
    struct priv_outcome o;
    int ready;
    do
        ready = poll(&wait, 1, COPY_SECONDS * 1000);
    while (ready < 0 && errno == EINTR);
    ssize_t n = ready > 0 ? read(report, &o, sizeof(o)) : -1;
    kill(child, SIGKILL); /* it is done, or late */
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    if (n != (ssize_t)sizeof(o))
        return err_set(err, ERR_IO, 0, "storing the update was cut short");
    o.text[sizeof(o.text) - 1] = '\0';
    return o.failed ? err_set(err, o.refused ? ERR_UNAVAILABLE : ERR_IO, o.code, "%s", o.text) : 0;
}

static int copy_as(const struct order *order, int from, int into, struct err *err)
{
    int ends[2];
    pid_t self = getpid();
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot make a pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0)
        copy(order, from, into, ends[1], self);
    close(ends[1]);
    int rc = child < 0 ? err_set(err, ERR_IO, (uint32_t)errno, "cannot fork: %s", strerror(errno))
                       : await_copy(ends[0], child, err);
    close(ends[0]);
    return rc;
}

/* ---- the orders ---- */

static int sync_above(const struct data *d, struct err *err)
{
    AUTO(close_fd) int fd = openat(d->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? medium_failed("sync", "the data partition", err) : 0;
}

static int make_beside(const struct data *d, const struct order *order, struct err *err)
{
    if (folder_remove(d->folder, PRIV_STORE_NEXT, err) < 0)
        return -1;
    if (mkdirat(d->folder, PRIV_STORE_NEXT, 0755) < 0)
        return medium_failed("make the folder", PRIV_STORE_NEXT, err);
    int fd = openat(d->folder, PRIV_STORE_NEXT, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fchmod(fd, 0755) == 0 && fchown(fd, order->uid, order->gid) == 0)
        return fd;
    int rc = medium_failed("make the folder", PRIV_STORE_NEXT, err);
    close_fd(&fd);
    return rc;
}

static int stage(const struct data *d, const struct order *order, int from, struct err *err)
{
    AUTO(close_fd) int into = make_beside(d, order, err);
    if (into < 0)
        return -1;
    fault_point("store-made");
    return copy_as(order, from, into, err) < 0 ? -1 : sync_above(d, err);
}

/* Both lie below the same folder: one rename, and one sync of it. What cannot be made to last is undone. */
static int exchange(const struct data *d, const char *name, struct err *err)
{
    if (renameat2(d->folder, PRIV_STORE_NEXT, d->folder, name, RENAME_EXCHANGE) < 0)
        return medium_failed("exchange", name, err);
    fault_point("store-exchanged");
    if (sync_above(d, err) < 0) {
        (void)!renameat2(d->folder, PRIV_STORE_NEXT, d->folder, name, RENAME_EXCHANGE);
        return -1;
    }
    fault_point("store-synced");
    return 0;
}

/* The workload is the one that the agent means, and has not been exchanged since. */
static int check_known(const struct data *d, const struct place *place, const struct order *order,
                       struct err *err)
{
    struct stat st;
    if (fstatat(d->folder, place->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return medium_failed("look at", place->name, err);
    if (!S_ISDIR(st.st_mode) || st.st_dev != order->asked.device || st.st_ino != order->asked.inode)
        return err_set(err, ERR_UNAVAILABLE, ESTALE,
                       "%.120s/%.60s, where updates are stored, is not the agent's workload folder",
                       place->parent, place->name);
    return 0;
}

static void discard(const struct data *d)
{
    struct err err = { 0 };
    if (folder_remove(d->folder, PRIV_STORE_NEXT, &err) < 0 || sync_above(d, &err) < 0)
        log_err(LOG_LEVEL_WARNING, "store", &err); /* it is in the way of nothing: the next one removes it */
}

static int act(const struct data *d, const struct place *place, const struct order *order, int from,
               struct err *err)
{
    if (order->asked.what == PRIV_ENGINE_DISCARD) {
        discard(d);
        return 0;
    }
    if (check_known(d, place, order, err) < 0)
        return -1;
    if (order->asked.what == PRIV_ENGINE_STAGE) {
        int rc = stage(d, order, from, err);
        if (rc < 0)
            discard(d);
        return rc;
    }
    if (exchange(d, place->name, err) < 0)
        return -1;
    discard(d);
    return 0;
}

/* Read-only again in every case. An exchange that was made stays made, whatever comes after it. */
static int carry_out(const struct place *place, const struct order *order, int from, struct err *err)
{
    struct data d = DATA_NONE;
    struct err why = { 0 };
    if (data_open(place->parent, &d, err) < 0)
        return -1;
    int rc = act(&d, place, order, from, err);
    if (data_close(&d, &why) == 0)
        return rc;
    log_err(LOG_LEVEL_ERROR, "store", &why);
    if (rc == 0 && order->asked.what == PRIV_ENGINE_STAGE)
        *err = why;
    return order->asked.what == PRIV_ENGINE_STAGE ? -1 : rc;
}

/* ---- the process ---- */

/* An order of a helper that is no more may still be carried out: one at a time, whoever gave it.
 * Returns what ends the turn when it is closed, or when the process ends. */
static int take_turn(const char *parent)
{
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && flock(fd, LOCK_EX) < 0 && errno == EINTR)
        continue;
    return fd;
}

static int heal(const struct place *place, struct err *err)
{
    int turn = take_turn(place->parent);
    int rc = data_heal(place->parent, err);
    close_fd(&turn);
    if (rc < 0)
        log_err(LOG_LEVEL_ERROR, "store", err);
    return rc;
}

static int answer(int socket, int rc, const struct err *err)
{
    const struct priv_outcome o = outcome_of(rc, err);
    return send(socket, &o, sizeof(o), MSG_NOSIGNAL) == (ssize_t)sizeof(o) ? 0 : -1;
}

__attribute__((noreturn)) static void take_orders(int socket, const struct place *place)
{
    static const int needed[] = { CAP_SYS_ADMIN, CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER,
                                  CAP_SETUID,    CAP_SETGID, CAP_KILL };
    struct err why = { 0 };
    rights_keep(needed, ARRAY_SIZE(needed));
    if (filter_confine(FILTER_STORE, &why) < 0) {
        log_err(LOG_LEVEL_ERROR, "store", &why);
        _exit(1);
    }
    int rc = heal(place, &why);
    while (answer(socket, rc, &why) == 0) {
        AUTO(close_fd) int from = -1;
        struct order order;
        struct err err = { 0 };
        if (passfd_receive(socket, &order, sizeof(order), &from, NULL) != (ssize_t)sizeof(order))
            break;
        int turn = take_turn(place->parent);
        rc = carry_out(place, &order, from, &err);
        close_fd(&turn);
        why = err;
    }
    _exit(0);
}

static int place_of(const char *workload, struct place *out)
{
    const char *slash = strrchr(workload, '/');
    size_t above = (size_t)(slash - workload);
    return path_set(out->parent, sizeof(out->parent), NULL, "%.*s", above ? (int)above : 1, workload) < 0
                   || path_set(out->name, sizeof(out->name), NULL, "%s", slash + 1) < 0
               ? -1
               : 0;
}

int store_start(const char *workload)
{
    struct place place;
    int pair[2];
    if (geteuid() != 0 || place_of(workload, &place) < 0
        || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_NAME, "priv-store", 0, 0, 0);
        syscall(SYS_dup3, pair[1], 3, O_CLOEXEC);
        syscall(SYS_close_range, 4u, ~0u, 0u); /* neither the agent's socket nor the launcher's */
        take_orders(3, &place);
    }
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return -1;
    }
    return pair[0];
}

/* ---- the verb: begins, and says how far it is; storing takes long, and others ask meanwhile ---- */

enum progress { RUNNING, ENDED, GONE };

static enum progress look(struct priv_store *s)
{
    struct priv_outcome o;
    if (s->socket < 0)
        return GONE;
    if (!s->busy)
        return ENDED;
    ssize_t n = recv(s->socket, &o, sizeof(o), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return RUNNING;
    s->busy = false;
    if (n == (ssize_t)sizeof(o)) {
        o.text[sizeof(o.text) - 1] = '\0';
        s->last = o;
        return ENDED;
    }
    close_fd(&s->socket);
    s->socket = -1;
    return GONE;
}

static enum priv_status gone(struct priv_exchange *x)
{
    return priv_say(x, PRIV_REFUSED, 0, "nobody stores updates: that takes root; restart cvm-agent-priv");
}

/* How an order went. One that another process of ours took is not known here: nobody knows how far it came,
 * and what was mended at our start says nothing about it. */
static enum priv_status ask(struct priv_exchange *x, uint64_t id)
{
    struct priv_store *s = x->ctx->store;
    enum progress p = look(s);
    const struct priv_outcome *o = &s->last;
    if (p == GONE)
        return gone(x);
    if (id && id != s->order)
        return priv_say(x, PRIV_REFUSED, 0, "cvm-agent-priv ended before it was done: try again");
    if (p == RUNNING)
        return PRIV_BUSY;
    return o->failed ? priv_say(x, o->refused ? PRIV_REFUSED : PRIV_FAILED, o->code, "%s", o->text) : PRIV_OK;
}

static bool is_folder(int fd)
{
    struct stat st;
    return fd >= 0 && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

static enum priv_status begin(struct priv_exchange *x, const struct order *order)
{
    struct priv_store *s = x->ctx->store;
    enum progress p = look(s);
    if (p == RUNNING)
        return PRIV_BUSY;
    if (p == GONE || passfd_send(s->socket, bytes_of(order, sizeof(*order)), x->fd) < 0)
        return gone(x);
    s->busy = true;
    s->order = order->asked.id;
    return PRIV_OK;
}

enum priv_status verb_store(struct priv_exchange *x)
{
    struct priv_order asked;
    if (priv_order_decode(x->request, &asked, NULL) < 0
        || (asked.what == PRIV_ENGINE_STAGE ? !is_folder(x->fd) : x->fd >= 0))
        return PRIV_MALFORMED;
    const struct order order = { .asked = asked, .uid = x->peer.uid, .gid = x->peer.gid };
    return asked.what == PRIV_ENGINE_STORED ? ask(x, asked.id) : begin(x, &order);
}
