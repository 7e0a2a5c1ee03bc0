#include "agent/priv/data.h"

#include "base/auto.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <time.h>

/* A file in it, named by the file system's device, says that it was made writable and has to be read-only
 * again. In memory: the next boot mounts it read-only anyway. */
#define MARKS "/run/cvm-agent-priv"

#define BUSY_TRIES 100
#define BUSY_MS    20

static int mark_path(dev_t device, char out[static PATH_MAX], struct err *err)
{
    return path_set(out, PATH_MAX, err, MARKS "/writable-%u-%u", major(device), minor(device));
}

static bool is_marked(dev_t device)
{
    char path[PATH_MAX];
    return mark_path(device, path, NULL) == 0 && access(path, F_OK) == 0;
}

static int mark(dev_t device, struct err *err)
{
    char path[PATH_MAX];
    if (mark_path(device, path, err) < 0)
        return -1;
    if (mkdir(MARKS, 0700) < 0 && errno != EEXIST)
        return medium_failed("make", MARKS, err);
    AUTO(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? medium_failed("make", path, err) : 0;
}

static void unmark(dev_t device)
{
    char path[PATH_MAX];
    if (mark_path(device, path, NULL) == 0)
        unlink(path);
}

/* ---- the file system ---- */

/* Its mounts keep their own flags. */
static int reconfigure(int mount, const char *flag)
{
    AUTO(close_fd) int fs = fspick(mount, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH | FSPICK_NO_AUTOMOUNT);
    if (fs < 0 || fsconfig(fs, FSCONFIG_SET_FLAG, flag, NULL, 0) < 0)
        return -1;
    return fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0);
}

/* What a process that was just killed had open closes a moment later. */
static int make_read_only(int mount, struct err *err)
{
    for (unsigned i = 0; reconfigure(mount, "ro") < 0; i++) {
        const struct timespec pause = { 0, BUSY_MS * 1000000 };
        if (errno != EBUSY || i == BUSY_TRIES)
            return err_set(err, ERR_IO, (uint32_t)errno, "cannot make the data partition read-only again: %s",
                           strerror(errno));
        nanosleep(&pause, NULL);
    }
    return 0;
}

static bool is_read_only(int folder)
{
    struct statvfs v;
    return fstatvfs(folder, &v) == 0 && (v.f_flag & ST_RDONLY);
}

static int look(const char *folder, int *seen, dev_t *device, bool *mounted, struct err *err)
{
    struct statx st;
    *seen = open(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*seen < 0 || statx(*seen, "", AT_EMPTY_PATH, STATX_TYPE, &st) < 0)
        return medium_failed("open", folder, err);
    *device = makedev(st.stx_dev_major, st.stx_dev_minor);
    *mounted = (st.stx_attributes_mask & st.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
    return 0;
}

static int open_mount(int seen, int *out, struct err *err)
{
    struct mount_attr flags = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                                .attr_clr = MOUNT_ATTR_RDONLY };
    AUTO(close_fd) int fd = open_tree(seen, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &flags, sizeof(flags)) < 0)
        return medium_failed("mount", "the data partition", err);
    *out = fd;
    fd = -1;
    return 0;
}

static int make_writable(const char *folder, struct data *d, bool mounted, struct err *err)
{
    if (!mounted)
        return err_set(err, ERR_UNAVAILABLE, EROFS, "%.120s is read-only, and no mount of its own", folder);
    if (mark(d->device, err) < 0)
        return -1;
    d->closed = true;
    fault_point("store-marked");
    if (reconfigure(d->seen, "rw") < 0)
        return err_set(err, ERR_UNAVAILABLE, (uint32_t)errno, "%.120s is read-only and cannot be written: %s",
                       folder, strerror(errno));
    fault_point("store-writable");
    return 0;
}

int data_open(const char *folder, struct data *out, struct err *err)
{
    struct data d = DATA_NONE;
    struct err ignored;
    bool mounted;
    int rc = look(folder, &d.seen, &d.device, &mounted, err);
    d.closed = rc == 0 && mounted && is_marked(d.device);
    rc = rc < 0 ? rc : open_mount(d.seen, &d.folder, err);
    if (rc == 0 && is_read_only(d.folder))
        rc = make_writable(folder, &d, mounted, err);
    if (rc < 0) {
        (void)!data_close(&d, &ignored);
        return -1;
    }
    *out = d;
    return 0;
}

int data_close(struct data *d, struct err *err)
{
    int rc = 0;
    close_fd(&d->folder);
    if (d->closed) {
        rc = make_read_only(d->seen, err);
        fault_point("store-read-only");
    }
    if (d->closed && rc == 0)
        unmark(d->device);
    close_fd(&d->seen);
    *d = (struct data)DATA_NONE;
    return rc;
}

int data_heal(const char *folder, struct err *err)
{
    struct data d = DATA_NONE;
    struct err ignored;
    bool mounted;
    if (look(folder, &d.seen, &d.device, &mounted, &ignored) == 0)
        d.closed = mounted && is_marked(d.device);
    return data_close(&d, err);
}
