#include "agent/update_data.h"

#include "base/auto.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static const struct folder_limits limits = { TREE_FILES_MAX, TREE_BYTES_MAX };

static bool writes_itself(const struct update_places *p)
{
    return access(p->parent, W_OK) == 0;
}

static int sync_folder(const char *path, struct err *err)
{
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? medium_failed("sync", path, err) : 0;
}

int update_exchange(const char *a, const char *b, struct err *err)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(b, '/');
    if (path_set(parent, sizeof(parent), err, "%.*s", slash ? (int)(slash - b) + 1 : 1, slash ? b : ".") < 0)
        return -1;
    if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) < 0)
        return medium_failed("exchange", b, err);
    if (sync_folder(parent, err) == 0)
        return 0;
    (void)!renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE); /* what may not last is undone */
    return -1;
}

static int stage_itself(int from, const struct update_places *p, struct err *err)
{
    if (folder_remove(AT_FDCWD, p->staged, err) < 0)
        return -1;
    if (mkdir(p->staged, 0755) < 0)
        return medium_failed("make the folder", p->staged, err);
    AUTO(close_fd) int into = open(p->staged, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (into < 0 || fchmod(into, 0755) < 0)
        return medium_failed("open", p->staged, err);
    return folder_copy(from, into, &limits, err) < 0 ? -1 : sync_folder(p->parent, err);
}

static int identify(const char *path, struct stat *out, struct err *err)
{
    return lstat(path, out) < 0 ? medium_failed("look at", path, err) : 0;
}

static int stage_by_priv(const struct workload *w, int from, const struct update_places *p, struct err *err)
{
    struct stat now;
    return identify(p->data, &now, err) < 0 ? -1 : priv_store(w->priv, PRIV_ENGINE_STAGE, from, &now, err);
}

int update_stage(const struct workload *w, const struct update_places *p, struct err *err)
{
    AUTO(close_fd) int from = open(p->next, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int rc = from < 0 ? medium_failed("open", p->next, err) : 0;
    if (rc == 0)
        rc = writes_itself(p) ? stage_itself(from, p, err) : stage_by_priv(w, from, p, err);
    if (rc == 0)
        return 0;
    (void)!update_unstage(w, p);
    return err_while(err, "store the update on the data partition");
}

/* Somebody else makes the exchange: whether he did is seen, not only heard. */
static int store_by_priv(const struct workload *w, const struct update_places *p, struct err *err)
{
    struct stat old, new, now;
    if (identify(p->data, &old, err) < 0 || identify(p->staged, &new, err) < 0)
        return -1;
    int rc = priv_store(w->priv, PRIV_ENGINE_EXCHANGE, -1, &old, err);
    bool done = lstat(p->data, &now) == 0 && now.st_dev == new.st_dev &&now.st_ino == new.st_ino;
    if (rc < 0 && done)
        log_err(LOG_LEVEL_WARNING, "store", err);
    if (rc == 0 && !done)
        return err_set(err, ERR_IO, 0, "the update is not where it was stored: look at %.150s", p->data);
    return done ? 0 : -1;
}

int update_store(const struct workload *w, const struct update_places *p, struct err *err)
{
    int rc = writes_itself(p) ? update_exchange(p->staged, p->data, err) : store_by_priv(w, p, err);
    return rc < 0 ? err_while(err, "store the update on the data partition") : 0;
}

bool update_unstage(const struct workload *w, const struct update_places *p)
{
    struct err err = { 0 };
    if (access(p->staged, F_OK) < 0)
        return true;
    int rc = writes_itself(p) ? folder_remove(AT_FDCWD, p->staged, &err)
                              : priv_store(w->priv, PRIV_ENGINE_DISCARD, -1, NULL, &err);
    if (rc < 0)
        log_err(LOG_LEVEL_WARNING, "store", &err); /* the next start or update removes it */
    return rc == 0;
}

int update_await_stored(const struct workload *w, struct err *err)
{
    return priv_store_idle(w->priv, err);
}
