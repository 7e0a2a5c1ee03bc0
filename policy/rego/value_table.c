/* Objects and sets: hashed look-up, order when it is asked for. */
#include "policy/rego/number.h"
#include "policy/rego/value.h"

#include <sys/auxv.h>

/* Input and policies come from outside: with a known hash function, keys that all fall into one place would
 * make look-ups slow. The kernel gives every process 16 random bytes; they never change. */
static uint64_t seed = 0x9E3779B97F4A7C15u;

__attribute__((constructor)) static void seed_init(void)
{
    const unsigned long at = getauxval(AT_RANDOM);
    if (at)
        memcpy(&seed, (const void *)at, sizeof(seed)); /* NOLINT: the kernel's pointer comes as a number */
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)(a ^ 0xA0761D6478BD642Fu) * (b ^ seed ^ 0xE7037ED1A0B428DBu);
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

static uint64_t hash_bytes(const char *p, size_t n)
{
    uint64_t h = seed ^ n, word;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        h = mix(h, word);
    }
    word = 0;
    if (n)
        memcpy(&word, p, n);
    return mix(h, word);
}

static uint64_t hash_table(const struct value *v)
{
    uint64_t sum = v->n;
    for (uint32_t i = 0; i < v->n; i++) {
        uint64_t k = value_hash(v->table->key[i]);
        sum += mix(k, v->type == V_OBJECT ? value_hash(v->table->val[i]) : 0); /* any order */
    }
    return sum;
}

static uint64_t hash_of(const struct value *v)
{
    uint64_t h = v->n;
    switch ((enum value_type)v->type) {
    case V_NUMBER:
        return v->small ? mix((uint64_t)v->i, 1) : number_hash(v->dec);
    case V_STRING:
        return hash_bytes(v->text, v->n);
    case V_ARRAY:
        for (uint32_t i = 0; i < v->n; i++)
            h = mix(h, value_hash(v->item[i]));
        return h;
    case V_OBJECT:
    case V_SET:
        return hash_table(v);
    case V_NULL:
    case V_FALSE:
    case V_TRUE:
        break;
    }
    return 1;
}

/* The hash of a value is kept in it; constants that threads share were hashed when they were made. */
static struct value *writable(const struct value *v)
{
    return (struct value *)(uintptr_t)v;
}

uint32_t value_hash(const struct value *v)
{
    if (v->hash)
        return v->hash;
    uint64_t h = mix(hash_of(v), v->type);
    uint32_t folded = (uint32_t)(h ^ h >> 32);
    if (folded == 0)
        folded = 1;
    if (v->type >= V_STRING && v->n)
        writable(v)->hash = folded;
    return folded;
}

/* Position of the key, or -1. */
static int64_t find(const struct table *t, uint32_t n, const struct value *key)
{
    if (!t->index) {
        for (uint32_t i = 0; i < n; i++)
            if (value_equal(t->key[i], key))
                return i;
        return -1;
    }
    uint32_t hash = value_hash(key);
    for (uint32_t at = hash & t->mask; t->index[at]; at = (at + 1) & t->mask) {
        const struct value *k = t->key[t->index[at] - 1];
        if (k == key || (value_hash(k) == hash && value_equal(k, key)))
            return t->index[at] - 1;
    }
    return -1;
}

static void index_fill(struct table *t, uint32_t n)
{
    memset(t->index, 0, ((size_t)t->mask + 1) * sizeof(*t->index));
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = value_hash(t->key[i]) & t->mask;
        while (t->index[at])
            at = (at + 1) & t->mask;
        t->index[at] = i + 1;
    }
}

const struct value *value_get(const struct value *v, const struct value *key)
{
    int64_t at;
    switch ((enum value_type)v->type) {
    case V_ARRAY:
        return key->type == V_NUMBER && key->small && key->i >= 0 && key->i < v->n ? v->item[key->i] : NULL;
    case V_OBJECT:
        at = find(v->table, v->n, key);
        return at < 0 ? NULL : v->table->val[at];
    case V_SET:
        at = find(v->table, v->n, key);
        return at < 0 ? NULL : v->table->key[at];
    default:
        return NULL;
    }
}

const struct value *value_member(const struct value *object, const char *key)
{
    const struct value k = { .type = V_STRING, .n = (uint32_t)strlen(key), .text = key };
    return object && object->type == V_OBJECT ? value_get(object, &k) : NULL;
}

void builder_init(struct builder *b, struct arena *arena, bool object)
{
    *b = (struct builder){ .arena = arena, .object = object };
}

static void builder_grow(struct builder *b)
{
    uint32_t cap = b->cap;
    if (b->n == b->cap) {
        b->t.key = arena_grow(b->arena, b->t.key, b->n, &b->cap, sizeof(struct value *));
        if (b->object)
            b->t.val = arena_grow(b->arena, b->t.val, b->n, &cap, sizeof(struct value *));
    }
    if (b->n + 1 >= TABLE_INDEXED && (!b->t.index || 2 * ((size_t)b->n + 1) > b->t.mask)) {
        b->t.mask = b->t.index ? 4 * b->t.mask + 3 : 63;
        b->t.index = arena_alloc(b->arena, ((size_t)b->t.mask + 1) * sizeof(*b->t.index));
        index_fill(&b->t, b->n);
    }
}

/* Appends a key that is not there yet. */
static void append(struct builder *b, const struct value *key, const struct value *val)
{
    builder_grow(b);
    if (key->depth > b->depth)
        b->depth = key->depth;
    if (val && val->depth > b->depth)
        b->depth = val->depth;
    b->weight = value_weigh(b->weight, key);
    if (val)
        b->weight = value_weigh(b->weight, val);
    b->t.key[b->n] = key;
    if (b->object)
        b->t.val[b->n] = val;
    b->n++;
    if (!b->t.index)
        return;
    uint32_t at = value_hash(key) & b->t.mask;
    while (b->t.index[at])
        at = (at + 1) & b->t.mask;
    b->t.index[at] = b->n;
}

const struct value *builder_put(struct builder *b, const struct value *key, const struct value *val)
{
    int64_t at = find(&b->t, b->n, key);
    if (at >= 0)
        return b->object ? b->t.val[at] : b->t.key[at];
    append(b, key, val);
    return NULL;
}

void builder_set(struct builder *b, const struct value *key, const struct value *val)
{
    int64_t at = find(&b->t, b->n, key);
    if (at < 0)
        append(b, key, val);
    else if (b->object)
        b->t.val[at] = val;
    if (at >= 0 && val)
        b->weight = value_weigh(b->weight, val);
    if (val && val->depth > b->depth)
        b->depth = val->depth;
}

const struct value *builder_value(struct builder *b)
{
    struct value *v = arena_alloc(b->arena, sizeof(*v));
    struct table *t = arena_alloc(b->arena, sizeof(*t));
    if (b->depth >= VALUE_DEPTH_MAX)
        arena_fail(b->arena, ERR_TOO_LARGE, "a value nested deeper than %d levels", VALUE_DEPTH_MAX);
    *t = b->t;
    *v = (struct value){ .type = b->object ? V_OBJECT : V_SET,
                         .depth = (uint8_t)(b->depth + 1),
                         .weight = b->weight,
                         .n = b->n,
                         .sorted = b->n < 2,
                         .table = t };
    return v;
}

static void swap(struct table *t, uint32_t a, uint32_t b)
{
    const struct value *key = t->key[a], *val;
    t->key[a] = t->key[b];
    t->key[b] = key;
    if (!t->val)
        return;
    val = t->val[a];
    t->val[a] = t->val[b];
    t->val[b] = val;
}

static void sift_down(struct table *t, uint32_t root, uint32_t n)
{
    for (uint32_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && value_compare(t->key[child], t->key[child + 1]) < 0)
            child++;
        if (value_compare(t->key[root], t->key[child]) >= 0)
            return;
        swap(t, root, child);
    }
}

/* Heap sort: in place, and n log n for every input. */
static void sort_keys(struct table *t, uint32_t n)
{
    for (uint32_t i = n / 2; i-- > 0;)
        sift_down(t, i, n);
    for (uint32_t end = n; end-- > 1;) {
        swap(t, 0, end);
        sift_down(t, 0, end);
    }
}

void value_sort(const struct value *v)
{
    struct table *t = v->table;
    bool in_order = true;
    if (v->sorted)
        return;
    for (uint32_t i = 1; i < v->n && in_order; i++)
        in_order = value_compare(t->key[i - 1], t->key[i]) < 0;
    if (!in_order) {
        sort_keys(t, v->n);
        if (t->index)
            index_fill(t, v->n);
    }
    writable(v)->sorted = true;
}
