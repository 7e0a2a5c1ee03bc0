/* Modules: package, imports, statements; and what the parser's files share. */
#include "policy/rego/parse.h"

uint32_t parse_last_end(const struct parser *p)
{
    return p->at ? p->token[p->at - 1].end : 0;
}

void parse_unexpected(const struct parser *p, const char *expected)
{
    char room[48];
    const struct token *t = parse_now(p);
    source_fail(&p->source, t->at, "found %s, expected %s", token_text(&p->source, t, room), expected);
}

bool parse_accept(struct parser *p, enum token_kind kind)
{
    if (!parse_is(p, kind))
        return false;
    if (kind != T_END)
        p->at++;
    return true;
}

void parse_expect(struct parser *p, enum token_kind kind, const char *what)
{
    if (!parse_accept(p, kind))
        parse_unexpected(p, what);
}

bool parse_word(const struct parser *p, enum token_kind kind)
{
    const struct module *m = p->m;
    if (!parse_is(p, kind))
        return false;
    return kind == T_IF         ? m->word_if
           : kind == T_IN       ? m->word_in
           : kind == T_CONTAINS ? m->word_contains
                                : m->word_every;
}

bool parse_at_name(const struct parser *p)
{
    enum token_kind k = parse_now(p)->kind;
    return k == T_NAME || (k >= T_IF && !parse_word(p, k));
}

const struct value *parse_name(struct parser *p)
{
    const struct token *t = parse_now(p);
    p->at++;
    return value_string(p->arena, bytes_of(p->source.text.p + t->at, t->end - t->at));
}

void parse_deeper(struct parser *p)
{
    if (++p->depth > PARSE_DEPTH_MAX)
        source_fail(&p->source, parse_now(p)->at, "nested deeper than %d levels", PARSE_DEPTH_MAX);
}

struct node *parse_node(struct parser *p, enum node_kind kind, uint32_t at)
{
    struct node *n = arena_zero(p->arena, 1, sizeof(*n));
    n->kind = (uint8_t)kind;
    n->at = at;
    return n;
}

void parse_add(struct parser *p, struct node *n, uint32_t *cap, struct node *item)
{
    n->item = arena_grow(p->arena, n->item, n->n, cap, sizeof(item));
    n->item[n->n++] = item;
}

static bool path_is(const struct node *path, const char *a, const char *b, const char *c)
{
    const char *want[] = { a, b, c };
    const struct value *part;
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t n = path->kind == N_REF ? path->n : 1;
        if (!want[i] || i >= n)
            return !want[i] && i >= n;
        part = path->kind == N_REF ? path->item[i]->value : path->value;
        if (!part || part->type != V_STRING || part->n != strlen(want[i])
            || memcmp(part->text, want[i], part->n) != 0)
            return false;
    }
    return true;
}

/* Imports that change the language. */
static bool import_words(struct parser *p, const struct import_ast *im)
{
    struct module *m = p->m;
    const struct node *path = im->path;
    if (path_is(path, "rego", "v1", NULL)) {
        if (m->v1 && !p->options->assume_v1)
            source_fail(&p->source, im->at, "rego.v1 is imported twice");
        if (!m->v1 && (m->word_if || m->word_in || m->word_contains || m->word_every))
            source_fail(&p->source, im->at, "rego.v1 and future.keywords cannot be mixed");
        m->v1 = m->word_if = m->word_in = m->word_contains = m->word_every = true;
        return true;
    }
    bool *word[] = { &m->word_if, &m->word_in, &m->word_contains, &m->word_every };
    const char *name[] = { "if", "in", "contains", "every" };
    bool any = path_is(path, "future", "keywords", NULL);
    if (any && m->v1 && !p->options->assume_v1)
        source_fail(&p->source, im->at, "rego.v1 and future.keywords cannot be mixed");
    for (size_t i = 0; i < 4; i++) {
        bool one = path_is(path, "future", "keywords", name[i]);
        if (one && m->v1 && !p->options->assume_v1)
            source_fail(&p->source, im->at, "rego.v1 and future.keywords cannot be mixed");
        if (any || one)
            *word[i] = true;
        if (one && i == 3)
            m->word_in = true; /* every x in xs */
        if (one)
            return true;
    }
    return any;
}

static void parse_import(struct parser *p)
{
    struct import_ast im = { .at = parse_now(p)->at };
    p->at++;
    if (!parse_at_name(p))
        parse_unexpected(p, "what to import");
    im.path = parse_term(p);
    if (parse_accept(p, T_AS)) {
        if (!parse_at_name(p))
            parse_unexpected(p, "a name after as");
        im.alias = parse_name(p);
    }
    im.end = parse_last_end(p);
    const struct node *head = im.path->kind == N_REF ? im.path->item[0] : im.path;
    if (head->kind != N_VAR)
        source_fail(&p->source, im.at, "expected a path such as rego.v1");
    for (uint32_t i = 1; im.path->kind == N_REF && i < im.path->n; i++)
        if (im.path->item[i]->kind != N_CONST || im.path->item[i]->value->type != V_STRING)
            source_fail(&p->source, im.path->item[i]->at, "an import's path is made of names");
    if (!import_words(p, &im)) {
        bool root = path_is(head, "input", NULL, NULL) || path_is(head, "data", NULL, NULL);
        if (p->options->conditions || !root)
            source_fail(&p->source, im.path->at, "this import is not supported: %s",
                        p->options->conditions ? "policies may import rego.v1 and future.keywords"
                                               : "expected rego.v1, future.keywords, data or input");
    }
    struct module *m = p->m;
    m->import = arena_grow(p->arena, m->import, m->n_import, &m->cap_import, sizeof(im));
    m->import[m->n_import++] = im;
}

static void parse_package(struct parser *p)
{
    struct module *m = p->m;
    m->package_at = parse_now(p)->at;
    if (p->at != 0)
        source_fail(&p->source, parse_now(p)->at, "package must be the first statement");
    p->at++;
    if (!parse_at_name(p))
        parse_unexpected(p, "the name of the package");
    m->package = parse_term(p);
    if (m->package->kind == N_VAR)
        return;
    if (m->package->kind != N_REF || m->package->item[0]->kind != N_VAR)
        source_fail(&p->source, m->package->at, "expected the name of the package");
    for (uint32_t i = 1; i < m->package->n; i++)
        if (m->package->item[i]->kind != N_CONST || m->package->item[i]->value->type != V_STRING)
            source_fail(&p->source, m->package->item[i]->at, "a package's name is made of names");
}

/* Written without its parentheses it would be a rule, or nothing: "(x)", "(f(y)) = 1". */
static void refuse_hidden_head(struct parser *p, const struct expr *e)
{
    const struct node *n = e->lhs;
    bool opens = e->at < p->source.text.n && p->source.text.p[e->at] == '(';
    bool whole = e->kind == E_ASSIGN || e->kind == E_UNIFY;
    if (!opens || e->negated || !n || !(whole || (e->kind == E_TERM && n->kind == N_VAR)))
        return;
    while ((n->kind == N_REF || (n->kind == N_CALL && !n->op)) && n->n)
        n = n->item[0];
    if (n->kind == N_VAR && !parse_is_root(n->value))
        source_fail(&p->source, e->at, "a condition cannot begin with a name in parentheses of its own");
}

static void parse_statement(struct parser *p)
{
    struct module *m = p->m;
    if (parse_is(p, T_PACKAGE))
        parse_package(p);
    else if (parse_is(p, T_IMPORT))
        parse_import(p);
    else if (parse_rule(p))
        ;
    else if (!p->options->conditions)
        parse_unexpected(p, "a rule, an import or a package");
    else {
        struct expr *e = parse_literal(p);
        refuse_hidden_head(p, e);
        m->condition = arena_grow(p->arena, m->condition, m->n_condition, &m->cap_condition, sizeof(e));
        m->condition[m->n_condition++] = e;
    }
    if (!parse_accept(p, T_SEMICOLON) && !parse_is(p, T_END) && !parse_now(p)->newline)
        parse_unexpected(p, "an operator or a new line");
}

static struct parser new_parser(const struct source *s, const struct parse_options *o)
{
    uint32_t count;
    struct parser p = { .source = *s, .arena = s->arena, .options = o };
    p.m = arena_zero(s->arena, 1, sizeof(*p.m));
    p.m->name = s->name;
    p.m->text = s->text;
    p.m->v1 = p.m->word_if = p.m->word_in = p.m->word_contains = p.m->word_every = o->assume_v1;
    p.token = lexer_run(s, p.m, o->strict, &count);
    return p;
}

struct module *parse_module(const struct source *s, const struct parse_options *o)
{
    struct parser p = new_parser(s, o);
    while (!parse_is(&p, T_END))
        parse_statement(&p);
    return p.m;
}

struct node *parse_query(const struct source *s)
{
    const struct parse_options o = { .assume_v1 = true };
    struct parser p = new_parser(s, &o);
    struct node *n = parse_infix(&p, true);
    if (!parse_is(&p, T_END))
        parse_unexpected(&p, "an operator or the end of the query");
    return n;
}
