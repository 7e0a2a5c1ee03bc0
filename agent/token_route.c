#include "agent/token_route.h"

#include "agent/operate.h"
#include "agent/server.h"
#include "base/auto.h"

#include <openssl/crypto.h>

/* In the journal first, then in force: a token that works is one that verifiers see. */
static int give(struct operate *o, struct buf *out, char id[static TOKEN_ID_SIZE], struct err *err)
{
    char token[TOKEN_SIZE + 1] = "";
    int rc = acts_ready(operate_acts(o), err);
    if (rc == 0)
        rc = auth_make(token, id, err);
    if (rc == 0)
        rc = journal_add(operate_journal(o), "token", id, bytes_of(NULL, 0), err);
    if (rc == 0)
        rc = auth_use(operate_auth(o), token, err);
    if (rc == 0)
        buf_str(out, token);
    OPENSSL_cleanse(token, sizeof(token));
    return rc;
}

/* One after the other on operate's thread: of two callers at once one gets the token, the other 403. */
static int work_token(struct request *r, struct buf *out, struct err *err)
{
    struct operate *o = server_operate(r->server);
    const char *signature = request_header(r, "X-Owner-Signature");
    char id[TOKEN_ID_SIZE];
    if (auth_may_give(operate_auth(o), signature, operate_spki_sha256(o), err) < 0)
        return -1;
    return give(o, out, id, err);
}

static int work_rotate(struct request *r, struct buf *out, struct err *err)
{
    char id[TOKEN_ID_SIZE];
    struct operate *o = server_operate(r->server);
    if (!*r->caller.token_id)
        return err_set(err, ERR_DENIED, 0,
                       "the policy has https_server.enable_auth off: there is no token to change");
    if (give(o, out, id, err) < 0)
        return -1;
    AUTO(json_drop) json_t *what = json_pack("{s:s}", "token", id);
    return operate_record(r, "token-rotate", what, NULL, err);
}

int token_begin(struct request *r, struct err *err)
{
    return operate_begin(r, work_token, err);
}

int token_rotate_begin(struct request *r, struct err *err)
{
    return operate_begin(r, work_rotate, err);
}
