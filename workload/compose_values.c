/* The kinds of values that members of a compose file have. */
#include "base/auto.h"
#include "workload/compose_reader.h"
#include "workload/path.h"

#include <limits.h>

static const char *kind_name(const struct yaml_node *v)
{
    return v->kind == YAML_MAP ? "a mapping" : v->kind == YAML_LIST ? "a list" : "a string";
}

bool yaml_is_null(const struct yaml_node *v)
{
    return v->kind == YAML_TEXT && v->plain
           && (!*v->text || !strcmp(v->text, "~") || !strcmp(v->text, "null") || !strcmp(v->text, "Null")
               || !strcmp(v->text, "NULL"));
}

bool yaml_is_extension(const char *key)
{
    return !strncmp(key, "x-", 2);
}

const struct yaml_node *yaml_member(const struct yaml_node *map, const char *key)
{
    for (size_t i = 0; i < map->n; i++) {
        if (!strcmp(map->pair[i].key, key))
            return map->pair[i].value;
    }
    return NULL;
}

/* Any scalar but null; may be empty when quoted. */
static const char *scalar(struct compose_reader *r, const struct yaml_node *v, const char *what)
{
    if (v->kind != YAML_TEXT)
        compose_fail(r, v->at, "%s: want a string, not %s", what, kind_name(v));
    if (yaml_is_null(v))
        compose_fail(r, v->at, "%s: a value is missing", what);
    return v->text;
}

const char *yaml_text(struct compose_reader *r, const struct yaml_node *v, const char *what)
{
    const char *text = scalar(r, v, what);
    if (!*text)
        compose_fail(r, v->at, "%s: a value is missing", what);
    return text;
}

bool yaml_bool(struct compose_reader *r, const struct yaml_node *v, const char *what)
{
    const char *text = yaml_text(r, v, what);
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        compose_fail(r, v->at, "%s: want true or false, not \"%.40s\"", what, text);
    return *text == 't';
}

int64_t yaml_number(struct compose_reader *r, const struct yaml_node *v, const char *what, int64_t min,
                    int64_t max)
{
    const char *text = yaml_text(r, v, what);
    const char *digits = text + (*text == '-');
    size_t n = strspn(digits, "0123456789");
    long long value = n && n <= 18 && !digits[n] ? strtoll(text, NULL, 10) : LLONG_MIN;
    if (value < min || value > max)
        compose_fail(r, v->at, "%s: \"%.40s\": want a whole number from %" PRId64 " to %" PRId64, what, text,
                     min, max);
    return value;
}

int64_t yaml_octal(struct compose_reader *r, const struct yaml_node *v, const char *what)
{
    const char *text = yaml_text(r, v, what);
    const char *digits = text + (!strncmp(text, "0o", 2) ? 2 : 0);
    size_t n = strspn(digits, "01234567");
    if (n == 0 || n > 5 || digits[n] || (digits == text && *text != '0'))
        compose_fail(r, v->at, "%s: \"%.40s\": want permission bits in octal, as 0440", what, text);
    int64_t mode = strtoll(digits, NULL, 8);
    if (mode > 01777)
        compose_fail(r, v->at, "%s: \"%.40s\": want permission bits, no set-id bits", what, text);
    return mode;
}

struct unit {
    const char *name;
    int64_t factor;
};

/* A number, maybe with a fraction, times a unit; *text moves on. @return -1: none, or too large */
static int64_t scaled(const char **text, const struct unit *units, size_t n)
{
    const char *p = *text;
    int64_t whole = 0, fraction = 0, scale = 1;
    size_t digits = strspn(p, "0123456789"), length;
    if (digits == 0 || digits > 15)
        return -1;
    whole = strtoll(p, NULL, 10);
    p += digits;
    if (*p == '.') {
        size_t places = strspn(++p, "0123456789");
        if (places == 0 || places > 9)
            return -1;
        fraction = strtoll(p, NULL, 10);
        for (size_t i = 0; i < places; i++)
            scale *= 10;
        p += places;
    }
    length = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");
    for (size_t i = 0; i < n; i++) {
        if (strlen(units[i].name) != length || strncasecmp(units[i].name, p, length) != 0)
            continue;
        if (whole > INT64_MAX / 4 / units[i].factor)
            return -1;
        *text = p + length;
        return whole * units[i].factor + (int64_t)((__int128)fraction * units[i].factor / scale);
    }
    return -1;
}

int64_t yaml_duration(struct compose_reader *r, const struct yaml_node *v, const char *what)
{
    static const struct unit units[] = { { "ns", 1 },         { "us", 1000 },       { "ms", 1000000 },
                                         { "s", 1000000000 }, { "m", 60000000000 }, { "h", 3600000000000 } };
    const char *text = yaml_text(r, v, what), *p = text;
    int64_t sum = 0;
    while (*p) {
        int64_t part = scaled(&p, units, ARRAY_SIZE(units));
        if (part < 0 || part > INT64_MAX / 4 - sum)
            compose_fail(r, v->at, "%s: \"%.40s\": want a time with its unit, as 1m30s", what, text);
        sum += part;
    }
    return sum;
}

int64_t yaml_size(struct compose_reader *r, const struct yaml_node *v, const char *what)
{
    static const struct unit units[] = { { "", 1 },          { "b", 1 },        { "k", 1 << 10 },
                                         { "kb", 1 << 10 },  { "m", 1 << 20 },  { "mb", 1 << 20 },
                                         { "g", 1 << 30 },   { "gb", 1 << 30 }, { "kib", 1 << 10 },
                                         { "mib", 1 << 20 }, { "gib", 1 << 30 } };
    const char *text = yaml_text(r, v, what), *p = text;
    int64_t size = scaled(&p, units, ARRAY_SIZE(units));
    if (size < 0 || *p)
        compose_fail(r, v->at, "%s: \"%.40s\": want a size, as 64m", what, text);
    return size;
}

void yaml_list(struct compose_reader *r, const struct yaml_node *v, const char *what,
               struct compose_list *out)
{
    if (v->kind != YAML_LIST)
        compose_fail(r, v->at, "%s: want a list, not %s", what, kind_name(v));
    *out = (struct compose_list){ .set = true, .at = v->at };
    out->item = compose_take(r, v->n + 1, sizeof(*out->item));
    for (size_t i = 0; i < v->n; i++)
        out->item[out->n++] = (struct compose_text){ scalar(r, v->item[i], what), v->item[i]->at };
}

void yaml_list_or_text(struct compose_reader *r, const struct yaml_node *v, const char *what,
                       struct compose_list *out)
{
    if (v->kind != YAML_TEXT) {
        yaml_list(r, v, what, out);
        return;
    }
    *out = (struct compose_list){ .set = true, .n = 1, .at = v->at };
    out->item = compose_take(r, 1, sizeof(*out->item));
    *out->item = (struct compose_text){ yaml_text(r, v, what), v->at };
}

/* One word at *p into the scratch buffer, by the shell's rules for quotes and backslashes. @return false at
 * the end */
static bool shell_word(struct compose_reader *r, const struct yaml_node *v, const char *what, const char **p)
{
    char quote = 0;
    const char *s = *p + strspn(*p, " \t\r\n");
    r->scratch.n = 0;
    if (!*s)
        return false;
    for (; *s && (quote || !strchr(" \t\r\n", *s)); s++) {
        if (*s == '\\' && quote != '\'') {
            bool taken = s[1] && (!quote || strchr("\\\"$`\n", s[1]));
            if (!s[1])
                compose_fail(r, v->at, "%s: a backslash at the end", what);
            if (s[1] != '\n')
                buf_put(&r->scratch, bytes_of(taken ? s + 1 : s, taken ? 1 : 2));
            s++;
        } else if (quote ? *s == quote : *s == '\'' || *s == '"') {
            quote = quote ? 0 : *s;
        } else {
            buf_u8(&r->scratch, (uint8_t)*s);
        }
    }
    if (quote)
        compose_fail(r, v->at, "%s: a quote is not closed", what);
    *p = s;
    return true;
}

void yaml_words(struct compose_reader *r, const struct yaml_node *v, const char *what,
                struct compose_list *out)
{
    if (v->kind != YAML_TEXT) {
        yaml_list(r, v, what, out);
        return;
    }
    const char *p = scalar(r, v, what);
    size_t cap = 0;
    *out = (struct compose_list){ .set = true, .at = v->at };
    while (shell_word(r, v, what, &p)) {
        if (out->n == COMPOSE_LIST_MAX || r->scratch.failed)
            compose_fail(r, v->at, "%s: more than %u words", what, COMPOSE_LIST_MAX);
        if (out->n == cap) {
            struct compose_text *old = out->item;
            cap = cap ? 2 * cap : 8;
            out->item = compose_take(r, cap, sizeof(*out->item));
            if (out->n)
                memcpy(out->item, old, out->n * sizeof(*out->item));
        }
        out->item[out->n++] = (struct compose_text){ compose_copy(r, buf_bytes(&r->scratch)), v->at };
    }
}

static struct compose_pair split_pair(struct compose_reader *r, const struct yaml_node *v, const char *what,
                                      const char *separators)
{
    const char *text = yaml_text(r, v, what);
    size_t n = strcspn(text, separators);
    if (n == 0)
        compose_fail(r, v->at, "%s: \"%.40s\": a name is missing", what, text);
    if (text[n] && !strcmp(what, "environment") && (text[n - 1] == ' ' || text[n - 1] == '\t'))
        compose_fail(r, v->at, "%s: \"%.40s\": a blank would belong to the name: write NAME=VALUE", what,
                     text);
    return (struct compose_pair){ compose_copy(r, bytes_of(text, n)), text[n] ? text + n + 1 : NULL, v->at };
}

void yaml_pairs(struct compose_reader *r, const struct yaml_node *v, const char *what, const char *separators,
                struct compose_pairs *out)
{
    if (v->kind == YAML_TEXT)
        compose_fail(r, v->at, "%s: want a mapping or a list, not a string", what);
    out->n = 0;
    out->item = compose_take(r, v->n + 1, sizeof(*out->item));
    for (size_t i = 0; i < v->n && v->kind == YAML_LIST; i++)
        out->item[out->n++] = split_pair(r, v->item[i], what, separators);
    for (size_t i = 0; i < v->n && v->kind == YAML_MAP; i++) {
        const struct yaml_pair *pair = &v->pair[i];
        if (!*pair->key || strchr(pair->key, '='))
            compose_fail(r, pair->at, "%s: \"%.40s\" is no name", what, pair->key);
        out->item[out->n++] =
            (struct compose_pair){ pair->key, yaml_is_null(pair->value) ? NULL : scalar(r, pair->value, what),
                                   pair->at };
    }
}

bool yaml_want_map(struct compose_reader *r, const struct yaml_node *v, const char *what, bool null)
{
    if (null && yaml_is_null(v))
        return false;
    if (v->kind != YAML_MAP)
        compose_fail(r, v->at, "%s: want a mapping, not %s", what, kind_name(v));
    return true;
}

const char *yaml_name(struct compose_reader *r, const char *name, struct compose_at at, const char *what)
{
    static const char bytes[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t n = strlen(name);
    if (n == 0 || n > COMPOSE_NAME_MAX || strspn(name, bytes) != n || strchr("_.-", *name))
        compose_fail(r, at, "%s: \"%.70s\": want 1 to %u letters, digits, - _ . and first a letter or digit",
                     what, name, COMPOSE_NAME_MAX);
    return name;
}

const char *yaml_path(struct compose_reader *r, const struct yaml_node *v, const char *what)
{
    char path[PATH_MAX];
    struct err why = { 0 };
    const char *text = yaml_text(r, v, what);
    if (workload_path(text, path, sizeof(path), &why) < 0)
        compose_fail(r, v->at, "%s: refused: gives the container the host: %s", what, why.cause);
    if (!*path)
        compose_fail(r, v->at, "%s: want a file, not the workload directory", what);
    return compose_copy(r, bytes_str(path));
}

void yaml_members(struct compose_reader *r, const struct yaml_node *map, const char *where,
                  const struct member *rows, size_t n, void *target)
{
    for (size_t i = 0; i < map->n; i++) {
        const struct yaml_pair *pair = &map->pair[i];
        const struct member *row = NULL;
        for (size_t k = 0; k < n && !row; k++)
            row = strcmp(rows[k].name, pair->key) ? NULL : &rows[k];
        if (!row && yaml_is_extension(pair->key))
            continue;
        if (!row)
            compose_fail(r, pair->at, "%s%s%.60s: not supported: remove it", where, *where ? "." : "",
                         pair->key);
        if (!row->read)
            compose_fail(r, pair->at, "%s%s%s: %s", where, *where ? "." : "", row->name, row->why_not);
        row->read(r, pair->value, target);
    }
}
