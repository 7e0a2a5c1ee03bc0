#include "agent/setup/setup.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#define AGENT_USER "cvm-agent"

struct folder {
    const char *path;
    mode_t mode;
};

static const struct folder folders[] = {
    { "/run/cvm-agent", 0755 },
    { "/run/cvm-agent/boot", 0755 },
    { "/run/cvm-agent/workload", 0755 },
    { "/var/lib/cvm-agent", 0700 },
};

/* The container engine's own: it trusts no folder that another user can change. */
#define ENGINE_FOLDER "/run/cvm-agent/workload/engine"

/* The collector prefers a readable copy to the original. */
static const struct {
    const char *from, *to;
} logs[] = {
    { "/sys/kernel/security/tpm0/binary_bios_measurements", "/run/cvm-agent/boot/binary_bios_measurements" },
    { "/sys/firmware/acpi/tables/data/CCEL", "/run/cvm-agent/boot/CCEL" },
};

/* configfs gives the files of each new entry to root, also of one that the agent makes in a folder of its
 * own: so one entry is made here, and its files handed over (tee/report_tsm.c asks it). */
#define TSM_ENTRY "/sys/kernel/config/tsm/report/cvm-agent"

/* Patterns of glob(7); mode 0 leaves the kernel's modes. The TPM's resource manager belongs to group tss,
 * which the agent is in. */
static const struct folder devices[] = {
    { "/sys/kernel/config/tsm/report", 0755 },
    { TSM_ENTRY, 0755 },
    { TSM_ENTRY "/*", 0 },
    { "/sys/class/misc/tdx_guest/measurements/rtmr[0-3]:*", 0600 },
    { "/dev/sev-guest", 0600 },
    { "/dev/tdx_guest", 0600 },
};

static void warn(struct setup *s, const char *path, const struct err *err)
{
    char text[ERR_TEXT_MAX];
    s->warnings++;
    log_event(LOG_LEVEL_WARNING, "setup", "path", path, "error", err_text(err, text, sizeof(text)), NULL);
}

int setup_find_user(struct setup *s, struct err *err)
{
    char path[PATH_MAX];
    if (path_set(path, sizeof(path), err, "%s/etc/passwd", s->root) < 0)
        return -1;
    AUTO(close_file) FILE *f = fopen(path, "re");
    if (!f)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot read %.160s: %s", path, strerror(errno));
    for (const struct passwd *user; (user = fgetpwent(f));) {
        if (!strcmp(user->pw_name, AGENT_USER)) {
            s->uid = user->pw_uid;
            s->gid = user->pw_gid;
            return 0;
        }
    }
    return err_set(err, ERR_NOT_FOUND, 0, "%.160s has no user " AGENT_USER ": create it", path);
}

/* Through a descriptor: what was opened is what changes hands, and no symbolic link is followed. */
static int hand_over(const struct setup *s, const char *path, mode_t mode, struct err *err)
{
    AUTO(close_fd) int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    char self[64];
    struct stat st;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (fd < 0 || fstat(fd, &st) < 0 || S_ISLNK(st.st_mode))
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot open it: %s",
                       fd < 0 ? strerror(errno) : "a link");
    if (fchownat(fd, "", s->uid, s->gid, AT_EMPTY_PATH) < 0 || (mode && chmod(self, mode) < 0))
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot give it to " AGENT_USER ": %s", strerror(errno));
    return 0;
}

int setup_folders(struct setup *s, struct err *err)
{
    char path[PATH_MAX];
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        if (path_set(path, sizeof(path), err, "%s%s", s->root, folders[i].path) < 0)
            return -1;
        if (dir_make(path, folders[i].mode, err) < 0 || hand_over(s, path, folders[i].mode, err) < 0)
            return err_while(err, folders[i].path);
    }
    if (path_set(path, sizeof(path), err, "%s" ENGINE_FOLDER, s->root) < 0 || dir_make(path, 0755, err) < 0)
        return err_while(err, ENGINE_FOLDER);
    return 0;
}

static int copy_log(const struct setup *s, const char *from, const char *to, struct err *err)
{
    AUTO(free_u8) uint8_t *data = NULL;
    char source[PATH_MAX], copy[PATH_MAX];
    size_t n;
    if (path_set(source, sizeof(source), err, "%s%s", s->root, from) < 0
        || path_set(copy, sizeof(copy), err, "%s%s", s->root, to) < 0
        || file_read(source, BOOT_LOG_MAX, &data, &n, err) < 0)
        return -1;
    return file_write_atomic(copy, bytes_of(data, n), 0400, err) < 0 ? -1 : hand_over(s, copy, 0400, err);
}

void setup_boot_logs(struct setup *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(logs); i++) {
        struct err err = { 0 };
        if (copy_log(s, logs[i].from, logs[i].to, &err) < 0 && err.kind != ERR_NOT_FOUND)
            warn(s, logs[i].from, &err);
    }
}

static void make_tsm_entry(struct setup *s)
{
    char path[PATH_MAX];
    struct err err = { 0 };
    if (path_set(path, sizeof(path), &err, "%s" TSM_ENTRY, s->root) < 0
        || (mkdir(path, 0755) < 0 && errno != EEXIST && errno != ENOENT && errno != ENXIO
            && err_set(&err, ERR_IO, (uint32_t)errno, "cannot make it: %s", strerror(errno)) < 0))
        warn(s, TSM_ENTRY, &err);
}

void setup_devices(struct setup *s)
{
    make_tsm_entry(s);
    for (size_t i = 0; i < ARRAY_SIZE(devices); i++) {
        char pattern[PATH_MAX];
        struct err err = { 0 };
        glob_t found;
        if (path_set(pattern, sizeof(pattern), &err, "%s%s", s->root, devices[i].path) < 0)
            continue;
        if (glob(pattern, 0, NULL, &found) != 0)
            continue;
        for (size_t k = 0; k < found.gl_pathc; k++) {
            if (hand_over(s, found.gl_pathv[k], devices[i].mode, &err) < 0)
                warn(s, found.gl_pathv[k], &err);
        }
        globfree(&found);
    }
}
