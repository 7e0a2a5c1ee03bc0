#include "tee/lower.h"

#include "base/auto.h"

#include <cpuid.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

/* ---- configfs-tsm ---- */

static int tsm_path(char out[static PATH_MAX], const char *root, const char *entry, const char *attr)
{
    int n = snprintf(out, PATH_MAX, "%s/%s%s%s", root, entry, attr ? "/" : "", attr ? attr : "");
    return n < 0 || n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int tsm_make(void *ctx, const char *entry)
{
    char path[PATH_MAX];
    int rc = tsm_path(path, ctx, entry, NULL);
    return rc ? rc : mkdir(path, 0700) < 0 ? -errno : 0;
}

static int tsm_remove(void *ctx, const char *entry)
{
    char path[PATH_MAX];
    int rc = tsm_path(path, ctx, entry, NULL);
    return rc ? rc : rmdir(path) < 0 ? -errno : 0;
}

/* One open, one write, one close: text attributes take a single write, and a binary one reaches the driver at
 * close. O_TRUNC would be refused by some kernels and is never needed. */
static int tsm_write(void *ctx, const char *entry, const char *attr, struct bytes data)
{
    char path[PATH_MAX];
    int rc = tsm_path(path, ctx, entry, attr);
    if (rc)
        return rc;
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, data.p, data.n);
    rc = n < 0 ? -errno : (size_t)n != data.n ? -EIO : 0;
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    return rc;
}

static ssize_t tsm_read(void *ctx, const char *entry, const char *attr, uint8_t *out, size_t max)
{
    char path[PATH_MAX];
    uint8_t beyond;
    int rc = tsm_path(path, ctx, entry, attr);
    if (rc)
        return rc;
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    for (size_t n = 0;;) {
        ssize_t got = n < max ? read(fd, out + n, max - n) : read(fd, &beyond, 1);
        if (got < 0)
            return -errno;
        if (got == 0)
            return (ssize_t)n;
        if (n == max)
            return -EFBIG;
        n += (size_t)got;
    }
}

static int tsm_list(void *ctx, void (*each)(void *arg, const char *entry), void *arg)
{
    DIR *dir = opendir(ctx);
    if (!dir)
        return -errno;
    for (struct dirent *e; (e = readdir(dir));)
        if (e->d_name[0] != '.')
            each(arg, e->d_name);
    closedir(dir);
    return 0;
}

/* ---- /dev/sev-guest, CPUID ---- */

static int sev_guest_call(void *ctx, unsigned long request, void *arg)
{
    AUTO(close_fd) int fd = open(ctx, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

static void cpuid_get(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    (void)ctx;
    __cpuid_count(leaf, subleaf, out[0], out[1], out[2], out[3]);
}

/* ---- TPM ---- */

static int tpm_tcti_open(void *ctx, TSS2_TCTI_CONTEXT **out, struct err *err)
{
    const char *name = ctx;
    TSS2_TCTI_CONTEXT *tcti = NULL;
    TSS2_RC rc = Tss2_TctiLdr_Initialize(name, &tcti);
    if (rc != TSS2_RC_SUCCESS)
        return err_set(err, ERR_UNAVAILABLE, rc, "TPM at %s does not open: %s", name, Tss2_RC_Decode(rc));
    *out = tcti;
    return 0;
}

static void tpm_tcti_close(void *ctx, TSS2_TCTI_CONTEXT *tcti)
{
    (void)ctx;
    Tss2_TctiLdr_Finalize(&tcti);
}

/* The interfaces carry a context that they may write to; ours only read these texts. */
static void *context(const char *text)
{
    union {
        const char *in;
        void *out;
    } u = { text };
    return u.out;
}

struct lower lower_system(struct lower_system *storage, const char *sys, const char *dev, const char *proc,
                          const char *tcti, const char *tpm_kind)
{
    snprintf(storage->tsm_root, sizeof(storage->tsm_root), "%s/kernel/config/tsm/report", sys);
    snprintf(storage->sev_path, sizeof(storage->sev_path), "%s/sev-guest", dev);
    storage->tcti = tcti;
    return (struct lower){
        .sys = sys,
        .dev = dev,
        .proc = proc,
        .tsm = { .make = tsm_make,
                 .remove = tsm_remove,
                 .write = tsm_write,
                 .read = tsm_read,
                 .ctx = storage->tsm_root,
                 .list = tsm_list },
        .sev_guest = { sev_guest_call, storage->sev_path },
        .cpuid = { cpuid_get, NULL },
        .tpm = { tpm_tcti_open, tpm_tcti_close, context(tcti), tcti ? tpm_kind : NULL },
        .http = http_curl(),
        .imds_url = "http://169.254.169.254",
        .kds_url = "https://kdsintf.amd.com",
    };
}
