#include "rootfs/initrd/modules.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int load_one(const char *name, int length, struct err *err)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "/modules/%.*s.ko", length, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    long rc = fd < 0 ? -1 : syscall(SYS_finit_module, fd, "", 0);
    int saved = errno;
    if (fd >= 0)
        close(fd);
    if (rc < 0 && saved != EEXIST)
        return err_set(err, ERR_IO, (uint32_t)saved, "module %.*s does not load: %s", length, name,
                       strerror(saved));
    return 0;
}

int modules_load(const char *names, struct err *err)
{
    while (*names) {
        size_t n = strcspn(names, " ");
        if (n > 0 && load_one(names, (int)n, err) < 0)
            return -1;
        names += n + (names[n] == ' ');
    }
    return 0;
}

/* A modalias is one line; those of devices have less than 100 characters, the processor's about 1000. */
static bool read_modalias(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return false;
    out[n] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return true;
}

static size_t plug_device(struct boot *boot, const char *modalias, int (*load)(const char *, struct err *),
                          void (*report)(const struct err *))
{
    size_t loaded = 0;
    for (size_t i = 0; i < boot->aliases; i++) {
        struct err err = { 0 };
        if (boot->alias[i].done || fnmatch(boot->alias[i].pattern, modalias, 0) != 0)
            continue;
        boot->alias[i].done = true;
        if (load(boot->alias[i].modules, &err) < 0)
            report(&err);
        else
            loaded++;
    }
    return loaded;
}

static size_t plug_bus(struct boot *boot, const char *devices, int (*load)(const char *, struct err *),
                       void (*report)(const struct err *))
{
    DIR *dir = opendir(devices);
    size_t loaded = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char path[PATH_MAX + 300], modalias[512];
        snprintf(path, sizeof(path), "%s/%s/modalias", devices, e->d_name);
        if (e->d_name[0] != '.' && read_modalias(path, modalias, sizeof(modalias)))
            loaded += plug_device(boot, modalias, load, report);
    }
    if (dir)
        closedir(dir);
    return loaded;
}

size_t modules_coldplug(struct boot *boot, const char *sys, int (*load)(const char *, struct err *),
                        void (*report)(const struct err *))
{
    char path[PATH_MAX], modalias[2048];
    size_t loaded = 0;
    /* The processor first: what it brings for hashing has to be there before the root is opened. */
    snprintf(path, sizeof(path), "%s/devices/system/cpu/modalias", sys);
    if (read_modalias(path, modalias, sizeof(modalias)))
        loaded += plug_device(boot, modalias, load, report);
    snprintf(path, sizeof(path), "%s/bus", sys);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/bus/%s/devices", sys, e->d_name);
        loaded += plug_bus(boot, path, load, report);
    }
    if (dir)
        closedir(dir);
    return loaded;
}
