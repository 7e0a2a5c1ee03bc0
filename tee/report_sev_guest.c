/* /dev/sev-guest. Source: Linux Documentation/virt/coco/sev-guest.rst; AMD 56421 (GHCB), SNP guest request.
 */
#include "base/auto.h"
#include "base/clock.h"
#include "base/file.h"
#include "tee/sev_guest_abi.h"
#include "tee/snp_report.h"
#include "tee/tsm.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define THROTTLE_MS 2000 /* the pace at which hosts grant requests */

struct session {
    const struct lower *l;
    const uint8_t *report_data;
    uint32_t vmpl;
    uint64_t deadline;
    uint8_t response[SEV_GUEST_RESPONSE_SIZE];
    uint32_t vmm, firmware; /* of the last call, valid when it failed with EIO */
};

/* A pointer as the kernel's 64-bit address. */
static uint64_t address(const void *p)
{
    return (uint64_t)(uintptr_t)p;
}

/* One ioctl, repeated while the host throttles. @return 0 or -errno */
static int call(struct session *s, unsigned long number, const void *request)
{
    for (uint64_t pause = THROTTLE_MS / 4;; pause = pause < THROTTLE_MS ? pause * 2 : THROTTLE_MS) {
        struct sev_guest_request r = { .msg_version = SEV_GUEST_MSG_VERSION,
                                       .request = address(request),
                                       .response = address(s->response) };
        memset(s->response, 0, sizeof(s->response));
        int rc = s->l->sev_guest.call ? s->l->sev_guest.call(s->l->sev_guest.ctx, number, &r) : -ENOENT;
        s->vmm = (uint32_t)(r.exit_info >> 32);
        s->firmware = (uint32_t)r.exit_info;
        bool throttled = rc == -ETIMEDOUT || rc == -EAGAIN || rc == -EINTR || rc == -EBUSY
                         || (rc == -EIO && s->vmm == SEV_VMM_BUSY);
        if (!throttled)
            return rc;
        if (clock_ms() + pause >= s->deadline)
            return -ETIMEDOUT;
        clock_sleep(clock_jitter(pause));
    }
}

static int explain(const struct session *s, int e, struct err *err)
{
    switch (e) {
    case ENOENT:
    case ENXIO:
    case ENODEV:
        return err_set(err, ERR_NOT_FOUND, (uint32_t)e,
                       "there is no sev-guest device: is the driver loaded?");
    case EACCES:
    case EPERM:
        return err_set(err, ERR_DENIED, (uint32_t)e,
                       "no permission for the sev-guest device: it has to belong to the agent's user");
    case ENOTTY:
        return err_set(err, ERR_IO, ENOTTY,
                       "the driver wiped its message key (VMPCK) after an earlier failure: reboot the VM, or "
                       "load sev-guest with another vmpck_id");
    case ETIMEDOUT:
        return err_set(err, ERR_UNAVAILABLE, ETIMEDOUT,
                       "the host throttles SNP guest requests: try again later");
    case EIO:
        return err_set(err, ERR_IO, EIO, "SNP guest request failed: VMM error %u, firmware error %#x", s->vmm,
                       s->firmware);
    default:
        return err_set(err, ERR_IO, (uint32_t)e, "SNP guest request failed: %s", strerror(e));
    }
}

/* MSG_REPORT_RSP: status, size, 24 reserved bytes, report. The call can succeed and the status still fail. */
static int take_report(const struct session *s, struct buf *out, struct err *err)
{
    struct reader r = reader_of(bytes_of(s->response, sizeof(s->response)));
    uint32_t status, size;
    struct bytes report;
    if (!rd_u32le(&r, &status) || !rd_u32le(&r, &size) || !rd_skip(&r, 24))
        return err_set(err, ERR_IO, 0, "SNP report response without a header");
    if (status)
        return err_set(err, ERR_IO, status, "the SNP firmware refused the report: status %#x%s", status,
                       status == 0x16   ? " (invalid parameter)"
                       : status == 0x27 ? " (the message key is of another VMPL)"
                                        : "");
    if (size != SNP_REPORT_SIZE || !rd_take(&r, size, &report))
        return err_set(err, ERR_IO, 0, "SNP report response of %u bytes: want %d", size, SNP_REPORT_SIZE);
    buf_put(out, report);
    return buf_check(out, "SNP report", err);
}

static struct sev_report_request report_request(const struct session *s)
{
    struct sev_report_request q = { .vmpl = s->vmpl };
    memcpy(q.user_data, s->report_data, sizeof(q.user_data));
    return q;
}

static int plain_report(struct session *s, struct tee_report *out, struct err *err)
{
    struct sev_report_request q = report_request(s);
    int rc = call(s, SEV_GUEST_GET_REPORT, &q);
    return rc < 0 ? explain(s, -rc, err) : take_report(s, &out->report, err);
}

/* The size of the certificates is learnt from the refusal, and they may grow between two calls.
 * @return 0, -errno, or 1: they do not fit into anything that the driver allows */
static int extended_call(struct session *s, struct buf *certs)
{
    for (uint32_t size = SEV_GUEST_CERTS_STEP; size <= SEV_GUEST_CERTS_MAX;) {
        AUTO(free_u8) uint8_t *room = calloc(1, size);
        if (!room)
            return -ENOMEM;
        struct sev_ext_report_request q = { report_request(s), address(room), size, 0 };
        int rc = call(s, SEV_GUEST_GET_EXT_REPORT, &q);
        if (rc == 0 && !bytes_zero(bytes_of(room, size)))
            buf_put(certs, bytes_of(room, size));
        if (rc != -EIO || s->vmm != SEV_VMM_INVALID_LEN)
            return rc;
        if (q.certs_len <= size || q.certs_len > SEV_GUEST_CERTS_MAX)
            return 1;
        size = (q.certs_len + SEV_GUEST_CERTS_STEP - 1) / SEV_GUEST_CERTS_STEP * SEV_GUEST_CERTS_STEP;
    }
    return 1;
}

/* Hosts and drivers without the extended request say so in several ways; whether the key is wiped shows when
 * the plain one fails as well. */
static bool unsupported(const struct session *s, int rc)
{
    return rc == 1 || rc == -ENOTTY || rc == -EINVAL || rc == -EOPNOTSUPP || rc == -ENOSYS
           || (rc == -EIO && s->vmm != SEV_VMM_BUSY);
}

/* The level at which this kernel runs (Linux 6.12 and later tell); 0 without an SVSM. */
static uint32_t running_vmpl(const struct lower *l)
{
    char path[PATH_MAX], text[16];
    if (path_set(path, sizeof(path), NULL, "%s/devices/system/cpu/sev/vmpl", l->sys) < 0
        || file_read_line(path, text, sizeof(text), NULL) < 0)
        return 0;
    unsigned long v = strtoul(text, NULL, 10);
    return v <= 3 ? (uint32_t)v : 0;
}

int sev_guest_report(const struct lower *l, enum tee_type tee, const uint8_t report_data[static 64],
                     uint64_t deadline, struct tee_report *out, struct err *err)
{
    struct session s = { .l = l, .report_data = report_data, .vmpl = running_vmpl(l), .deadline = deadline };
    (void)tee;
    int rc = extended_call(&s, &out->certs);
    if (rc == 0)
        return take_report(&s, &out->report, err);
    return unsupported(&s, rc) ? plain_report(&s, out, err) : explain(&s, -rc, err);
}
