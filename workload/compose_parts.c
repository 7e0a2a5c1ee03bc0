/* healthcheck, depends_on, ulimits, logging of services. */
#include "base/auto.h"
#include "workload/compose_reader.h"

/* ---- healthcheck ---- */

static void read_test(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_health *h = target;
    if (v->kind == YAML_TEXT) {
        h->shell = true;
        yaml_list_or_text(r, v, "healthcheck.test", &h->test);
        return;
    }
    yaml_list(r, v, "healthcheck.test", &h->test);
    const char *first = h->test.n ? h->test.item[0].text : "";
    bool none = !strcmp(first, "NONE") && h->test.n == 1, command = !strcmp(first, "CMD") && h->test.n > 1;
    h->shell = !strcmp(first, "CMD-SHELL") && h->test.n == 2;
    if (!none && !command && !h->shell)
        compose_fail(r, v->at,
                     "healthcheck.test: want a string, [CMD, ...], [CMD-SHELL, one string] or [NONE]");
    h->disable = h->disable || none;
    h->test.item++;
    h->test.n--;
}

static void read_disable(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    struct compose_health *h = target;
    h->disable = yaml_bool(r, v, "healthcheck.disable") || h->disable;
}

/* For engines 0 is the default, podman's timeout apart: there every check would fail. Less than a millisecond
 * docker refuses. */
static int64_t health_time(struct compose_reader *r, const struct yaml_node *v, const char *what)
{
    int64_t ns = yaml_duration(r, v, what);
    if (ns > 0 && ns < 1000000)
        compose_fail(r, v->at, "%s: want 1ms or more", what);
    return ns ? ns : COMPOSE_UNSET;
}

#define READ_DURATION(member)                                                                                \
    static void read_##member(struct compose_reader *r, const struct yaml_node *v, void *target)             \
    {                                                                                                        \
        ((struct compose_health *)target)->member##_ns = health_time(r, v, "healthcheck." #member);          \
    }
READ_DURATION(interval)
READ_DURATION(timeout)
READ_DURATION(start_period)
READ_DURATION(start_interval)

static void read_retries(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_health *)target)->retries = yaml_number(r, v, "healthcheck.retries", 1, 1000);
}

void compose_read_healthcheck(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    static const struct member members[] = {
        { "test", read_test, NULL },
        { "disable", read_disable, NULL },
        { "interval", read_interval, NULL },
        { "timeout", read_timeout, NULL },
        { "start_period", read_start_period, NULL },
        { "start_interval", read_start_interval, NULL },
        { "retries", read_retries, NULL },
    };
    struct compose_health *h = &((struct compose_service *)target)->health;
    yaml_want_map(r, v, "healthcheck", false);
    h->set = true;
    h->at = v->at;
    yaml_members(r, v, "healthcheck", members, ARRAY_SIZE(members), h);
    if (!h->disable && !h->test.n)
        compose_fail(r, v->at, "healthcheck: test is missing: the image's own check cannot be changed");
    if (h->start_interval_ns != COMPOSE_UNSET && (h->start_period_ns == COMPOSE_UNSET || !h->start_period_ns))
        compose_warn(r, v->at, "healthcheck.start_interval: has no effect without start_period");
}

/* ---- depends_on ---- */

static void read_condition(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    static const char *const words[] = { "service_started", "service_healthy",
                                         "service_completed_successfully" };
    const char *text = yaml_text(r, v, "depends_on.condition");
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (!strcmp(words[i], text)) {
            ((struct compose_depends *)target)->condition = (enum compose_condition)i;
            return;
        }
    }
    compose_fail(r, v->at,
                 "depends_on.condition: \"%.40s\": want service_started, service_healthy or "
                 "service_completed_successfully",
                 text);
}

static void read_required(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_depends *)target)->required = yaml_bool(r, v, "depends_on.required");
}

static void read_depends_restart(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    ((struct compose_depends *)target)->restart = yaml_bool(r, v, "depends_on.restart");
}

void compose_read_depends(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    static const struct member members[] = {
        { "condition", read_condition, NULL },
        { "required", read_required, NULL },
        { "restart", read_depends_restart, NULL },
    };
    struct compose_service *s = target;
    if (v->kind == YAML_TEXT)
        compose_fail(r, v->at, "depends_on: want a list or a mapping");
    s->depends = compose_take(r, v->n + 1, sizeof(*s->depends));
    for (size_t i = 0; i < v->n; i++) {
        struct compose_depends *d = &s->depends[s->depends_count++];
        *d = (struct compose_depends){ .required = true };
        if (v->kind == YAML_LIST) {
            d->service = yaml_text(r, v->item[i], "depends_on");
            d->at = v->item[i]->at;
            continue;
        }
        d->service = v->pair[i].key;
        d->at = v->pair[i].at;
        if (yaml_want_map(r, v->pair[i].value, "depends_on", true))
            yaml_members(r, v->pair[i].value, "depends_on", members, ARRAY_SIZE(members), d);
    }
}

/* ---- ulimits, logging ---- */

void compose_read_ulimits(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    static const char *const names[] = { "as",      "core",     "cpu",        "data",   "fsize", "locks",
                                         "memlock", "msgqueue", "nice",       "nofile", "nproc", "rss",
                                         "rtprio",  "rttime",   "sigpending", "stack" };
    struct compose_service *s = target;
    yaml_want_map(r, v, "ulimits", false);
    s->ulimits = compose_take(r, v->n + 1, sizeof(*s->ulimits));
    for (size_t i = 0; i < v->n; i++) {
        const struct yaml_node *value = v->pair[i].value;
        struct compose_ulimit *u = &s->ulimits[s->ulimit_count++];
        bool known = false;
        *u = (struct compose_ulimit){ .name = v->pair[i].key, .at = v->pair[i].at };
        for (size_t k = 0; k < ARRAY_SIZE(names); k++)
            known = known || !strcmp(names[k], u->name);
        if (!known)
            compose_fail(r, u->at, "ulimits.%.40s: no such limit", u->name);
        const struct yaml_node *soft = value, *hard = value;
        if (value->kind == YAML_MAP) {
            soft = yaml_member(value, "soft");
            hard = yaml_member(value, "hard");
            if (!soft || !hard || value->n != 2)
                compose_fail(r, value->at, "ulimits.%s: want a number, or soft and hard", u->name);
        }
        u->soft = yaml_number(r, soft, "ulimits", -1, INT64_MAX / 4);
        u->hard = yaml_number(r, hard, "ulimits", -1, INT64_MAX / 4);
        if (u->hard != -1 && (u->soft == -1 || u->soft > u->hard))
            compose_fail(r, soft->at, "ulimits.%s: soft is more than hard", u->name);
    }
}

/* The agent keeps what services write for /container-logs itself; a driver that sends it elsewhere is another
 * thing. */
void compose_read_logging(struct compose_reader *r, const struct yaml_node *v, void *target)
{
    static const char *const fine[] = { "json-file", "k8s-file", "journald", "local" };
    const struct yaml_node *driver;
    yaml_want_map(r, v, "logging", false);
    driver = yaml_member(v, "driver");
    for (size_t i = 0; i < v->n; i++) {
        if (strcmp(v->pair[i].key, "driver") != 0 && strcmp(v->pair[i].key, "options") != 0)
            compose_fail(r, v->pair[i].at, "logging.%.40s: not supported", v->pair[i].key);
    }
    const char *name = driver ? yaml_text(r, driver, "logging.driver") : "json-file";
    for (size_t i = 0; i < ARRAY_SIZE(fine); i++) {
        if (!strcmp(fine[i], name)) {
            compose_warn(r, v->at,
                         "services.%s.logging: ignored: the agent keeps the log for /container-logs",
                         ((struct compose_service *)target)->name);
            return;
        }
    }
    compose_fail(r, driver->at,
                 "logging.driver: \"%.40s\" is not supported: remove it, the agent keeps the log", name);
}
