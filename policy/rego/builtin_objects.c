/* Objects and arrays. */
#include "base/auto.h"
#include "policy/rego/builtin.h"
#include "policy/rego/number.h"

/* A key, or a path as an array. */
static const struct value *get(struct call *c, const struct value *const *arg)
{
    const struct value *v = arg[0];
    (void)c;
    if (arg[1]->type != V_ARRAY) {
        v = value_get(v, arg[1]);
        return v ? v : arg[2];
    }
    for (uint32_t i = 0; v && i < arg[1]->n; i++)
        v = value_get(v, arg[1]->item[i]);
    return v ? v : arg[2];
}

static const struct value *keys(struct call *c, const struct value *const *arg)
{
    struct builder out;
    builder_init(&out, c->arena, false);
    for (uint32_t i = 0; i < arg[0]->n; i++)
        builder_put(&out, arg[0]->table->key[i], NULL);
    return builder_value(&out);
}

/* The keys of an object, the members of a set or array: as a set. */
static const struct value *as_keys(struct call *c, const struct value *v)
{
    struct builder out;
    if (v->type == V_SET)
        return v;
    builder_init(&out, c->arena, false);
    for (uint32_t i = 0; i < v->n; i++)
        builder_put(&out, v->type == V_ARRAY ? v->item[i] : v->table->key[i], NULL);
    return builder_value(&out);
}

static const struct value *pick(struct call *c, const struct value *const *arg, bool keep)
{
    const struct value *named = as_keys(c, arg[1]);
    struct builder out;
    builder_init(&out, c->arena, true);
    for (uint32_t i = 0; i < arg[0]->n; i++)
        if ((value_get(named, arg[0]->table->key[i]) != NULL) == keep)
            builder_put(&out, arg[0]->table->key[i], arg[0]->table->val[i]);
    return builder_value(&out);
}

static const struct value *remove_keys(struct call *c, const struct value *const *arg)
{
    return pick(c, arg, false);
}

static const struct value *filter(struct call *c, const struct value *const *arg)
{
    return pick(c, arg, true);
}

/* b wins, but objects are joined. */
static const struct value *join(struct call *c, const struct value *a, const struct value *b)
{
    struct builder out;
    if (a->type != V_OBJECT || b->type != V_OBJECT)
        return b;
    builder_init(&out, c->arena, true);
    for (uint32_t i = 0; i < a->n; i++) {
        const struct value *other = value_get(b, a->table->key[i]);
        builder_put(&out, a->table->key[i], other ? join(c, a->table->val[i], other) : a->table->val[i]);
    }
    for (uint32_t i = 0; i < b->n; i++)
        builder_put(&out, b->table->key[i], b->table->val[i]);
    return builder_value(&out);
}

static const struct value *object_union(struct call *c, const struct value *const *arg)
{
    return join(c, arg[0], arg[1]);
}

static const struct value *union_n(struct call *c, const struct value *const *arg)
{
    struct builder empty;
    builder_init(&empty, c->arena, true);
    const struct value *v = builder_value(&empty);
    for (uint32_t i = 0; i < arg[0]->n; i++) {
        if (arg[0]->item[i]->type != V_OBJECT)
            return NULL;
        c->cost += v->weight;
        v = join(c, v, arg[0]->item[i]);
    }
    return v;
}

static const struct value *concat(struct call *c, const struct value *const *arg)
{
    uint32_t n = arg[0]->n + arg[1]->n;
    const struct value **out = arena_alloc(c->arena, (n + (size_t)1) * sizeof(*out));
    for (uint32_t i = 0; i < n; i++)
        out[i] = i < arg[0]->n ? arg[0]->item[i] : arg[1]->item[i - arg[0]->n];
    return value_array(c->arena, out, n);
}

static int64_t bound(const struct value *v, int64_t n)
{
    if (!v->small)
        return v->dec->neg ? 0 : n;
    return v->i < 0 ? 0 : v->i > n ? n : v->i;
}

static const struct value *slice(struct call *c, const struct value *const *arg)
{
    int64_t from = bound(arg[1], arg[0]->n), to = bound(arg[2], arg[0]->n);
    if (!number_is_int(arg[1]) || !number_is_int(arg[2]))
        return NULL;
    return from < to ? value_array(c->arena, arg[0]->item + from, (size_t)(to - from)) : &value_empty_array;
}

static const struct value *reverse(struct call *c, const struct value *const *arg)
{
    uint32_t n = arg[0]->n;
    const struct value **out = arena_alloc(c->arena, (n + (size_t)1) * sizeof(*out));
    for (uint32_t i = 0; i < n; i++)
        out[i] = arg[0]->item[n - 1 - i];
    return value_array(c->arena, out, n);
}

const struct builtin builtins_objects[] = {
    { "object.get", 3, false, { A_OBJECT, A_ANY, A_ANY }, get },
    { "object.keys", 1, false, { A_OBJECT }, keys },
    { "object.remove", 2, false, { A_OBJECT, A_COLLECTION }, remove_keys },
    { "object.filter", 2, false, { A_OBJECT, A_COLLECTION }, filter },
    { "object.union", 2, false, { A_OBJECT, A_OBJECT }, object_union },
    { "object.union_n", 1, false, { A_ARRAY }, union_n },
    { "array.concat", 2, false, { A_ARRAY, A_ARRAY }, concat },
    { "array.slice", 3, false, { A_ARRAY, A_NUMBER, A_NUMBER }, slice },
    { "array.reverse", 1, false, { A_ARRAY }, reverse },
};
const uint32_t builtins_objects_n = ARRAY_SIZE(builtins_objects);
