#include "rootfs/initrd/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads a short attribute without its line break at the end. */
static bool read_attribute(const char *sys, const char *device, const char *file, char *out, size_t size)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/class/block/%s/%s", sys, device, file);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return false;
    out[n] = '\0';
    if (n > 0 && out[n - 1] == '\n')
        out[n - 1] = '\0';
    return true;
}

/* Lines of KEY=VALUE. */
static bool has_line(const char *text, const char *key, const char *value)
{
    size_t k = strlen(key), v = strlen(value);
    for (const char *at = text;; at++) {
        if (!strncmp(at, key, k) && !strncmp(at + k, value, v) && (at[k + v] == '\n' || !at[k + v]))
            return true;
        at = strchr(at, '\n');
        if (!at)
            return false;
    }
}

/* The folder above a partition's own is its disk's. */
static bool disk_of(const char *sys, const char *device, char *out, size_t size)
{
    char path[PATH_MAX], real[PATH_MAX];
    snprintf(path, sizeof(path), "%s/class/block/%s/..", sys, device);
    if (!realpath(path, real))
        return false;
    snprintf(out, size, "%s", strrchr(real, '/') + 1);
    return true;
}

static bool is_wanted(const char *sys, const char *device, const char *name, const char *disk,
                      struct partition *out)
{
    char text[1024];
    if (strlen(device) > 32 || !read_attribute(sys, device, "uevent", text, sizeof(text))
        || !has_line(text, "PARTNAME=", name) || !disk_of(sys, device, out->disk, sizeof(out->disk))
        || !read_attribute(sys, device, "dev", out->number, sizeof(out->number)))
        return false;
    snprintf(out->device, sizeof(out->device), "/dev/%.32s", device);
    return !disk || !strcmp(disk, out->disk);
}

int partition_find(const char *sys, const char *name, const char *disk, struct partition *out,
                   struct err *err)
{
    char path[PATH_MAX];
    bool found = false;
    snprintf(path, sizeof(path), "%s/class/block", sys);
    DIR *dir = opendir(path);
    if (!dir)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot read %.160s: %s", path, strerror(errno));
    for (struct dirent *e; !found && (e = readdir(dir));)
        found = e->d_name[0] != '.' && is_wanted(sys, e->d_name, name, disk, out);
    closedir(dir);
    return found ? 0
                 : err_set(err, ERR_NOT_FOUND, 0, "no partition %s%s%s", name, disk ? " on " : "",
                           disk ? disk : "");
}
