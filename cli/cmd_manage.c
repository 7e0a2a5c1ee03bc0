/* Commands that manage a machine: token, logs, maintenance, livepatch. */
#include "cli/manage.h"

#include "base/auto.h"
#include "base/enc.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MODULE_MAX (512u << 20)

/* ---- token ---- */

static int sign_for_token(struct manage *m, const char *key, char *header, size_t size)
{
    static const char tag[] = "cvm-agent/api-token"; /* its NUL is part of it */
    AUTO(buf_done) struct buf message = buf_new(128);
    struct err err = { 0 };
    if (!m->call.pin)
        return fail(STATUS_USAGE, "token", "--owner-key needs the server's key", "leave out --insecure");
    buf_put(&message, bytes_of(tag, sizeof(tag)));
    if (hex_decode(bytes_str(m->call.pin), &message, &err) < 0)
        return fail_err(STATUS_USAGE, "token", "--pin", &err);
    return manage_sign(key, buf_bytes(&message), header, size);
}

static int get_token(struct manage *m, const char *key, const char *old, bool rotate)
{
    char signature[512];
    int rc;
    if (rotate && (rc = manage_token(m, old)))
        return rc;
    if ((rc = manage_begin(m)))
        return rc;
    if (key && (rc = sign_for_token(m, key, signature, sizeof(signature))))
        return rc;
    if (key)
        manage_header(m, signature);
    if (rotate)
        manage_authorize(m);
    return rotate ? manage_send_and_print(m, "POST", "/api-token/rotate", bytes_of(NULL, 0))
                  : manage_send_and_print(m, "GET", "/api-token", bytes_of(NULL, 0));
}

static int run_token(int argc, char **argv)
{
    struct manage m = { .call = { .command = &command_token } };
    const char *key = NULL, *args[2] = { NULL, NULL };
    bool rotate = false;
    const struct option_row rows[] = {
        { "owner-key", OPTION_TEXT, &key },
        { "rotate", OPTION_FLAG, &rotate },
        JUDGE_OPTIONS(m.call),
    };
    int rc = options_parse(m.call.command, argc, argv, rows, ARRAY_SIZE(rows), args, 1, 2);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (args[1] && !rotate)
        return fail(STATUS_USAGE, "token", "one argument too many", "a token is needed with --rotate only");
    m.call.url = args[0];
    rc = get_token(&m, key, args[1], rotate);
    manage_forget(&m);
    return rc;
}

/* ---- logs ---- */

static void put_query(struct buf *path, const char *name, const char *value)
{
    buf_printf(path, "%c%s=", memchr(path->p, '?', path->n) ? '&' : '?', name);
    for (; *value; value++)
        buf_printf(path, isalnum((unsigned char)*value) || strchr("-_.~:", *value) ? "%c" : "%%%02X",
                   (unsigned char)*value);
}

static bool print_now(void *arg, struct bytes data)
{
    (void)arg;
    return fwrite(data.p, 1, data.n, stdout) == data.n && fflush(stdout) == 0;
}

static int print_plain(const struct http_response *r)
{
    AUTO(json_drop) json_t *all = NULL;
    struct err err = { 0 };
    size_t i;
    json_t *one;
    if (json_parse(buf_bytes(&r->body), CALL_ANSWER_MAX, &all, &err) < 0)
        return fail_err(STATUS_ENVIRONMENT, "the agent's answer", "not JSON", &err);
    json_array_foreach(all, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        const char *log = json_string_value(json_object_get(one, "log"));
        if (!name || !log)
            return fail(STATUS_ENVIRONMENT, "the agent's answer", "no name or no log in it", NULL);
        if (json_array_size(all) > 1)
            printf("==> %s <==\n", name);
        fputs(log, stdout);
    }
    return fflush(stdout) == 0 ? 0
                               : fail(STATUS_ENVIRONMENT, "standard output", "cannot write", strerror(errno));
}

static int logs(struct manage *m, const char *token, const char *path, bool follow, bool json)
{
    AUTO(http_response_done) struct http_response r = { 0 };
    int rc = manage_begin_as(m, token);
    if (rc)
        return rc;
    rc = manage_send(m, "GET", path, bytes_of(NULL, 0), follow ? print_now : NULL, &r);
    if (rc || follow)
        return rc;
    return json ? write_out(&r.body, NULL) : print_plain(&r);
}

static int run_logs(int argc, char **argv)
{
    struct manage m = { .call = { .command = &command_logs } };
    const char *args[2] = { NULL, NULL }, *tail = NULL, *since = NULL;
    struct option_list names = { .n = 0 };
    bool follow = false, json = false;
    AUTO(buf_done) struct buf path = buf_new(MANAGE_PATH_MAX - 1);
    const struct option_row rows[] = {
        { "name", OPTION_LIST, &names },    { "tail", OPTION_TEXT, &tail }, { "since", OPTION_TEXT, &since },
        { "follow", OPTION_FLAG, &follow }, { "json", OPTION_FLAG, &json }, JUDGE_OPTIONS(m.call),
    };
    int rc = options_parse(m.call.command, argc, argv, rows, ARRAY_SIZE(rows), args, 1, 2);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    buf_str(&path, "/container-logs");
    for (size_t i = 0; i < names.n; i++)
        put_query(&path, "name", names.item[i]);
    if (tail)
        put_query(&path, "tail", tail);
    if (since)
        put_query(&path, "since", since);
    if (follow)
        put_query(&path, "follow", "1");
    AUTO(free_str) char *text = buf_take_str(&path);
    if (!text)
        return fail(STATUS_USAGE, "logs", "too many names", NULL);
    m.call.url = args[0];
    rc = logs(&m, args[1], text, follow, json);
    manage_forget(&m);
    return rc;
}

/* ---- maintenance ---- */

static int maintenance(struct manage *m, const char *token, const char *action, const char *delay)
{
    char body[128], *end = NULL;
    unsigned long seconds = delay && isdigit((unsigned char)*delay) ? strtoul(delay, &end, 10) : 0;
    if (delay && (!end || *end || seconds > 86400))
        return fail(STATUS_USAGE, "--delay", "wants seconds, at most 86400", NULL);
    int rc = manage_begin_as(m, token);
    if (rc)
        return rc;
    manage_header(m, "Content-Type: application/json");
    snprintf(body, sizeof(body), "{\"action\":\"%s\",\"delay_seconds\":%lu}", action, seconds);
    return manage_send_and_print(m, "POST", "/maintenance-mode", bytes_str(body));
}

static int run_maintenance(int argc, char **argv)
{
    struct manage m = { .call = { .command = &command_maintenance } };
    const char *args[3] = { NULL, NULL, NULL }, *delay = NULL;
    const struct option_row rows[] = {
        { "delay", OPTION_TEXT, &delay },
        JUDGE_OPTIONS(m.call),
    };
    int rc = options_parse(m.call.command, argc, argv, rows, ARRAY_SIZE(rows), args, 2, 3);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (strcmp(args[1], "enable") != 0 && strcmp(args[1], "disable") != 0)
        return fail(STATUS_USAGE, args[1], "no such action", "enable or disable");
    m.call.url = args[0];
    rc = maintenance(&m, args[2], args[1], delay);
    manage_forget(&m);
    return rc;
}

/* ---- livepatch ---- */

static int livepatch(struct manage *m, const char *token, const char *path)
{
    AUTO(free_u8) uint8_t *module = NULL;
    size_t n = 0;
    int rc = read_input(path, MODULE_MAX, &module, &n);
    if (rc || (rc = manage_begin_as(m, token)))
        return rc;
    manage_header(m, "Content-Type: application/octet-stream");
    return manage_send_and_print(m, "POST", "/livepatch", bytes_of(module, n));
}

static int run_livepatch(int argc, char **argv)
{
    struct manage m = { .call = { .command = &command_livepatch } };
    const char *args[3] = { NULL, NULL, NULL };
    const struct option_row rows[] = {
        JUDGE_OPTIONS(m.call),
    };
    int rc = options_parse(m.call.command, argc, argv, rows, ARRAY_SIZE(rows), args, 2, 3);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    m.call.url = args[0];
    rc = livepatch(&m, args[2], args[1]);
    manage_forget(&m);
    return rc;
}

/* ---- help ---- */

const struct command command_token = {
    "token",
    "URL [--owner-key KEY.pem] [--rotate [TOKEN]] [--pin SHA256] [--insecure]",
    "Gets the management token of a machine, once a boot",
    MANAGE_ADDRESS_HELP "  --owner-key F  signs for a machine with an owner.pub (P-256 or Ed25519)\n"
                        "  --rotate       a new token in place of the one that is in use\n" TOKEN_HELP,
    run_token,
};

const struct command command_logs = {
    "logs",
    "URL [TOKEN] [--name N]... [--tail N] [--since T] [--follow] [--json] [--pin SHA256] [--insecure]",
    "Prints what the containers of a machine have written",
    MANAGE_ADDRESS_HELP "  --name N    a container or service; all of them without\n"
                        "  --tail N    lines from the end\n"
                        "  --since T   2026-01-31T12:00:00Z, seconds since 1970, or how long ago, as 1h30m\n"
                        "  --follow    goes on, as lines of JSON\n"
                        "  --json      the answer as it came\n" TOKEN_HELP,
    run_logs,
};

const struct command command_maintenance = {
    "maintenance",
    "URL enable|disable [TOKEN] [--delay SECONDS] [--pin SHA256] [--insecure]",
    "Turns the maintenance mode of a machine on or off",
    MANAGE_ADDRESS_HELP TOKEN_HELP,
    run_maintenance,
};

const struct command command_livepatch = {
    "livepatch",
    "URL FILE.ko [TOKEN] [--pin SHA256] [--insecure]",
    "Has a machine measure and load a kernel livepatch",
    MANAGE_ADDRESS_HELP TOKEN_HELP,
    run_livepatch,
};
