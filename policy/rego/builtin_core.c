/* Operators, count and object.subset. */
#include "base/auto.h"
#include "policy/rego/builtin.h"
#include "policy/rego/number.h"
#include "policy/rego/text.h"

static const struct value *plus(struct call *c, const struct value *const *arg)
{
    return number_add(c->arena, arg[0], arg[1]);
}

static const struct value *set_minus(struct call *c, const struct value *a, const struct value *b)
{
    struct builder out;
    builder_init(&out, c->arena, false);
    for (uint32_t i = 0; i < a->n; i++)
        if (!value_get(b, a->table->key[i]))
            builder_put(&out, a->table->key[i], NULL);
    return builder_value(&out);
}

static const struct value *minus(struct call *c, const struct value *const *arg)
{
    if (arg[0]->type != arg[1]->type)
        return NULL;
    if (arg[0]->type == V_SET)
        return set_minus(c, arg[0], arg[1]);
    return number_sub(c->arena, arg[0], arg[1]);
}

static const struct value *times(struct call *c, const struct value *const *arg)
{
    return number_mul(c->arena, arg[0], arg[1]);
}

static const struct value *divide(struct call *c, const struct value *const *arg)
{
    return number_div(c->arena, arg[0], arg[1]);
}

static const struct value *rest(struct call *c, const struct value *const *arg)
{
    c->cost = arg[0]->weight + arg[1]->weight;
    return number_rem(c->arena, arg[0], arg[1]);
}

static const struct value *both(struct call *c, const struct value *const *arg)
{
    struct builder out;
    const struct value *small = arg[0]->n <= arg[1]->n ? arg[0] : arg[1];
    const struct value *large = small == arg[0] ? arg[1] : arg[0];
    builder_init(&out, c->arena, false);
    for (uint32_t i = 0; i < small->n; i++)
        if (value_get(large, small->table->key[i]))
            builder_put(&out, small->table->key[i], NULL);
    return builder_value(&out);
}

static const struct value *either(struct call *c, const struct value *const *arg)
{
    struct builder out;
    builder_init(&out, c->arena, false);
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; i < arg[k]->n; i++)
            builder_put(&out, arg[k]->table->key[i], NULL);
    return builder_value(&out);
}

#define COMPARISON(name, test)                                                                               \
    static const struct value *name(struct call *c, const struct value *const *arg)                          \
    {                                                                                                        \
        (void)c;                                                                                             \
        return value_bool(test);                                                                             \
    }
COMPARISON(equal, value_equal(arg[0], arg[1]))
COMPARISON(not_equal, !value_equal(arg[0], arg[1]))
COMPARISON(less, value_compare(arg[0], arg[1]) < 0)
COMPARISON(less_equal, value_compare(arg[0], arg[1]) <= 0)
COMPARISON(greater, value_compare(arg[0], arg[1]) > 0)
COMPARISON(greater_equal, value_compare(arg[0], arg[1]) >= 0)

static const struct value *count(struct call *c, const struct value *const *arg)
{
    const struct value *v = arg[0];
    return value_int(c->arena, v->type == V_STRING ? (int64_t)text_utf8_count(value_bytes(v)) : v->n);
}

static int subset_of(struct call *c, const struct value *super, const struct value *sub);

/* Every key with an equal value, or one that is a subset itself. */
static bool object_subset(struct call *c, const struct value *super, const struct value *sub)
{
    for (uint32_t i = 0; i < sub->n; i++) {
        const struct value *want = sub->table->val[i], *have = value_get(super, sub->table->key[i]);
        if (!have)
            return false;
        if (!value_equal(have, want) && subset_of(c, have, want) != 1)
            return false;
    }
    return true;
}

/* A contiguous run: Knuth, Morris and Pratt's search, linear in both. */
static bool array_subset(struct call *c, const struct value *super, const struct value *sub)
{
    if (sub->n == 0)
        return true;
    uint32_t *back = arena_zero(c->arena, sub->n, sizeof(*back));
    uint32_t k = 0;
    for (uint32_t i = 1; i < sub->n; i++) {
        while (k && !value_equal(sub->item[i], sub->item[k]))
            k = back[k - 1];
        k += value_equal(sub->item[i], sub->item[k]);
        back[i] = k;
    }
    k = 0;
    for (uint32_t i = 0; i < super->n; i++) {
        while (k && !value_equal(super->item[i], sub->item[k]))
            k = back[k - 1];
        k += value_equal(super->item[i], sub->item[k]);
        if (k == sub->n)
            return true;
    }
    return false;
}

static bool set_in_array(struct call *c, const struct value *super, const struct value *sub)
{
    struct builder all;
    builder_init(&all, c->arena, false);
    for (uint32_t i = 0; i < super->n; i++)
        builder_put(&all, super->item[i], NULL);
    const struct value *set = builder_value(&all);
    for (uint32_t i = 0; i < sub->n; i++)
        if (!value_get(set, sub->table->key[i]))
            return false;
    return true;
}

/* 1 yes, 0 no, -1: these types have no such relation. */
static int subset_of(struct call *c, const struct value *super, const struct value *sub)
{
    if (super->type == V_OBJECT && sub->type == V_OBJECT)
        return object_subset(c, super, sub);
    if (super->type == V_ARRAY && sub->type == V_ARRAY)
        return array_subset(c, super, sub);
    if (super->type == V_ARRAY && sub->type == V_SET)
        return set_in_array(c, super, sub);
    if (super->type != V_SET || sub->type != V_SET)
        return -1;
    for (uint32_t i = 0; i < sub->n; i++)
        if (!value_get(super, sub->table->key[i]))
            return 0;
    return 1;
}

static const struct value *subset(struct call *c, const struct value *const *arg)
{
    int yes = subset_of(c, arg[0], arg[1]);
    return yes < 0 ? NULL : value_bool(yes);
}

const struct builtin builtins_core[] = {
    { "count", 1, true, { A_COLLECTION | A_STRING }, count },
    { "object.subset", 2, true, { A_COLLECTION, A_COLLECTION }, subset },
    { "+", 2, true, { A_NUMBER, A_NUMBER }, plus },
    { "-", 2, true, { A_NUMBER | A_SET, A_NUMBER | A_SET }, minus },
    { "*", 2, true, { A_NUMBER, A_NUMBER }, times },
    { "/", 2, true, { A_NUMBER, A_NUMBER }, divide },
    { "%", 2, true, { A_NUMBER, A_NUMBER }, rest },
    { "&", 2, true, { A_SET, A_SET }, both },
    { "|", 2, true, { A_SET, A_SET }, either },
    { "plus", 2, false, { A_NUMBER, A_NUMBER }, plus },
    { "minus", 2, false, { A_NUMBER | A_SET, A_NUMBER | A_SET }, minus },
    { "mul", 2, false, { A_NUMBER, A_NUMBER }, times },
    { "div", 2, false, { A_NUMBER, A_NUMBER }, divide },
    { "rem", 2, false, { A_NUMBER, A_NUMBER }, rest },
    { "and", 2, false, { A_SET, A_SET }, both },
    { "or", 2, false, { A_SET, A_SET }, either },
    { "set_diff", 2, false, { A_SET, A_SET }, minus },
    { "equal", 2, false, { A_ANY, A_ANY }, equal },
    { "neq", 2, false, { A_ANY, A_ANY }, not_equal },
    { "lt", 2, false, { A_ANY, A_ANY }, less },
    { "lte", 2, false, { A_ANY, A_ANY }, less_equal },
    { "gt", 2, false, { A_ANY, A_ANY }, greater },
    { "gte", 2, false, { A_ANY, A_ANY }, greater_equal },
};
const uint32_t builtins_core_n = ARRAY_SIZE(builtins_core);
