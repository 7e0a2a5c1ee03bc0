/* Documents: what rules and data make together; partial objects with nested keys. */
#include "policy/rego/eval.h"

const struct value *eval_path(struct eval *e, const struct value *v, const int32_t *key, uint32_t n)
{
    for (uint32_t i = 0; v && i < n; i++)
        v = value_get(v, e->p->constant[~key[i]]);
    return v;
}

static const struct value *base_at(struct eval *e, const struct doc *d)
{
    if (!d->parent)
        return e->world->data;
    const struct value *up = base_at(e, d->parent);
    return up ? value_get(up, d->name) : NULL;
}

/* Which keys of the documents below are asked for: constants or registers, NO_REG: all. */
struct wanted {
    const int32_t *key;
    uint32_t n;
    const struct frame *f;
};

static bool is_wanted(const struct eval *e, const struct wanted *w, uint32_t depth, const struct value *name)
{
    if (depth >= w->n || w->key[depth] == NO_REG)
        return true;
    int32_t k = w->key[depth];
    return value_equal(k >= 0 ? w->f->reg[k] : e->p->constant[~k], name);
}

static const struct value *below(struct eval *e, const struct doc *d, const struct value *base,
                                 const struct wanted *w, uint32_t depth)
{
    bool overridden = false;
    const struct value *v = e->world->n_override ? eval_override(e, d, &overridden) : NULL;
    if (overridden)
        return v;
    if (d->rule != NONE)
        return e->p->rule[d->rule].kind == RULE_FUNCTION ? NULL : eval_rule(e, d->rule);
    struct builder b;
    builder_init(&b, &e->arena, true);
    /* data comes first where a rule and data have one path */
    for (uint32_t i = 0; base && base->type == V_OBJECT && i < base->n; i++) {
        eval_spend(e, 1);
        const struct value *key = base->table->key[i];
        const struct doc *child = names_get(&d->child, key);
        if (is_wanted(e, w, depth, key) && (!child || child->rule != NONE))
            builder_put(&b, key, base->table->val[i]);
    }
    for (uint32_t i = 0; i < d->child.n; i++) {
        const struct doc *child = d->child.item[i];
        if (!is_wanted(e, w, depth, child->name))
            continue;
        v = below(e, child, base ? value_get(base, child->name) : NULL, w, depth + 1);
        if (v)
            builder_put(&b, child->name, v);
    }
    return builder_value(&b);
}

const struct value *eval_doc(struct eval *e, const struct frame *f, const struct op *o)
{
    const struct doc *d = e->p->doc[o->a];
    const struct wanted wanted = { e->p->list + o->b, o->n, f };
    eval_deeper(e);
    const struct value *v = below(e, d, base_at(e, d), &wanted, 0);
    e->depth--;
    return v;
}

/* A tree of keys: inner nodes have members, leaves a value, or a set that grows. */
struct nest {
    const struct value *value;
    bool is_set;
    struct builder set;
    struct builder index; /* key to the position in child, as a number */
    struct nest **child;
    uint32_t n, cap;
};

struct nest *nest_new(struct eval *e)
{
    return arena_zero(&e->arena, 1, sizeof(struct nest));
}

static struct nest *member(struct eval *e, struct nest *at, const struct value *key)
{
    if (!at->index.arena)
        builder_init(&at->index, &e->arena, true);
    const struct value *known = builder_put(&at->index, key, value_int(&e->arena, at->n));
    if (known)
        return at->child[known->i];
    at->child = arena_grow(&e->arena, at->child, at->n, &at->cap, sizeof(*at->child));
    at->child[at->n] = nest_new(e);
    return at->child[at->n++];
}

void nest_add(struct eval *e, struct sink *sink, const struct value *const *part, uint32_t n, bool contains)
{
    struct nest *at = sink->nest;
    for (uint32_t i = 0; i + 1 < n; i++) {
        if (at->value || at->is_set)
            eval_fail(e, "object keys must be unique: a value and members for one key");
        eval_spend(e, part[i]->weight);
        at = member(e, at, part[i]);
    }
    const struct value *v = part[n - 1];
    if (at->n || (contains ? at->value != NULL : at->is_set) || (at->value && !value_equal(at->value, v)))
        eval_fail(e, "object keys must be unique: two values for one key");
    if (!contains) {
        at->value = v;
        return;
    }
    if (!at->is_set)
        builder_init(&at->set, &e->arena, false);
    at->is_set = true;
    builder_put(&at->set, v, NULL);
}

const struct value *nest_value(struct eval *e, const struct nest *nest)
{
    struct builder b;
    if (nest->is_set) {
        b = nest->set;
        return builder_value(&b);
    }
    if (nest->value)
        return nest->value;
    builder_init(&b, &e->arena, true);
    for (uint32_t i = 0; i < nest->n; i++)
        builder_put(&b, nest->index.t.key[i], nest_value(e, nest->child[i]));
    return builder_value(&b);
}
