#include "tee/emulator/emu_sev_guest.h"

#include "base/auto.h"
#include "tee/sev_guest_abi.h"

#include <errno.h>
#include <string.h>

#define VMPL_MAX             3
#define STATUS_INVALID_PARAM 0x16
#define FIRMWARE_UNSUPPORTED 0x15
#define EXIT_INFO_PRESET     0xFFu /* what the driver leaves there when nothing failed */

/* The addresses in a request are the caller's own memory, as for the kernel. */
static void *at(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

static void put_u32(uint8_t *p, uint32_t v)
{
    for (size_t i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

/* MSG_REPORT_RSP. A refused parameter is an answer, not a failed call. */
static int respond(const struct sev_guest *g, const struct sev_report_request *q, uint8_t *response)
{
    struct err ignored = { 0 };
    memset(response, 0, SEV_GUEST_RESPONSE_SIZE);
    if (q->vmpl > VMPL_MAX) {
        put_u32(response, STATUS_INVALID_PARAM);
        return 0;
    }
    if (snp_machine_report(g->machine, q->user_data, q->vmpl, response + SNP_RESPONSE_HEADER, &ignored) < 0)
        return -EIO;
    put_u32(response + 4, SNP_REPORT_SIZE);
    return 0;
}

static int get_report(const struct sev_guest *g, struct sev_guest_request *r)
{
    struct sev_report_request q;
    memcpy(&q, at(r->request), sizeof(q));
    return respond(g, &q, at(r->response));
}

static int get_ext_report(const struct sev_guest *g, struct sev_guest_request *r)
{
    struct sev_ext_report_request q;
    memcpy(&q, at(r->request), sizeof(q));
    bool wanted = q.certs_len && q.certs_address;
    if (wanted && (q.certs_len > SEV_GUEST_CERTS_MAX || q.certs_len % SEV_GUEST_CERTS_STEP))
        return -EINVAL;
    if (wanted && q.certs_len < g->table.n) {
        size_t steps = (g->table.n + SEV_GUEST_CERTS_STEP - 1) / SEV_GUEST_CERTS_STEP;
        q.certs_len = (uint32_t)(steps * SEV_GUEST_CERTS_STEP);
        memcpy(at(r->request), &q, sizeof(q));
        r->exit_info = (uint64_t)SEV_VMM_INVALID_LEN << 32;
        return -EIO;
    }
    int rc = respond(g, &q.report, at(r->response));
    if (rc == 0 && wanted) {
        memset(at(q.certs_address), 0, q.certs_len);
        memcpy(at(q.certs_address), g->table.p, g->table.n);
    }
    return rc;
}

static int get_derived_key(const struct sev_guest *g, struct sev_guest_request *r)
{
    (void)g;
    r->exit_info = FIRMWARE_UNSUPPORTED;
    return -EIO;
}

static const struct {
    unsigned long number;
    int (*run)(const struct sev_guest *g, struct sev_guest_request *r);
} calls[] = { { SEV_GUEST_GET_REPORT, get_report },
              { SEV_GUEST_GET_DERIVED_KEY, get_derived_key },
              { SEV_GUEST_GET_EXT_REPORT, get_ext_report } };

int sev_guest_ioctl(const struct sev_guest *g, unsigned long request, void *arg)
{
    struct sev_guest_request r;
    if (!g->machine)
        return -ENOENT;
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
        if (calls[i].number != request)
            continue;
        memcpy(&r, arg, sizeof(r));
        r.exit_info = EXIT_INFO_PRESET;
        int rc = -EINVAL;
        if (r.msg_version && r.request && r.response)
            rc = calls[i].run(g, &r);
        if (rc == 0)
            r.exit_info = 0;
        memcpy(arg, &r, sizeof(r));
        return rc;
    }
    return -ENOTTY;
}

int sev_guest_tsm(const struct sev_guest *g, const uint8_t inblob[static 64], unsigned privlevel,
                  struct buf *out, struct buf *aux)
{
    struct err ignored = { 0 };
    uint8_t *room = buf_room(out, SNP_REPORT_SIZE);
    if (!room)
        return -ENOMEM;
    if (snp_machine_report(g->machine, inblob, privlevel, room, &ignored) < 0)
        return -EIO;
    buf_put(aux, g->table);
    return 0;
}
