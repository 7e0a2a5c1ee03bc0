/* The engine's folder: configuration of podman and of docker. Everything lies in one folder on the private
 * medium, in which what is root's is root's alone: whoever has the socket is root. */
#include "agent/priv/engine_files.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/magic.h>
#include <pwd.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DIRECTORY_MAX 44 /* measured: below longer paths conmon 2.1.6 does not tidy up ended containers */

static int make_folder(const char *directory, const char *name, struct err *err)
{
    char path[PATH_MAX];
    struct stat st;
    if (path_set(path, sizeof(path), err, "%s%s", directory, name) < 0)
        return -1;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return err_set(err, ERR_IO, (uint32_t)errno, "cannot make %.150s: %s", path, strerror(errno));
    if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
        return err_set(err, ERR_IO, 0, "%.150s is not a folder of ours: remove it", path);
    return 0;
}

/* The one that holds ours may be somebody else's (the agent's private medium); it is made if it is not there.
 */
static int make_folders(const char *directory, const char *const *names, size_t n, struct err *err)
{
    char parent[PATH_MAX];
    if (strlen(directory) > DIRECTORY_MAX)
        return err_set(err, ERR_INPUT, 0,
                       "the engine's folder %.100s is longer than %d bytes: leave --socket away, or choose a "
                       "shorter path for it",
                       directory, DIRECTORY_MAX);
    if (path_set(parent, sizeof(parent), err, "%s", directory) < 0)
        return -1;
    char *slash = strrchr(parent, '/');
    if (!slash || slash == parent)
        return err_set(err, ERR_INPUT, 0, "%.100s is no folder for the engine", directory);
    *slash = '\0';
    if (dir_make(parent, 0755, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (make_folder(directory, names[i], err) < 0)
            return -1;
    }
    return 0;
}

static int put_file(const char *directory, const char *name, struct bytes text, struct err *err)
{
    char path[PATH_MAX];
    return path_set(path, sizeof(path), err, "%s/%s", directory, name) < 0
               ? -1
               : file_write_atomic(path, text, 0600, err);
}

static bool systemd_runs(void)
{
    return access("/run/systemd/system", F_OK) == 0 && access("/run/dbus/system_bus_socket", F_OK) == 0;
}

static bool unified_cgroups(void)
{
    struct statfs fs;
    return statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* crun wants cgroup v2; runc does with both. */
static const char *runtime(void)
{
    bool crun = access("/usr/bin/crun", X_OK) == 0;
    bool runc = access("/usr/sbin/runc", X_OK) == 0 || access("/usr/bin/runc", X_OK) == 0;
    return crun && (unified_cgroups() || !runc) ? "crun" : "runc";
}

/* podman lowers its own limit to this, and could not raise a container's above it. */
static rlim_t processes_max(rlim_t hard)
{
    char text[24];
    if (file_read_line("/proc/sys/kernel/pid_max", text, sizeof(text), NULL) < 0)
        return hard;
    rlim_t most = (rlim_t)strtoull(text, NULL, 10);
    return most < hard ? most : hard;
}

/* In a container that may not raise limits, the engine's own defaults cannot be set. */
static void put_limits(struct buf *out)
{
    struct rlimit files, processes;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || getrlimit(RLIMIT_NPROC, &processes) < 0)
        return;
    unsigned long long n = processes_max(processes.rlim_max);
    buf_printf(out, "default_ulimits = [\"nofile=%llu:%llu\", \"nproc=%llu:%llu\"]\n",
               (unsigned long long)files.rlim_max, (unsigned long long)files.rlim_max, n, n);
}

/* Source: containers.conf(5). */
static int put_containers_conf(const struct priv_context *c, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(16384);
    buf_str(&text, "[containers]\nlog_driver = \"k8s-file\"\n");
    if (c->limited)
        put_limits(&text);
    buf_printf(&text,
               "[engine]\ncgroup_manager = \"%s\"\nruntime = \"%s\"\nevents_logger = \"file\"\n"
               "image_copy_tmp_dir = \"%s/tmp\"\ntmp_dir = \"%s/run/libpod\"\n",
               systemd_runs() ? "systemd" : "cgroupfs", runtime(), c->directory, c->directory);
    buf_printf(&text, "[network]\nnetwork_backend = \"netavark\"\nnetwork_config_dir = \"%s/net\"\n",
               c->directory);
    return buf_check(&text, "containers.conf", err) < 0
               ? -1
               : put_file(c->directory, "containers.conf", buf_bytes(&text), err);
}

/* Source: containers-storage.conf(5). */
static int put_storage_conf(const struct priv_context *c, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(16384);
    buf_printf(&text,
               "[storage]\ndriver = \"overlay\"\ngraphroot = \"%s/storage\"\nrunroot = \"%s/run\"\n"
               "[storage.options.overlay]\nmountopt = \"nodev\"\n",
               c->directory, c->directory);
    return buf_check(&text, "storage.conf", err) < 0
               ? -1
               : put_file(c->directory, "storage.conf", buf_bytes(&text), err);
}

int podman_files(const struct priv_context *c, struct bytes policy, struct err *err)
{
    static const char *const names[] = { "",
                                         "/home",
                                         "/home/.config",
                                         "/home/.config/containers",
                                         "/tmp",
                                         "/home/.config/containers/registries.d",
                                         "/net" };
    static const char registries[] = "unqualified-search-registries = []\nshort-name-mode = \"enforcing\"\n";
    static const char lookaside[] = "default-docker:\n  use-sigstore-attachments: true\n";
    if (make_folders(c->directory, names, ARRAY_SIZE(names), err) < 0 || put_containers_conf(c, err) < 0
        || put_storage_conf(c, err) < 0
        || put_file(c->directory, "registries.conf", bytes_str(registries), err) < 0
        || put_file(c->directory, "auth.json", bytes_str("{}"), err) < 0
        || put_file(c->directory, "home/.config/containers/registries.d/default.yaml", bytes_str(lookaside),
                    err)
               < 0)
        return err_while(err, "configure the container engine");
    return put_file(c->directory, "home/.config/containers/policy.json", policy, err);
}

/* Containers run on while the daemon is started again (live-restore). Its own store of images, not
 * containerd's: an image's id is the hash of its configuration there. Source: dockerd(8), "daemon
 * configuration file". */
static int put_daemon_json(const char *directory, const char *owner, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(16384);
    AUTO(json_drop)
    json_t *all =
        json_pack("{s:[s++], s:s+, s:s+, s:s+, s:s, s:s, s:s, s:b, s:[s++], s:{s:b}, s:[s], s:s}", "hosts",
                  "unix://", directory, "/engine.sock", "data-root", directory, "/docker", "exec-root",
                  directory, "/run-docker", "pidfile", directory, "/docker.pid", "group", "root",
                  "storage-driver", "overlay2", "userns-remap", owner, "live-restore", 1, "exec-opts",
                  "native.cgroupdriver=", systemd_runs() ? "systemd" : "cgroupfs", "", "features",
                  "containerd-snapshotter", 0, "insecure-registries", "::1/128", "log-level", "error");
    if (!all)
        return err_set(err, ERR_IO, ENOMEM, "no memory for daemon.json");
    json_put(&text, all, true);
    return buf_check(&text, "daemon.json", err) < 0
               ? -1
               : put_file(directory, "daemon.json", buf_bytes(&text), err);
}

/* Containers of docker pass through. */
static int set_mode(const char *directory, mode_t mode, struct err *err)
{
    AUTO(close_fd) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 && fchmod(fd, mode) == 0
               ? 0
               : err_set(err, ERR_IO, (uint32_t)errno, "cannot set the mode of %.150s: %s", directory,
                         strerror(errno));
}

int docker_files(const struct priv_context *c, const char *owner, struct err *err)
{
    static const char *const names[] = { "", "/home", "/views", "/views/files", "/views/secrets" };
    if (access(DOCKERD, X_OK) < 0)
        return err_set(err, ERR_INPUT, (uint32_t)errno,
                       "there is no " DOCKERD ": install docker.io, or use podman");
    if (!getpwnam(owner) || !getgrnam(owner))
        return err_set(
            err, ERR_INPUT, 0,
            "docker gives containers the ids of a user, and this machine has no user and group %s: add "
            "them (useradd --system --user-group %s), or use podman",
            owner, owner);
    if (make_folders(c->directory, names, ARRAY_SIZE(names), err) < 0
        || put_daemon_json(c->directory, owner, err) < 0)
        return err_while(err, "configure the container engine");
    return set_mode(c->directory, 0711, err);
}
