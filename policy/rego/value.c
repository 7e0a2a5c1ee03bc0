#include "policy/rego/value.h"

#include "policy/rego/number.h"

#include <stdlib.h>

const struct value value_null = { .type = V_NULL };
const struct value value_false = { .type = V_FALSE };
const struct value value_true = { .type = V_TRUE };
const struct value value_empty_string = { .type = V_STRING, .text = "" };
static const struct value *const no_items[1];
const struct value value_empty_array = { .type = V_ARRAY, .depth = 1, .item = no_items };

const struct value *value_int(struct arena *a, int64_t i)
{
    struct value *v = arena_alloc(a, sizeof(*v));
    *v = (struct value){ .type = V_NUMBER, .small = true, .i = i };
    return v;
}

const struct value *value_text(struct arena *a, const char *text, size_t n)
{
    struct value *v = arena_alloc(a, sizeof(*v));
    if (n > UINT32_MAX)
        arena_fail(a, ERR_TOO_LARGE, "a string of %zu bytes is too long", n);
    *v = (struct value){ .type = V_STRING, .n = (uint32_t)n, .weight = (uint32_t)n / 32, .text = text };
    return v;
}

const struct value *value_string(struct arena *a, struct bytes text)
{
    return value_text(a, arena_copy(a, text.p, text.n), text.n);
}

const struct value *value_array(struct arena *a, const struct value *const *item, size_t n)
{
    if (n == 0)
        return &value_empty_array;
    uint8_t depth = 0;
    uint32_t weight = 1;
    for (size_t i = 0; i < n; i++) {
        weight = value_weigh(weight, item[i]);
        if (item[i]->depth > depth)
            depth = item[i]->depth;
    }
    if (depth >= VALUE_DEPTH_MAX)
        arena_fail(a, ERR_TOO_LARGE, "a value nested deeper than %d levels", VALUE_DEPTH_MAX);
    struct value *v = arena_alloc(a, sizeof(*v));
    *v = (struct value){
        .type = V_ARRAY, .depth = (uint8_t)(depth + 1), .weight = weight, .n = (uint32_t)n, .item = item
    };
    return v;
}

void items_add(struct items *list, const struct value *v)
{
    list->item = arena_grow(list->arena, list->item, list->n, &list->cap, sizeof(struct value *));
    list->item[list->n++] = v;
}

const struct value *items_value(const struct items *list)
{
    return value_array(list->arena, list->item, list->n);
}

const char *value_type_name(const struct value *v)
{
    static const char *const name[] = { "null",   "boolean", "boolean", "number",
                                        "string", "array",   "object",  "set" };
    return name[v->type];
}

static bool table_equal(const struct value *a, const struct value *b)
{
    if (a->n != b->n)
        return false;
    for (uint32_t i = 0; i < a->n; i++) {
        const struct value *other = value_get(b, a->table->key[i]);
        if (!other || (a->type == V_OBJECT && !value_equal(a->table->val[i], other)))
            return false;
    }
    return true;
}

bool value_equal(const struct value *a, const struct value *b)
{
    if (a == b)
        return true;
    if (a->type != b->type)
        return false;
    switch ((enum value_type)a->type) {
    case V_NULL:
    case V_FALSE:
    case V_TRUE:
        return true;
    case V_NUMBER:
        return a->small && b->small ? a->i == b->i : number_compare(a, b) == 0;
    case V_STRING:
        return a->n == b->n && memcmp(a->text, b->text, a->n) == 0;
    case V_ARRAY:
        if (a->n != b->n)
            return false;
        for (uint32_t i = 0; i < a->n; i++)
            if (!value_equal(a->item[i], b->item[i]))
                return false;
        return true;
    case V_OBJECT:
    case V_SET:
        return table_equal(a, b);
    }
    return false;
}

static int compare_sizes(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

/* Objects: key by key, the value after each; sets: as sorted arrays. */
static int compare_tables(const struct value *a, const struct value *b)
{
    value_sort(a);
    value_sort(b);
    for (uint32_t i = 0; i < a->n && i < b->n; i++) {
        int c = value_compare(a->table->key[i], b->table->key[i]);
        if (c == 0 && a->type == V_OBJECT)
            c = value_compare(a->table->val[i], b->table->val[i]);
        if (c)
            return c;
    }
    return compare_sizes(a->n, b->n);
}

int value_compare(const struct value *a, const struct value *b)
{
    if (a == b)
        return 0;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    switch ((enum value_type)a->type) {
    case V_NULL:
    case V_FALSE:
    case V_TRUE:
        return 0;
    case V_NUMBER:
        return number_compare(a, b);
    case V_STRING: {
        int c = memcmp(a->text, b->text, a->n < b->n ? a->n : b->n);
        return c ? c : compare_sizes(a->n, b->n);
    }
    case V_ARRAY:
        for (uint32_t i = 0; i < a->n && i < b->n; i++) {
            int c = value_compare(a->item[i], b->item[i]);
            if (c)
                return c;
        }
        return compare_sizes(a->n, b->n);
    case V_OBJECT:
    case V_SET:
        return compare_tables(a, b);
    }
    return 0;
}

void value_freeze(const struct value *v)
{
    value_hash(v);
    if (v->type == V_ARRAY)
        for (uint32_t i = 0; i < v->n; i++)
            value_freeze(v->item[i]);
    if (v->type != V_OBJECT && v->type != V_SET)
        return;
    value_sort(v);
    for (uint32_t i = 0; i < v->n; i++) {
        value_freeze(v->table->key[i]);
        if (v->type == V_OBJECT)
            value_freeze(v->table->val[i]);
    }
}
