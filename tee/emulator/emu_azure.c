#include "tee/emulator/emu_azure.h"

#include "base/auto.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/enc.h"
#include "tpm/public.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define REFRESH_MS 100 /* between a write of user data and the new report */
#define JSON_MAX   2048

struct paravisor {
    struct hcl_hardware hardware;
    struct buf keys; /* the JSON up to the user data */
    pthread_mutex_t lock;
    uint8_t user_data[USER_DATA_SIZE];
    uint64_t due; /* when the report is to be made anew, 0: it stands */
    uint8_t nv[HCL_NV_SIZE];
};

static int put_jwk(struct buf *out, const char *kid, const char *op, struct bytes area, struct err *err)
{
    struct tpm_public pub;
    if (tpm_public_parse(area, &pub, err) < 0)
        return -1;
    if (pub.type != TPM_KEY_RSA)
        return err_set(err, ERR_INPUT, 0, "%s is not an RSA key", kid);
    buf_printf(out, "{\"kid\":\"%s\",\"key_ops\":[\"%s\"],\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"", kid, op);
    b64url_put(out, pub.modulus);
    buf_str(out, "\"}");
    return 0;
}

static int keys_make(struct paravisor *p, const struct store *s, const char *shape, struct bytes ak,
                     struct bytes ek, struct err *err)
{
    char file[64], hex[33];
    uint8_t id[16];
    struct buf *j = &p->keys;
    snprintf(file, sizeof(file), "%s/vm-id", shape);
    if (store_random(s, file, id, sizeof(id), err) < 0)
        return -1;
    id[6] = (uint8_t)(0x40 | (id[6] & 0x0F)); /* RFC 4122, version 4 */
    id[8] = (uint8_t)(0x80 | (id[8] & 0x3F));
    hex_to(hex, bytes_of(id, sizeof(id)));
    buf_str(j, "{\"keys\":[");
    if (put_jwk(j, "HCLAkPub", "sign", ak, err) < 0)
        return -1;
    buf_str(j, ",");
    if (put_jwk(j, "HCLEkPub", "encrypt", ek, err) < 0)
        return -1;
    buf_printf(j,
               "],\"vm-configuration\":{\"console-enabled\":true,\"root-cert-thumbprint\":\"\","
               "\"secure-boot\":true,\"tpm-enabled\":true,\"tpm-persisted\":true,"
               "\"vmUniqueId\":\"%.8s-%.4s-%.4s-%.4s-%.12s\"},\"user-data\":\"",
               hex, hex + 8, hex + 12, hex + 16, hex + 20);
    return buf_check(j, "the runtime data", err);
}

/* Header, hardware report, runtime data: see the reference of the format. */
static int report_make(struct paravisor *p, struct err *err)
{
    AUTO(buf_done) struct buf json = buf_new(JSON_MAX), nv = buf_new(HCL_NV_SIZE);
    uint8_t report_data[64] = { 0 }, hardware[HCL_REPORT_AREA] = { 0 };
    buf_put(&json, buf_bytes(&p->keys));
    for (size_t i = 0; i < USER_DATA_SIZE; i++)
        buf_printf(&json, "%02X", p->user_data[i]);
    buf_str(&json, "\"}");
    if (buf_check(&json, "the runtime data", err) < 0)
        return -1;
    sha256(buf_bytes(&json), report_data);
    if (p->hardware.report(p->hardware.ctx, report_data, hardware, err) < 0)
        return -1;
    uint32_t data_size = 20 + (uint32_t)json.n;
    buf_str(&nv, "HCLA");
    buf_u32le(&nv, 2); /* version */
    buf_u32le(&nv, 0x20 + HCL_REPORT_AREA + data_size);
    buf_u32le(&nv, 2); /* request: AK certificate */
    buf_fill(&nv, 0, 16);
    buf_put(&nv, bytes_of(hardware, sizeof(hardware)));
    buf_u32le(&nv, data_size);
    buf_u32le(&nv, 1); /* version of the runtime data */
    buf_u32le(&nv, p->hardware.report_type);
    buf_u32le(&nv, 1); /* SHA-256 */
    buf_u32le(&nv, (uint32_t)json.n);
    buf_put(&nv, buf_bytes(&json));
    if (nv.n < HCL_NV_SIZE)
        buf_fill(&nv, 0, HCL_NV_SIZE - nv.n);
    if (buf_check(&nv, "the HCL report", err) < 0)
        return -1;
    memcpy(p->nv, nv.p, HCL_NV_SIZE);
    return 0;
}

int paravisor_new(const struct store *s, const char *shape, const struct hcl_hardware *hardware,
                  struct bytes ak, struct bytes ek, struct bytes user_data, struct paravisor **out,
                  struct err *err)
{
    struct paravisor *p = calloc(1, sizeof(*p));
    if (!p)
        return err_set(err, ERR_IO, 0, "out of memory");
    p->hardware = *hardware;
    p->keys = buf_new(JSON_MAX);
    pthread_mutex_init(&p->lock, NULL);
    if (user_data.n == USER_DATA_SIZE)
        memcpy(p->user_data, user_data.p, USER_DATA_SIZE);
    if (keys_make(p, s, shape, ak, ek, err) < 0 || report_make(p, err) < 0) {
        paravisor_free(p);
        return err_while(err, "make the emulated paravisor");
    }
    *out = p;
    return 0;
}

void paravisor_free(struct paravisor *p)
{
    if (!p)
        return;
    buf_done(&p->keys);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

int paravisor_report(struct paravisor *p, uint8_t out[static HCL_NV_SIZE], struct err *err)
{
    pthread_mutex_lock(&p->lock);
    int rc = 0;
    if (p->due && clock_ms() >= p->due) {
        rc = report_make(p, err);
        p->due = rc == 0 ? 0 : p->due;
    }
    memcpy(out, p->nv, HCL_NV_SIZE);
    pthread_mutex_unlock(&p->lock);
    return rc;
}

void paravisor_user_data(struct paravisor *p, size_t offset, struct bytes data)
{
    pthread_mutex_lock(&p->lock);
    if (offset <= USER_DATA_SIZE && data.n <= USER_DATA_SIZE - offset) {
        memcpy(p->user_data + offset, data.p, data.n);
        p->due = clock_ms() + REFRESH_MS;
    }
    pthread_mutex_unlock(&p->lock);
}
