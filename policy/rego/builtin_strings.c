/* Strings. Offsets and lengths count code points. */
#include "base/auto.h"
#include "policy/rego/builtin.h"
#include "policy/rego/number.h"
#include "policy/rego/regex.h"
#include "policy/rego/sprintf.h"
#include "policy/rego/text.h"

#include <locale.h>
#include <stdlib.h>
#include <wctype.h>

static const struct value *view(struct call *c, const char *p, size_t n)
{
    return value_text(c->arena, p, n);
}

/* Offset of the first find in text at or after from, or -1. */
static int64_t find(const struct value *text, const struct value *what, size_t from)
{
    if (from > text->n)
        return -1;
    const char *at = memmem(text->text + from, text->n - from, what->text, what->n);
    return at ? at - text->text : -1;
}

static const struct value *contains(struct call *c, const struct value *const *arg)
{
    (void)c;
    return value_bool(find(arg[0], arg[1], 0) >= 0);
}

static bool starts(const struct value *s, const struct value *with)
{
    return s->n >= with->n && memcmp(s->text, with->text, with->n) == 0;
}

static bool ends(const struct value *s, const struct value *with)
{
    return s->n >= with->n && memcmp(s->text + s->n - with->n, with->text, with->n) == 0;
}

static const struct value *startswith(struct call *c, const struct value *const *arg)
{
    (void)c;
    return value_bool(starts(arg[0], arg[1]));
}

static const struct value *endswith(struct call *c, const struct value *const *arg)
{
    (void)c;
    return value_bool(ends(arg[0], arg[1]));
}

static const struct value *any_affix(const struct value *const *arg,
                                     bool (*test)(const struct value *, const struct value *))
{
    bool one[] = { arg[0]->type == V_STRING, arg[1]->type == V_STRING };
    for (uint32_t i = 0; i < (one[0] ? 1 : arg[0]->n); i++)
        for (uint32_t k = 0; k < (one[1] ? 1 : arg[1]->n); k++) {
            const struct value *s = one[0]                    ? arg[0]
                                    : arg[0]->type == V_ARRAY ? arg[0]->item[i]
                                                              : arg[0]->table->key[i];
            const struct value *w = one[1]                    ? arg[1]
                                    : arg[1]->type == V_ARRAY ? arg[1]->item[k]
                                                              : arg[1]->table->key[k];
            if (s->type != V_STRING || w->type != V_STRING)
                return NULL;
            if (test(s, w))
                return &value_true;
        }
    return &value_false;
}

static const struct value *any_prefix(struct call *c, const struct value *const *arg)
{
    c->cost += (uint64_t)arg[0]->n * arg[1]->n / 8;
    return any_affix(arg, starts);
}

static const struct value *any_suffix(struct call *c, const struct value *const *arg)
{
    c->cost += (uint64_t)arg[0]->n * arg[1]->n / 8;
    return any_affix(arg, ends);
}

static const struct value *indexof(struct call *c, const struct value *const *arg)
{
    int64_t at = arg[1]->n ? find(arg[0], arg[1], 0) : -1;
    if (arg[1]->n == 0)
        return NULL;
    return value_int(c->arena, at < 0 ? -1 : (int64_t)text_utf8_count(bytes_of(arg[0]->text, (size_t)at)));
}

static const struct value *indexof_n(struct call *c, const struct value *const *arg)
{
    struct items list = { .arena = c->arena };
    size_t last = 0;
    int64_t runes = 0;
    if (arg[1]->n == 0)
        return NULL;
    for (int64_t at = find(arg[0], arg[1], 0); at >= 0; at = find(arg[0], arg[1], last + 1)) {
        runes += (int64_t)text_utf8_count(bytes_of(arg[0]->text + last, (size_t)at - last));
        items_add(&list, value_int(c->arena, runes));
        last = (size_t)at;
    }
    return items_value(&list);
}

/* Case of other letters than a to z: by the tables of the C library, whatever the process's locale is. */
static const struct value *change_case(struct call *c, const struct value *s, bool up)
{
    char *out = arena_alloc(c->arena, 2 * (size_t)s->n + 4);
    locale_t all = (locale_t)0;
    size_t n = 0;
    for (size_t i = 0; i < s->n;) {
        uint32_t r = (uint8_t)s->text[i];
        size_t len = 1;
        if (r < 0x80) {
            out[n++] = (char)(up ? (r >= 'a' && r <= 'z' ? r - 32 : r) : (r >= 'A' && r <= 'Z' ? r + 32 : r));
        } else {
            len = text_utf8_get(s->text + i, s->n - i, &r);
            if (!all && !(all = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0)))
                return NULL;
            if (len > 1)
                n += text_utf8_put((uint32_t)(up ? towupper_l(r, all) : towlower_l(r, all)), out + n);
            else
                out[n++] = s->text[i];
        }
        i += len;
    }
    if (all)
        freelocale(all);
    return view(c, out, n);
}

static const struct value *lower(struct call *c, const struct value *const *arg)
{
    return change_case(c, arg[0], false);
}

static const struct value *upper(struct call *c, const struct value *const *arg)
{
    return change_case(c, arg[0], true);
}

static const struct value *concat(struct call *c, const struct value *const *arg)
{
    struct arena_text out = { .arena = c->arena };
    for (uint32_t i = 0; i < arg[1]->n; i++) {
        const struct value *s = arg[1]->type == V_ARRAY ? arg[1]->item[i] : arg[1]->table->key[i];
        if (s->type != V_STRING)
            return NULL;
        if (i)
            arena_text_put(&out, arg[0]->text, arg[0]->n);
        arena_text_put(&out, s->text, s->n);
    }
    return view(c, out.n ? out.p : "", out.n);
}

static const struct value *replaced(struct call *c, const struct value *s, const struct value *old,
                                    const struct value *new)
{
    struct arena_text out = { .arena = c->arena };
    size_t at = 0;
    if (old->n == 0) { /* before every code point, and at the end */
        for (size_t len; at < s->n; at += len) {
            uint32_t r;
            len = text_utf8_get(s->text + at, s->n - at, &r);
            arena_text_put(&out, new->text, new->n);
            arena_text_put(&out, s->text + at, len);
        }
        arena_text_put(&out, new->text, new->n);
        return view(c, out.n ? out.p : "", out.n);
    }
    for (int64_t hit = find(s, old, 0); hit >= 0; hit = find(s, old, at)) {
        arena_text_put(&out, s->text + at, (size_t)hit - at);
        arena_text_put(&out, new->text, new->n);
        at = (size_t)hit + old->n;
    }
    arena_text_put(&out, s->text + at, s->n - at);
    return view(c, out.n ? out.p : "", out.n);
}

static const struct value *replace(struct call *c, const struct value *const *arg)
{
    return replaced(c, arg[0], arg[1], arg[2]);
}

/* At each place the first pattern, in the order of keys, that fits. */
static const struct value *replace_n(struct call *c, const struct value *const *arg)
{
    const struct value *map = arg[0], *s = arg[1];
    struct arena_text out = { .arena = c->arena };
    value_sort(map);
    for (uint32_t k = 0; k < map->n; k++)
        if (map->table->key[k]->type != V_STRING || map->table->val[k]->type != V_STRING
            || !map->table->key[k]->n)
            return NULL;
    c->cost += (uint64_t)map->n * s->n;
    for (size_t at = 0; at < s->n;) {
        const struct value rest = { .type = V_STRING, .text = s->text + at, .n = s->n - (uint32_t)at };
        uint32_t k = 0;
        while (k < map->n && !starts(&rest, map->table->key[k]))
            k++;
        if (k < map->n)
            arena_text_put(&out, map->table->val[k]->text, map->table->val[k]->n);
        else
            arena_text_put(&out, s->text + at, 1);
        at += k < map->n ? map->table->key[k]->n : 1;
    }
    return view(c, out.n ? out.p : "", out.n);
}

static const struct value *split(struct call *c, const struct value *const *arg)
{
    const struct value *s = arg[0], *by = arg[1];
    struct items list = { .arena = c->arena };
    size_t at = 0;
    for (size_t len; by->n == 0 && at < s->n; at += len) {
        uint32_t r;
        len = text_utf8_get(s->text + at, s->n - at, &r);
        items_add(&list, view(c, s->text + at, len));
    }
    if (by->n == 0)
        return items_value(&list);
    for (int64_t hit = find(s, by, 0); hit >= 0; hit = find(s, by, at)) {
        items_add(&list, view(c, s->text + at, (size_t)hit - at));
        at = (size_t)hit + by->n;
    }
    items_add(&list, view(c, s->text + at, s->n - at));
    return items_value(&list);
}

static const struct value *substring(struct call *c, const struct value *const *arg)
{
    const struct value *s = arg[0];
    size_t from = 0, to;
    if (!arg[1]->small || !arg[2]->small || arg[1]->i < 0)
        return NULL;
    for (int64_t i = 0; i < arg[1]->i && from < s->n; i++) {
        uint32_t r;
        from += text_utf8_get(s->text + from, s->n - from, &r);
    }
    to = arg[2]->i < 0 ? s->n : from;
    for (int64_t i = 0; i < arg[2]->i && to < s->n; i++) {
        uint32_t r;
        to += text_utf8_get(s->text + to, s->n - to, &r);
    }
    return view(c, s->text + from, to - from);
}

static bool in_cutset(const char *p, size_t len, const struct value *set)
{
    size_t l;
    for (size_t i = 0; i < set->n; i += l) {
        uint32_t r;
        l = text_utf8_get(set->text + i, set->n - i, &r);
        if (l == len && memcmp(set->text + i, p, len) == 0)
            return true;
    }
    return false;
}

static const struct value *trimmed(struct call *c, const struct value *s, const struct value *set, bool left,
                                   bool right)
{
    size_t from = 0, to = s->n;
    c->cost += s->n / 8 * ((uint64_t)set->n / 4 + 1);
    while (left && from < to) {
        uint32_t r;
        size_t len = text_utf8_get(s->text + from, to - from, &r);
        if (!in_cutset(s->text + from, len, set))
            break;
        from += len;
    }
    while (right && from < to) {
        size_t at = to - 1;
        while (at > from && ((uint8_t)s->text[at] & 0xC0) == 0x80)
            at--;
        if (!in_cutset(s->text + at, to - at, set))
            break;
        to = at;
    }
    return view(c, s->text + from, to - from);
}

static const struct value *trim(struct call *c, const struct value *const *arg)
{
    return trimmed(c, arg[0], arg[1], true, true);
}

static const struct value *trim_left(struct call *c, const struct value *const *arg)
{
    return trimmed(c, arg[0], arg[1], true, false);
}

static const struct value *trim_right(struct call *c, const struct value *const *arg)
{
    return trimmed(c, arg[0], arg[1], false, true);
}

static const struct value *trim_space(struct call *c, const struct value *const *arg)
{
    static const char space[] =
        "\t\n\v\f\r \xC2\x85\xC2\xA0\xE1\x9A\x80\xE2\x80\x80\xE2\x80\x81\xE2\x80\x82\xE2\x80\x83"
        "\xE2\x80\x84\xE2\x80\x85\xE2\x80\x86\xE2\x80\x87\xE2\x80\x88\xE2\x80\x89\xE2\x80\x8A"
        "\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAF\xE2\x81\x9F\xE3\x80\x80";
    const struct value set = { .type = V_STRING, .text = space, .n = sizeof(space) - 1 };
    return trimmed(c, arg[0], &set, true, true);
}

static const struct value *trim_prefix(struct call *c, const struct value *const *arg)
{
    return starts(arg[0], arg[1]) ? view(c, arg[0]->text + arg[1]->n, arg[0]->n - arg[1]->n) : arg[0];
}

static const struct value *trim_suffix(struct call *c, const struct value *const *arg)
{
    return ends(arg[0], arg[1]) ? view(c, arg[0]->text, arg[0]->n - arg[1]->n) : arg[0];
}

static const struct value *reverse(struct call *c, const struct value *const *arg)
{
    char *out = arena_alloc(c->arena, (size_t)arg[0]->n + 1);
    size_t len;
    for (size_t i = 0; i < arg[0]->n; i += len) {
        uint32_t r;
        len = text_utf8_get(arg[0]->text + i, arg[0]->n - i, &r);
        memcpy(out + arg[0]->n - i - len, arg[0]->text + i, len);
    }
    return view(c, out, arg[0]->n);
}

static const struct value *count_of(struct call *c, const struct value *const *arg)
{
    int64_t n = 0;
    if (arg[1]->n == 0)
        return value_int(c->arena, (int64_t)text_utf8_count(value_bytes(arg[0])) + 1);
    for (int64_t at = find(arg[0], arg[1], 0); at >= 0; at = find(arg[0], arg[1], (size_t)at + arg[1]->n))
        n++;
    return value_int(c->arena, n);
}

static const struct value *format_int(struct call *c, const struct value *const *arg)
{
    char text[80];
    size_t at = sizeof(text);
    const struct value *v =
        number_round(c->arena, arg[0], arg[0]->small || !arg[0]->dec->neg ? ROUND_FLOOR : ROUND_CEIL);
    int64_t base = arg[1]->small ? arg[1]->i : 0;
    if (!v->small || (base != 2 && base != 8 && base != 10 && base != 16))
        return NULL;
    uint64_t u = v->i < 0 ? 0 - (uint64_t)v->i : (uint64_t)v->i;
    do
        text[--at] = "0123456789abcdef"[u % (uint64_t)base];
    while (u /= (uint64_t)base);
    if (v->i < 0)
        text[--at] = '-';
    return value_string(c->arena, bytes_of(text + at, sizeof(text) - at));
}

/* A pattern is compiled once an evaluation. */
static const struct regex *compiled(struct call *c, const struct value *pattern)
{
    struct regex *r = names_get(c->regexes, pattern);
    if (!r) {
        c->cost += pattern->n;
        r = regex_compile(c->arena, value_bytes(pattern));
        names_put(c->regexes, pattern, r);
    }
    return r;
}

static const struct value *regex_matches(struct call *c, const struct value *const *arg)
{
    const struct regex *r = compiled(c, arg[0]);
    if (!regex_ok(r))
        return NULL;
    c->cost += regex_cost(r, arg[1]->n);
    return value_bool(regex_find(r, value_bytes(arg[1]), c->arena));
}

static const struct value *regex_is_valid(struct call *c, const struct value *const *arg)
{
    return value_bool(arg[0]->type == V_STRING && regex_ok(compiled(c, arg[0])));
}

static const struct value *sprintf_of(struct call *c, const struct value *const *arg)
{
    return rego_sprintf(c->arena, c->scratch, value_bytes(arg[0]), arg[1]);
}

#define S2                                                                                                   \
    {                                                                                                        \
        A_STRING, A_STRING                                                                                   \
    }
const struct builtin builtins_strings[] = {
    { "contains", 2, false, S2, contains },
    { "startswith", 2, false, S2, startswith },
    { "endswith", 2, false, S2, endswith },
    { "strings.any_prefix_match", 2, false, { A_STRING | A_LIST, A_STRING | A_LIST }, any_prefix },
    { "strings.any_suffix_match", 2, false, { A_STRING | A_LIST, A_STRING | A_LIST }, any_suffix },
    { "indexof", 2, false, S2, indexof },
    { "indexof_n", 2, false, S2, indexof_n },
    { "lower", 1, false, { A_STRING }, lower },
    { "upper", 1, false, { A_STRING }, upper },
    { "concat", 2, false, { A_STRING, A_LIST }, concat },
    { "replace", 3, false, { A_STRING, A_STRING, A_STRING }, replace },
    { "strings.replace_n", 2, false, { A_OBJECT, A_STRING }, replace_n },
    { "split", 2, false, S2, split },
    { "substring", 3, false, { A_STRING, A_NUMBER, A_NUMBER }, substring },
    { "trim", 2, false, S2, trim },
    { "trim_left", 2, false, S2, trim_left },
    { "trim_right", 2, false, S2, trim_right },
    { "trim_space", 1, false, { A_STRING }, trim_space },
    { "trim_prefix", 2, false, S2, trim_prefix },
    { "trim_suffix", 2, false, S2, trim_suffix },
    { "strings.reverse", 1, false, { A_STRING }, reverse },
    { "strings.count", 2, false, S2, count_of },
    { "format_int", 2, false, { A_NUMBER, A_NUMBER }, format_int },
    { "sprintf", 2, false, { A_STRING, A_ARRAY }, sprintf_of },
    { "regex.match", 2, false, S2, regex_matches },
    { "re_match", 2, false, S2, regex_matches },
    { "regex.is_valid", 1, false, { A_ANY }, regex_is_valid },
};
const uint32_t builtins_strings_n = ARRAY_SIZE(builtins_strings);
