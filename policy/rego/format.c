/* The canonical layout of a policy: tabs, one statement apart from the next, comments where they were. */
#include "policy/rego/format.h"
#include "base/auto.h"
#include "policy/rego/parse.h"
#include "policy/rego/policy.h"

#define FORMAT_MEMORY_MAX ((size_t)512 << 20)

void format_line(struct printer *p)
{
    buf_u8(p->out, '\n');
    buf_fill(p->out, '\t', p->indent);
}

bool format_newline_between(const struct printer *p, uint32_t from, uint32_t to)
{
    return from < to && memchr(p->m->text.p + from, '\n', to - from);
}

static void put_comment(struct printer *p, const struct comment *c)
{
    uint32_t end = c->end;
    while (
        end > c->at
        && (p->m->text.p[end - 1] == ' ' || p->m->text.p[end - 1] == '\r' || p->m->text.p[end - 1] == '\t'))
        end--;
    buf_put(p->out, bytes_of(p->m->text.p + c->at, end - c->at));
}

/* A comment behind something stays behind it; the others get lines of their own. At the start of a line. */
void format_comments(struct printer *p, uint32_t before)
{
    for (; p->comment < p->m->n_comment && p->m->comment[p->comment].at < before; p->comment++) {
        put_comment(p, &p->m->comment[p->comment]);
        format_line(p);
    }
}

/* Comments on the line that ends at the offset. */
void format_trailing(struct printer *p, uint32_t end)
{
    while (p->comment < p->m->n_comment && !format_newline_between(p, end, p->m->comment[p->comment].at)
           && p->m->comment[p->comment].at >= end) {
        buf_u8(p->out, ' ');
        put_comment(p, &p->m->comment[p->comment]);
        end = p->m->comment[p->comment++].end;
    }
}

static void put_body_block(struct printer *p, const struct body *b)
{
    buf_str(p->out, "{");
    p->indent++;
    if (b->n)
        format_trailing(p, b->at + 1);
    for (uint32_t i = 0; i < b->n; i++) {
        format_line(p);
        format_comments(p, b->item[i]->at);
        format_expr(p, b->item[i], i ? "-" : "");
        format_trailing(p, b->item[i]->end);
    }
    while (p->comment < p->m->n_comment && p->m->comment[p->comment].at < b->end) {
        format_line(p);
        put_comment(p, &p->m->comment[p->comment++]);
    }
    p->indent--;
    format_line(p);
    buf_str(p->out, "}");
}

void format_block(struct printer *p, const struct body *b)
{
    put_body_block(p, b);
}

static void put_head(struct printer *p, const struct rule_ast *r)
{
    struct node ref = { .kind = N_REF, .n = r->n_ref, .item = r->ref };
    bool old_set = r->contains && !p->m->word_contains;
    if (r->is_default)
        buf_str(p->out, "default ");
    if (r->n_ref == 1)
        format_term(p, r->ref[0]);
    else
        format_term(p, &ref);
    if (r->function) {
        buf_str(p->out, "(");
        format_terms(p, r->arg, r->n_arg);
        buf_str(p->out, ")");
    }
    if (old_set) {
        buf_str(p->out, "[");
        format_term(p, r->key);
        buf_str(p->out, "]");
    } else if (r->contains) {
        buf_str(p->out, " contains ");
        format_term(p, r->key);
    }
    if (r->value) {
        buf_str(p->out, r->assign || p->m->v1 ? " := " : " = ");
        format_term(p, r->value);
    }
}

static void put_body(struct printer *p, const struct rule_ast *r)
{
    if (!r->body)
        return;
    buf_str(p->out, p->m->word_if && r->with_if ? " if " : " ");
    if (r->body->braces)
        put_body_block(p, r->body);
    else
        format_expr(p, r->body->item[0], "");
}

static void put_rule(struct printer *p, const struct rule_ast *r)
{
    put_head(p, r);
    put_body(p, r);
    for (const struct rule_ast *e = r->otherwise; e; e = e->otherwise) {
        buf_str(p->out, " else");
        if (e->value) {
            buf_str(p->out, p->m->v1 ? " := " : " = ");
            format_term(p, e->value);
        }
        put_body(p, e);
    }
}

enum statement_kind { S_PACKAGE, S_IMPORT, S_RULE, S_CONDITION };

struct statement {
    enum statement_kind kind;
    uint32_t at, end;
    const void *what;
};

static void put_import(struct printer *p, const struct import_ast *im)
{
    buf_str(p->out, "import ");
    format_term(p, im->path);
    if (im->alias) {
        buf_str(p->out, " as ");
        buf_put(p->out, value_bytes(im->alias));
    }
}

/* p["x"] alone adds to a set where it is read as a rule of the old dialect, and p.x does not. */
static bool old_set_entry(const struct printer *p, const struct expr *e)
{
    const struct node *n = e->lhs;
    return e->kind == E_TERM && !e->negated && !e->n_with && n->kind == N_REF && n->n == 2
           && n->item[0]->kind == N_VAR && n->item[1]->kind == N_CONST
           && p->m->text.p[n->item[1]->at - 1] != '.';
}

static void put_condition(struct printer *p, const struct expr *e)
{
    if (old_set_entry(p, e)) {
        format_term(p, e->lhs->item[0]);
        buf_str(p->out, "[");
        format_term(p, e->lhs->item[1]);
        buf_str(p->out, "]");
    } else {
        format_expr(p, e, "{-"); /* a brace would be a further body of the old-style rule before it */
    }
}

static void put_statement(struct printer *p, const struct statement *s)
{
    switch (s->kind) {
    case S_PACKAGE:
        buf_str(p->out, "package ");
        format_term(p, s->what);
        break;
    case S_IMPORT:
        put_import(p, s->what);
        break;
    case S_RULE:
        put_rule(p, s->what);
        break;
    case S_CONDITION:
        put_condition(p, s->what);
        break;
    }
}

/* Bodies that follow one head are rules of their own in the tree; each is written with its head. */
static uint32_t list_statements(const struct module *m, struct statement *list)
{
    uint32_t n = 0, rule = 0, import = 0, condition = 0;
    if (m->package)
        list[n++] = (struct statement){ S_PACKAGE, m->package_at, m->package->end, m->package };
    while (rule < m->n_rule || import < m->n_import || condition < m->n_condition) {
        uint32_t r = rule < m->n_rule ? m->rule[rule]->at : UINT32_MAX;
        uint32_t i = import < m->n_import ? m->import[import].at : UINT32_MAX;
        uint32_t c = condition < m->n_condition ? m->condition[condition]->at : UINT32_MAX;
        if (r < i && r < c) {
            list[n++] = (struct statement){ S_RULE, r, m->rule[rule]->end, m->rule[rule] };
            while (list[n - 1].end < UINT32_MAX && m->rule[rule]->otherwise) {
                const struct rule_ast *last = m->rule[rule]->otherwise;
                while (last->otherwise)
                    last = last->otherwise;
                list[n - 1].end = last->end;
                break;
            }
            rule++;
        } else if (i < c) {
            list[n++] = (struct statement){ S_IMPORT, i, m->import[import].end, &m->import[import] };
            import++;
        } else {
            list[n++] =
                (struct statement){ S_CONDITION, c, m->condition[condition]->end, m->condition[condition] };
            condition++;
        }
    }
    return n;
}

static bool has_block(const struct statement *s)
{
    const struct rule_ast *r = s->kind == S_RULE ? s->what : NULL;
    return r && ((r->body && r->body->braces) || r->otherwise);
}

/* p[x] and f(x) alone are rules of the old dialect, and conditions of a policy: written alike, laid out
 * alike. */
static enum statement_kind look_of(const struct statement *s)
{
    const struct rule_ast *r = s->kind == S_RULE ? s->what : NULL;
    bool bare = r && !r->is_default && !r->value && !r->body && !(r->contains && r->with_if);
    return bare ? S_CONDITION : s->kind;
}

/* Short things that stood together stay together. */
static bool stay_together(const struct printer *p, const struct statement *a, const struct statement *b)
{
    uint32_t lines = 0;
    for (uint32_t i = a->end; i < b->at; i++)
        lines += p->m->text.p[i] == '\n';
    bool short_ones = !has_block(a) && !has_block(b) && look_of(a) == look_of(b) && a->kind != S_PACKAGE
                      && !format_newline_between(p, a->at, a->end)
                      && !format_newline_between(p, b->at, b->end);
    return short_ones && lines <= 1;
}

static void put_module(struct printer *p, struct arena *arena)
{
    const struct module *m = p->m;
    struct statement *list =
        arena_alloc(arena, (m->n_rule + m->n_import + m->n_condition + (size_t)1) * sizeof(*list));
    uint32_t n = list_statements(m, list);
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            buf_str(p->out, stay_together(p, &list[i - 1], &list[i]) ? "\n" : "\n\n");
        format_comments(p, list[i].at);
        put_statement(p, &list[i]);
        format_trailing(p, list[i].end);
    }
    for (bool first = true; p->comment < m->n_comment; first = false) {
        if (n || !first)
            buf_str(p->out, first ? "\n\n" : "\n");
        put_comment(p, &m->comment[p->comment++]);
    }
    if (n || m->n_comment)
        buf_u8(p->out, '\n');
}

static int guarded_format(const struct source *s, const struct parse_options *o, struct buf *out)
{
    if (setjmp(s->arena->escape))
        return -1;
    struct printer p = { .out = out, .m = parse_module(s, o) };
    put_module(&p, s->arena);
    return 0;
}

/* A policy, or a module of either dialect; the first one's complaint is the one that is told. */
static int format_any(const struct source *s, struct buf *out)
{
    static const struct parse_options others[] = { { 0 }, { .assume_v1 = true } };
    const struct parse_options policy = { .conditions = true };
    struct err unused = { 0 };
    struct source quiet = *s;
    if (guarded_format(s, &policy, out) == 0)
        return 0;
    quiet.line = quiet.column = NULL;
    s->arena->err = &unused;
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (guarded_format(&quiet, &others[i], out) == 0)
            return 0;
    return -1;
}

int rego_format(const struct rego_source *source, struct buf *out, struct rego_place *place, struct err *err)
{
    AUTO(arena_done) struct arena arena;
    struct err spare = { 0 };
    arena_init(&arena, "the policy", FORMAT_MEMORY_MAX, err ? err : &spare);
    const struct source s = { &arena, source->name, source->text, place ? &place->line : NULL,
                              place ? &place->column : NULL };
    if (place)
        *place = (struct rego_place){ 0 };
    if (source->text.n > REGO_MODULE_TEXT_MAX)
        return err_set(err, ERR_TOO_LARGE, 0, "a policy of %zu bytes, at most %zu are read", source->text.n,
                       REGO_MODULE_TEXT_MAX);
    return format_any(&s, out) < 0 ? -1 : buf_check(out, "the formatted policy", err);
}
