/* Terms and expressions in canonical layout. */
#include "policy/rego/format.h"
#include "policy/rego/lexer.h"

static void put_span(struct printer *p, uint32_t at, uint32_t end)
{
    buf_put(p->out, bytes_of(p->m->text.p + at, end - at));
}

void format_terms(struct printer *p, struct node *const *item, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            buf_str(p->out, ", ");
        format_term(p, item[i]);
    }
}

static bool plain_name(const struct value *v)
{
    static const char *const words[] = { "package", "import", "default", "not",      "with",
                                         "as",      "some",   "else",    "null",     "true",
                                         "false",   "if",     "in",      "contains", "every" };
    if (v->type != V_STRING || v->n == 0 || (v->text[0] >= '0' && v->text[0] <= '9'))
        return false;
    for (uint32_t i = 0; i < v->n; i++) {
        char c = v->text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'))
            return false;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strlen(words[i]) == v->n && memcmp(words[i], v->text, v->n) == 0)
            return false;
    return true;
}

static void put_ref(struct printer *p, const struct node *n)
{
    format_term(p, n->item[0]);
    for (uint32_t i = 1; i < n->n; i++) {
        const struct node *k = n->item[i];
        bool dotted = k->kind == N_CONST && k->at && p->m->text.p[k->at - 1] == '.';
        if (k->kind == N_CONST && plain_name(k->value)) {
            buf_u8(p->out, '.');
            buf_put(p->out, value_bytes(k->value));
        } else if (dotted) { /* a keyword */
            buf_str(p->out, "[\"");
            buf_put(p->out, value_bytes(k->value));
            buf_str(p->out, "\"]");
        } else {
            buf_u8(p->out, '[');
            format_term(p, k);
            buf_u8(p->out, ']');
        }
    }
}

static void put_call(struct printer *p, const struct node *n)
{
    if (n->op == T_IN && n->n == 4) {
        format_terms(p, n->item + 1, 2);
        buf_str(p->out, " in ");
        format_term(p, n->item[3]);
    } else if (n->op) {
        format_term(p, n->item[1]);
        buf_u8(p->out, ' ');
        buf_put(p->out, value_bytes(n->item[0]->value));
        buf_u8(p->out, ' ');
        format_term(p, n->item[2]);
    } else {
        format_term(p, n->item[0]);
        buf_str(p->out, "(");
        format_terms(p, n->item + 1, n->n - 1);
        buf_str(p->out, ")");
    }
}

/* A bar behind the first term of a collection begins a comprehension's body unless a comma follows. */
static bool bar_after_first(const struct node *n)
{
    while (n->kind == N_CALL && n->op && !n->parenthesised) {
        const struct node *left = n->item[1];
        if (left->kind != N_CALL || !left->op || left->parenthesised)
            return n->op == T_OR;
        n = left;
    }
    return false;
}

/* Members on lines of their own if the first one was. */
static void put_members(struct printer *p, const struct node *n, const char *open, const char *close)
{
    uint32_t step = n->kind == N_OBJECT ? 2 : 1;
    bool lines = n->n && format_newline_between(p, n->at, n->item[0]->at);
    buf_str(p->out, open);
    p->indent += lines;
    for (uint32_t i = 0; i < n->n; i += step) {
        if (lines) {
            format_line(p);
            format_comments(p, n->item[i]->at);
        } else if (i) {
            buf_str(p->out, ", ");
        }
        format_term(p, n->item[i]);
        if (step == 2) {
            buf_str(p->out, ": ");
            format_term(p, n->item[i + 1]);
        }
        if (!lines)
            continue;
        buf_u8(p->out, ',');
        uint32_t end = n->item[i + step - 1]->end;
        while (end < n->end && p->m->text.p[end] != '\n' && p->m->text.p[end] != '#'
               && p->m->text.p[end] != ',')
            end++;
        format_trailing(p, end < n->end && p->m->text.p[end] == ',' ? end + 1 : end);
    }
    p->indent -= lines;
    if (lines)
        format_line(p);
    else if (n->n == step && (bar_after_first(n->item[0]) || bar_after_first(n->item[step - 1])))
        buf_u8(p->out, ',');
    buf_str(p->out, close);
}

static void put_comprehension(struct printer *p, const struct node *n)
{
    buf_str(p->out, n->kind == N_ARRAY_OF ? "[" : "{");
    format_term(p, n->item[0]);
    if (n->kind == N_OBJECT_OF) {
        buf_str(p->out, ": ");
        format_term(p, n->item[1]);
    }
    buf_str(p->out, " | ");
    for (uint32_t i = 0; i < n->body->n; i++) {
        if (i)
            buf_str(p->out, "; ");
        format_expr(p, n->body->item[i], "");
    }
    buf_str(p->out, n->kind == N_ARRAY_OF ? "]" : "}");
}

static void put_term(struct printer *p, const struct node *n)
{
    switch ((enum node_kind)n->kind) {
    case N_CONST:
        put_span(p, n->at, n->end);
        break;
    case N_VAR:
        buf_put(p->out, value_bytes(n->value));
        break;
    case N_REF:
        put_ref(p, n);
        break;
    case N_CALL:
        put_call(p, n);
        break;
    case N_ARRAY:
        put_members(p, n, "[", "]");
        break;
    case N_SET:
        if (n->n)
            put_members(p, n, "{", "}");
        else
            buf_str(p->out, "set()");
        break;
    case N_OBJECT:
        put_members(p, n, "{", "}");
        break;
    case N_ARRAY_OF:
    case N_SET_OF:
    case N_OBJECT_OF:
        put_comprehension(p, n);
        break;
    }
}

void format_term(struct printer *p, const struct node *n)
{
    bool parentheses = n->parenthesised && n->kind == N_CALL && n->op;
    if (parentheses)
        buf_u8(p->out, '(');
    put_term(p, n);
    if (parentheses)
        buf_u8(p->out, ')');
}

static void put_domain(struct printer *p, const struct expr *e, const char *word)
{
    buf_str(p->out, word);
    if (e->key) {
        format_term(p, e->key);
        buf_str(p->out, ", ");
    }
    format_term(p, e->lhs);
    buf_str(p->out, " in ");
    format_term(p, e->rhs);
}

/* The first term of a line: in parentheses if its first sign would join it to the line before. */
static void put_first(struct printer *p, const struct node *n, const char *joins)
{
    const size_t from = p->out->n;
    format_term(p, n);
    if (p->out->failed || p->out->n == from || !strchr(joins, p->out->p[from]))
        return;
    buf_str(p->out, "()");
    if (p->out->failed)
        return;
    memmove(p->out->p + from + 1, p->out->p + from, p->out->n - from - 2);
    p->out->p[from] = '(';
}

void format_expr(struct printer *p, const struct expr *e, const char *joins)
{
    if (e->negated) {
        buf_str(p->out, "not ");
        joins = "";
    }
    switch ((enum expr_kind)e->kind) {
    case E_TERM:
        put_first(p, e->lhs, joins);
        break;
    case E_ASSIGN:
    case E_UNIFY:
        put_first(p, e->lhs, joins);
        buf_str(p->out, e->kind == E_ASSIGN ? " := " : " = ");
        format_term(p, e->rhs);
        break;
    case E_SOME:
        buf_str(p->out, "some ");
        format_terms(p, e->list, e->n_list);
        break;
    case E_SOME_IN:
        put_domain(p, e, "some ");
        break;
    case E_EVERY:
        put_domain(p, e, "every ");
        buf_u8(p->out, ' ');
        format_block(p, e->body);
        break;
    }
    for (uint32_t i = 0; i < e->n_with; i++) {
        buf_str(p->out, " with ");
        format_term(p, e->with[i].target);
        buf_str(p->out, " as ");
        format_term(p, e->with[i].value);
    }
}
