/* Aggregates and numbers. */
#include "base/auto.h"
#include "policy/rego/builtin.h"
#include "policy/rego/number.h"

static const struct value *item(const struct value *v, uint32_t i)
{
    return v->type == V_ARRAY ? v->item[i] : v->table->key[i];
}

static const struct value *fold(struct call *c, const struct value *v, int64_t start,
                                const struct value *(*step)(struct arena *, const struct value *,
                                                            const struct value *))
{
    const struct value *sum = value_int(c->arena, start);
    for (uint32_t i = 0; i < v->n; i++) {
        if (item(v, i)->type != V_NUMBER)
            return NULL;
        c->cost += sum->weight;
        sum = step(c->arena, sum, item(v, i));
    }
    return sum;
}

static const struct value *sum(struct call *c, const struct value *const *arg)
{
    return fold(c, arg[0], 0, number_add);
}

static const struct value *product(struct call *c, const struct value *const *arg)
{
    return fold(c, arg[0], 1, number_mul);
}

static const struct value *extreme(const struct value *v, int sign)
{
    const struct value *best = v->n ? item(v, 0) : NULL;
    for (uint32_t i = 1; i < v->n; i++)
        if (sign * value_compare(item(v, i), best) > 0)
            best = item(v, i);
    return best;
}

static const struct value *max(struct call *c, const struct value *const *arg)
{
    (void)c;
    return extreme(arg[0], 1);
}

static const struct value *min(struct call *c, const struct value *const *arg)
{
    (void)c;
    return extreme(arg[0], -1);
}

/* Merge sort: equal values stay, and order is kept among them. */
static void merge_sort(const struct value **v, const struct value **room, uint32_t n)
{
    if (n < 2)
        return;
    uint32_t half = n / 2, a = 0, b = half, out = 0;
    merge_sort(v, room, half);
    merge_sort(v + half, room, n - half);
    while (a < half && b < n)
        room[out++] = value_compare(v[b], v[a]) < 0 ? v[b++] : v[a++];
    while (a < half)
        room[out++] = v[a++];
    memcpy(v, room, out * sizeof(*v));
}

static const struct value *sort(struct call *c, const struct value *const *arg)
{
    uint32_t n = arg[0]->n;
    const struct value **list = arena_alloc(c->arena, (n + 1) * sizeof(*list)), **room;
    room = arena_alloc(c->arena, (n + 1) * sizeof(*room));
    for (uint32_t i = 0; i < n; i++)
        list[i] = item(arg[0], i);
    merge_sort(list, room, n);
    for (uint32_t log = n; log; log /= 2)
        c->cost += arg[0]->weight;
    return value_array(c->arena, list, n);
}

static const struct value *all(struct call *c, const struct value *const *arg)
{
    (void)c;
    for (uint32_t i = 0; i < arg[0]->n; i++)
        if (item(arg[0], i)->type != V_TRUE)
            return &value_false;
    return &value_true;
}

static const struct value *any(struct call *c, const struct value *const *arg)
{
    (void)c;
    for (uint32_t i = 0; i < arg[0]->n; i++)
        if (item(arg[0], i)->type == V_TRUE)
            return &value_true;
    return &value_false;
}

static const struct value *abs_of(struct call *c, const struct value *const *arg)
{
    return number_abs(c->arena, arg[0]);
}

static const struct value *round_of(struct call *c, const struct value *const *arg)
{
    return number_round(c->arena, arg[0], ROUND_NEAREST);
}

static const struct value *ceil_of(struct call *c, const struct value *const *arg)
{
    return number_round(c->arena, arg[0], ROUND_CEIL);
}

static const struct value *floor_of(struct call *c, const struct value *const *arg)
{
    return number_round(c->arena, arg[0], ROUND_FLOOR);
}

static const struct value *range_by(struct call *c, const struct value *from, const struct value *to,
                                    int64_t step)
{
    struct items list = { .arena = c->arena };
    if (!from->small || !to->small || step <= 0)
        return NULL;
    __int128_t i = from->i, end = to->i;
    bool up = i <= end;
    for (; up ? i <= end : i >= end; i += up ? step : -step)
        items_add(&list, value_int(c->arena, (int64_t)i));
    return items_value(&list);
}

static const struct value *range(struct call *c, const struct value *const *arg)
{
    return range_by(c, arg[0], arg[1], 1);
}

static const struct value *range_step(struct call *c, const struct value *const *arg)
{
    return arg[2]->small ? range_by(c, arg[0], arg[1], arg[2]->i) : NULL;
}

static const struct value *union_of(struct call *c, const struct value *const *arg)
{
    struct builder out;
    builder_init(&out, c->arena, false);
    for (uint32_t i = 0; i < arg[0]->n; i++) {
        const struct value *s = arg[0]->table->key[i];
        if (s->type != V_SET)
            return NULL;
        for (uint32_t k = 0; k < s->n; k++)
            builder_put(&out, s->table->key[k], NULL);
    }
    return builder_value(&out);
}

static const struct value *intersection(struct call *c, const struct value *const *arg)
{
    struct builder out;
    builder_init(&out, c->arena, false);
    const struct value *first = arg[0]->n ? arg[0]->table->key[0] : NULL;
    for (uint32_t i = 0; i < arg[0]->n; i++)
        if (arg[0]->table->key[i]->type != V_SET)
            return NULL;
    for (uint32_t k = 0; first && k < first->n; k++) {
        bool everywhere = true;
        for (uint32_t i = 1; i < arg[0]->n && everywhere; i++)
            everywhere = value_get(arg[0]->table->key[i], first->table->key[k]) != NULL;
        if (everywhere)
            builder_put(&out, first->table->key[k], NULL);
    }
    if (first)
        c->cost += (uint64_t)first->n * arg[0]->n;
    return builder_value(&out);
}

const struct builtin builtins_numbers[] = {
    { "sum", 1, false, { A_LIST }, sum },
    { "product", 1, false, { A_LIST }, product },
    { "max", 1, false, { A_LIST }, max },
    { "min", 1, false, { A_LIST }, min },
    { "sort", 1, false, { A_LIST }, sort },
    { "all", 1, false, { A_LIST }, all },
    { "any", 1, false, { A_LIST }, any },
    { "abs", 1, false, { A_NUMBER }, abs_of },
    { "round", 1, false, { A_NUMBER }, round_of },
    { "ceil", 1, false, { A_NUMBER }, ceil_of },
    { "floor", 1, false, { A_NUMBER }, floor_of },
    { "numbers.range", 2, false, { A_NUMBER, A_NUMBER }, range },
    { "numbers.range_step", 3, false, { A_NUMBER, A_NUMBER, A_NUMBER }, range_step },
    { "union", 1, false, { A_SET }, union_of },
    { "intersection", 1, false, { A_SET }, intersection },
};
const uint32_t builtins_numbers_n = ARRAY_SIZE(builtins_numbers);
