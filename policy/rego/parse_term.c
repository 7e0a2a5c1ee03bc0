/* Terms: constants, variables, references, calls, collections and comprehensions. */
#include "policy/rego/number.h"
#include "policy/rego/parse.h"
#include "policy/rego/text.h"

static struct node *constant(struct parser *p, const struct value *v)
{
    struct node *n = parse_node(p, N_CONST, parse_now(p)->at);
    n->value = v;
    n->end = parse_now(p)->end;
    p->at++;
    return n;
}

static struct node *string(struct parser *p)
{
    const struct token *t = parse_now(p);
    const char *raw = (const char *)p->source.text.p + t->at + 1;
    size_t n = t->end - t->at - 2, bad;
    const char *why;
    if (t->kind == T_RAW || !memchr(raw, '\\', n))
        return constant(p, value_text(p->arena, arena_copy(p->arena, raw, n), n));
    char *out = arena_alloc(p->arena, n + 1);
    if (!text_unescape(bytes_of(raw, n), out, &n, &why, &bad))
        source_fail(&p->source, t->at + 1 + (uint32_t)bad, "%s", why);
    return constant(p, value_text(p->arena, out, n));
}

static struct node *number(struct parser *p)
{
    uint32_t at = parse_now(p)->at;
    if (parse_accept(p, T_MINUS) && (!parse_is(p, T_NUMBER) || parse_now(p)->space))
        parse_unexpected(p, "a number right after the minus sign");
    struct bytes text = bytes_of(p->source.text.p + at, parse_now(p)->end - at);
    struct node *n = constant(p, number_parse(p->arena, text));
    n->at = at;
    return n;
}

static struct node *variable(struct parser *p)
{
    struct node *n = parse_node(p, N_VAR, parse_now(p)->at);
    n->value = parse_name(p);
    n->end = parse_last_end(p);
    n->wildcard = n->value->n == 1 && n->value->text[0] == '_';
    return n;
}

/* True if a comma separates members between here and the closing bracket: then { a | b, c } is a set of two.
 * What only a body holds, and the comma of "some k, v in xs", says otherwise. */
static bool members_follow(const struct parser *p)
{
    int depth = 0;
    for (uint32_t i = p->at; p->token[i].kind != T_END; i++) {
        enum token_kind k = p->token[i].kind;
        if (k == T_LPAREN || k == T_LBRACKET || k == T_LBRACE)
            depth++;
        else if ((k == T_RPAREN || k == T_RBRACKET || k == T_RBRACE) && depth-- == 0)
            return false;
        else if (depth == 0
                 && (k == T_SOME || k == T_EVERY || k == T_ASSIGN || k == T_UNIFY || k == T_SEMICOLON))
            return false;
        else if (k == T_COMMA && depth == 0)
            return true;
    }
    return false;
}

/* After the first term of a collection: true, with the bar taken, if a comprehension's body follows. */
static bool at_comprehension(struct parser *p)
{
    if (!parse_accept(p, T_OR))
        return false;
    if (!members_follow(p))
        return true;
    p->at--;
    return false;
}

/* Items up to the closing token, a trailing comma allowed. */
static void list(struct parser *p, struct node *n, uint32_t *cap, enum token_kind close, const char *expected)
{
    while (!parse_is(p, close)) {
        parse_add(p, n, cap, parse_infix(p, false));
        if (!parse_accept(p, T_COMMA))
            break;
    }
    parse_expect(p, close, expected);
}

static struct node *comprehension(struct parser *p, struct node *n, enum node_kind kind,
                                  enum token_kind close)
{
    n->kind = (uint8_t)kind;
    n->body = parse_body(p, close);
    return n;
}

static struct node *array(struct parser *p)
{
    struct node *n = parse_node(p, N_ARRAY, parse_now(p)->at);
    uint32_t cap = 0;
    p->at++;
    if (!parse_is(p, T_RBRACKET)) {
        struct node *head = parse_term(p);
        bool of = at_comprehension(p);
        parse_add(p, n, &cap, of ? head : parse_infix_after(p, head));
        if (of)
            return comprehension(p, n, N_ARRAY_OF, T_RBRACKET);
        if (!parse_accept(p, T_COMMA) && !parse_is(p, T_RBRACKET))
            parse_unexpected(p, "a comma or the closing bracket ]");
    }
    list(p, n, &cap, T_RBRACKET, "a comma or the closing bracket ]");
    return n;
}

/* After the first key and its colon. */
static struct node *object(struct parser *p, struct node *n, struct node *key)
{
    static const char expected[] = "a comma or the closing brace }";
    uint32_t cap = 0;
    n->kind = N_OBJECT;
    parse_add(p, n, &cap, key);
    struct node *val = parse_term(p);
    bool of = at_comprehension(p);
    parse_add(p, n, &cap, of ? val : parse_infix_after(p, val));
    if (of)
        return comprehension(p, n, N_OBJECT_OF, T_RBRACE);
    while (parse_accept(p, T_COMMA) && !parse_is(p, T_RBRACE)) {
        parse_add(p, n, &cap, parse_infix(p, false));
        parse_expect(p, T_COLON, "a colon after the member's key");
        parse_add(p, n, &cap, parse_infix(p, false));
    }
    parse_expect(p, T_RBRACE, expected);
    return n;
}

static struct node *braces(struct parser *p)
{
    struct node *n = parse_node(p, N_OBJECT, parse_now(p)->at);
    uint32_t cap = 0;
    p->at++;
    if (parse_accept(p, T_RBRACE))
        return n;
    struct node *head = parse_term(p);
    if (at_comprehension(p)) {
        parse_add(p, n, &cap, head);
        return comprehension(p, n, N_SET_OF, T_RBRACE);
    }
    head = parse_infix_after(p, head);
    if (parse_accept(p, T_COLON))
        return object(p, n, head);
    n->kind = N_SET;
    parse_add(p, n, &cap, head);
    if (!parse_accept(p, T_COMMA) && !parse_is(p, T_RBRACE))
        parse_unexpected(p, "a comma, a colon or the closing brace }");
    list(p, n, &cap, T_RBRACE, "a comma or the closing brace }");
    return n;
}

static struct node *parentheses(struct parser *p)
{
    p->at++;
    struct node *n = parse_infix(p, true);
    parse_expect(p, T_RPAREN, "the closing parenthesis )");
    n->parenthesised = true;
    return n;
}

static struct node *call(struct parser *p, struct node *function)
{
    struct node *n = parse_node(p, N_CALL, function->at);
    uint32_t cap = 0;
    p->at++;
    if (function->kind == N_VAR && function->value->n == 3 && memcmp(function->value->text, "set", 3) == 0
        && parse_accept(p, T_RPAREN)) {
        n->kind = N_SET;
        n->end = parse_last_end(p);
        return n;
    }
    if (function->kind == N_REF)
        for (uint32_t i = 1; i < function->n; i++)
            if (function->item[i]->kind != N_CONST || function->item[i]->value->type != V_STRING)
                source_fail(&p->source, function->at, "a function is called by its name");
    parse_add(p, n, &cap, function);
    while (!parse_is(p, T_RPAREN)) {
        parse_add(p, n, &cap, parse_infix(p, false));
        if (!parse_is(p, T_RPAREN))
            parse_expect(p, T_COMMA, "a comma or the closing parenthesis )");
        else
            break;
        if (parse_is(p, T_RPAREN) && p->options->conditions)
            parse_unexpected(p, "a further argument");
    }
    parse_expect(p, T_RPAREN, "the closing parenthesis )");
    n->end = parse_last_end(p);
    return n;
}

static struct node *key_after_dot(struct parser *p)
{
    const struct token *t = parse_now(p);
    if (t->space || (t->kind != T_NAME && t->kind < T_PACKAGE))
        parse_unexpected(p, "a name after the dot");
    struct node *n = parse_node(p, N_CONST, t->at);
    n->value = value_string(p->arena, bytes_of(p->source.text.p + t->at, t->end - t->at));
    n->end = t->end;
    p->at++;
    return n;
}

struct node *parse_term_rest(struct parser *p, struct node *head, bool spaced)
{
    struct node *ref = head->kind == N_REF ? head : NULL;
    uint32_t cap = ref ? ref->n : 0;
    for (;;) {
        const struct token *t = parse_now(p);
        bool key = t->kind == T_DOT || t->kind == T_LBRACKET;
        struct node *now = ref ? ref : head;
        if ((!key && t->kind != T_LPAREN) || (t->space && !spaced) || (t->newline && p->at))
            return now;
        if (t->kind == T_LPAREN) {
            if (now->kind != N_VAR && (now->kind != N_REF || now->item[0]->kind != N_VAR))
                parse_unexpected(p, "an operator or the end of the expression");
            head = call(p, now);
            ref = NULL;
            cap = 0;
            continue;
        }
        if (now->kind == N_CONST)
            parse_unexpected(p, "an operator: a constant has no members");
        if (!ref) {
            ref = parse_node(p, N_REF, head->at);
            parse_add(p, ref, &cap, head);
        }
        p->at++;
        if (t->kind == T_DOT) {
            parse_add(p, ref, &cap, key_after_dot(p));
        } else {
            parse_add(p, ref, &cap, parse_infix(p, true));
            parse_expect(p, T_RBRACKET, "the closing bracket ]");
        }
        ref->end = parse_last_end(p);
    }
}

static struct node *start_of_term(struct parser *p)
{
    const struct token *t = parse_now(p);
    switch ((enum token_kind)t->kind) {
    case T_NULL:
        return constant(p, &value_null);
    case T_TRUE:
        return constant(p, &value_true);
    case T_FALSE:
        return constant(p, &value_false);
    case T_NUMBER:
    case T_MINUS:
        return number(p);
    case T_STRING:
    case T_RAW:
        return string(p);
    case T_LBRACKET:
        return array(p);
    case T_LBRACE:
        return braces(p);
    case T_LPAREN:
        return parentheses(p);
    default:
        if (parse_at_name(p) || t->kind == T_CONTAINS)
            return variable(p);
        parse_unexpected(p, "an expression");
    }
}

struct node *parse_term(struct parser *p)
{
    parse_deeper(p);
    struct node *n = start_of_term(p);
    if (n->kind != N_CONST && n->kind != N_VAR)
        n->end = parse_last_end(p);
    n = parse_term_rest(p, n, false);
    p->depth--;
    return n;
}
