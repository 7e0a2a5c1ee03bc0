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

static bool is_named(const char *sys, const char *device, const char *name, struct partition *out)
{
    char text[1024];
    if (strlen(device) > 32 || !read_attribute(sys, device, "uevent", text, sizeof(text))
        || !has_line(text, "PARTNAME=", name) || !disk_of(sys, device, out->disk, sizeof(out->disk))
        || !read_attribute(sys, device, "dev", out->number, sizeof(out->number)))
        return false;
    snprintf(out->device, sizeof(out->device), "/dev/%.32s", device);
    return true;
}

static int by_device(const void *a, const void *b)
{
    return strcmp(((const struct partition *)a)->device, ((const struct partition *)b)->device);
}

size_t partition_list(const char *sys, const char *name, struct partition out[static PARTITIONS_MAX],
                      struct err *err)
{
    char path[PATH_MAX];
    size_t n = 0;
    snprintf(path, sizeof(path), "%s/class/block", sys);
    DIR *dir = opendir(path);
    if (!dir) {
        (void)err_set(err, ERR_IO, (uint32_t)errno, "cannot read %.160s: %s", path, strerror(errno));
        return 0;
    }
    for (struct dirent *e; n < PARTITIONS_MAX && (e = readdir(dir));)
        n += e->d_name[0] != '.' && is_named(sys, e->d_name, name, &out[n]);
    closedir(dir);
    qsort(out, n, sizeof(out[0]), by_device);
    if (!n)
        (void)err_set(err, ERR_NOT_FOUND, 0, "no partition %s", name);
    return n;
}

int partition_find(const char *sys, const char *name, const char *disk, struct partition *out,
                   struct err *err)
{
    struct partition all[PARTITIONS_MAX];
    size_t n = partition_list(sys, name, all, err);
    for (size_t i = 0; i < n; i++) {
        if (!disk || !strcmp(disk, all[i].disk)) {
            *out = all[i];
            return 0;
        }
    }
    return n ? err_set(err, ERR_NOT_FOUND, 0, "no partition %s on %s", name, disk) : -1;
}
