#include "agent/owner_version.h"

#include "base/auto.h"
#include "base/enc.h"
#include "base/file.h"
#include "base/json.h"

#include <limits.h>

#define FILE_SIZE_MAX 4096
#define VALUE_SIZE    8

static bool inside_tee(const struct owner_version *v)
{
    const struct shape *s = collector_shape(v->collector);
    return s->tpm && s->cloud == CLOUD_AZURE;
}

/* ---- the TPM ---- */

static int read_index(struct tpm *tpm, void *arg, struct err *err)
{
    AUTO(buf_done) struct buf value = buf_new(VALUE_SIZE);
    uint64_t *out = arg;
    struct err why = { 0 };
    if (!tpm)
        return err_set(err, ERR_UNAVAILABLE, 0, "there is no TPM");
    if (tpm_nv_read(tpm, OWNER_VERSION_INDEX, &value, &why) < 0) {
        if (why.kind == ERR_NOT_FOUND)
            return 0;
        *err = why;
        return -1;
    }
    if (value.n != VALUE_SIZE)
        return err_set(err, ERR_INPUT, 0, "the NV index %#x has %zu bytes: another program's",
                       OWNER_VERSION_INDEX, value.n);
    *out = be_uint(value.p, VALUE_SIZE);
    return 0;
}

static int write_index(struct tpm *tpm, void *arg, struct err *err)
{
    AUTO(buf_done) struct buf value = buf_new(VALUE_SIZE);
    size_t size = 0;
    struct err why = { 0 };
    buf_u64be(&value, *(uint64_t *)arg);
    if (!tpm)
        return err_set(err, ERR_UNAVAILABLE, 0, "there is no TPM");
    if (tpm_nv_size(tpm, OWNER_VERSION_INDEX, &size, &why) < 0) {
        if (why.kind != ERR_NOT_FOUND) {
            *err = why;
            return -1;
        }
        if (tpm_nv_define(tpm, OWNER_VERSION_INDEX, VALUE_SIZE, err) < 0)
            return -1;
    }
    return tpm_nv_write(tpm, OWNER_VERSION_INDEX, buf_bytes(&value), err);
}

/* ---- the file ---- */

static int file_path(const struct owner_version *v, char out[static PATH_MAX], struct err *err)
{
    return path_set(out, PATH_MAX, err, "%s/owner_version.json", v->state);
}

static int read_file(const struct owner_version *v, uint64_t *out, struct err *err)
{
    AUTO(free_u8) uint8_t *text = NULL;
    AUTO(json_drop) json_t *root = NULL;
    struct err why = { 0 };
    char path[PATH_MAX];
    uint8_t value[VALUE_SIZE];
    size_t n;
    *out = 0;
    if (file_path(v, path, err) < 0)
        return -1;
    if (file_read(path, FILE_SIZE_MAX, &text, &n, &why) < 0) {
        if (why.kind == ERR_NOT_FOUND)
            return 0;
        *err = why;
        return -1;
    }
    if (json_parse(bytes_of(text, n), FILE_SIZE_MAX, &root, err) < 0)
        return err_while(err, "read owner_version.json");
    const char *boot = json_string_value(json_object_get(root, "boot_id"));
    const char *hex = json_string_value(json_object_get(root, "version"));
    if (!boot || !hex || hex_decode_fixed(bytes_str(hex), value, sizeof(value), &why) < 0)
        return err_set(err, ERR_INPUT, 0, "%.200s: no boot_id or no version", path);
    if (!strcmp(boot, v->boot_id))
        *out = be_uint(value, sizeof(value));
    return 0;
}

int owner_version_last(const struct owner_version *v, uint64_t *out, struct err *err)
{
    uint64_t kept = 0, index = 0;
    if (read_file(v, &kept, err) < 0)
        return -1;
    if (inside_tee(v) && collector_with_tpm(v->collector, read_index, &index, err) < 0)
        return err_while(err, "read the owner's last version");
    *out = kept > index ? kept : index;
    return 0;
}

int owner_version_accept(const struct owner_version *v, uint64_t version, struct err *err)
{
    AUTO(buf_done) struct buf text = buf_new(FILE_SIZE_MAX);
    char path[PATH_MAX];
    if (inside_tee(v) && collector_with_tpm(v->collector, write_index, &version, err) < 0)
        return err_while(err, "keep the owner's version");
    buf_str(&text, "{\"boot_id\":");
    json_put_string(&text, bytes_str(v->boot_id));
    buf_printf(&text, ",\"version\":\"%016" PRIx64 "\"}\n", version);
    if (file_path(v, path, err) < 0 || buf_check(&text, "owner_version.json", err) < 0
        || file_write_atomic(path, buf_bytes(&text), 0600, err) < 0)
        return err_while(err, "keep the owner's version");
    return 0;
}
