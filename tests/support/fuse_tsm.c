#define FUSE_USE_VERSION 35
#include "fuse_tsm.h"

#include "evidence.h"

#include "base/auto.h"
#include "base/file.h"

#include <errno.h>
#include <fuse.h>
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENTRIES_MAX 16
#define BLOB_MAX    32768
#define INBLOB_MAX  64

struct entry {
    char name[256]; /* "": free */
    uint8_t inblob[INBLOB_MAX];
    size_t inblob_n;
    unsigned generation, privlevel;
    bool disturbed;
};

struct fuse_tsm {
    pid_t pid; /* of the server */
    char folder[256];
    pthread_mutex_t lock;
    struct fuse_tsm_script script;
    struct fuse_tsm_seen seen;
    struct entry entries[ENTRIES_MAX];
};

/* An open file: what is read is made once, what is written takes effect at close. */
struct handle {
    bool made, written;
    size_t n;
    uint8_t data[BLOB_MAX];
};

enum attr { INBLOB, OUTBLOB, AUXBLOB, PROVIDER, GENERATION, PRIVLEVEL, PRIVLEVEL_FLOOR, ATTRS };

static const struct {
    const char *name;
    mode_t mode;
} attrs[ATTRS] = {
    { "inblob", 0200 },     { "outblob", 0400 },   { "auxblob", 0400 },         { "provider", 0400 },
    { "generation", 0400 }, { "privlevel", 0200 }, { "privlevel_floor", 0400 },
};

static struct fuse_tsm *self(void)
{
    return fuse_get_context()->private_data;
}

static bool attr_exists(const struct fuse_tsm *f, enum attr a)
{
    if (a == AUXBLOB)
        return f->script.has_auxblob;
    if (a == PRIVLEVEL || a == PRIVLEVEL_FLOOR)
        return f->script.privlevel_floor >= 0;
    return true;
}

/* "/entry" or "/entry/attr" */
static int find(struct fuse_tsm *f, const char *path, struct entry **entry, int *attr)
{
    char name[256];
    const char *slash = strchr(path + 1, '/');
    size_t n = slash ? (size_t)(slash - path - 1) : strlen(path + 1);
    *attr = -1;
    *entry = NULL;
    if (n >= sizeof(name))
        return -ENAMETOOLONG;
    memcpy(name, path + 1, n);
    name[n] = '\0';
    for (size_t i = 0; i < ENTRIES_MAX; i++)
        if (name[0] && !strcmp(f->entries[i].name, name))
            *entry = &f->entries[i];
    if (!*entry)
        return -ENOENT;
    for (int a = 0; slash && a < ATTRS; a++)
        if (!strcmp(attrs[a].name, slash + 1) && attr_exists(f, (enum attr)a))
            *attr = a;
    return slash && *attr < 0 ? -ENOENT : 0;
}

static int op_getattr(const char *path, struct stat *st, struct fuse_file_info *info)
{
    struct entry *e;
    int attr = -1, rc;
    (void)info;
    memset(st, 0, sizeof(*st));
    pthread_mutex_lock(&self()->lock);
    rc = strcmp(path, "/") ? find(self(), path, &e, &attr) : 0;
    pthread_mutex_unlock(&self()->lock);
    st->st_mode = attr >= 0 ? S_IFREG | attrs[attr].mode : S_IFDIR | 0755;
    st->st_nlink = attr >= 0 ? 1 : 2;
    return rc;
}

static int op_readdir(const char *path, void *out, fuse_fill_dir_t fill, off_t offset,
                      struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
    (void)path, (void)offset, (void)info, (void)flags;
    pthread_mutex_lock(&self()->lock);
    for (size_t i = 0; i < ENTRIES_MAX; i++)
        if (self()->entries[i].name[0])
            fill(out, self()->entries[i].name, NULL, 0, 0);
    pthread_mutex_unlock(&self()->lock);
    return 0;
}

static int op_mkdir(const char *path, mode_t mode)
{
    struct fuse_tsm *f = self();
    struct entry *e;
    int attr, rc = f->script.make_error ? -f->script.make_error : 0;
    (void)mode;
    pthread_mutex_lock(&f->lock);
    if (rc == 0 && (strchr(path + 1, '/') || find(f, path, &e, &attr) == 0))
        rc = -EEXIST;
    for (size_t i = 0; rc == 0 && i < ENTRIES_MAX; i++) {
        if (f->entries[i].name[0])
            continue;
        f->entries[i] = (struct entry){ 0 };
        snprintf(f->entries[i].name, sizeof(f->entries[i].name), "%s", path + 1);
        atomic_fetch_add(&f->seen.made, 1);
        atomic_fetch_add(&f->seen.live, 1);
        rc = 1;
    }
    pthread_mutex_unlock(&f->lock);
    return rc == 1 ? 0 : rc == 0 ? -ENOSPC : rc;
}

static int op_rmdir(const char *path)
{
    struct fuse_tsm *f = self();
    struct entry *e;
    int attr;
    pthread_mutex_lock(&f->lock);
    int rc = find(f, path, &e, &attr);
    if (rc == 0) {
        e->name[0] = '\0';
        atomic_fetch_add(&f->seen.removed, 1);
        atomic_fetch_sub(&f->seen.live, 1);
    }
    pthread_mutex_unlock(&f->lock);
    return rc;
}

static int op_truncate(const char *path, off_t size, struct fuse_file_info *info)
{
    (void)path, (void)size, (void)info;
    atomic_fetch_add(&self()->seen.truncating_opens, 1);
    return -EINVAL;
}

static int op_open(const char *path, struct fuse_file_info *info)
{
    struct entry *e;
    int attr;
    pthread_mutex_lock(&self()->lock);
    int rc = find(self(), path, &e, &attr);
    pthread_mutex_unlock(&self()->lock);
    struct handle *h = rc == 0 ? calloc(1, sizeof(*h)) : NULL;
    if (rc == 0 && !h)
        rc = -ENOMEM;
    info->fh = (uint64_t)(uintptr_t)h;
    info->direct_io = 1; /* sizes are not known before the first read */
    return rc;
}

static int make_report(struct fuse_tsm *f, struct entry *e, enum attr attr, struct handle *h)
{
    unsigned i = attr == OUTBLOB ? atomic_fetch_add(&f->seen.outblob_reads, 1) : FUSE_TSM_FAULTS;
    if (i < FUSE_TSM_FAULTS && f->script.read_error[i])
        return -f->script.read_error[i];
    if (e->inblob_n != INBLOB_MAX)
        return -EINVAL;
    if (f->script.privlevel_floor >= 0 && e->privlevel < (unsigned)f->script.privlevel_floor)
        return -EINVAL; /* the firmware refuses the key */
    if (f->script.disturbed && !e->disturbed) {
        f->script.disturbed--;
        e->disturbed = true;
        e->generation++;
    }
    struct bytes from = attr == AUXBLOB ? f->script.certs : f->script.report;
    h->n = attr == OUTBLOB && f->script.empty ? 0 : from.n;
    memcpy(h->data, from.p, h->n);
    if (attr == OUTBLOB && h->n && !f->script.other_data)
        memcpy(h->data + f->script.report_data_offset, e->inblob, INBLOB_MAX);
    return 0;
}

static int make_content(struct fuse_tsm *f, struct entry *e, enum attr attr, struct handle *h)
{
    char *text = (char *)h->data;
    if (attr == OUTBLOB || attr == AUXBLOB)
        return make_report(f, e, attr, h);
    if (attr == PROVIDER && f->script.provider_error)
        return -f->script.provider_error;
    if (attr == PROVIDER)
        h->n = (size_t)snprintf(text, BLOB_MAX, "%s\n", f->script.provider);
    else if (attr == GENERATION)
        h->n = (size_t)snprintf(text, BLOB_MAX, "%u\n", e->generation);
    else
        h->n = (size_t)snprintf(text, BLOB_MAX, "%d\n", f->script.privlevel_floor);
    return 0;
}

static int op_read(const char *path, char *out, size_t size, off_t offset, struct fuse_file_info *info)
{
    struct fuse_tsm *f = self();
    struct handle *h = (struct handle *)(uintptr_t)info->fh;
    struct entry *e;
    int attr;
    pthread_mutex_lock(&f->lock);
    int rc = find(f, path, &e, &attr);
    if (rc == 0 && !h->made) {
        rc = make_content(f, e, (enum attr)attr, h);
        h->made = rc == 0;
    }
    pthread_mutex_unlock(&f->lock);
    if (rc < 0 || (size_t)offset >= h->n)
        return rc;
    size_t n = h->n - (size_t)offset < size ? h->n - (size_t)offset : size;
    memcpy(out, h->data + offset, n);
    return (int)n;
}

static int op_write(const char *path, const char *data, size_t size, off_t offset,
                    struct fuse_file_info *info)
{
    struct fuse_tsm *f = self();
    struct handle *h = (struct handle *)(uintptr_t)info->fh;
    struct entry *e;
    int attr;
    pthread_mutex_lock(&f->lock);
    int rc = find(f, path, &e, &attr);
    if (rc == 0 && attr == PRIVLEVEL) {
        e->privlevel = (unsigned)(data[0] - '0');
        e->generation++;
        atomic_store(&f->seen.privlevel, (int)e->privlevel);
        atomic_fetch_add(&f->seen.privlevel_writes, 1);
    } else if (rc == 0 && attr == INBLOB && (size_t)offset + size <= INBLOB_MAX) {
        memcpy(h->data + offset, data, size);
        h->n = (size_t)offset + size;
        h->written = true;
    } else if (rc == 0) {
        rc = attr == INBLOB ? -EFBIG : -EACCES;
    }
    pthread_mutex_unlock(&f->lock);
    return rc < 0 ? rc : (int)size;
}

/* The kernel hands a binary attribute over when the file is closed, and drops the error. */
static int op_flush(const char *path, struct fuse_file_info *info)
{
    struct fuse_tsm *f = self();
    struct handle *h = (struct handle *)(uintptr_t)info->fh;
    struct entry *e;
    int attr;
    pthread_mutex_lock(&f->lock);
    if (h->written && find(f, path, &e, &attr) == 0) {
        h->written = false;
        if (f->script.lost_writes) {
            f->script.lost_writes--;
        } else {
            memcpy(e->inblob, h->data, h->n);
            e->inblob_n = h->n;
            e->generation++;
            atomic_fetch_add(&f->seen.inblobs, 1);
        }
    }
    pthread_mutex_unlock(&f->lock);
    return 0;
}

static int op_release(const char *path, struct fuse_file_info *info)
{
    (void)path;
    free((void *)(uintptr_t)info->fh);
    return 0;
}

static const struct fuse_operations operations = {
    .getattr = op_getattr,
    .readdir = op_readdir,
    .mkdir = op_mkdir,
    .rmdir = op_rmdir,
    .truncate = op_truncate,
    .open = op_open,
    .read = op_read,
    .write = op_write,
    .flush = op_flush,
    .release = op_release,
};

/* The server is a process of its own: were it a thread of the test, a crash or a deadlock there would leave
 * the process waiting for itself in the kernel, where no signal reaches it. It dies with the test, and the
 * mount with it. */
static void serve(struct fuse_tsm *f, int ready_fd)
{
    char name[] = "fuse_tsm", option[] = "-oattr_timeout=0,entry_timeout=0,negative_timeout=0";
    char *argv[] = { name, option, NULL };
    struct fuse_args args = FUSE_ARGS_INIT(2, argv);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct fuse *fuse = fuse_new(&args, &operations, sizeof(operations), f);
    if (!fuse || fuse_mount(fuse, f->folder) < 0 || write(ready_fd, "+", 1) != 1)
        _exit(1);
    close(ready_fd);
    fuse_loop(fuse);
    fuse_unmount(fuse);
    _exit(0);
}

static struct fuse_tsm *shared_new(const char *folder)
{
    struct fuse_tsm *f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t attr;
    assert_ptr_not_equal(f, MAP_FAILED);
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&f->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    snprintf(f->folder, sizeof(f->folder), "%s", folder);
    fuse_tsm_reset(f);
    return f;
}

struct fuse_tsm *fuse_tsm_mount(const char *folder)
{
    struct err err = { 0 };
    int ready[2];
    char answer = 0;
    if (access("/dev/fuse", R_OK | W_OK) < 0 || dir_make(folder, 0700, &err) < 0)
        return NULL;
    struct fuse_tsm *f = shared_new(folder);
    assert_int_equal(pipe(ready), 0);
    f->pid = fork();
    if (f->pid == 0) {
        close(ready[0]);
        serve(f, ready[1]);
    }
    close(ready[1]);
    ssize_t got = read(ready[0], &answer, 1);
    close(ready[0]);
    if (got == 1)
        return f;
    waitpid(f->pid, NULL, 0);
    munmap(f, sizeof(*f));
    return NULL;
}

struct fuse_tsm_script *fuse_tsm_script(struct fuse_tsm *f)
{
    return &f->script;
}

struct fuse_tsm_seen *fuse_tsm_seen(struct fuse_tsm *f)
{
    return &f->seen;
}

void fuse_tsm_reset(struct fuse_tsm *f)
{
    pthread_mutex_lock(&f->lock);
    memset(f->entries, 0, sizeof(f->entries));
    memset(&f->seen, 0, sizeof(f->seen));
    f->script = (struct fuse_tsm_script){ .provider = "sev_guest",
                                          .report = bytes_of(NULL, 0),
                                          .certs = bytes_of(NULL, 0),
                                          .has_auxblob = true,
                                          .privlevel_floor = 0 };
    pthread_mutex_unlock(&f->lock);
}

void fuse_tsm_unmount(struct fuse_tsm *f)
{
    umount2(f->folder, MNT_DETACH); /* with the last reference the connection ends, and with it the loop */
    waitpid(f->pid, NULL, 0);
    rmdir(f->folder);
    pthread_mutex_destroy(&f->lock);
    munmap(f, sizeof(*f));
}
