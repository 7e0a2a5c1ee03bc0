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

/* Tasks leave the patched functions one by one; the folder goes when the last one has. */
static int disable(const char *sys, const char *name, struct err *err)
{
    char path[PATH_MAX], text[16];
    if (path_set(path, sizeof(path), err, "%s/kernel/livepatch/%s/enabled", sys, name) < 0)
        return -1;
    if (write_word(path, "0") < 0 && errno != ENOENT)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot disable livepatch %.60s: %s", name,
                       strerror(errno));
    for (unsigned waited = 0; waited < TRANSITION_MS; waited += POLL_MS) {
        const struct timespec pause = { 0, POLL_MS * 1000000 };
        struct err gone = { 0 };
        if (file_read_line(path, text, sizeof(text), &gone) < 0)
            return 0;
        nanosleep(&pause, NULL);
    }
    return err_set(err, ERR_IO, EBUSY, "livepatch %.60s is still in use after %d s", name,
                   TRANSITION_MS / 1000);
}

static int unload(const char *sys, const char *name, struct err *err)
{
    if (disable(sys, name, err) < 0)
        return -1;
    if (syscall(SYS_delete_module, name, O_NONBLOCK) < 0 && errno != ENOENT)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot unload livepatch %.60s: %s", name,
                       strerror(errno));
    return 0;
}

static int unload_all(const char *sys, struct err *err)
{
    char path[PATH_MAX], names[PATCHES_MAX][NAME_MAX + 1];
    size_t n = 0;
    if (path_set(path, sizeof(path), err, "%s/kernel/livepatch", sys) < 0)
        return -1;
    DIR *folder = opendir(path);
    if (!folder)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot read %.100s: %s", path, strerror(errno));
    for (const struct dirent *e = readdir(folder); e && n < PATCHES_MAX; e = readdir(folder)) {
        if (e->d_name[0] != '.')
            memcpy(names[n++], e->d_name, strlen(e->d_name) + 1);
    }
    closedir(folder);
    for (size_t i = 0; i < n; i++) {
        if (unload(sys, names[i], err) < 0)
            return -1;
    }
    return 0;
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
    if (unload_all(x->ctx->sys, &err) < 0)
        return priv_say_err(x, &err);
    /* the kernel reads a file that is open for reading only */
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", x->fd);
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
        return priv_say(x, PRIV_FAILED, (uint32_t)errno, "the kernel does not take the livepatch: %s",
                        errno == EKEYREJECTED || errno == ENOKEY
                            ? "its signature is not by a key that the kernel trusts"
                            : strerror(errno));
    return PRIV_OK;
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
