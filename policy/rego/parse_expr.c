/* Expressions: infix operators, assignment, some, every, with. */
#include "policy/rego/parse.h"

/* A set of operators of equal rank; each row binds tighter than the one before it. */
static const struct {
    enum token_kind first, last;
} ranks[] = {
    { T_EQUAL, T_GREATER_EQUAL }, { T_OR, T_OR },           { T_AND, T_AND },
    { T_PLUS, T_MINUS },          { T_TIMES, T_REMAINDER },
};
#define RANKS (sizeof(ranks) / sizeof(ranks[0]))

static struct node *infix_call(struct parser *p, const struct token *op, struct node *const *arg, uint32_t n)
{
    struct node *call = parse_node(p, N_CALL, arg[0]->at);
    uint32_t cap = 0;
    struct node *name = parse_node(p, N_VAR, op->at);
    name->value = value_string(p->arena, bytes_of(p->source.text.p + op->at, op->end - op->at));
    name->end = op->end;
    parse_add(p, call, &cap, name);
    for (uint32_t i = 0; i < n; i++)
        parse_add(p, call, &cap, arg[i]);
    call->op = op->kind;
    call->end = parse_last_end(p);
    return call;
}

/* A chain a - b - c is a tree as deep as it is long: later stages recurse over it. */
static struct node *ranked(struct parser *p, size_t rank, struct node *first)
{
    if (rank == RANKS)
        return first ? first : parse_term(p);
    struct node *left = ranked(p, rank + 1, first);
    unsigned chain = 0;
    while (parse_now(p)->kind >= ranks[rank].first && parse_now(p)->kind <= ranks[rank].last) {
        const struct token *op = parse_now(p);
        p->at++;
        struct node *pair[] = { left, ranked(p, rank + 1, NULL) };
        left = infix_call(p, op, pair, 2);
        parse_deeper(p);
        chain++;
    }
    p->depth -= chain;
    return left;
}

static struct node *infix(struct parser *p, bool pair, struct node *first)
{
    struct node *left = ranked(p, 0, first);
    unsigned chain = 0;
    if (pair && p->m->word_in && parse_is(p, T_COMMA)) {
        uint32_t back = p->at++;
        struct node *second = ranked(p, 0, NULL);
        if (parse_word(p, T_IN)) {
            const struct token *op = parse_now(p);
            p->at++;
            struct node *three[] = { left, second, ranked(p, 0, NULL) };
            left = infix_call(p, op, three, 3);
        } else {
            p->at = back;
        }
    }
    while (parse_word(p, T_IN)) {
        const struct token *op = parse_now(p);
        p->at++;
        struct node *two[] = { left, ranked(p, 0, NULL) };
        left = infix_call(p, op, two, 2);
        parse_deeper(p);
        chain++;
    }
    p->depth -= chain;
    return left;
}

struct node *parse_infix(struct parser *p, bool pair)
{
    return infix(p, pair, NULL);
}

struct node *parse_infix_after(struct parser *p, struct node *first)
{
    return infix(p, false, first);
}

static struct expr *new_expr(struct parser *p, enum expr_kind kind)
{
    struct expr *e = arena_zero(p->arena, 1, sizeof(*e));
    e->kind = (uint8_t)kind;
    e->at = parse_now(p)->at;
    return e;
}

/* "[key,] value in domain" after some or every. */
static void domain(struct parser *p, struct expr *e, const char *expected)
{
    struct node *n = parse_infix(p, true);
    if (n->kind != N_CALL || n->op != T_IN || n->parenthesised)
        source_fail(&p->source, n->at, "expected %s", expected);
    e->key = n->n == 4 ? n->item[1] : NULL;
    e->lhs = n->item[n->n - 2];
    e->rhs = n->item[n->n - 1];
}

/* True if "in" comes before the expression ends: then it is some ... in ... */
static bool some_in(const struct parser *p)
{
    int depth = 0;
    if (!p->m->word_in)
        return false;
    for (uint32_t i = p->at; p->token[i].kind != T_END; i++) {
        enum token_kind k = p->token[i].kind;
        if (depth == 0 && k == T_IN)
            return true;
        if (k == T_LPAREN || k == T_LBRACKET || k == T_LBRACE)
            depth++;
        else if ((k == T_RPAREN || k == T_RBRACKET || k == T_RBRACE) && depth-- == 0)
            return false;
        else if (depth == 0
                 && (k == T_SEMICOLON
                     || (p->token[i].newline && i > p->at && p->token[i - 1].kind != T_COMMA
                         && k != T_COMMA)))
            return false;
    }
    return false;
}

static struct expr *parse_some(struct parser *p)
{
    struct expr *e = new_expr(p, E_SOME);
    uint32_t cap = 0;
    p->at++;
    if (some_in(p)) {
        e->kind = E_SOME_IN;
        domain(p, e, "some VALUE in COLLECTION, or some KEY, VALUE in COLLECTION");
        return e;
    }
    do {
        if (!parse_at_name(p))
            parse_unexpected(p, "a variable's name");
        struct node *n = parse_node(p, N_VAR, parse_now(p)->at);
        n->value = parse_name(p);
        n->end = parse_last_end(p);
        e->list = arena_grow(p->arena, e->list, e->n_list, &cap, sizeof(n));
        e->list[e->n_list++] = n;
    } while (parse_accept(p, T_COMMA));
    return e;
}

static struct expr *parse_every(struct parser *p)
{
    static const char expected[] = "every VALUE in COLLECTION { ... }";
    struct expr *e = new_expr(p, E_EVERY);
    p->at++;
    domain(p, e, expected);
    if (e->lhs->kind != N_VAR || (e->key && e->key->kind != N_VAR))
        source_fail(&p->source, e->lhs->at, "the variables of every must be plain names");
    if (!parse_accept(p, T_LBRACE))
        parse_unexpected(p, "the body { of every");
    e->body = parse_body(p, T_RBRACE);
    return e;
}

static struct expr *parse_plain(struct parser *p)
{
    struct expr *e = new_expr(p, E_TERM);
    e->lhs = parse_infix(p, true);
    if (parse_is(p, T_ASSIGN) || parse_is(p, T_UNIFY)) {
        e->kind = parse_is(p, T_ASSIGN) ? E_ASSIGN : E_UNIFY;
        p->at++;
        e->rhs = parse_infix(p, true);
    }
    return e;
}

static void parse_with(struct parser *p, struct expr *e)
{
    uint32_t cap = 0;
    while (parse_is(p, T_WITH)) {
        struct with w = { 0 };
        p->at++;
        w.target = parse_term(p);
        if (w.target->kind != N_VAR && w.target->kind != N_REF)
            source_fail(&p->source, w.target->at,
                        "with replaces input, data or a function, or what is below them");
        parse_expect(p, T_AS, "as");
        w.value = parse_infix(p, true);
        e->with = arena_grow(p->arena, e->with, e->n_with, &cap, sizeof(w));
        e->with[e->n_with++] = w;
    }
}

struct expr *parse_literal(struct parser *p)
{
    uint32_t at = parse_now(p)->at;
    bool negated = parse_accept(p, T_NOT);
    struct expr *e;
    parse_deeper(p);
    if (negated && (parse_is(p, T_SOME) || parse_word(p, T_EVERY)))
        parse_unexpected(p, "an expression that not can be applied to");
    if (parse_is(p, T_SOME))
        e = parse_some(p);
    else if (parse_word(p, T_EVERY))
        e = parse_every(p);
    else
        e = parse_plain(p);
    if (e->kind != E_SOME)
        parse_with(p, e);
    e->negated = negated;
    e->at = at;
    e->end = parse_last_end(p);
    p->depth--;
    return e;
}

struct body *parse_body(struct parser *p, enum token_kind close)
{
    struct body *b = arena_zero(p->arena, 1, sizeof(*b));
    uint32_t cap = 0;
    b->at = p->at ? p->token[p->at - 1].at : 0;
    b->braces = close == T_RBRACE;
    while (!parse_is(p, close)) {
        struct expr *e = parse_literal(p);
        b->item = arena_grow(p->arena, b->item, b->n, &cap, sizeof(e));
        b->item[b->n++] = e;
        if (!parse_accept(p, T_SEMICOLON) && !parse_is(p, close) && !parse_now(p)->newline)
            parse_unexpected(p, close == T_RBRACE ? "an operator, a new line, ; or }"
                                                  : "an operator, a new line, ; or ]");
    }
    if (b->n == 0)
        source_fail(&p->source, parse_now(p)->at, "found empty body");
    p->at++;
    b->end = parse_last_end(p);
    return b;
}
