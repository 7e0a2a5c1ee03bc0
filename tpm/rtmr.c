#include "tpm/rtmr.h"

#include "base/auto.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>

static int fail(struct err *err, const char *path, const char *verb)
{
    return err_set(err, ERR_IO, (uint32_t)errno, "%s: cannot %s: %s", path, verb, strerror(errno));
}

static int read_file(void *ctx, uint8_t out[static RTMR_BYTES], struct err *err)
{
    AUTO(close_fd) int fd = open(ctx, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, ctx, "open");
    ssize_t got = pread(fd, out, RTMR_BYTES, 0);
    if (got < 0)
        return fail(err, ctx, "read");
    return got == RTMR_BYTES ? 0 : err_set(err, ERR_IO, 0, "%s: %zd bytes are no RTMR", (char *)ctx, got);
}

static int extend_file(void *ctx, const uint8_t digest[static RTMR_BYTES], struct err *err)
{
    AUTO(close_fd) int fd = open(ctx, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(err, ctx, "open for writing");
    ssize_t put = pwrite(fd, digest, RTMR_BYTES, 0); /* one write is one extend */
    return put == RTMR_BYTES ? 0 : fail(err, ctx, "extend");
}

struct rtmr_io rtmr_file(const char *path)
{
    return (struct rtmr_io){ read_file, extend_file, (void *)(uintptr_t)path };
}

int rtmr3_find(const char *sys, char *out, size_t size, struct err *err)
{
    char path[256];
    if (path_set(path, sizeof(path), err, "%s/class/misc/tdx_guest/measurements/rtmr3:sha384", sys) < 0
        || path_set(out, size, err, "%s", path) < 0)
        return -1;
    if (access(path, F_OK) < 0)
        return err_set(err, ERR_NOT_FOUND, 0,
                       "the kernel has no file that extends RTMR3 (Linux 6.16 and later have one)");
    if (access(path, R_OK | W_OK) < 0)
        return err_set(err, ERR_IO, (uint32_t)errno, "%s: may not be written: run cvm-agent-setup first",
                       path);
    return 0;
}
