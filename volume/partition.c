#include "volume/partition.h"

#include "base/auto.h"
#include "base/file.h"
#include "volume/header.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>

#define LEAST_SIZE (16u << 20) /* the header, the tags and a journal want some of it */

static void dir_drop(DIR **d)
{
    if (*d)
        closedir(*d);
}

/* Lines of KEY=VALUE. */
static bool is_named(const char *sys, const char *device, const char *name)
{
    AUTO(free_u8) uint8_t *text = NULL;
    char path[PATH_MAX], line[128];
    size_t n;
    if (path_set(path, sizeof(path), NULL, "%s/class/block/%s/uevent", sys, device) < 0
        || path_set(line, sizeof(line), NULL, "\nPARTNAME=%s\n", name) < 0
        || file_read(path, 4096, &text, &n, NULL) < 0)
        return false;
    return strstr((const char *)text, line) != NULL;
}

int partition_find_one(const char *sys, const char *name, char path[static PARTITION_PATH_SIZE],
                       struct err *err)
{
    char folder[PATH_MAX], found[PARTITION_PATH_SIZE] = "";
    if (path_set(folder, sizeof(folder), err, "%s/class/block", sys) < 0)
        return -1;
    AUTO(dir_drop) DIR *dir = opendir(folder);
    if (!dir)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot read %.160s: %s", folder, strerror(errno));
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.' || strlen(e->d_name) > 32 || !is_named(sys, e->d_name, name))
            continue;
        if (found[0])
            return err_set(err, ERR_DENIED, 0,
                           "two partitions have the name %s: which one is meant is not said", name);
        snprintf(found, sizeof(found), "/dev/%.32s", e->d_name);
    }
    if (!found[0])
        return err_set(err, ERR_NOT_FOUND, 0, "no partition has the name %s", name);
    memcpy(path, found, sizeof(found));
    return 0;
}

static int move(int fd, bool out, uint8_t *p, size_t from, size_t to)
{
    while (from < to) {
        ssize_t n =
            out ? pwrite(fd, p + from, to - from, (off_t)from) : pread(fd, p + from, to - from, (off_t)from);
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return -1;
        }
        from += (size_t)n;
    }
    return out ? fsync(fd) : 0;
}

int partition_read_header(const char *path, uint8_t *header, struct err *err)
{
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (size < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot open %s: %s", path, strerror(errno));
    if (size < (off_t)LEAST_SIZE)
        return err_set(err, ERR_INPUT, 0, "%s has %lld bytes: too small for a volume", path, (long long)size);
    if (move(fd, false, header, 0, VOLUME_HEADER_SIZE) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot read %s: %s", path, strerror(errno));
    return 0;
}

int partition_write_header(const char *path, const uint8_t *header, struct err *err)
{
    AUTO(close_fd) int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    uint8_t *p = (uint8_t *)(uintptr_t)header; /* only read */
    if (fd < 0 || move(fd, true, p, VOLUME_BLOCK, VOLUME_HEADER_SIZE) < 0
        || move(fd, true, p, 0, VOLUME_BLOCK) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot write %s: %s", path, strerror(errno));
    return 0;
}
