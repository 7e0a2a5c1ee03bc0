/* Rules: heads, bodies, else. */
#include "policy/rego/parse.h"

static struct rule_ast *new_rule(struct parser *p)
{
    struct rule_ast *r = arena_zero(p->arena, 1, sizeof(*r));
    r->at = parse_now(p)->at;
    return r;
}

bool parse_is_root(const struct value *name)
{
    return (name->n == 5 && memcmp(name->text, "input", 5) == 0)
           || (name->n == 4 && memcmp(name->text, "data", 4) == 0);
}

/* The head's name, reference and arguments out of a term; false if it cannot be a head. */
static bool take_head(struct parser *p, struct rule_ast *r, struct node *term)
{
    if (term->kind == N_CALL && !term->op) {
        r->function = true;
        r->arg = term->item + 1;
        r->n_arg = term->n - 1;
        term = term->item[0];
    }
    if (term->kind == N_VAR) {
        r->ref = arena_alloc(p->arena, sizeof(*r->ref));
        r->ref[0] = term;
        r->n_ref = 1;
    } else if (term->kind == N_REF && term->item[0]->kind == N_VAR) {
        r->ref = term->item;
        r->n_ref = term->n;
    } else {
        return false;
    }
    return !r->ref[0]->wildcard;
}

static bool at_head_end(const struct parser *p)
{
    return parse_is(p, T_ASSIGN) || parse_is(p, T_UNIFY) || parse_is(p, T_LBRACE) || parse_word(p, T_IF)
           || parse_word(p, T_CONTAINS);
}

/* p[x] { ... } of the old dialect is a partial set; with "if" it is an object. */
static void old_partial_set(struct parser *p, struct rule_ast *r)
{
    if (r->value || r->contains || r->function || r->n_ref != 2 || parse_word(p, T_IF))
        return;
    const struct node *key = r->ref[1];
    bool dotted = key->kind == N_CONST && key->at && p->source.text.p[key->at - 1] == '.';
    if (dotted && key->value->type == V_STRING)
        return;
    if (p->m->v1)
        source_fail(&p->source, r->at, "a partial set needs contains: NAME contains VALUE if { ... }");
    r->contains = true;
    r->key = r->ref[1];
    r->n_ref = 1;
}

static void head_value(struct parser *p, struct rule_ast *r)
{
    if (parse_word(p, T_CONTAINS)) {
        if (r->function)
            parse_unexpected(p, "a value: a function cannot use contains");
        p->at++;
        r->contains = true;
        r->key = parse_infix(p, true);
    } else if (parse_is(p, T_ASSIGN) || parse_is(p, T_UNIFY)) {
        r->assign = parse_is(p, T_ASSIGN);
        p->at++;
        r->value = parse_infix(p, true);
    }
}

static struct body *one_expression(struct parser *p)
{
    struct body *b = arena_zero(p->arena, 1, sizeof(*b));
    b->at = parse_now(p)->at;
    b->item = arena_alloc(p->arena, sizeof(*b->item));
    b->item[0] = parse_literal(p);
    b->n = 1;
    b->end = parse_last_end(p);
    return b;
}

/* The token after the bracket that closes the one at i. */
static uint32_t after_group(const struct parser *p, uint32_t i)
{
    int depth = 0;
    for (; p->token[i].kind != T_END; i++) {
        enum token_kind k = p->token[i].kind;
        if (k == T_LPAREN || k == T_LBRACKET || k == T_LBRACE)
            depth++;
        else if ((k == T_RPAREN || k == T_RBRACKET || k == T_RBRACE) && --depth == 0)
            return i + 1;
    }
    return i;
}

/* The token after the term at i, as far as brackets and dots tell. */
static uint32_t after_term(const struct parser *p, uint32_t i)
{
    enum token_kind k = p->token[i].kind;
    i = k == T_LPAREN || k == T_LBRACKET || k == T_LBRACE ? after_group(p, i) : i + (k != T_END);
    for (;;) {
        k = p->token[i].kind;
        if (p->token[i].space)
            return i;
        if (k == T_DOT && p->token[i + 1].kind != T_END)
            i += 2;
        else if (k == T_LPAREN || k == T_LBRACKET)
            i = after_group(p, i);
        else
            return i;
    }
}

/* After "if": { ... } is a body unless it is an object, a comprehension, or the start of a longer expression.
 */
static bool braces_are_term(const struct parser *p)
{
    uint32_t first = p->at + 1, close = after_group(p, p->at), next;
    if (p->token[first].kind == T_RBRACE)
        return true;
    next = after_term(p, first);
    if (p->token[next].kind == T_OR || p->token[next].kind == T_COLON)
        return true;
    enum token_kind k = p->token[close].kind;
    return !p->token[close].newline && k >= T_EQUAL && k <= T_REMAINDER;
}

static struct body *rule_body(struct parser *p, struct rule_ast *r)
{
    r->with_if = parse_word(p, T_IF);
    if (r->with_if) {
        p->at++;
        if (!parse_is(p, T_LBRACE) || braces_are_term(p))
            return one_expression(p);
    }
    if (!parse_accept(p, T_LBRACE))
        return NULL;
    return parse_body(p, T_RBRACE);
}

static struct rule_ast *parse_else(struct parser *p, const struct rule_ast *head)
{
    parse_deeper(p);
    struct rule_ast *r = new_rule(p);
    r->ref = head->ref;
    r->n_ref = head->n_ref;
    r->arg = head->arg;
    r->n_arg = head->n_arg;
    r->function = head->function;
    p->at++;
    if (parse_accept(p, T_ASSIGN) || parse_accept(p, T_UNIFY))
        r->value = parse_infix(p, true);
    else if (!parse_word(p, T_IF) && !parse_is(p, T_LBRACE))
        parse_unexpected(p, "a value or a body after else");
    if (p->m->v1 && parse_is(p, T_LBRACE))
        parse_unexpected(p, "if before the body");
    r->body = rule_body(p, r);
    r->end = parse_last_end(p);
    if (parse_is(p, T_ELSE))
        r->otherwise = parse_else(p, head);
    p->depth--;
    return r;
}

static void further_bodies(struct parser *p, struct rule_ast *r)
{
    for (struct rule_ast *last = r; parse_is(p, T_LBRACE); last = last->again) {
        if (p->m->v1)
            parse_unexpected(p, "a new rule: name it again");
        if (r->otherwise)
            parse_unexpected(p, "else");
        struct rule_ast *next = arena_alloc(p->arena, sizeof(*next));
        *next = *r;
        next->again = NULL;
        next->at = parse_now(p)->at;
        p->at++;
        next->body = parse_body(p, T_RBRACE);
        next->end = parse_last_end(p);
        last->again = next;
    }
}

static void check_v1(struct parser *p, const struct rule_ast *r, bool had_if)
{
    if (!p->m->v1)
        return;
    if (r->body && !had_if)
        source_fail(&p->source, r->body->at, "with import rego.v1 a rule's body needs if before it");
    if (!r->body && !r->value && !r->contains && !r->is_default)
        source_fail(&p->source, r->at, "a rule needs a value or a body");
}

static void add_rule(struct parser *p, struct rule_ast *r)
{
    struct module *m = p->m;
    m->rule = arena_grow(p->arena, m->rule, m->n_rule, &m->cap_rule, sizeof(r));
    m->rule[m->n_rule++] = r;
}

static bool default_rule(struct parser *p)
{
    struct rule_ast *r = new_rule(p);
    p->at++;
    r->is_default = true;
    if (!parse_at_name(p))
        parse_unexpected(p, "the name of a rule");
    if (!take_head(p, r, parse_term(p)))
        source_fail(&p->source, r->at, "default needs the name of a rule");
    if (!parse_is(p, T_ASSIGN) && !parse_is(p, T_UNIFY))
        parse_unexpected(p, ":= and the default value");
    head_value(p, r);
    r->end = parse_last_end(p);
    add_rule(p, r);
    return true;
}

/* In query mode there are no conditions: p[x] and f(x) alone are rules of the old dialect. */
static bool bare_rule(const struct parser *p, const struct rule_ast *r)
{
    return !p->options->conditions && !p->m->v1 && (r->function || r->n_ref > 1);
}

/* "match" and nothing else on its line. */
static bool lone_name(const struct parser *p, uint32_t start)
{
    enum token_kind k = parse_now(p)->kind;
    bool operator=(k >= T_EQUAL && k <= T_REMAINDER) || k == T_IN;
    return p->at == start + 1 && (k == T_END || k == T_SEMICOLON || (parse_now(p)->newline && !operator));
}

/* The rest of a rule after its head's reference. */
static void finish_rule(struct parser *p, struct rule_ast *r)
{
    head_value(p, r);
    old_partial_set(p, r);
    bool had_if = parse_word(p, T_IF);
    r->body = rule_body(p, r);
    check_v1(p, r, had_if);
    r->end = parse_last_end(p);
    if (parse_is(p, T_ELSE) && r->body) {
        if (r->contains)
            parse_unexpected(p, "a new rule: a partial set has no else");
        r->otherwise = parse_else(p, r);
    }
    if (r->body)
        further_bodies(p, r);
}

bool parse_rule(struct parser *p)
{
    if (parse_is(p, T_DEFAULT))
        return default_rule(p);
    if (!parse_at_name(p))
        return false;
    uint32_t start = p->at;
    struct rule_ast *r = new_rule(p);
    struct node *name = parse_node(p, N_VAR, parse_now(p)->at);
    name->value = parse_name(p);
    name->end = parse_last_end(p);
    bool root = parse_is_root(name->value);
    bool head = take_head(p, r, parse_term_rest(p, name, true));
    if (head && !root && !at_head_end(p) && lone_name(p, start))
        source_fail(&p->source, r->at, "a name alone is neither a rule nor a condition");
    if (root && p->m->v1 && p->at == start + 1 && at_head_end(p))
        source_fail(&p->source, r->at, "%.*s cannot be defined: it is a document of its own",
                    (int)name->value->n, name->value->text);
    if (!head || root || (!at_head_end(p) && !bare_rule(p, r))) {
        p->at = start;
        return false;
    }
    finish_rule(p, r);
    for (struct rule_ast *each = r; each; each = each->again)
        add_rule(p, each);
    return true;
}
