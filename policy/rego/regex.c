#include "policy/rego/regex.h"

#include "policy/rego/regex_parse.h"
#include "policy/rego/text.h"

enum regex_code { X_SET, X_SPLIT, X_JUMP, X_ASSERT, X_MATCH };

struct regex_op {
    uint8_t code, what;
    uint32_t x, y; /* X_SPLIT: both ways; X_JUMP: x */
    const struct regex_range *range;
    uint32_t n;
};

struct regex {
    struct arena *arena; /* while compiling */
    struct regex_op *op;
    uint32_t n, cap;
    uint64_t weight; /* operations, and ranges of their sets */
    bool ok;
};

static uint32_t put(struct regex *r, enum regex_code code)
{
    if (r->n == REGEX_OPS_MAX)
        arena_fail(r->arena, ERR_TOO_LARGE,
                   "regular expression: too large when its repetitions are written out");
    r->op = arena_grow(r->arena, r->op, r->n, &r->cap, sizeof(*r->op));
    r->op[r->n] = (struct regex_op){ .code = (uint8_t)code };
    return r->n++;
}

static void compile(struct regex *r, const struct regex_node *n);

static void compile_repeat(struct regex *r, const struct regex_node *n)
{
    for (int i = 0; i < n->min; i++)
        compile(r, n->item[0]);
    if (n->max < 0) {
        uint32_t split = put(r, X_SPLIT);
        r->op[split].x = split + 1;
        compile(r, n->item[0]);
        uint32_t back = put(r, X_JUMP);
        r->op[back].x = split;
        r->op[split].y = r->n;
        return;
    }
    /* each further one may be left out, with all after it: the last split's end is everyone's */
    uint32_t first = r->n, splits = 0;
    for (int i = n->min; i < n->max; i++, splits++) {
        uint32_t split = put(r, X_SPLIT);
        r->op[split].x = split + 1;
        r->op[split].y = UINT32_MAX;
        compile(r, n->item[0]);
    }
    for (uint32_t i = first; splits && i < r->n; i++)
        if (r->op[i].code == X_SPLIT && r->op[i].y == UINT32_MAX)
            r->op[i].y = r->n;
}

static void compile_alternatives(struct regex *r, const struct regex_node *n)
{
    uint32_t *jump = arena_alloc(r->arena, (n->n + 1) * sizeof(*jump));
    for (uint32_t i = 0; i + 1 < n->n; i++) {
        uint32_t split = put(r, X_SPLIT);
        r->op[split].x = split + 1;
        compile(r, n->item[i]);
        jump[i] = put(r, X_JUMP);
        r->op[split].y = r->n;
    }
    compile(r, n->item[n->n - 1]);
    for (uint32_t i = 0; i + 1 < n->n; i++)
        r->op[jump[i]].x = r->n;
}

static void compile(struct regex *r, const struct regex_node *n)
{
    uint32_t at;
    switch ((enum regex_kind)n->kind) {
    case R_EMPTY:
        break;
    case R_SET:
        at = put(r, X_SET);
        r->op[at].range = n->range;
        r->op[at].n = n->n;
        r->weight += n->n;
        break;
    case R_CAT:
        for (uint32_t i = 0; i < n->n; i++)
            compile(r, n->item[i]);
        break;
    case R_ALT:
        compile_alternatives(r, n);
        break;
    case R_REPEAT:
        compile_repeat(r, n);
        break;
    case R_ASSERT:
        at = put(r, X_ASSERT);
        r->op[at].what = n->what;
        break;
    }
}

struct regex *regex_compile(struct arena *a, struct bytes pattern)
{
    struct regex *r = arena_zero(a, 1, sizeof(*r));
    const struct regex_node *n = text_utf8_check(pattern) == pattern.n ? regex_parse(a, pattern) : NULL;
    r->arena = a;
    if (n) {
        compile(r, n);
        put(r, X_MATCH);
    }
    r->ok = n != NULL;
    return r;
}

bool regex_ok(const struct regex *r)
{
    return r->ok;
}

uint64_t regex_cost(const struct regex *r, size_t n)
{
    return ((uint64_t)n + 1) * (r->n + r->weight) / 4;
}

/* Operations that wait for the next character; each once. */
struct threads {
    uint32_t *list, *mark;
    uint32_t n, generation;
};

struct search {
    const struct regex *r;
    struct bytes text;
    uint32_t *stack;
    bool matched;
};

static bool word_at(struct bytes t, size_t at)
{
    uint8_t c = at < t.n ? t.p[at] : 0;
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || c == '_' || (c >= 'a' && c <= 'z');
}

static bool holds(const struct search *s, uint8_t what, size_t at)
{
    bool word = (at > 0 && word_at(s->text, at - 1)) != word_at(s->text, at);
    switch ((enum regex_assert)what) {
    case AT_TEXT_START:
        return at == 0;
    case AT_TEXT_END:
        return at == s->text.n;
    case AT_LINE_START:
        return at == 0 || s->text.p[at - 1] == '\n';
    case AT_LINE_END:
        return at == s->text.n || s->text.p[at] == '\n';
    case AT_WORD:
        return word;
    case NOT_AT_WORD:
        return !word;
    }
    return false;
}

/* Follows everything that needs no character. */
static void add(struct search *s, struct threads *t, uint32_t pc, size_t at)
{
    uint32_t depth = 0;
    s->stack[depth++] = pc;
    while (depth) {
        pc = s->stack[--depth];
        const struct regex_op *o = &s->r->op[pc];
        if (t->mark[pc] == t->generation)
            continue;
        t->mark[pc] = t->generation;
        if (o->code == X_MATCH) {
            s->matched = true;
            return;
        }
        if (o->code == X_SET) {
            t->list[t->n++] = pc;
        } else if (o->code == X_JUMP) {
            s->stack[depth++] = o->x;
        } else if (o->code == X_SPLIT) {
            s->stack[depth++] = o->y;
            s->stack[depth++] = o->x;
        } else if (holds(s, o->what, at)) {
            s->stack[depth++] = pc + 1;
        }
    }
}

static bool in_set(const struct regex_op *o, uint32_t c)
{
    for (uint32_t i = 0; i < o->n; i++)
        if (c >= o->range[i].from && c <= o->range[i].to)
            return true;
    return false;
}

bool regex_find(const struct regex *r, struct bytes text, struct arena *a)
{
    struct arena_mark mark = arena_mark(a);
    struct search s = { .r = r, .text = text };
    struct threads now = { .generation = 1 }, next = { .generation = 1 };
    now.list = arena_alloc(a, r->n * sizeof(uint32_t));
    now.mark = arena_zero(a, r->n, sizeof(uint32_t));
    next.list = arena_alloc(a, r->n * sizeof(uint32_t));
    next.mark = arena_zero(a, r->n, sizeof(uint32_t));
    s.stack = arena_alloc(a, (2 * (size_t)r->n + 2) * sizeof(uint32_t));
    add(&s, &now, 0, 0);
    for (size_t at = 0; at < text.n && !s.matched;) {
        uint32_t c;
        at += text_utf8_get((const char *)text.p + at, text.n - at, &c);
        next.n = 0;
        next.generation++;
        for (uint32_t i = 0; i < now.n && !s.matched; i++)
            if (in_set(&r->op[now.list[i]], c))
                add(&s, &next, now.list[i] + 1, at);
        if (!s.matched)
            add(&s, &next, 0, at);
        struct threads t = now;
        now = next;
        next = t;
    }
    arena_release(a, mark);
    return s.matched;
}
