/* A TCTI in front of the TPM: it answers TPM2_NV_ReadPublic and TPM2_NV_Read of the HCL report's index itself
 * and watches TPM2_NV_Write to the user-data index. Everything else passes.
 * Source: TCG TPM 2.0 Library Part 3, sections 31.6 to 31.13; TCG TSS 2.0 TCTI specification. */
#include "base/auto.h"
#include "base/digest.h"
#include "tee/emulator/emu_azure.h"

#include <string.h>

#define INDEX_HCL       0x01400001u
#define INDEX_USER_DATA 0x01400002u
#define NV_BUFFER_MAX   1024
#define RESPONSE_MAX    (NV_BUFFER_MAX + 64)
/* ppwrite, ppread, ownerread, authread, no_da, written, platformcreate */
#define HCL_ATTRIBUTES 0x62070001u

enum { TAG_NO_SESSIONS = 0x8001, TAG_SESSIONS = 0x8002 };
enum { CC_NV_WRITE = 0x137, CC_NV_READ = 0x14E, CC_NV_READ_PUBLIC = 0x169 };
enum { RS_PW = 0x40000009 };
enum { RC_NV_RANGE = 0x146, RC_AUTH_UNAVAILABLE = 0x12F, RC_SIZE = 0x1D5, RC_FAILURE = 0x101 };

struct filter {
    TSS2_TCTI_CONTEXT_COMMON_V2 common;
    TSS2_TCTI_CONTEXT *inner;
    struct paravisor *paravisor;
    bool own; /* the answer below is ours */
    struct buf answer;
    uint8_t hcl[HCL_NV_SIZE]; /* the report as of the last read at offset 0: chunks of one report */
    bool writing;             /* a write of user data is on its way */
    uint8_t written[USER_DATA_SIZE];
    size_t written_n, written_at;
};

/* The filter starts with the common part that the TSS knows. */
static struct filter *filter_of(TSS2_TCTI_CONTEXT *ctx)
{
    union {
        TSS2_TCTI_CONTEXT *ctx;
        struct filter *filter;
    } u = { ctx };
    return u.filter;
}

static void answer_error(struct filter *f, uint32_t rc)
{
    f->answer.n = 0;
    buf_u16be(&f->answer, TAG_NO_SESSIONS);
    buf_u32be(&f->answer, 10);
    buf_u32be(&f->answer, rc);
}

/* TPMS_NV_PUBLIC of the HCL index and its Name. */
static void answer_public(struct filter *f)
{
    AUTO(buf_done) struct buf area = buf_new(64);
    uint8_t name[34] = { 0x00, ALG_SHA256 };
    buf_u32be(&area, INDEX_HCL);
    buf_u16be(&area, ALG_SHA256);
    buf_u32be(&area, HCL_ATTRIBUTES);
    buf_u16be(&area, 0); /* no policy */
    buf_u16be(&area, HCL_NV_SIZE);
    sha256(buf_bytes(&area), name + 2);
    f->answer.n = 0;
    buf_u16be(&f->answer, TAG_NO_SESSIONS);
    buf_u32be(&f->answer, (uint32_t)(10 + 2 + area.n + 2 + sizeof(name)));
    buf_u32be(&f->answer, 0);
    buf_tpm2b(&f->answer, buf_bytes(&area));
    buf_tpm2b(&f->answer, bytes_of(name, sizeof(name)));
}

/* One password session, as an authorisation area of a command: what it allows us to answer. */
static bool password_session(struct reader *r, uint8_t *attributes)
{
    struct reader auth;
    struct bytes area, nonce, hmac;
    uint32_t size, handle;
    if (!rd_u32be(r, &size) || !rd_take(r, size, &area))
        return false;
    auth = reader_of(area);
    return rd_u32be(&auth, &handle) && rd_tpm2b(&auth, &nonce) && rd_u8(&auth, attributes)
           && rd_tpm2b(&auth, &hmac) && auth.rest.n == 0 && handle == RS_PW && hmac.n == 0;
}

static void answer_read(struct filter *f, struct reader *r)
{
    struct err ignored = { 0 };
    uint8_t attributes;
    uint16_t size, offset;
    if (!password_session(r, &attributes)) {
        answer_error(f, RC_AUTH_UNAVAILABLE);
        return;
    }
    if (!rd_u16be(r, &size) || !rd_u16be(r, &offset) || r->rest.n != 0 || size > NV_BUFFER_MAX) {
        answer_error(f, RC_SIZE);
        return;
    }
    if (offset > HCL_NV_SIZE || size > HCL_NV_SIZE - offset) {
        answer_error(f, RC_NV_RANGE);
        return;
    }
    if (offset == 0 && paravisor_report(f->paravisor, f->hcl, &ignored) < 0) {
        answer_error(f, RC_FAILURE);
        return;
    }
    f->answer.n = 0;
    buf_u16be(&f->answer, TAG_SESSIONS);
    buf_u32be(&f->answer, 10u + 4 + 2 + size + 5);
    buf_u32be(&f->answer, 0);
    buf_u32be(&f->answer, 2u + size);
    buf_tpm2b(&f->answer, bytes_of(f->hcl + offset, size));
    buf_u16be(&f->answer, 0); /* the session's answer: no nonce, the same attributes, no HMAC */
    buf_u8(&f->answer, attributes);
    buf_u16be(&f->answer, 0);
}

static void watch_write(struct filter *f, struct reader *r)
{
    struct bytes area, data;
    uint32_t size;
    uint16_t offset;
    if (!rd_u32be(r, &size) || !rd_take(r, size, &area) || !rd_tpm2b(r, &data) || !rd_u16be(r, &offset)
        || data.n > sizeof(f->written))
        return;
    memcpy(f->written, data.p, data.n);
    f->written_n = data.n;
    f->written_at = offset;
    f->writing = true;
}

/* Decides on a command. @return true when the answer is ours */
static bool intercept(struct filter *f, struct bytes command)
{
    struct reader r = reader_of(command);
    uint16_t tag;
    uint32_t size, code, first, index;
    f->writing = false;
    if (!rd_u16be(&r, &tag) || !rd_u32be(&r, &size) || !rd_u32be(&r, &code) || !rd_u32be(&r, &first))
        return false;
    if (code == CC_NV_READ_PUBLIC && first == INDEX_HCL && tag == TAG_NO_SESSIONS) {
        answer_public(f);
        return true;
    }
    if ((code != CC_NV_READ && code != CC_NV_WRITE) || tag != TAG_SESSIONS || !rd_u32be(&r, &index))
        return false;
    if (code == CC_NV_WRITE && index == INDEX_USER_DATA)
        watch_write(f, &r);
    if (code != CC_NV_READ || index != INDEX_HCL)
        return false;
    answer_read(f, &r);
    return true;
}

static TSS2_RC filter_transmit(TSS2_TCTI_CONTEXT *ctx, size_t size, uint8_t const *command)
{
    struct filter *f = filter_of(ctx);
    f->own = intercept(f, bytes_of(command, size));
    return f->own ? TSS2_RC_SUCCESS : Tss2_Tcti_Transmit(f->inner, size, command);
}

static TSS2_RC filter_receive(TSS2_TCTI_CONTEXT *ctx, size_t *size, uint8_t *response, int32_t timeout)
{
    struct filter *f = filter_of(ctx);
    if (f->own) {
        if (response && *size < f->answer.n)
            return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
        if (response) {
            memcpy(response, f->answer.p, f->answer.n);
            f->own = false;
        }
        *size = f->answer.n;
        return TSS2_RC_SUCCESS;
    }
    TSS2_RC rc = Tss2_Tcti_Receive(f->inner, size, response, timeout);
    if (rc == TSS2_RC_SUCCESS && response && f->writing) {
        struct reader r = reader_of(bytes_of(response, *size));
        uint32_t code;
        f->writing = false;
        if (rd_skip(&r, 6) && rd_u32be(&r, &code) && code == 0)
            paravisor_user_data(f->paravisor, f->written_at, bytes_of(f->written, f->written_n));
    }
    return rc;
}

static TSS2_RC filter_cancel(TSS2_TCTI_CONTEXT *ctx)
{
    struct filter *f = filter_of(ctx);
    return f->own ? TSS2_RC_SUCCESS : Tss2_Tcti_Cancel(f->inner);
}

static TSS2_RC filter_poll(TSS2_TCTI_CONTEXT *ctx, TSS2_TCTI_POLL_HANDLE *handles, size_t *n)
{
    return Tss2_Tcti_GetPollHandles(filter_of(ctx)->inner, handles, n);
}

static TSS2_RC filter_locality(TSS2_TCTI_CONTEXT *ctx, uint8_t locality)
{
    return Tss2_Tcti_SetLocality(filter_of(ctx)->inner, locality);
}

static void filter_finalize(TSS2_TCTI_CONTEXT *ctx)
{
    (void)ctx; /* the inner TCTI is its maker's */
}

TSS2_TCTI_CONTEXT *paravisor_tcti(struct paravisor *p, TSS2_TCTI_CONTEXT *inner)
{
    struct filter *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->common.v1.magic = 0x63766D2D68636C00; /* "cvm-hcl" */
    f->common.v1.version = 1;
    f->common.v1.transmit = filter_transmit;
    f->common.v1.receive = filter_receive;
    f->common.v1.finalize = filter_finalize;
    f->common.v1.cancel = filter_cancel;
    f->common.v1.getPollHandles = filter_poll;
    f->common.v1.setLocality = filter_locality;
    f->inner = inner;
    f->paravisor = p;
    f->answer = buf_new(RESPONSE_MAX);
    return (TSS2_TCTI_CONTEXT *)f;
}

TSS2_TCTI_CONTEXT *paravisor_tcti_free(TSS2_TCTI_CONTEXT *filter)
{
    struct filter *f = filter_of(filter);
    TSS2_TCTI_CONTEXT *inner = f->inner;
    buf_done(&f->answer);
    free(f);
    return inner;
}
