/* Livepatches: only where the kernel itself checks who signed a module. Source: Linux,
 * Documentation/livepatch/livepatch.rst and ABI/testing/sysfs-kernel-livepatch. */
#include "agent/priv/verbs.h"

#include "base/auto.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MODULE_MAX    (64u << 20)
#define PATCHES_MAX   64
#define TRANSITION_MS 15000
#define POLL_MS       20

/* module.sig_enforce=1, or a lockdown, under which every module must be signed. */
static bool signatures_enforced(const char *sys)
{
    char path[PATH_MAX], text[128];
    if (path_set(path, sizeof(path), NULL, "%s/module/module/parameters/sig_enforce", sys) == 0
        && file_read_line(path, text, sizeof(text), NULL) == 0 && !strcmp(text, "Y"))
        return true;
    return path_set(path, sizeof(path), NULL, "%s/kernel/security/lockdown", sys) == 0
           && file_read_line(path, text, sizeof(text), NULL) == 0
           && (strstr(text, "[integrity]") || strstr(text, "[confidentiality]"));
}

static enum priv_status ready(struct priv_exchange *x)
{
    char path[PATH_MAX];
    if (!signatures_enforced(x->ctx->sys))
        return priv_say(x, PRIV_REFUSED, 0,
                        "the kernel does not enforce module signatures: boot it with module.sig_enforce=1");
    if (path_set(path, sizeof(path), NULL, "%s/kernel/livepatch", x->ctx->sys) < 0 || access(path, F_OK) < 0)
        return priv_say(x, PRIV_REFUSED, 0, "the kernel has no livepatching (CONFIG_LIVEPATCH)");
    return PRIV_OK;
}

static int write_word(const char *path, const char *word)
{
    AUTO(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, word, strlen(word)) == (ssize_t)strlen(word) ? 0 : -1;
}

/* Tasks move to the patched functions, or back, one by one; -1: not all have. */
static int settle(const char *sys, const char *name, bool gone, struct err *err)
{
    char path[PATH_MAX], text[16];
    if (path_set(path, sizeof(path), err, "%s/kernel/livepatch/%s/transition", sys, name) < 0)
        return -1;
    for (unsigned waited = 0; waited < TRANSITION_MS; waited += POLL_MS) {
        const struct timespec pause = { 0, POLL_MS * 1000000 };
        struct err none = { 0 };
        if (file_read_line(path, text, sizeof(text), &none) < 0 || (!gone && !strcmp(text, "0")))
            return 0;
        nanosleep(&pause, NULL);
    }
    return err_set(err, ERR_IO, EBUSY, "livepatch %.60s: some tasks still run the %s functions after %d s",
                   name, gone ? "patched" : "old", TRANSITION_MS / 1000);
}

static int unload(const char *sys, const char *name, struct err *err)
{
    char path[PATH_MAX];
    if (path_set(path, sizeof(path), err, "%s/kernel/livepatch/%s/enabled", sys, name) < 0)
        return -1;
    if (write_word(path, "0") < 0 && errno != ENOENT)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot disable livepatch %.60s: %s", name,
                       strerror(errno));
    if (settle(sys, name, true, err) < 0)
        return -1;
    if (syscall(SYS_delete_module, name, O_NONBLOCK) < 0 && errno != ENOENT)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot unload livepatch %.60s: %s", name,
                       strerror(errno));
    return 0;
}

struct patches {
    size_t n;
    char name[PATCHES_MAX][NAME_MAX + 1];
};

static int list(const char *sys, struct patches *out, struct err *err)
{
    char path[PATH_MAX];
    if (path_set(path, sizeof(path), err, "%s/kernel/livepatch", sys) < 0)
        return -1;
    DIR *folder = opendir(path);
    if (!folder)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot read %.100s: %s", path, strerror(errno));
    out->n = 0;
    for (const struct dirent *e = readdir(folder); e && out->n < PATCHES_MAX; e = readdir(folder)) {
        if (e->d_name[0] != '.')
            memcpy(out->name[out->n++], e->d_name, strlen(e->d_name) + 1);
    }
    closedir(folder);
    return 0;
}

static int unload_all(const char *sys, const struct patches *old, struct err *err)
{
    for (size_t i = 0; i < old->n; i++) {
        if (unload(sys, old->name[i], err) < 0)
            return -1;
    }
    return 0;
}

static int settle_all(const char *sys, struct err *err)
{
    static struct patches now;
    if (list(sys, &now, err) < 0)
        return -1;
    for (size_t i = 0; i < now.n; i++) {
        if (settle(sys, now.name[i], false, err) < 0)
            return -1;
    }
    return 0;
}

static int insert(int fd, struct err *err)
{
    if (syscall(SYS_finit_module, fd, "", 0) == 0)
        return 0;
    int why = errno;
    const char *text = why == EKEYREJECTED || why == ENOKEY || why == EBADMSG
                           ? "its signature is missing, wrong, or not by a key that the kernel trusts"
                       : why == ENOEXEC ? "it was made for another kernel"
                       : why == ENOENT  ? "it patches a function that this kernel has not, or needs a symbol"
                                        : strerror(why);
    return err_set(err, ERR_IO, (uint32_t)why, "the kernel does not take the livepatch: %s", text);
}

/* The kernel judges the new one before the old ones go: a module that it refuses changes nothing. One of the
 * same name can only be loaded once the old one has gone; the signature has been checked when the name is
 * found taken. */
static int replace(const char *sys, int fd, struct err *err)
{
    static struct patches old;
    if (list(sys, &old, err) < 0)
        return -1;
    bool same_name = insert(fd, err) < 0;
    if (same_name && err->code != EEXIST)
        return -1;
    if (!same_name && settle_all(sys, err) < 0)
        return -1;
    if (unload_all(sys, &old, err) < 0)
        return -1;
    if (!same_name)
        return 0;
    *err = (struct err){ 0 };
    return insert(fd, err) < 0 ? -1 : settle_all(sys, err);
}

static enum priv_status load(struct priv_exchange *x)
{
    struct err err = { 0 };
    size_t size;
    if (priv_sealed(x->fd, MODULE_MAX, &size, &err) < 0)
        return PRIV_MALFORMED;
    enum priv_status status = ready(x);
    if (status != PRIV_OK)
        return status;
    /* the kernel reads a file that is open for reading only */
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", x->fd);
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return priv_say(x, PRIV_FAILED, (uint32_t)errno, "cannot read the livepatch: %s", strerror(errno));
    return replace(x->ctx->sys, fd, &err) < 0 ? priv_say_err(x, &err) : PRIV_OK;
}

enum priv_status verb_livepatch(struct priv_exchange *x)
{
    if (x->request->payload_size != 0)
        return PRIV_MALFORMED;
    switch (x->request->flags) {
    case PRIV_LIVEPATCH_ASK:
        return ready(x);
    case PRIV_LIVEPATCH_LOAD:
        return load(x);
    default:
        return PRIV_MALFORMED;
    }
}
