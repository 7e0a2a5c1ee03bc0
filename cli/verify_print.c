#include "cli/verify_print.h"

#include "base/auto.h"
#include "base/chain.h"
#include "cli/commands.h"

#include <string.h>

#define ANSWER_MAX (4u << 20)

static const char *mark(enum check_result result)
{
    return result == CHECK_OK ? "ok" : result == CHECK_FAILED ? "FAILED" : "-";
}

/* Details quote names out of certificates and claims: no byte of theirs may steer a terminal. */
static void put_line(struct buf *out, const char *text)
{
    for (; *text; text++)
        buf_u8(out, (unsigned char)*text < 0x20 || *text == 0x7F ? '?' : (uint8_t)*text);
    buf_u8(out, '\n');
}

static void put_checks(struct buf *out, const struct checks *checks)
{
    for (size_t i = 0; i < checks->n; i++) {
        const struct check *c = &checks->list[i];
        if (c->result == CHECK_NOT_APPLICABLE && !strcmp(c->detail, CHECK_OTHER_PLATFORM))
            continue; /* for programs */
        buf_printf(out, "%-7s %-26s ", mark(c->result), c->name);
        put_line(out, c->detail);
    }
    for (size_t i = 0; i < checks->warnings_n; i++) {
        buf_str(out, "warning ");
        put_line(out, checks->warnings[i]);
    }
}

/* "name: value" for scalars, "name.member: value" for those of an object inside. */
static void put_facts(struct buf *out, const char *prefix, json_t *facts)
{
    const char *name;
    json_t *value;
    json_object_foreach(facts, name, value)
    {
        if (json_is_object(value) && !*prefix) {
            put_facts(out, name, value);
            continue;
        }
        if (json_is_object(value) || json_is_array(value))
            continue;
        AUTO(buf_done) struct buf text = buf_new(ANSWER_MAX);
        json_put(&text, value, false);
        AUTO(free_str) char *line = buf_take_str(&text);
        buf_printf(out, "%s%s%s: ", prefix, *prefix ? "." : "", name);
        put_line(out, line ? line : "?");
    }
}

/* Each value of a policy that does not hold, on a line of its own. */
static void put_policies(struct buf *out, const json_t *policies)
{
    const json_t *policy, *f;
    size_t i, k;
    json_array_foreach(policies, i, policy)
    {
        json_array_foreach(json_object_get(policy, "explain"), k, f)
        {
            AUTO(buf_done) struct buf line = buf_new(ANSWER_MAX);
            buf_printf(&line, "policy  %s: %s", json_string_value(json_object_get(policy, "name")),
                       json_string_value(f));
            AUTO(free_str) char *text = buf_take_str(&line);
            put_line(out, text ? text : "?");
        }
        json_array_foreach(json_object_get(policy, "failures"), k, f)
        {
            AUTO(buf_done) struct buf line = buf_new(ANSWER_MAX);
            buf_printf(&line, "policy  %s: %s: want %s, found %s",
                       json_string_value(json_object_get(policy, "name")),
                       json_string_value(json_object_get(f, "field")),
                       json_string_value(json_object_get(f, "expected")),
                       json_string_value(json_object_get(f, "found")));
            AUTO(free_str) char *text = buf_take_str(&line);
            put_line(out, text ? text : "?");
        }
    }
}

static int print_text(const struct verify_answer *answer, bool success)
{
    AUTO(buf_done) struct buf out = buf_new(ANSWER_MAX);
    put_checks(&out, answer->checks);
    if (answer->facts)
        put_policies(&out, json_object_get(answer->facts, "policies"));
    if (answer->facts)
        put_facts(&out, "", answer->facts);
    buf_str(&out, success ? "verified\n" : "NOT verified\n");
    return write_out(&out, NULL);
}

static int print_json(const struct verify_answer *answer, bool success, const char *error)
{
    AUTO(json_drop) json_t *out = json_pack("{s:b}", "success", success);
    if (!success)
        json_object_set_new(out, "error", json_text(bytes_str(error)));
    json_object_set_new(out, "checks", checks_json(answer->checks));
    if (answer->facts)
        json_object_update_missing(out, answer->facts);
    json_object_set_new(out, "warnings", checks_warnings_json(answer->checks));
    if (!json_object_get(out, "checks") || !json_object_get(out, "warnings"))
        return fail(STATUS_ENVIRONMENT, answer->where, "cannot make the answer", "memory is short");
    return write_json(out);
}

static void first_reason(const struct checks *checks, char *out, size_t size)
{
    const struct check *failed = checks_first_failed(checks);
    if (failed)
        snprintf(out, size, "%s: %s", failed->name, failed->detail);
    else
        snprintf(out, size, "%s", checks->n ? "more checks than are kept" : "no check was made");
}

int verify_print(const struct verify_answer *answer, bool json)
{
    char error[CHECK_NAME_MAX + CHECK_DETAIL_MAX + 4];
    bool success = checks_all_hold(answer->checks) && !answer->malformed;
    first_reason(answer->checks, error, sizeof(error));
    int rc = json ? print_json(answer, success, error) : print_text(answer, success);
    if (rc || success)
        return rc;
    return fail(answer->malformed ? STATUS_INPUT : STATUS_NO, answer->where, "not verified", error);
}

int verify_clock(const char *at, time_t *out)
{
    struct err err = { 0 };
    if (!at)
        *out = time(NULL);
    else if (rfc3339_parse(at, out, &err) < 0)
        return fail_err(STATUS_USAGE, "--at", "not a time", &err);
    return 0;
}
