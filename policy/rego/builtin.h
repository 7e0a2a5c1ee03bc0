/** policy/rego/builtin.h: the built-in functions. All are pure: values and the given clock in, a value out.
 */
#ifndef CVM_POLICY_REGO_BUILTIN_H
#define CVM_POLICY_REGO_BUILTIN_H

#include "policy/rego/names.h"

/** What a built-in may use. */
struct call {
    struct arena *arena;
    int64_t now_ns;
    struct buf *scratch;   /* heap memory on the way into the arena: freed with the evaluation */
    struct names *regexes; /* compiled ones, by pattern */
    uint64_t cost;         /* to add to the evaluation's steps, beyond the arguments' weight */
};

/** Sets of types that an argument may have. */
enum {
    A_NULL = 1 << V_NULL,
    A_BOOL = 1 << V_FALSE | 1 << V_TRUE,
    A_NUMBER = 1 << V_NUMBER,
    A_STRING = 1 << V_STRING,
    A_ARRAY = 1 << V_ARRAY,
    A_OBJECT = 1 << V_OBJECT,
    A_SET = 1 << V_SET,
    A_LIST = A_ARRAY | A_SET,
    A_COLLECTION = A_ARRAY | A_OBJECT | A_SET,
    A_ANY = 0xFF
};

#define BUILTIN_ARGS_MAX 5

struct builtin {
    const char *name;
    uint8_t arity;
    bool strict; /* in the policy V2 article: allowed in strict mode */
    uint8_t arg[BUILTIN_ARGS_MAX];
    /** @return the result, or NULL: undefined. The arguments have the types of the table. */
    const struct value *(*run)(struct call *call, const struct value *const *arg);
};

/** The built-in of that name, or NULL. Operators have the names +, -, and so on. */
const struct builtin *builtin_find(const char *name, size_t n);

/** By index, as it is kept in compiled policies. */
const struct builtin *builtin_at(uint32_t index);
uint32_t builtin_index(const struct builtin *b);

/** True if plain OPA has a built-in of that name that is not here. */
bool builtin_known_elsewhere(const char *name, size_t n);

/** The tables, one a file, at most 64 rows each. */
extern const struct builtin builtins_core[], builtins_numbers[], builtins_strings[], builtins_objects[],
    builtins_encoding[], builtins_time[], builtins_types[];
extern const uint32_t builtins_core_n, builtins_numbers_n, builtins_strings_n, builtins_objects_n,
    builtins_encoding_n, builtins_time_n, builtins_types_n;

#endif
