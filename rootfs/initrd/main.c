/* The image's first program: opens the verified root and becomes its init. It refuses to boot when the kernel
 * was started with another command line than the image's, or when the root is not the one whose hash stands
 * there. It runs no shell, reads no configuration of the host, and ends by switching the machine off. */
#include "rootfs/initrd/boot.h"
#include "rootfs/initrd/disk.h"
#include "rootfs/initrd/modules.h"
#include "rootfs/initrd/verity.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NEW_ROOT     "/sysroot"
#define WAIT_SECONDS 60 /* for the root disk: slow hosts attach it late */

static void say(int level, const char *text)
{
    char line[ERR_TEXT_MAX + 32];
    int n = snprintf(line, sizeof(line), "<%d>cvm-init: %s\n", level, text);
    int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, line, (size_t)n) < 0)
        (void)!write(STDERR_FILENO, line + 3, (size_t)n - 3);
    if (fd >= 0)
        close(fd);
}

static void report(const struct err *err)
{
    char text[ERR_TEXT_MAX];
    say(4, err_text(err, text, sizeof(text)));
}

static int mount_at(const char *from, const char *to, const char *type, unsigned long flags,
                    const char *options, struct err *err)
{
    if (mount(from, to, type, flags, options) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot mount %s at %s: %s", from, to, strerror(errno));
    return 0;
}

static int mount_kernel(struct err *err)
{
    mkdir("/dev", 0755);
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mkdir(NEW_ROOT, 0755);
    if (mount_at("devtmpfs", "/dev", "devtmpfs", MS_NOSUID | MS_NOEXEC, "mode=0755", err) < 0)
        return -1;
    if (mount_at("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, err) < 0)
        return -1;
    return mount_at("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL, err);
}

static int read_text(const char *path, char *out, size_t size, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    ssize_t got = -1;
    while (fd >= 0 && n < size && (got = read(fd, out + n, size - n)) > 0)
        n += (size_t)got;
    if (fd >= 0)
        close(fd);
    if (got < 0 || n == size || memchr(out, '\0', n))
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot read %s", path);
    out[n] = '\0';
    return 0;
}

/* A break on the serial line is the host's key to the kernel's debugging functions. */
static void disable_sysrq(void)
{
    int fd = open("/proc/sys/kernel/sysrq", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)!write(fd, "0", 1);
        close(fd);
    }
}

static int check_boot(struct boot *boot, struct err *err)
{
    static char text[BOOT_TEXT_MAX], running[4096];
    if (read_text("/boot", text, sizeof(text), err) < 0 || boot_parse(text, boot, err) < 0)
        return err_while(err, "read the image's parameters");
    if (read_text("/proc/cmdline", running, sizeof(running), err) < 0)
        return -1;
    return boot_cmdline_check(boot, running, err);
}

/* Disks that have both partitions: their names say nothing of what is in them. */
static size_t find_roots(struct partition roots[static PARTITIONS_MAX],
                         struct partition hashes[static PARTITIONS_MAX], struct err *err)
{
    struct partition named[PARTITIONS_MAX];
    size_t n = partition_list("/sys", PARTITION_ROOT, named, err), found = 0;
    for (size_t i = 0; i < n; i++) {
        if (partition_find("/sys", PARTITION_VERITY, named[i].disk, &hashes[found], err) == 0)
            roots[found++] = named[i];
    }
    return found;
}

/* Among several it is the first that the root hash fits. A single one is not looked at before it is opened
 * for good: then a wrong block stops the machine. */
static int choose_root(const struct boot *boot, const struct partition *roots, const struct partition *hashes,
                       size_t n, size_t *chosen, struct err *err)
{
    for (*chosen = 0; *chosen < n; ++*chosen) {
        if (n == 1 || verity_matches(boot, &roots[*chosen], &hashes[*chosen]))
            return 0;
    }
    return err_set(err, ERR_DENIED, 0,
                   "%zu disks have a partition " PARTITION_ROOT ", and none is the image's", n);
}

/* Devices appear while drivers load: look again until the root is there. */
static int find_root(struct boot *boot, struct partition *root, struct partition *hashes, struct err *err)
{
    const struct timespec pause = { 0, 20000000 };
    struct partition roots[PARTITIONS_MAX], trees[PARTITIONS_MAX];
    struct timespec start, now;
    size_t n, chosen;
    clock_gettime(CLOCK_MONOTONIC, &start);
    while (modules_coldplug(boot, "/sys", modules_load, report), (n = find_roots(roots, trees, err)) == 0) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec - start.tv_sec >= WAIT_SECONDS)
            return -1;
        nanosleep(&pause, NULL);
    }
    if (choose_root(boot, roots, trees, n, &chosen, err) < 0)
        return -1;
    *root = roots[chosen];
    *hashes = trees[chosen];
    return 0;
}

/* What the host may write is mounted so that nothing on it runs; without it the machine attests and runs
 * nothing. */
static void mount_data(const struct partition *root)
{
    struct partition data;
    struct err err = { 0 };
    if (partition_find("/sys", PARTITION_DATA, root->disk, &data, &err) < 0
        || mount_at(data.device, NEW_ROOT "/data", "ext4", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL,
                    &err)
               < 0)
        report(&err);
}

static int mount_root(const char *device, const struct partition *root, struct err *err)
{
    if (mount_at(device, NEW_ROOT, "erofs", MS_RDONLY | MS_NODEV, NULL, err) < 0)
        return -1;
    if (mount_at("tmpfs", NEW_ROOT "/var", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=25%", err) < 0)
        return -1;
    if (mount_at("tmpfs", NEW_ROOT "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=10%", err) < 0)
        return -1;
    mount_data(root);
    return 0;
}

/* Frees the memory of the initrd's files: it cannot be unmounted. Only its own file system is walked. */
static void remove_tree(int folder, dev_t device)
{
    DIR *dir = fdopendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        struct stat st;
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")
            || fstatat(folder, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != device)
            continue;
        if (S_ISDIR(st.st_mode)) {
            int below = openat(folder, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (below >= 0)
                remove_tree(below, device);
        }
        unlinkat(folder, e->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
    }
    if (dir)
        closedir(dir);
}

static int switch_root(struct err *err)
{
    static const char *const moved[] = { "/dev", "/proc", "/sys" };
    char *const argv[] = { (char[]){ "/sbin/init" }, NULL };
    char *const env[] = { (char[]){ "PATH=/usr/sbin:/usr/bin:/sbin:/bin" }, NULL };
    struct stat st;
    for (size_t i = 0; i < sizeof(moved) / sizeof(moved[0]); i++) {
        char to[32];
        snprintf(to, sizeof(to), NEW_ROOT "%s", moved[i]);
        if (mount_at(moved[i], to, NULL, MS_MOVE, NULL, err) < 0)
            return -1;
    }
    int old = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (old < 0 || fstat(old, &st) < 0 || chdir(NEW_ROOT) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot enter the root: %s", strerror(errno));
    remove_tree(old, st.st_dev);
    if (mount_at(".", "/", NULL, MS_MOVE, NULL, err) < 0)
        return -1;
    if (chroot(".") < 0 || chdir("/") < 0 || execve(argv[0], argv, env) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot start /sbin/init: %s", strerror(errno));
    return 0;
}

static int start(struct err *err)
{
    static struct boot boot;
    struct partition root, hashes;
    char device[48], line[96];
    umask(022);
    if (mount_kernel(err) < 0)
        return -1;
    disable_sysrq();
    if (check_boot(&boot, err) < 0 || modules_load(boot.load, err) < 0)
        return -1;
    if (find_root(&boot, &root, &hashes, err) < 0)
        return err_while(err, "find the root");
    if (verity_open(&boot, &root, &hashes, device, sizeof(device), err) < 0
        || mount_root(device, &root, err) < 0)
        return err_while(err, "open the root");
    snprintf(line, sizeof(line), "verified root opened on %s", root.disk);
    say(5, line);
    return switch_root(err);
}

int main(void)
{
    const struct timespec pause = { 1, 0 };
    struct err err = { 0 };
    char text[ERR_TEXT_MAX], line[ERR_TEXT_MAX + 16];
    if (getpid() != 1)
        return 1;
    if (start(&err) < 0) {
        snprintf(line, sizeof(line), "REFUSED: %s", err_text(&err, text, sizeof(text)));
        say(0, line);
        nanosleep(&pause, NULL); /* the console is slow */
        reboot(RB_POWER_OFF);
    }
    return 1; /* the kernel stops when its first program ends */
}
