/* Unification: which side gives values to the other's variables is known when compiling. */
#include "policy/rego/compile.h"

static bool can(struct compiler *c, const struct node *n, bool (*how)(struct compiler *, const struct node *))
{
    uint32_t mark = trial_begin(c);
    bool ok = how(c, n);
    trial_end(c, mark);
    return ok;
}

static void match_array(struct compiler *c, struct node *pattern, int32_t operand)
{
    bool *done = arena_zero(c->arena, pattern->n + 1, 1);
    emit(c, OP_IS_ARRAY, NO_REG, operand, (int32_t)pattern->n);
    for (uint32_t left = pattern->n, before = left + 1; left && left < before;) {
        before = left;
        for (uint32_t i = 0; i < pattern->n; i++) {
            if (done[i] || !can(c, pattern->item[i], can_match))
                continue;
            done[i] = true;
            left--;
            if (pattern->item[i]->kind == N_VAR && pattern->item[i]->wildcard)
                continue;
            int32_t item = new_register(c);
            emit(c, OP_GET, item, operand, emit_constant(c, value_int(c->arena, i)));
            compile_match(c, pattern->item[i], item);
        }
    }
}

static void match_object(struct compiler *c, struct node *pattern, int32_t operand)
{
    bool *done = arena_zero(c->arena, pattern->n + 1, 1);
    emit(c, OP_IS_OBJECT, NO_REG, operand, (int32_t)pattern->n / 2);
    for (uint32_t left = pattern->n / 2, before = left + 1; left && left < before;) {
        before = left;
        for (uint32_t i = 0; i < pattern->n; i += 2) {
            if (done[i] || !can(c, pattern->item[i], can_term) || !can(c, pattern->item[i + 1], can_match))
                continue;
            done[i] = true;
            left--;
            int32_t item = new_register(c);
            emit(c, OP_GET, item, operand, compile_term(c, pattern->item[i]));
            compile_match(c, pattern->item[i + 1], item);
        }
    }
}

void compile_match(struct compiler *c, struct node *pattern, int32_t operand)
{
    if (pattern->kind == N_VAR && pattern->wildcard)
        return;
    if (pattern->kind == N_VAR && pattern->var && !pattern->var->bound)
        bind_var(c, pattern->var, operand);
    else if (can(c, pattern, can_term))
        emit(c, OP_EQUAL, NO_REG, compile_term(c, pattern), operand);
    else if (pattern->kind == N_ARRAY)
        match_array(c, pattern, operand);
    else if (pattern->kind == N_OBJECT)
        match_object(c, pattern, operand);
    else
        compile_fail(c, pattern->at, "the variables of this pattern cannot be ordered");
}

/* First the members of the side that has values, so that they exist whatever the other side is. */
static void unify_pairs(struct compiler *c, struct node *a, struct node *b)
{
    bool *done = arena_zero(c->arena, a->n + 1, 1);
    uint32_t left = a->n, before = left + 1;
    while (left && left < before) {
        before = left;
        for (uint32_t i = 0; i < a->n; i++) {
            bool key = a->kind == N_OBJECT && i % 2 == 0;
            uint32_t mark = trial_begin(c);
            bool ok = !done[i] && (key || can_unify(c, a->item[i], b->item[i]));
            trial_end(c, mark);
            if (!ok)
                continue;
            done[i] = true;
            left--;
            if (!key)
                compile_unify(c, a->item[i], b->item[i]);
        }
    }
}

static bool can_both(struct compiler *c, const struct node *value, const struct node *pattern)
{
    uint32_t mark = trial_begin(c);
    bool ok = can_term(c, value) && can_match(c, pattern);
    trial_end(c, mark);
    return ok;
}

void compile_unify(struct compiler *c, struct node *a, struct node *b)
{
    if (can_both(c, b, a))
        compile_match(c, a, compile_term(c, b));
    else if (can_both(c, a, b))
        compile_match(c, b, compile_term(c, a));
    else
        unify_pairs(c, a, b);
}
