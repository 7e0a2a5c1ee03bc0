/* Variables in values, as the Compose Specification's "Interpolation" has them. They come from .env only: the
 * agent's own environment is nobody's business, and would not be measured. */
#include "base/auto.h"
#include "workload/compose_reader.h"

#define NESTING_MAX 8

struct replace {
    struct compose_reader *r;
    struct compose_at at;
    const char *p;
    unsigned skip; /* above 0: in a word that does not count: nothing is put, missing or warned of */
};

static bool name_byte(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static struct bytes take_name(struct replace *s)
{
    const char *from = s->p;
    while (name_byte(*s->p, s->p == from))
        s->p++;
    return bytes_of(from, (size_t)(s->p - from));
}

static void put(struct replace *s, struct bytes text)
{
    if (s->skip)
        return;
    buf_put(&s->r->scratch, text);
    if (s->r->scratch.failed || s->r->scratch.n > COMPOSE_SCALAR_MAX)
        compose_fail(s->r, s->at, "variables make a string of more than %u bytes", COMPOSE_SCALAR_MAX);
}

static void put_variable(struct replace *s, struct bytes name)
{
    const char *value = compose_variable(s->r, (const char *)name.p, name.n);
    if (value)
        put(s, bytes_str(value));
    else if (!s->skip)
        compose_warn(s->r, s->at, "${%.*s} is not set in .env: an empty string stands for it", (int)name.n,
                     (const char *)name.p);
}

static void one(struct replace *s, unsigned depth);

/* Up to the closing brace. */
static void word(struct replace *s, unsigned depth, bool counts)
{
    s->skip += !counts;
    while (*s->p && *s->p != '}') {
        if (*s->p == '$')
            one(s, depth + 1);
        else
            put(s, bytes_of(s->p++, 1));
    }
    s->skip -= !counts;
}

/* What the word of :? says stands at the end of the scratch buffer. */
__attribute__((noreturn)) static void missing(struct replace *s, struct bytes name, size_t from)
{
    const struct buf *text = &s->r->scratch;
    struct bytes why = from < text->n ? bytes_of(text->p + from, text->n - from) : bytes_of(NULL, 0);
    compose_fail(s->r, s->at, "${%.*s} is not set in .env: %.*s", (int)name.n, (const char *)name.p,
                 (int)(why.n > 160 ? 160 : why.n), (const char *)why.p);
}

/* ${NAME...}, at the byte after the brace. */
static void braces(struct replace *s, unsigned depth)
{
    struct bytes name = take_name(s);
    size_t before = s->r->scratch.n;
    if (!name.n)
        compose_fail(s->r, s->at, "${ wants the name of a variable; write $$ for a dollar");
    const char *value = compose_variable(s->r, (const char *)name.p, name.n);
    bool colon = *s->p == ':';
    if (colon)
        s->p++;
    char op = *s->p;
    bool there = value && (!colon || *value);
    if (op == '}' && !colon) {
        put_variable(s, name);
    } else if (op == '-' || op == '+' || op == '?') {
        s->p++;
        word(s, depth, op == '+' ? there : !there);
        if (op != '+' && there)
            put(s, bytes_str(value));
        if (op == '?' && !there && *s->p == '}' && !s->skip)
            missing(s, name, before);
    } else if (op) {
        compose_fail(s->r, s->at, "${%.*s: want }, or one of :- - :? ? :+ + after the name", (int)name.n,
                     (const char *)name.p);
    }
    if (*s->p != '}')
        compose_fail(s->r, s->at, "${%.*s is not closed: } is missing", (int)name.n, (const char *)name.p);
    s->p++;
}

/* At a dollar. */
static void one(struct replace *s, unsigned depth)
{
    s->p++;
    if (depth == NESTING_MAX)
        compose_fail(s->r, s->at, "variables nested deeper than %u levels", NESTING_MAX);
    if (*s->p == '$') {
        put(s, bytes_of(s->p++, 1));
    } else if (*s->p == '{') {
        s->p++;
        braces(s, depth);
    } else if (name_byte(*s->p, true)) {
        put_variable(s, take_name(s));
    } else {
        compose_fail(s->r, s->at, "a dollar without a name: write $$ for a dollar");
    }
}

const char *compose_interpolate(struct compose_reader *r, const char *text, struct compose_at at)
{
    struct replace s = { .r = r, .at = at, .p = text };
    if (!strchr(text, '$'))
        return text;
    r->scratch.n = 0;
    while (*s.p) {
        size_t plain = strcspn(s.p, "$");
        put(&s, bytes_of(s.p, plain));
        s.p += plain;
        if (*s.p)
            one(&s, 0);
    }
    return compose_copy(r, buf_bytes(&r->scratch));
}

const char *compose_variable(const struct compose_reader *r, const char *name, size_t n)
{
    for (size_t i = r->local ? r->local->n : 0; i-- > 0;) {
        const struct compose_pair *pair = &r->local->item[i];
        if (!strncmp(pair->key, name, n) && !pair->key[n])
            return pair->value;
    }
    size_t low = 0, high = r->vars.n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const char *key = r->vars.item[middle].key;
        int order = strncmp(key, name, n);
        if (order == 0 && key[n])
            order = 1;
        if (order == 0)
            return r->vars.item[middle].value;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}
