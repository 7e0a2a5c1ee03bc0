#include "agent/sign_route.h"

#include "agent/identity.h"
#include "agent/operate.h"
#include "agent/server.h"
#include "base/auto.h"
#include "base/json.h"

int sign_prepare(struct request *r, struct err *err)
{
    const struct workload_policy *policy =
        server_operate(r->server) ? operate_policy(server_operate(r->server)) : NULL;
    if (!policy || !policy->enable_sign_message)
        return err_set(
            err, ERR_DENIED, 0,
            "signing is off: the workload's policy would have to have cvm_config.enable_sign_message");
    return 0;
}

/* {"message":text,"purge_old_keys":bool}; once it was spelled purge-old-keys. */
static int read_body(const json_t *root, struct bytes *message, bool *renew, struct err *err)
{
    const char *key;
    json_t *v;
    *renew = false;
    *message = bytes_of(NULL, 0);
    const json_t *text = json_object_get(root, "message");
    if (!json_is_string(text))
        return err_set(err, ERR_INPUT, 0, "message: want a string, as in {\"message\":\"text\"}");
    json_object_foreach((json_t *)(uintptr_t)root, key, v)
    {
        bool purge = !strcmp(key, "purge_old_keys") || !strcmp(key, "purge-old-keys");
        if (!purge && strcmp(key, "message") != 0)
            return err_set(err, ERR_INPUT, 0, "%.60s: no such member: want message and purge_old_keys", key);
        if (purge && !json_is_boolean(v))
            return err_set(err, ERR_INPUT, 0, "purge_old_keys: want true or false");
        *renew = *renew || (purge && json_is_true(v));
    }
    *message = bytes_of(json_string_value(text), json_string_length(text));
    return 0;
}

static void put_answer(struct buf *out, const uint8_t hash[static IDENTITY_SIZE], const uint8_t *rs)
{
    buf_str(out, "{");
    json_put_b64(out, "cvm_identity_hash", bytes_of(hash, IDENTITY_SIZE));
    if (rs)
        json_put_b64(out, "signature", bytes_of(rs, 64));
    buf_str(out, "}\n");
}

static int work_sign(struct request *r, struct buf *out, struct err *err)
{
    AUTO(json_drop) json_t *root = NULL;
    uint8_t hash[IDENTITY_SIZE], rs[64];
    struct bytes message;
    bool renew;
    if (json_parse(buf_bytes(&r->body), SIGN_BODY_MAX, &root, err) < 0
        || read_body(root, &message, &renew, err) < 0
        || identity_sign(operate_identity(server_operate(r->server)), message, renew, hash, rs, err) < 0)
        return -1;
    put_answer(out, hash, rs);
    return 0;
}

static int work_identity(struct request *r, struct buf *out, struct err *err)
{
    uint8_t hash[IDENTITY_SIZE];
    if (identity_hash(operate_identity(server_operate(r->server)), false, hash, err) < 0)
        return -1;
    put_answer(out, hash, NULL);
    return 0;
}

int sign_begin(struct request *r, struct err *err)
{
    return operate_begin(r, work_sign, err);
}

int identity_begin(struct request *r, struct err *err)
{
    return operate_begin(r, work_identity, err);
}
