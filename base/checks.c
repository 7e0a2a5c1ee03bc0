#include "base/checks.h"

#include "base/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static size_t find(const struct checks *c, const char *name)
{
    size_t i = 0;
    while (i < c->n && strcmp(c->list[i].name, name) != 0)
        i++;
    return i;
}

static bool worse(enum check_result a, enum check_result b)
{
    static const int rank[] = { [CHECK_NOT_APPLICABLE + 1] = 0, [CHECK_OK + 1] = 1, [CHECK_FAILED + 1] = 2 };
    return rank[a + 1] > rank[b + 1];
}

void checks_add(struct checks *c, const char *name, enum check_result result, const char *fmt, ...)
{
    size_t at = find(c, name);
    struct check *check = at < c->n ? &c->list[at] : NULL;
    va_list ap;
    if (check && !worse(result, check->result))
        return;
    if (!check && c->n == CHECKS_MAX) {
        c->overflow = true;
        return;
    }
    if (!check)
        check = &c->list[c->n++];
    snprintf(check->name, sizeof(check->name), "%s", name);
    check->result = result;
    va_start(ap, fmt);
    vsnprintf(check->detail, sizeof(check->detail), fmt, ap);
    va_end(ap);
}

void checks_add_rc(struct checks *c, const char *name, int rc, const char *detail, const struct err *err)
{
    char text[ERR_TEXT_MAX];
    if (rc == 0)
        checks_add(c, name, CHECK_OK, "%s", detail);
    else
        checks_add(c, name, CHECK_FAILED, "%.300s", err_text(err, text, sizeof(text)));
}

void checks_warn(struct checks *c, const char *fmt, ...)
{
    va_list ap;
    if (c->warnings_n == WARNINGS_MAX)
        return;
    char *text = c->warnings[c->warnings_n];
    va_start(ap, fmt);
    vsnprintf(text, CHECK_DETAIL_MAX, fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < c->warnings_n; i++)
        if (!strcmp(c->warnings[i], text))
            return;
    c->warnings_n++;
}

const struct check *checks_find(const struct checks *c, const char *name)
{
    size_t i = find(c, name);
    return i < c->n ? &c->list[i] : NULL;
}

bool checks_hold(const struct checks *c, const char *name)
{
    const struct check *check = checks_find(c, name);
    return check && check->result == CHECK_OK;
}

const struct check *checks_first_failed(const struct checks *c)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->list[i].result == CHECK_FAILED)
            return &c->list[i];
    return NULL;
}

bool checks_all_hold(const struct checks *c)
{
    return c->n > 0 && !c->overflow && !checks_first_failed(c);
}

json_t *checks_json(const struct checks *c)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < c->n; i++) {
        const struct check *check = &c->list[i];
        json_t *ok =
            check->result == CHECK_NOT_APPLICABLE ? json_null() : json_boolean(check->result == CHECK_OK);
        json_t *item = json_pack("{s:s, s:o, s:o}", "check", check->name, "ok", ok, "detail",
                                 json_text(bytes_str(check->detail)));
        if (json_array_append_new(array, item) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

json_t *checks_warnings_json(const struct checks *c)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < c->warnings_n; i++) {
        if (json_array_append_new(array, json_text(bytes_str(c->warnings[i]))) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}
