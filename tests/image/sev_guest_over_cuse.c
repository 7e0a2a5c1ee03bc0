/* /dev/sev-guest as a character device in user space, over the emulator's secure processor: for a guest on a
 * machine without SEV, so that ioctls go through the kernel. usage: sev_guest_over_cuse STATE_FOLDER Source:
 * Linux include/uapi/linux/fuse.h (CUSE), fs/fuse/ioctl.c: an unrestricted ioctl is answered with the
 * caller's memory that it needs (FUSE_IOCTL_RETRY) until it has all, and then with what goes back there. */
#include "base/auto.h"
#include "base/buf.h"
#include "tee/emulator/emulator.h"
#include "tee/sev_guest_abi.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define DEVICE      "DEVNAME=sev-guest"
#define MAX_WRITE   4096u
#define REQUEST_MAX (FUSE_MIN_READ_BUFFER + 65536)
#define IOVS_MAX    4

static struct emulator *machine;
static int cuse;

static void reply(uint64_t unique, int error, const void *data, size_t n)
{
    struct fuse_out_header head = { .len = (uint32_t)(sizeof(head) + n), .error = error, .unique = unique };
    struct iovec parts[] = { { &head, sizeof(head) }, { (void *)(uintptr_t)data, n } };
    if (writev(cuse, parts, n ? 2 : 1) < 0 && errno != ENOENT)
        perror("answer");
}

static void init(const struct fuse_in_header *head)
{
    struct {
        struct cuse_init_out out;
        char device[sizeof(DEVICE)];
    } answer = { .out = { .major = FUSE_KERNEL_VERSION,
                          .minor = FUSE_KERNEL_MINOR_VERSION,
                          .flags = CUSE_UNRESTRICTED_IOCTL,
                          .max_read = MAX_WRITE,
                          .max_write = MAX_WRITE },
                 .device = DEVICE };
    reply(head->unique, 0, &answer, offsetof(typeof(answer), device) + sizeof(DEVICE));
    sd_notify(0, "READY=1");
}

/* What the call reads of its caller's memory, and what it writes: both lists in the order of the bytes. */
struct needs {
    struct fuse_ioctl_iovec in[IOVS_MAX], out[IOVS_MAX];
    uint32_t ins, outs;
};

static void add(struct fuse_ioctl_iovec *list, uint32_t *n, uint64_t base, uint64_t len)
{
    list[(*n)++] = (struct fuse_ioctl_iovec){ .base = base, .len = len };
}

static size_t total(const struct fuse_ioctl_iovec *list, uint32_t n)
{
    size_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += list[i].len;
    return sum;
}

static void retry(uint64_t unique, const struct needs *w)
{
    uint8_t answer[sizeof(struct fuse_ioctl_out) + sizeof(w->in) + sizeof(w->out)];
    struct fuse_ioctl_out out = { .flags = FUSE_IOCTL_RETRY, .in_iovs = w->ins, .out_iovs = w->outs };
    size_t n = sizeof(out);
    memcpy(answer, &out, n);
    memcpy(answer + n, w->in, w->ins * sizeof(w->in[0]));
    n += w->ins * sizeof(w->in[0]);
    memcpy(answer + n, w->out, w->outs * sizeof(w->out[0]));
    n += w->outs * sizeof(w->out[0]);
    reply(unique, 0, answer, n);
}

/* The call over our copies of the caller's memory; they go back whatever it answers. */
static void run(const struct fuse_in_header *head, const struct fuse_ioctl_in *q,
                struct sev_guest_request outer, struct sev_ext_report_request inner, size_t inner_size)
{
    static uint8_t response[SEV_GUEST_RESPONSE_SIZE], certs[SEV_GUEST_CERTS_MAX];
    const struct sev_guest_request callers = outer;
    const uint64_t callers_certs = inner.certs_address;
    size_t certs_len = q->cmd == SEV_GUEST_GET_EXT_REPORT && callers_certs ? inner.certs_len : 0;
    struct lower l = emulator_lower(machine);
    AUTO(buf_done) struct buf answer = buf_new(64 << 10);
    outer.request = (uint64_t)(uintptr_t)&inner;
    outer.response = (uint64_t)(uintptr_t)response;
    inner.certs_address = callers_certs ? (uint64_t)(uintptr_t)certs : 0;
    memset(response, 0, sizeof(response));
    memset(certs, 0, sizeof(certs));
    int rc = l.sev_guest.call(l.sev_guest.ctx, q->cmd, &outer);
    outer.request = callers.request;
    outer.response = callers.response;
    inner.certs_address = callers_certs;
    buf_put(&answer, bytes_of(&(struct fuse_ioctl_out){ .result = rc }, sizeof(struct fuse_ioctl_out)));
    buf_put(&answer, bytes_of(&outer, sizeof(outer)));
    buf_put(&answer, bytes_of(&inner, inner_size));
    buf_put(&answer, bytes_of(response, sizeof(response)));
    buf_put(&answer, bytes_of(certs, certs_len));
    printf("sev-guest: ioctl %#x of uid %u: %d, %zu bytes of certificates\n", q->cmd, head->uid, rc,
           certs_len);
    fflush(stdout);
    reply(head->unique, 0, answer.p, answer.n);
}

static void control(const struct fuse_in_header *head, const struct fuse_ioctl_in *q, const uint8_t *in)
{
    struct needs w = { .ins = 0 };
    struct sev_guest_request outer;
    struct sev_ext_report_request inner = { .certs_len = 0 };
    bool extended = q->cmd == SEV_GUEST_GET_EXT_REPORT;
    size_t inner_size = extended ? sizeof(inner) : sizeof(inner.report);
    if (q->cmd != (uint32_t)SEV_GUEST_GET_REPORT && !extended) {
        reply(head->unique, -ENOTTY, NULL, 0);
        return;
    }
    add(w.in, &w.ins, q->arg, sizeof(outer));
    if (q->in_size < sizeof(outer)) {
        retry(head->unique, &w);
        return;
    }
    memcpy(&outer, in, sizeof(outer));
    add(w.in, &w.ins, outer.request, inner_size);
    if (q->in_size < total(w.in, w.ins)) {
        retry(head->unique, &w);
        return;
    }
    memcpy(&inner, in + sizeof(outer), inner_size);
    if (inner.certs_len > SEV_GUEST_CERTS_MAX) {
        reply(head->unique, -EINVAL, NULL, 0);
        return;
    }
    add(w.out, &w.outs, q->arg, sizeof(outer));
    add(w.out, &w.outs, outer.request, inner_size);
    add(w.out, &w.outs, outer.response, SEV_GUEST_RESPONSE_SIZE);
    if (extended && inner.certs_address)
        add(w.out, &w.outs, inner.certs_address, inner.certs_len);
    if (q->out_size != total(w.out, w.outs))
        retry(head->unique, &w);
    else
        run(head, q, outer, inner, inner_size);
}

static void serve(const uint8_t *request, size_t n)
{
    struct fuse_in_header head;
    struct fuse_ioctl_in q;
    memcpy(&head, request, sizeof(head));
    request += sizeof(head);
    n -= sizeof(head);
    switch (head.opcode) {
    case CUSE_INIT:
        init(&head);
        break;
    case FUSE_OPEN:
        reply(head.unique, 0, &(struct fuse_open_out){ .fh = 1 }, sizeof(struct fuse_open_out));
        break;
    case FUSE_RELEASE:
    case FUSE_FLUSH:
        reply(head.unique, 0, NULL, 0);
        break;
    case FUSE_IOCTL:
        if (n < sizeof(q))
            break;
        memcpy(&q, request, sizeof(q));
        control(&head, &q, request + sizeof(q));
        break;
    case FUSE_INTERRUPT:
        break;
    default:
        reply(head.unique, -ENOSYS, NULL, 0);
    }
}

int main(int argc, char **argv)
{
    static uint8_t request[REQUEST_MAX];
    struct err err = { 0 };
    char text[ERR_TEXT_MAX];
    if (argc != 2)
        return 2;
    if ((mkdir(argv[1], 0700) < 0 && errno != EEXIST)
        || emulator_new("snp-vtpm", argv[1], NULL, &machine, &err) < 0) {
        fprintf(stderr, "sev_guest_over_cuse: %s\n", err_text(&err, text, sizeof(text)));
        return 4;
    }
    cuse = open("/dev/cuse", O_RDWR | O_CLOEXEC);
    for (ssize_t n = 0; cuse >= 0 && (n = read(cuse, request, sizeof(request))) >= 0;) {
        if ((size_t)n >= sizeof(struct fuse_in_header))
            serve(request, (size_t)n);
    }
    perror("sev_guest_over_cuse: /dev/cuse");
    emulator_free(machine);
    return 4;
}
