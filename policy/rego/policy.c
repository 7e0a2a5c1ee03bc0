/* Loading: parse, check, compile. */
#include "policy/rego/policy.h"

#include "base/auto.h"
#include "policy/rego/compile.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* Trees and operations of the largest text that is read. */
#define COMPILE_MEMORY_MAX ((size_t)128 << 20)

struct loading {
    const struct rego_source *sources;
    size_t n;
    const struct rego_options *options;
    struct rego *out;
    struct arena *scratch; /* trees; what the program keeps is in out->arena */
    struct rego_place *place;
    struct err *err;
};

static bool is_name(const struct value *v, const char *name)
{
    return v->n == strlen(name) && memcmp(v->text, name, v->n) == 0;
}

static bool is_like(const struct value *v, const char *name)
{
    return v->n == strlen(name) && strncasecmp(v->text, name, v->n) == 0;
}

/* The rules with a meaning of their own. */
static void find_roles(struct compiler *c)
{
    struct rego *out = c->out;
    const struct doc *pack = c->package[0];
    for (uint32_t i = 0; i < pack->child.n; i++) {
        const struct doc *d = pack->child.item[i];
        const struct value *name = d->name;
        if (d->rule == NONE)
            continue;
        uint32_t at = c->place[c->rule[d->rule].place].at;
        bool role = is_name(name, "match") || is_name(name, "export") || is_like(name, "exportonmatch");
        if (role && c->rule[d->rule].kind == RULE_FUNCTION)
            compile_fail(c, at, "%.*s must be a rule, not a function", (int)name->n, name->text);
        if (is_name(name, "match"))
            out->match = d->rule;
        else if (is_name(name, "export"))
            out->export = d->rule;
        else if (is_like(name, "exportonmatch") && out->export_on_match != NONE)
            compile_fail(c, at, "exportOnMatch is there in two spellings");
        else if (is_like(name, "exportonmatch"))
            out->export_on_match = d->rule;
        else if (is_like(name, "match") || is_like(name, "export"))
            compile_warn(c, "rule %.*s is an ordinary rule: only the spelling %s has a meaning", (int)name->n,
                         name->text, is_like(name, "match") ? "match" : "export");
    }
}

static void warn_if_nothing_decides(struct compiler *c)
{
    uint32_t complete = 0;
    for (uint32_t i = 0; i < c->out->n_rule; i++)
        complete += c->rule[i].kind == RULE_COMPLETE && i != c->out->export && i != c->out->export_on_match;
    if (c->out->match == NONE && !complete)
        compile_warn(c, "there is no match rule, no boolean rule and no condition: the policy never matches");
    if (c->out->match != NONE && c->out->n_condition)
        compile_warn(c, "conditions outside of rules do not count where there is a match rule");
}

static void compile_conditions(struct compiler *c)
{
    uint32_t *list = arena_alloc(c->arena, (c->m->n_condition + 1) * sizeof(*list));
    for (uint32_t i = 0; i < c->m->n_condition; i++)
        list[i] = compile_condition(c, c->m->condition[i]);
    c->out->condition = list;
    c->out->n_condition = c->m->n_condition;
}

static struct module *try_parse(struct loading *l, const struct source *s, const struct parse_options *o)
{
    struct arena *a = s->arena;
    jmp_buf outer;
    memcpy(&outer, &a->escape, sizeof(outer));
    struct module *m = NULL;
    (void)l;
    if (setjmp(a->escape) == 0)
        m = parse_module(s, o);
    memcpy(&a->escape, &outer, sizeof(outer));
    return m;
}

/* A module without imports may be in either dialect in query mode: the old one first, as OPA took it for
 * years. */
static struct module *parse_either(struct loading *l, const struct source *s)
{
    const struct parse_options old = { 0 }, new = { .assume_v1 = true };
    struct rego_place place = *l->place;
    struct err first = { 0 };
    struct module *m = try_parse(l, s, &old);
    if (m)
        return m;
    first = *l->err;
    struct rego_place at = *l->place;
    m = try_parse(l, s, &new);
    if (!m) {
        bool further =
            l->place->line > at.line || (l->place->line == at.line && l->place->column > at.column);
        if (!further) {
            *l->err = first;
            *l->place = at;
        }
        longjmp(s->arena->escape, 1);
    }
    *l->place = place;
    return m;
}

static struct module *parse_source(struct loading *l, size_t i, struct source *s)
{
    bool policy = l->options->mode == REGO_POLICY;
    size_t max = policy ? REGO_POLICY_TEXT_MAX : REGO_MODULE_TEXT_MAX;
    const struct parse_options o = { .strict = l->options->strict, .conditions = true };
    const struct rego_source *from = &l->sources[i];
    if (from->text.n > max)
        arena_fail(&l->out->arena, ERR_TOO_LARGE, "a policy of %zu bytes, at most %zu are read", from->text.n,
                   max);
    l->place->source = i;
    s->name = from->name ? arena_copy(s->arena, from->name, strlen(from->name)) : NULL;
    s->text = bytes_of(arena_copy(s->arena, from->text.p, from->text.n), from->text.n);
    return policy ? parse_module(s, &o) : parse_either(l, s);
}

static void new_edges(struct compiler *c, uint32_t extra)
{
    uint32_t n = c->out->n_rule + extra;
    c->edge = arena_zero(c->arena, n + 1, sizeof(*c->edge));
    c->n_edge = arena_zero(c->arena, n + 1, sizeof(*c->n_edge));
    c->cap_edge = arena_zero(c->arena, n + 1, sizeof(*c->cap_edge));
}

static void compile_the_query(struct compiler *c, const char *query)
{
    c->module_now = c->n_module;
    c->source.text = bytes_of(arena_copy(c->arena, query, strlen(query)), strlen(query));
    c->source.name = "the query";
    struct module *m = arena_zero(c->arena, 1, sizeof(*m));
    m->text = c->source.text;
    m->name = c->source.name;
    c->module[c->n_module] = m;
    c->package[c->n_module] = c->root;
    c->imports[c->n_module] = names_new(c->arena);
    struct node *node = parse_query(&c->source);
    c->out->query = compile_query(c, node);
}

static void finish(struct compiler *c)
{
    struct rego *out = c->out;
    out->op = c->op;
    out->constant = (const struct value *const *)c->constant;
    out->list = c->list ? c->list : arena_zero(c->arena, 1, sizeof(*c->list));
    out->rule = c->rule;
    out->def = c->def;
    out->doc = c->doc;
    out->place = c->place;
    out->module = c->module;
    out->n_module = c->n_module;
    out->warning = c->warning;
}

static void load(struct loading *l)
{
    bool policy = l->options->mode == REGO_POLICY;
    struct arena *a = &l->out->arena;
    struct compiler c = { .arena = a, .out = l->out, .policy_mode = policy, .strict = l->options->strict };
    c.source = (struct source){ .arena = a, .line = &l->place->line, .column = &l->place->column };
    c.constants = names_new(a);
    c.n_module = (uint32_t)l->n;
    c.module = arena_zero(a, l->n + 1, sizeof(*c.module));
    uint32_t conditions = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct source s = c.source;
        c.module[i] = parse_source(l, i, &s);
        conditions += c.module[i]->n_condition;
    }
    modules_collect(&c);
    new_edges(&c, conditions + 1);
    compile_rules(&c);
    if (policy) {
        c.module_now = 0;
        c.m = c.module[0];
        c.source.text = c.m->text;
        compile_conditions(&c);
        find_roles(&c);
        warn_if_nothing_decides(&c);
    } else {
        compile_the_query(&c, l->options->query);
    }
    check_recursion(&c);
    finish(&c);
}

/* The only place that failures of loading come back to. */
static int guarded_load(struct loading *l)
{
    if (setjmp(l->out->arena.escape))
        return -1;
    load(l);
    return 0;
}

int rego_compile(const struct rego_source *sources, size_t n, const struct rego_options *options,
                 struct rego **out, struct rego_place *place, struct err *err)
{
    struct rego_place unused = { 0 };
    struct err spare = { 0 };
    AUTO(rego_drop) struct rego *p = calloc(1, sizeof(*p));
    if (!p)
        return err_set(err, ERR_IO, 0, "out of memory");
    struct loading l = { sources, n, options, p, NULL, place ? place : &unused, err ? err : &spare };
    if (options->mode == REGO_POLICY ? n != 1 : !options->query || n > UINT16_MAX)
        return err_set(err, ERR_INPUT, 0, "%s",
                       options->mode == REGO_POLICY ? "one text is one policy" : "a query is needed");
    *l.place = (struct rego_place){ 0 };
    arena_init(&p->arena, "compiling the policy", COMPILE_MEMORY_MAX, l.err);
    p->policy_mode = options->mode == REGO_POLICY;
    p->match = p->export = p->export_on_match = p->query = NONE;
    if (guarded_load(&l) < 0) {
        return -1;
    }
    p->arena.err = NULL;
    *out = MOVE(p);
    return 0;
}

void rego_free(struct rego *policy)
{
    if (!policy)
        return;
    arena_done(&policy->arena);
    free(policy);
}

const char *rego_warning(const struct rego *policy, size_t i)
{
    return i < policy->n_warning ? policy->warning[i] : NULL;
}

size_t rego_size(const struct rego *policy)
{
    return sizeof(*policy) + policy->arena.reserved;
}

void rego_put_place(struct buf *out, struct bytes text, const struct rego_place *place)
{
    size_t start = 0, end;
    for (uint32_t line = 1; line < place->line && start < text.n; start++)
        line += text.p[start] == '\n';
    for (end = start; end < text.n && text.p[end] != '\n' && text.p[end] != '\r'; end++)
        ;
    if (!place->line || end - start > 500)
        return;
    for (size_t i = start; i < end; i++)
        buf_u8(out, text.p[i] < 0x20 || text.p[i] == 0x7F ? ' ' : text.p[i]);
    buf_u8(out, '\n');
    buf_fill(out, ' ', place->column - 1);
    buf_str(out, "^\n");
}
