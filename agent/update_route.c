#include "agent/update_route.h"

#include "agent/operate.h"
#include "agent/owner_version.h"
#include "agent/server.h"
#include "agent/update.h"
#include "base/auto.h"
#include "base/enc.h"
#include "base/log.h"

#include <ctype.h>
#include <errno.h>

/* For pulling images and the health of all services. */
#define UPDATE_SECONDS 1800

static int absent(struct err *err)
{
    return err_set(
        err, ERR_NOT_FOUND, 0,
        "this agent runs no workload, so there is none to update: the first one comes with the disk");
}

static int busy(struct err *err)
{
    return err_set(err, ERR_BUSY, 0,
                   "the workload starts, or another update runs: try again when that is done");
}

/* What can be said before the zip is read. */
int update_prepare(struct request *r, struct err *err)
{
    struct operate *o = server_operate(r->server);
    const char *dry = query_get(&r->query, "dry_run");
    if (dry && strcmp(dry, "0") != 0 && strcmp(dry, "1") != 0)
        return err_set(err, ERR_INPUT, 0, "dry_run takes 1 or 0");
    struct workload *w = o ? operate_workload(o) : NULL;
    if (!w)
        return absent(err);
    return atomic_load(&w->busy) ? busy(err) : 0;
}

static int read_version(const char *text, uint64_t *out, struct err *err)
{
    char *end = NULL;
    errno = 0;
    *out = text && isdigit((unsigned char)*text) ? strtoull(text, &end, 10) : 0;
    if (!end || *end || errno)
        return err_set(
            err, ERR_DENIED, 0,
            "this machine has an owner: send X-Owner-Version, a number above that of the last update");
    return 0;
}

/* Contract, section 8: with an owner, an update is his, and none is taken twice. */
static int check_owner(struct request *r, const struct owner_version *versions, const uint8_t *sha384,
                       bool *signed_, uint64_t *version, struct err *err)
{
    struct auth *a = operate_auth(server_operate(r->server));
    const char *text = request_header(r, "X-Owner-Version");
    uint64_t last = 0;
    *signed_ = false;
    *version = 0;
    if (!auth_has_owner(a))
        return 0;
    if (read_version(text, version, err) < 0
        || auth_check_update(a, request_header(r, "X-Owner-Signature"), *version, sha384, signed_, err) < 0
        || owner_version_last(versions, &last, err) < 0)
        return -1;
    if (*version <= last)
        return err_set(err, ERR_DENIED, 0,
                       "X-Owner-Version %" PRIu64 " is not above %" PRIu64 ", that of the last update",
                       *version, last);
    return 0;
}

static int update(struct request *r, struct workload *w, const struct uploaded *file, json_t **answer,
                  struct err *err)
{
    struct operate *o = server_operate(r->server);
    const char *dry = query_get(&r->query, "dry_run");
    const struct owner_version versions = { w->collector, operate_state(o), collector_boot_id(w->collector) };
    struct update u = { .zip = file->fd, .dry_run = dry && *dry == '1', .state = operate_state(o) };
    bool signed_;
    memcpy(u.zip_sha384, file->sha384, sizeof(u.zip_sha384));
    if (check_owner(r, &versions, file->sha384, &signed_, &u.version, err) < 0)
        return -1;
    u.version = signed_ ? u.version : 0;
    return !u.dry_run && acts_ready(operate_acts(o), err) < 0 ? -1 : update_run(w, &u, answer, err);
}

/* The new workload runs, or the old one: a journal that cannot be written changes nothing of that. */
static void record(struct request *r, const struct uploaded *file, const struct err *failure, json_t *answer)
{
    struct err err = { 0 };
    char hex[97], text[ERR_TEXT_MAX];
    AUTO(json_drop)
    json_t *what = json_pack("{s:s}", "zip_sha384", hex_to(hex, bytes_of(file->sha384, 48)));
    if (operate_record(r, "update-workload", what, failure, &err) == 0)
        return;
    log_err(LOG_LEVEL_ERROR, "update", &err);
    if (answer)
        json_object_set_new(answer, "warnings", json_pack("[s]", err_text(&err, text, sizeof(text))));
}

static int work(struct request *r, struct buf *out, struct err *err)
{
    struct workload *w = operate_workload(server_operate(r->server));
    const char *dry = query_get(&r->query, "dry_run");
    AUTO(json_drop) json_t *answer = NULL;
    struct uploaded file;
    int rc = upload_end(r->upload, &file, err);
    if (rc == 0) {
        rc = update(r, w, &file, &answer, err);
        if (!(dry && *dry == '1'))
            record(r, &file, rc < 0 ? err : NULL, answer);
    }
    atomic_store(&w->busy, false);
    if (rc < 0)
        return rc;
    json_put(out, answer, false);
    buf_str(out, "\n");
    return 0;
}

static void give_up(struct request *r)
{
    atomic_store(&operate_workload(server_operate(r->server))->busy, false);
}

int update_begin(struct request *r, struct err *err)
{
    struct workload *w = operate_workload(server_operate(r->server));
    bool free_ = false;
    if (!atomic_compare_exchange_strong(&w->busy, &free_, true))
        return busy(err);
    server_allow(r->server, r, UPDATE_SECONDS);
    if (operate_begin_on(r, OPERATE_UPDATE, work, give_up, err) == 0)
        return 0;
    atomic_store(&w->busy, false);
    return -1;
}
