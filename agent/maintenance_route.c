#include "agent/maintenance_route.h"

#include "agent/maintenance.h"
#include "agent/operate.h"
#include "agent/server.h"
#include "base/auto.h"
#include "base/json.h"
#include "base/log.h"

#include <errno.h>
#include <time.h>

int maintenance_prepare(struct request *r, struct err *err)
{
    struct operate *o = server_operate(r->server);
    const struct workload_policy *policy = o ? operate_policy(o) : NULL;
    if (!policy || !policy->maintenance_allow)
        return err_set(err, ERR_DENIED, 0,
                       "maintenance mode is off: the workload's policy would have to have "
                       "cvm_config.maintenance_mode.allow");
    if (!operate_workload(o))
        return err_set(err, ERR_NOT_FOUND, 0, "this agent runs no workload: there is nothing to maintain");
    return 0;
}

static int read_body(const json_t *root, bool *enable, unsigned *delay_s, struct err *err)
{
    const char *key, *action = json_string_value(json_object_get(root, "action"));
    json_t *v;
    *delay_s = 0;
    if (!action || (strcmp(action, "enable") != 0 && strcmp(action, "disable") != 0))
        return err_set(err, ERR_INPUT, 0, "action: want \"enable\" or \"disable\"");
    *enable = !strcmp(action, "enable");
    json_object_foreach((json_t *)(uintptr_t)root, key, v)
    {
        json_int_t n = json_integer_value(v);
        if (!strcmp(key, "action"))
            continue;
        if (strcmp(key, "delay_seconds") != 0)
            return err_set(err, ERR_INPUT, 0, "%.60s: no such member: want action and delay_seconds", key);
        if (!json_is_integer(v) || n < 0 || n > MAINTENANCE_DELAY_MAX)
            return err_set(err, ERR_INPUT, 0, "delay_seconds: want a whole number from 0 to %u",
                           MAINTENANCE_DELAY_MAX);
        *delay_s = (unsigned)n;
    }
    return 0;
}

static json_t *what_of(bool enable, unsigned delay_s)
{
    return json_pack("{s:s, s:i}", "action", enable ? "enable" : "disable", "delay_seconds", (int)delay_s);
}

/* As published clients expect it; the port is a string. */
static int put_answer(const struct workload_policy *p, bool enable, unsigned delay_s, json_t *results,
                      struct buf *out, struct err *err)
{
    char port[8] = "", now[32];
    struct tm tm;
    time_t t = time(NULL);
    gmtime_r(&t, &tm);
    strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (p->maintenance_port)
        snprintf(port, sizeof(port), "%u", p->maintenance_port);
    AUTO(json_drop)
    json_t *answer = json_pack("{s:s, s:s, s:s, s:i, s:O, s:s}", "status", "maintenance mode triggered",
                               "maintenance_action", enable ? "enable" : "disable", "port", port,
                               "delay_seconds", (int)delay_s, "results", results, "timestamp", now);
    if (!answer)
        return err_set(err, ERR_IO, ENOMEM, "no memory for the answer");
    json_put(out, answer, false);
    buf_str(out, "\n");
    return 0;
}

/* A delayed order outlives its request: who gave it is kept for the record. */
struct later {
    struct operate *operate;
    char by[TOKEN_ID_SIZE], from[OPERATE_FROM_TEXT];
    unsigned delay_s;
};

static void when_done(void *arg, bool enable, const struct err *failure)
{
    struct later *l = arg;
    struct err err = { 0 };
    AUTO(json_drop) json_t *what = what_of(enable, l->delay_s);
    if (operate_record_for(l->operate, l->by, l->from, "maintenance-mode", what, failure, &err) < 0)
        log_err(LOG_LEVEL_ERROR, "maintenance", &err);
    free(l);
}

static int schedule(struct request *r, bool enable, unsigned delay_s, struct err *err)
{
    struct operate *o = server_operate(r->server);
    struct later *l = calloc(1, sizeof(*l));
    if (!l)
        return err_set(err, ERR_IO, ENOMEM, "no memory for an order");
    l->operate = o;
    l->delay_s = delay_s;
    snprintf(l->by, sizeof(l->by), "%s", r->caller.token_id);
    operate_from_text(r, l->from);
    const struct maintenance_order order = { enable, delay_s, when_done, l };
    if (maintenance_schedule(operate_maintenance(o), &order, err) == 0)
        return 0;
    free(l);
    return -1;
}

static int act_now(struct request *r, bool enable, json_t *results, struct err *err)
{
    struct err why = { 0 };
    AUTO(json_drop) json_t *what = what_of(enable, 0);
    int rc = maintenance_act(operate_maintenance(server_operate(r->server)), enable, results, &why);
    if (operate_record(r, "maintenance-mode", what, rc < 0 ? &why : NULL, err) < 0)
        return -1;
    if (rc < 0)
        *err = why;
    return rc;
}

static int work(struct request *r, struct buf *out, struct err *err)
{
    struct operate *o = server_operate(r->server);
    AUTO(json_drop) json_t *root = NULL, *results = json_object();
    bool enable = false;
    unsigned delay_s = 0;
    if (json_parse(buf_bytes(&r->body), MAINTENANCE_BODY_MAX, &root, err) < 0
        || read_body(root, &enable, &delay_s, err) < 0 || acts_ready(operate_acts(o), err) < 0
        || (delay_s ? schedule(r, enable, delay_s, err) : act_now(r, enable, results, err)) < 0)
        return -1;
    return put_answer(operate_policy(o), enable, delay_s, results, out, err);
}

int maintenance_begin(struct request *r, struct err *err)
{
    return operate_begin_on(r, OPERATE_ENGINE, work, NULL, err);
}
