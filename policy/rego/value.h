/** policy/rego/value.h: the values that policies compute with. A value is immutable once it can be reached
 * from another one; it lives in the arena it was made in. NULL stands for undefined. */
#ifndef CVM_POLICY_REGO_VALUE_H
#define CVM_POLICY_REGO_VALUE_H

#include "base/buf.h"
#include "policy/rego/arena.h"

/** In the order in which Rego compares values of different types. */
enum value_type { V_NULL, V_FALSE, V_TRUE, V_NUMBER, V_STRING, V_ARRAY, V_OBJECT, V_SET };

/** Nesting of values: what walks them recurses. */
#define VALUE_DEPTH_MAX 250

struct decimal;
struct table;

struct value {
    uint8_t type;
    bool small;      /* number: .i holds it */
    bool sorted;     /* object, set: keys are in order */
    uint8_t depth;   /* of nesting: 0 for scalars */
    uint32_t weight; /* what it costs to look at all of it, about: 1 for each value in it, 1 for 32 bytes */
    uint32_t hash;   /* 0: not computed yet */
    uint32_t n;      /* bytes of a string, members of a collection */
    union {
        struct {
            int64_t i;
            const struct decimal *dec; /* number that is no int64, or was written in another way */
        };
        const char *text;
        const struct value *const *item;
        struct table *table;
    };
};

/** Keys in the order they came, or sorted; found through the hashes of keys from TABLE_INDEXED members on. */
#define TABLE_INDEXED 9
struct table {
    const struct value **key, **val; /* val is NULL for sets */
    uint32_t *index;                 /* of mask + 1: position + 1, or 0 */
    uint32_t mask;
};

extern const struct value value_null, value_false, value_true, value_empty_string, value_empty_array;

static inline const struct value *value_bool(bool b)
{
    return b ? &value_true : &value_false;
}
static inline bool value_is_bool(const struct value *v)
{
    return v->type == V_FALSE || v->type == V_TRUE;
}
static inline struct bytes value_bytes(const struct value *v)
{
    return bytes_of(v->text, v->n);
}

/** A weight with that of a member added; it stops at the largest number. */
static inline uint32_t value_weigh(uint32_t weight, const struct value *v)
{
    uint64_t sum = (uint64_t)weight + v->weight + 1;
    return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

const struct value *value_int(struct arena *a, int64_t i);

/** A string that keeps pointing to text. */
const struct value *value_text(struct arena *a, const char *text, size_t n);

/** A string of a copy. */
const struct value *value_string(struct arena *a, struct bytes text);

/** An array that keeps pointing to item. */
const struct value *value_array(struct arena *a, const struct value *const *item, size_t n);

/** Equality by type and value: 1 and 1.0 are equal, 1 and "1" are not. */
bool value_equal(const struct value *a, const struct value *b);

/** Below, equal or above zero, as Rego orders values of any types. */
int value_compare(const struct value *a, const struct value *b);

/** Equal values have equal hashes; never 0. Keyed by a secret of the process. */
uint32_t value_hash(const struct value *v);

/** Computes what is computed late (hashes, order), so that threads can share the value. */
void value_freeze(const struct value *v);

/** The member of an object, array or set at key; NULL if there is none or v is a scalar. */
const struct value *value_get(const struct value *v, const struct value *key);

/** The member of an object by a string that is no value yet. */
const struct value *value_member(const struct value *object, const char *key);

/** Brings an object's or set's keys in order. Not for values that threads share: those are frozen. */
void value_sort(const struct value *v);

/** Collects the members of an object or a set. */
struct builder {
    struct arena *arena;
    bool object;
    uint8_t depth;
    uint32_t weight, n, cap;
    struct table t;
};
void builder_init(struct builder *b, struct arena *arena, bool object);

/** Adds a member.
 *  @param val  NULL for sets
 *  @return NULL, or the value (sets: the key) that was there before; it stays */
const struct value *builder_put(struct builder *b, const struct value *key, const struct value *val);

/** As builder_put(), but a later value replaces an earlier one. */
void builder_set(struct builder *b, const struct value *key, const struct value *val);
const struct value *builder_value(struct builder *b);

/** Collects the items of an array. */
struct items {
    struct arena *arena;
    uint32_t n, cap;
    const struct value **item;
};
void items_add(struct items *list, const struct value *v);
const struct value *items_value(const struct items *list);

/** "string", "number" and so on. */
const char *value_type_name(const struct value *v);

/** @param unique  refuse objects that name a member twice; else the last one counts
 *  @return the value of a JSON text in arena memory, or NULL with the reason in *err: ERR_INPUT or
 *  ERR_TOO_LARGE. Memory that runs out goes through arena_fail(). */
const struct value *value_from_json(struct arena *a, struct bytes text, bool unique, struct err *err);

/** Appends compact JSON: sets as sorted arrays, members by sorted key, numbers as they were read. Keys that
 * are no strings become the JSON text of themselves. */
void value_put_json(struct buf *out, const struct value *v);

/** Appends the way Rego writes it: {1, 2} for sets, a space after commas and colons. */
void value_put_rego(struct buf *out, const struct value *v);

#endif
