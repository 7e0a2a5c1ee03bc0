/* Bodies: expressions in an order in which every variable has a value before it is used. */
#include "policy/rego/compile.h"

static void unsafe(struct compiler *c, struct body *b, const bool *done)
{
    for (uint32_t i = 0; i < b->n; i++) {
        const struct var *v = done[i] ? NULL : unbound_in_expr(c, b->item[i]);
        if (v)
            compile_fail(c, v->at, "var %.*s is unsafe: nothing gives it a value", (int)v->name->n,
                         v->name->text);
    }
    compile_fail(c, b->at, "the expressions of this body cannot be ordered");
}

static void compile_expr(struct compiler *c, struct expr *e);

void compile_body(struct compiler *c, struct body *b)
{
    bool *done = arena_zero(c->arena, b->n + 1, 1);
    for (uint32_t left = b->n, before = left + 1; left;) {
        if (left == before)
            unsafe(c, b, done);
        before = left;
        for (uint32_t i = 0; i < b->n; i++) {
            if (done[i])
                continue;
            uint32_t mark = trial_begin(c);
            bool can = can_expr(c, b->item[i]);
            trial_end(c, mark);
            if (!can)
                continue;
            compile_expr(c, b->item[i]);
            done[i] = true;
            left--;
        }
    }
}

void compile_inner_calls(struct compiler *c, struct node *n, bool top)
{
    if (n->body)
        return;
    if (n->kind != N_CALL || top) {
        for (uint32_t i = n->kind == N_CALL ? 1 : 0; i < n->n; i++)
            compile_inner_calls(c, n->item[i], false);
        return;
    }
    struct var *v = arena_zero(c->arena, 1, sizeof(*v));
    v->name = &value_empty_string;
    v->at = n->at;
    bind_var(c, v, compile_term(c, n));
    *n = (struct node){ .kind = N_VAR, .at = n->at, .end = n->end, .value = v->name, .var = v };
}

/* References are looked up before "not" is applied, too: not input.a > 1 needs input.a. */
static void compile_inner_refs(struct compiler *c, struct node *n)
{
    if (n->body || n->kind == N_CONST || (n->kind == N_VAR && n->var))
        return;
    if (n->kind != N_REF && n->kind != N_VAR) {
        for (uint32_t i = 0; i < n->n; i++)
            compile_inner_refs(c, n->item[i]);
        return;
    }
    struct var *v = arena_zero(c->arena, 1, sizeof(*v));
    v->name = &value_empty_string;
    v->at = n->at;
    bind_var(c, v, compile_term(c, n));
    *n = (struct node){ .kind = N_VAR, .at = n->at, .end = n->end, .value = v->name, .var = v };
}

/* But for a reference that stands alone or on a side of ==, and is what may be missing: only its keys. */
static void compile_side_refs(struct compiler *c, struct node *n)
{
    if (n->kind == N_REF)
        for (uint32_t i = 1; i < n->n; i++)
            compile_inner_refs(c, n->item[i]);
    else if (n->kind != N_VAR)
        compile_inner_refs(c, n);
}

static void compile_before_not(struct compiler *c, struct expr *e)
{
    bool equality = e->kind == E_TERM && e->lhs->kind == N_CALL && e->lhs->op == T_EQUAL;
    compile_inner_calls(c, e->lhs, e->kind == E_TERM);
    if (e->rhs)
        compile_inner_calls(c, e->rhs, false);
    if (e->kind == E_TERM && e->lhs->kind == N_CALL)
        for (uint32_t i = 1; i < e->lhs->n; i++)
            (equality ? compile_side_refs : compile_inner_refs)(c, e->lhs->item[i]);
    else
        compile_side_refs(c, e->lhs);
    if (e->rhs)
        compile_side_refs(c, e->rhs);
}

static bool truth_is_given(const struct node *n)
{
    return n->kind == N_ARRAY || n->kind == N_SET || n->kind == N_OBJECT || n->kind == N_ARRAY_OF
           || n->kind == N_SET_OF || n->kind == N_OBJECT_OF;
}

static void compile_term_expr(struct compiler *c, struct node *n)
{
    if (n->kind == N_CALL && n->op >= T_EQUAL && n->op <= T_GREATER_EQUAL) {
        int32_t side[2];
        compile_terms(c, n->item + 1, 2, side);
        if (n->op == T_EQUAL)
            emit(c, OP_EQUAL, NO_REG, side[0], side[1]);
        else
            emit_op(c, OP_COMPARE, NO_REG, side[0], side[1])->flag = n->op;
        return;
    }
    if (n->kind == N_CALL && !n->op) {
        const struct builtin *b;
        const struct rule *f = called_function(c, n, &b);
        uint32_t arity = f ? f->arity : b->arity;
        bool walk = b && strcmp(b->name, "walk") == 0;
        if (n->n == arity + 2 && (!c->policy_mode || walk)) { /* the last argument takes the result */
            compile_match(c, n->item[n->n - 1], compile_call(c, n, arity));
            return;
        }
    }
    int32_t v = compile_term(c, n);
    if (!truth_is_given(n))
        emit(c, OP_TRUE, NO_REG, v, 0);
}

static void compile_some_in(struct compiler *c, struct expr *e)
{
    int32_t domain = compile_term(c, e->rhs);
    int32_t key = e->key ? new_register(c) : NO_REG, value = new_register(c);
    emit(c, OP_SCAN, value, domain, key);
    if (e->key)
        compile_match(c, e->key, key);
    compile_match(c, e->lhs, value);
}

static void compile_every(struct compiler *c, struct expr *e)
{
    int32_t domain = compile_term(c, e->rhs), key = NO_REG, value = new_register(c);
    if (e->key)
        key = new_register(c);
    uint32_t start = emit(c, OP_EVERY, key, domain, 0);
    emit(c, OP_EVERY, value, 0, 0); /* carries the second register */
    if (e->key && !e->key->wildcard)
        bind_var(c, e->key->var, key);
    if (!e->lhs->wildcard)
        bind_var(c, e->lhs->var, value);
    compile_body(c, e->body);
    emit(c, OP_FOUND, NO_REG, 0, 0);
    c->op[start].b = (int32_t)c->out->n_op;
}

void compile_plain(struct compiler *c, struct expr *e)
{
    switch ((enum expr_kind)e->kind) {
    case E_TERM:
        compile_term_expr(c, e->lhs);
        break;
    case E_ASSIGN:
        compile_match(c, e->lhs, compile_term(c, e->rhs));
        break;
    case E_UNIFY:
        compile_unify(c, e->lhs, e->rhs);
        break;
    case E_SOME:
        break;
    case E_SOME_IN:
        compile_some_in(c, e);
        break;
    case E_EVERY:
        compile_every(c, e);
        break;
    }
}

static void compile_expr(struct compiler *c, struct expr *e)
{
    uint32_t outer = c->place_now;
    c->place_now = new_place(c, e->at, e->end);
    if (e->n_with && c->policy_mode)
        compile_fail(c, e->with[0].target->at, "with is not supported in policies");
    if (e->negated && !e->n_with)
        compile_before_not(c, e);
    uint32_t start = e->negated ? emit(c, OP_NOT, NO_REG, 0, 0) : 0;
    if (e->n_with)
        compile_with(c, e);
    else
        compile_plain(c, e);
    if (e->negated) {
        emit(c, OP_FOUND, NO_REG, 0, 0);
        c->op[start].b = (int32_t)c->out->n_op;
    }
    c->place_now = outer;
}
