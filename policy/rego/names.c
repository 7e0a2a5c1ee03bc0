#include "policy/rego/names.h"

/* Position, or the number of names. */
static uint32_t find(const struct names *map, const struct value *name)
{
    if (!map->index) {
        uint32_t i = 0;
        while (i < map->n && !value_equal(map->name[i], name))
            i++;
        return i;
    }
    for (uint32_t at = value_hash(name) & map->mask; map->index[at]; at = (at + 1) & map->mask)
        if (value_equal(map->name[map->index[at] - 1], name))
            return map->index[at] - 1;
    return map->n;
}

void *names_get(const struct names *map, const struct value *name)
{
    uint32_t at = find(map, name);
    return at < map->n ? map->item[at] : NULL;
}

static void place(struct names *map, uint32_t i)
{
    uint32_t at = value_hash(map->name[i]) & map->mask;
    while (map->index[at])
        at = (at + 1) & map->mask;
    map->index[at] = i + 1;
}

void names_put(struct names *map, const struct value *name, void *item)
{
    uint32_t at = find(map, name), cap = map->cap;
    if (at < map->n) {
        map->item[at] = item;
        return;
    }
    map->name = arena_grow(map->arena, map->name, map->n, &map->cap, sizeof(*map->name));
    map->item = arena_grow(map->arena, map->item, map->n, &cap, sizeof(*map->item));
    map->name[map->n] = name;
    map->item[map->n++] = item;
    if (map->n > 8 && (!map->index || 2 * map->n > map->mask)) {
        map->mask = map->index ? 4 * map->mask + 3 : 63;
        map->index = arena_zero(map->arena, (size_t)map->mask + 1, sizeof(*map->index));
        for (uint32_t i = 0; i + 1 < map->n; i++)
            place(map, i);
    }
    if (map->index)
        place(map, map->n - 1);
}
