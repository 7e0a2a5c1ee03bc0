/* Whether a term can be computed with the variables that are bound so far. What computing it would bind is
 * marked on trial; trial_end() takes the marks back. The order of looking is the order of compiling. */
#include "policy/rego/compile.h"

uint32_t trial_begin(const struct compiler *c)
{
    return c->n_trail;
}

void trial_end(struct compiler *c, uint32_t mark)
{
    while (c->n_trail > mark)
        c->trail[--c->n_trail]->bound = false;
}

static void mark_bound(struct compiler *c, struct var *v)
{
    c->trail = arena_grow(c->arena, c->trail, c->n_trail, &c->cap_trail, sizeof(v));
    c->trail[c->n_trail++] = v;
    v->bound = true;
}

/* A variable that a closure takes from around it and that has no value yet. */
static const struct var *unbound_capture(const struct captured *k)
{
    for (uint32_t i = 0; i < k->n; i++)
        if (!k->var[i]->bound)
            return k->var[i];
    return NULL;
}

typedef bool can_fn(struct compiler *c, const struct node *n);

/* All of them, in whatever order works. */
static bool can_all(struct compiler *c, struct node *const *item, uint32_t n, can_fn *can)
{
    uint32_t first = 0;
    while (first < n && can(c, item[first]))
        first++;
    if (first == n)
        return true;
    bool *done = arena_zero(c->arena, n, 1);
    uint32_t *tried = arena_zero(c->arena, n, sizeof(*tried)); /* variables bound at the last try, and one */
    uint32_t left = n - first, before;
    memset(done, 1, first);
    tried[first] = trial_begin(c) + 1;
    do {
        before = left;
        for (uint32_t i = first; i < n; i++) {
            uint32_t mark = trial_begin(c);
            if (done[i] || tried[i] == mark + 1) /* nothing was bound since: it would fail again */
                continue;
            tried[i] = mark + 1;
            if (can(c, item[i])) {
                done[i] = true;
                left--;
            } else {
                trial_end(c, mark);
            }
        }
    } while (left && left < before);
    return left == 0;
}

static bool can_key(struct compiler *c, const struct node *k)
{
    if (k->kind == N_VAR && k->var && !k->var->bound) {
        if (!k->wildcard)
            mark_bound(c, k->var);
        return true;
    }
    uint32_t mark = trial_begin(c);
    if (can_term(c, k))
        return true;
    trial_end(c, mark);
    return (k->kind == N_ARRAY || k->kind == N_OBJECT) && can_match(c, k);
}

static bool can_ref(struct compiler *c, const struct node *n)
{
    if (n->kind != N_REF)
        return can_term(c, n);
    if (!can_term(c, n->item[0]))
        return false;
    for (uint32_t i = 1; i < n->n; i++)
        if (!can_key(c, n->item[i]))
            return false;
    return true;
}

bool can_term(struct compiler *c, const struct node *n)
{
    switch ((enum node_kind)n->kind) {
    case N_CONST:
        return true;
    case N_VAR:
        return !n->var || n->var->bound;
    case N_REF:
        return can_ref(c, n);
    case N_CALL:
        return can_all(c, n->item + 1, n->n - 1, can_term);
    case N_ARRAY:
    case N_SET:
    case N_OBJECT:
        return can_all(c, n->item, n->n, can_term);
    case N_ARRAY_OF:
    case N_SET_OF:
    case N_OBJECT_OF:
        return !unbound_capture(n->scope);
    }
    return false;
}

bool can_match(struct compiler *c, const struct node *n)
{
    if (n->kind == N_VAR && n->var && !n->var->bound) {
        if (!n->wildcard)
            mark_bound(c, n->var);
        return true;
    }
    if (n->kind == N_ARRAY)
        return can_all(c, n->item, n->n, can_match);
    if (n->kind != N_OBJECT)
        return can_term(c, n);
    for (uint32_t i = 0; i < n->n; i += 2)
        if (!can_term(c, n->item[i]))
            return false;
    struct node **val = arena_alloc(c->arena, (n->n / 2 + 1) * sizeof(struct node *));
    for (uint32_t i = 0; i < n->n / 2; i++)
        val[i] = n->item[2 * (size_t)i + 1];
    return can_all(c, val, n->n / 2, can_match);
}

static bool same_shape(const struct node *a, const struct node *b)
{
    if (a->kind != b->kind || a->n != b->n || (a->kind != N_ARRAY && a->kind != N_OBJECT))
        return false;
    for (uint32_t i = 0; a->kind == N_OBJECT && i < a->n; i += 2)
        if (a->item[i]->kind != N_CONST || b->item[i]->kind != N_CONST
            || !value_equal(a->item[i]->value, b->item[i]->value))
            return false;
    return true;
}

static bool can_pairs(struct compiler *c, const struct node *a, const struct node *b)
{
    bool *done = arena_zero(c->arena, a->n + 1, 1);
    uint32_t left = a->n, before;
    do {
        before = left;
        for (uint32_t i = 0; i < a->n; i++) {
            uint32_t mark = trial_begin(c);
            if (done[i])
                continue;
            if ((a->kind == N_OBJECT && i % 2 == 0) || can_unify(c, a->item[i], b->item[i])) {
                done[i] = true;
                left--;
            } else {
                trial_end(c, mark);
            }
        }
    } while (left && left < before);
    return left == 0;
}

bool can_unify(struct compiler *c, const struct node *a, const struct node *b)
{
    uint32_t mark = trial_begin(c);
    if (can_term(c, b) && can_match(c, a))
        return true;
    trial_end(c, mark);
    if (can_term(c, a) && can_match(c, b))
        return true;
    trial_end(c, mark);
    return same_shape(a, b) && can_pairs(c, a, b);
}

static bool is_extra_argument(struct compiler *c, const struct node *n)
{
    const struct builtin *b = NULL;
    const struct rule *f = called_function(c, n, &b);
    uint32_t arity = f ? f->arity : b ? b->arity : n->n - 1;
    return n->n == arity + 2;
}

static bool can_plain(struct compiler *c, const struct expr *e)
{
    switch ((enum expr_kind)e->kind) {
    case E_TERM:
        if (e->lhs->kind == N_CALL && !e->lhs->op && is_extra_argument(c, e->lhs))
            return can_all(c, e->lhs->item + 1, e->lhs->n - 2, can_term)
                   && can_match(c, e->lhs->item[e->lhs->n - 1]);
        return can_term(c, e->lhs);
    case E_ASSIGN:
        return can_term(c, e->rhs) && can_match(c, e->lhs);
    case E_UNIFY:
        return can_unify(c, e->lhs, e->rhs);
    case E_SOME:
        return true;
    case E_SOME_IN:
        return can_term(c, e->rhs) && (!e->key || can_match(c, e->key)) && can_match(c, e->lhs);
    case E_EVERY:
        return can_term(c, e->rhs) && !unbound_capture(e->scope);
    }
    return false;
}

/* The calls within an expression after "not" are made before it, as OPA does: not f(g(x)) needs a value of
 * g(x). */
static bool can_inner_calls(struct compiler *c, const struct node *n, bool top)
{
    if (n->kind == N_CALL && !top)
        return can_term(c, n);
    if (n->body)
        return true;
    for (uint32_t i = n->kind == N_CALL ? 1 : 0; i < n->n; i++)
        if (!can_inner_calls(c, n->item[i], false))
            return false;
    return true;
}

static const struct var *unbound_outside_calls(const struct node *n, bool top)
{
    const struct var *found = NULL;
    if (n->kind == N_CALL && !top)
        return NULL;
    if (n->kind == N_VAR)
        return n->var && !n->var->bound ? n->var : NULL;
    if (n->body)
        return unbound_capture(n->scope);
    for (uint32_t i = n->kind == N_CALL ? 1 : 0; i < n->n && !found; i++)
        found = unbound_outside_calls(n->item[i], false);
    return found;
}

bool can_expr(struct compiler *c, const struct expr *e)
{
    for (uint32_t i = 0; i < e->n_with; i++)
        if (!e->with[i].function && !can_term(c, e->with[i].value))
            return false;
    if (!e->negated)
        return can_plain(c, e);
    if (e->n_with)
        return !unbound_in_expr(c, e);
    const struct node *side[] = { e->lhs, e->rhs };
    for (size_t i = 0; i < 2; i++)
        if (side[i] && !can_inner_calls(c, side[i], i == 0 && e->kind == E_TERM))
            return false;
    for (size_t i = 0; i < 2; i++)
        if (side[i] && unbound_outside_calls(side[i], i == 0 && e->kind == E_TERM))
            return false;
    return true;
}

const struct var *unbound_in_term(struct compiler *c, const struct node *n)
{
    const struct var *found = NULL;
    if (n->kind == N_VAR)
        return n->var && !n->var->bound ? n->var : NULL;
    if (n->kind == N_ARRAY_OF || n->kind == N_SET_OF || n->kind == N_OBJECT_OF)
        return unbound_capture(n->scope);
    for (uint32_t i = n->kind == N_CALL ? 1 : 0; i < n->n && !found; i++)
        found = unbound_in_term(c, n->item[i]);
    return found;
}

const struct var *unbound_in_expr(struct compiler *c, const struct expr *e)
{
    const struct var *found = NULL;
    for (uint32_t i = 0; i < e->n_with && !found; i++)
        found = e->with[i].function ? NULL : unbound_in_term(c, e->with[i].value);
    if (!found && e->lhs && e->kind != E_EVERY)
        found = unbound_in_term(c, e->lhs);
    if (!found && e->rhs)
        found = unbound_in_term(c, e->rhs);
    if (!found && e->kind == E_EVERY)
        found = unbound_capture(e->scope);
    return found;
}
