/** policy/rego/names.h: a map from names (string values) to pointers. */
#ifndef CVM_POLICY_REGO_NAMES_H
#define CVM_POLICY_REGO_NAMES_H

#include "policy/rego/value.h"

struct names {
    struct arena *arena;
    uint32_t n, cap;
    const struct value **name;
    void **item;
    uint32_t *index;
    uint32_t mask;
};

static inline struct names names_new(struct arena *a)
{
    return (struct names){ .arena = a };
}

/** What is kept under the name, or NULL. */
void *names_get(const struct names *map, const struct value *name);

/** Keeps item, which is not NULL, under the name; what was there before is replaced. */
void names_put(struct names *map, const struct value *name, void *item);

#endif
