#include "fake_nv.h"

#include "base/enc.h"
#include "tee/azure.h"

#include <string.h>

static int missing(uint32_t index, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, 0x18B, "NV index %#x does not exist", index);
}

int tpm_nv_size(struct tpm *t, uint32_t index, size_t *out, struct err *err)
{
    size_t n = index == AZURE_NV_USER_DATA ? t->user_data_size : index == AZURE_NV_HCL_REPORT ? t->hcl.n : 0;
    if (n == 0)
        return missing(index, err);
    *out = n;
    return 0;
}

int tpm_nv_read(struct tpm *t, uint32_t index, struct buf *out, struct err *err)
{
    static const char key[] = "\"user-data\":\"";
    char hex[129];
    if (index != AZURE_NV_HCL_REPORT || t->hcl.n == 0)
        return missing(index, err);
    uint8_t *at = memmem(t->hcl.p, t->hcl.n, key, sizeof(key) - 1);
    t->reads++;
    if (at && t->writes && !t->deaf && t->lag-- == 0)
        memcpy(at + sizeof(key) - 1, hex_to(hex, bytes_of(t->user_data, 64)), 128);
    buf_put(out, sample_bytes(&t->hcl));
    return buf_check(out, "index", err);
}

int tpm_nv_write(struct tpm *t, uint32_t index, struct bytes data, struct err *err)
{
    if (index != AZURE_NV_USER_DATA || t->user_data_size == 0)
        return missing(index, err);
    assert_int_equal(data.n, t->user_data_size);
    memcpy(t->user_data, data.p, data.n);
    t->writes++;
    return 0;
}

int tpm_nv_define(struct tpm *t, uint32_t index, size_t size, struct err *err)
{
    if (index != AZURE_NV_USER_DATA || t->user_data_size)
        return err_set(err, ERR_IO, 0x14C, "NV index %#x is defined already", index);
    t->user_data_size = size;
    t->defined++;
    return 0;
}

int tpm_nv_undefine(struct tpm *t, uint32_t index, struct err *err)
{
    if (index != AZURE_NV_USER_DATA || t->user_data_size == 0)
        return missing(index, err);
    t->user_data_size = 0;
    t->undefined++;
    return 0;
}
