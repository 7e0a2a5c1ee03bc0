/* Commands of a cloud's tool: their words, how they are run, and what their answers mean. */
#include "cli/cloud.h"

#include "base/auto.h"
#include "cli/cloud_run.h"
#include "cli/commands.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POLLS_MAX  360 /* of poll_seconds each */
#define OUTPUT_MAX (1u << 20)

static void put_word(struct buf *out, const struct deployment *d, const char *word, const char *item,
                     unsigned number)
{
    const char *from;
    while ((from = strstr(word, "${"))) {
        const char *end = strchr(from, '}');
        char name[64];
        snprintf(name, sizeof(name), "%.*s", (int)(end - from - 2), from + 2);
        buf_put(out, bytes_of(word, (size_t)(from - word)));
        if (strcmp(name, "item") == 0)
            buf_str(out, item);
        else if (strcmp(name, "number") == 0)
            buf_printf(out, "%02u", number);
        else if (d->dry_run && !json_object_get(d->vars, name))
            buf_printf(out, "${%s}", name); /* a shell that runs the printed commands has it by then */
        else
            buf_str(out, cloud_var(d, name));
        word = end + 1;
    }
    buf_str(out, word);
}

/* The word without its condition, or NULL if it is not wanted. */
static const char *wanted(const struct deployment *d, const char *word)
{
    char name[64];
    const char *colon = strchr(word, ':');
    if (word[0] != '?' || !colon)
        return word;
    snprintf(name, sizeof(name), "%.*s", (int)(colon - word - 1), word + 1);
    return *cloud_var(d, name) ? colon + 1 : NULL;
}

/* As a shell reads it back; "${name}" stays the shell's variable. */
static void put_quoted(struct buf *out, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_@%+=:,./-";
    if (*text && strspn(text, plain) == strlen(text)) {
        buf_str(out, text);
        return;
    }
    if (!strstr(text, "${") && !strchr(text, '\'')) {
        buf_printf(out, "'%s'", text);
        return;
    }
    buf_u8(out, '"');
    for (; *text; text++) {
        if (strchr("\"`\\", *text) || (*text == '$' && text[1] != '{'))
            buf_u8(out, '\\');
        buf_u8(out, (uint8_t)*text);
    }
    buf_u8(out, '"');
}

void cloud_put_command(struct buf *out, const struct deployment *d, const cloud_command c, const char *item,
                       unsigned number)
{
    bool first = true;
    for (size_t i = 0; i < CLOUD_ARGS_MAX && c[i]; i++) {
        AUTO(buf_done) struct buf word = buf_new(OUTPUT_MAX);
        const char *w = wanted(d, c[i]);
        if (!w)
            continue;
        put_word(&word, d, w, item, number);
        buf_u8(&word, '\0');
        if (!first)
            buf_u8(out, ' ');
        first = false;
        if (!word.failed)
            put_quoted(out, (const char *)word.p);
    }
}

int cloud_execute(const struct deployment *d, const cloud_command c, const char *item, unsigned number,
                  struct buf *out, struct buf *errors)
{
    char *argv[CLOUD_ARGS_MAX + 1] = { NULL };
    size_t n = 0;
    int rc = 0;
    for (size_t i = 0; i < CLOUD_ARGS_MAX && c[i]; i++) {
        struct buf word = buf_new(OUTPUT_MAX);
        const char *w = wanted(d, c[i]);
        if (!w)
            continue;
        put_word(&word, d, w, item, number);
        argv[n] = buf_take_str(&word);
        if (!argv[n++])
            rc = fail(STATUS_ENVIRONMENT, "cloud", "cannot go on", "memory is short");
    }
    if (rc == 0)
        rc = run_program((const char *const *)argv, out, errors);
    for (size_t i = 0; i < n; i++)
        free(argv[i]);
    return rc;
}

/* "None" is AWS for nothing. */
bool cloud_says_something(struct buf *out)
{
    while (out->n && (out->p[out->n - 1] == '\n' || out->p[out->n - 1] == '\r'))
        out->n--;
    buf_u8(out, '\0');
    return !out->failed && out->n > 1 && strcmp((const char *)out->p, "None") != 0;
}

/* Does the error hold one of the texts "A|B", with variables? */
static bool error_says(const struct deployment *d, const char *texts, const char *item, unsigned number,
                       const char *error)
{
    AUTO(buf_done) struct buf all = buf_new(OUTPUT_MAX);
    put_word(&all, d, texts, item, number);
    buf_u8(&all, '\0');
    char *rest = all.failed ? NULL : (char *)all.p, *text;
    while ((text = strsep(&rest, "|")))
        if (*text && strstr(error, text))
            return true;
    return false;
}

static enum cloud_look look_failed(const struct deployment *d, const struct cloud_step *s, const char *item,
                                   unsigned number, int status, struct buf *errors)
{
    const struct cloud *c = d->cloud;
    const char *absent = s->absent ? s->absent : c->absent;
    buf_u8(errors, '\0');
    const char *error = errors->failed ? "" : (const char *)errors->p;
    if (absent && (c->absent_status == 0 || status == c->absent_status)
        && error_says(d, absent, item, number, error)
        && !(c->not_absent && error_says(d, c->not_absent, item, number, error)))
        return CLOUD_ABSENT;
    fputs(error, stderr);
    (void)fail(STATUS_ENVIRONMENT, s->title, "cannot tell whether it is there",
               "the tool says why above; the record is kept");
    return CLOUD_UNKNOWN;
}

enum cloud_look cloud_look(struct deployment *d, const struct cloud_step *s, const char *item,
                           unsigned number)
{
    AUTO(buf_done) struct buf out = buf_new(OUTPUT_MAX);
    AUTO(buf_done) struct buf errors = buf_new(OUTPUT_MAX);
    bool known = s->probe_id[0] && s->capture && *cloud_var(d, s->capture);
    int status = cloud_execute(d, known ? s->probe_id : s->probe, item, number, &out, &errors);
    if (status != 0)
        return look_failed(d, s, item, number, status, &errors);
    if (!s->capture)
        return out.n == 0 || cloud_says_something(&out) ? CLOUD_THERE : CLOUD_ABSENT;
    if (!cloud_says_something(&out))
        return out.failed ? CLOUD_UNKNOWN : CLOUD_ABSENT;
    const char *text = (const char *)out.p;
    if (strpbrk(text, "\t\n")) {
        (void)fail(STATUS_ENVIRONMENT, s->title, "there are several of this name, and the record knows none",
                   text);
        return CLOUD_UNKNOWN;
    }
    return cloud_set(d, s->capture, text) == 0 ? CLOUD_THERE : CLOUD_UNKNOWN;
}

int cloud_run_step(struct deployment *d, const struct cloud_step *s, const char *item, unsigned number)
{
    for (unsigned polls = 0;; polls++) {
        AUTO(buf_done) struct buf out = buf_new(OUTPUT_MAX);
        bool keep = s->capture || s->wait;
        if (cloud_execute(d, s->run, item, number, keep ? &out : NULL, NULL) != 0)
            return fail(STATUS_ENVIRONMENT, s->title, "failed", "the tool says why above");
        if (!keep)
            return 0;
        if (!cloud_says_something(&out))
            return fail(STATUS_ENVIRONMENT, s->title, "failed", "the tool has printed nothing");
        const char *text = (const char *)out.p;
        if (s->capture)
            return cloud_set(d, s->capture, text);
        if (strcmp(text, s->wait) == 0)
            return 0;
        if (strstr(text, "delet") || strstr(text, "rror") || strstr(text, "ailed") || polls >= POLLS_MAX)
            return fail(STATUS_ENVIRONMENT, s->title, "failed", text);
        printf("      %s\n", text);
        fflush(stdout);
        sleep(d->poll_seconds);
    }
}

int cloud_check_tool(const struct deployment *d)
{
    AUTO(buf_done) struct buf out = buf_new(OUTPUT_MAX);
    AUTO(buf_done) struct buf errors = buf_new(OUTPUT_MAX);
    const struct cloud *c = d->cloud;
    if (!program_exists(c->tool))
        return fail(STATUS_ENVIRONMENT, c->tool, "not found", c->tool_hint);
    if (cloud_execute(d, c->login, "", 0, &out, &errors) != 0 || !cloud_says_something(&out))
        return fail(STATUS_ENVIRONMENT, c->tool, "nobody is logged in", c->login_hint);
    return 0;
}
