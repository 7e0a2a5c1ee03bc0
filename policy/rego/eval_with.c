/* with: another world for one expression. */
#include "policy/rego/eval.h"

struct kept {
    const int32_t *reg;
    uint32_t n, count, cap;
    const struct value ***solution;
};

void eval_keep(struct eval *e, const struct frame *f, const struct op *o, struct sink *sink)
{
    struct kept *k = sink->kept;
    const struct value **row = arena_alloc(&e->arena, o->n * sizeof(*row));
    k->reg = e->p->list + o->a;
    k->n = o->n;
    for (uint32_t i = 0; i < o->n; i++)
        row[i] = f->reg[k->reg[i]];
    k->solution = arena_grow(&e->arena, k->solution, k->count, &k->cap, sizeof(*k->solution));
    k->solution[k->count++] = row;
}

/* A copy of an object with another value at the path. */
static const struct value *put_at(struct eval *e, const struct value *v, const int32_t *path, uint32_t n,
                                  const struct value *new)
{
    if (n == 0)
        return new;
    const struct value *key = e->p->constant[~path[0]];
    struct builder b;
    builder_init(&b, &e->arena, true);
    for (uint32_t i = 0; v && v->type == V_OBJECT && i < v->n; i++)
        builder_put(&b, v->table->key[i], v->table->val[i]);
    eval_spend(e, b.n);
    const struct value *old = v && v->type == V_OBJECT ? value_get(v, key) : NULL;
    builder_set(&b, key, put_at(e, old, path + 1, n - 1, new));
    return builder_value(&b);
}

static void add_override(struct eval *e, struct world *w, const int32_t *path, uint32_t n,
                         const struct value *v)
{
    const struct doc *d = e->p->doc[0];
    uint32_t i = 0;
    for (; i < n && d->rule == NONE; i++) {
        const struct doc *child = names_get(&d->child, e->p->constant[~path[i]]);
        if (!child)
            break;
        d = child;
    }
    w->data = put_at(e, w->data, path, n, v);
    if (i < n && d->rule == NONE)
        return; /* no rule is there */
    w->override[w->n_override++] = (struct override){ d, path + i, n - i, v };
}

static void add_replacement(struct world *w, const int32_t *entry, const struct value *v)
{
    w->replacement[w->n_replacement++] =
        (struct replacement){ .builtin = entry[0] == WITH_BUILTIN,
                              .by = (uint8_t)entry[4],
                              .id = (uint32_t)entry[1],
                              .other = entry[4] == BY_VALUE ? 0 : (uint32_t)entry[3],
                              .value = v };
}

static struct world *new_world(struct eval *e, const struct frame *f, const struct op *o)
{
    const struct world *outer = e->world;
    struct world *w = arena_alloc(&e->arena, sizeof(*w));
    *w = *outer;
    w->memo = arena_zero(&e->arena, e->p->n_rule + 1, sizeof(*w->memo));
    w->override = arena_alloc(&e->arena, (outer->n_override + o->n) * sizeof(*w->override));
    w->replacement = arena_alloc(&e->arena, (outer->n_replacement + o->n) * sizeof(*w->replacement));
    if (outer->n_override)
        memcpy(w->override, outer->override, outer->n_override * sizeof(*w->override));
    if (outer->n_replacement)
        memcpy(w->replacement, outer->replacement, outer->n_replacement * sizeof(*w->replacement));
    for (uint32_t i = 0; i < o->n; i++) {
        const int32_t *entry = e->p->list + o->a + (size_t)WITH_ENTRIES * i;
        const struct value *v = NULL;
        if (entry[4] == BY_VALUE)
            v = entry[3] >= 0 ? f->reg[entry[3]] : e->p->constant[~entry[3]];
        if (entry[0] == WITH_INPUT)
            w->input = put_at(e, w->input, e->p->list + entry[1], (uint32_t)entry[2], v);
        else if (entry[0] == WITH_DATA)
            add_override(e, w, e->p->list + entry[1], (uint32_t)entry[2], v);
        else
            add_replacement(w, entry, v);
    }
    return w;
}

bool eval_with(struct eval *e, struct frame *f, uint32_t pc, struct sink *sink)
{
    const struct op *o = &e->p->op[pc];
    struct world *outer = e->world;
    struct kept kept = { 0 };
    struct sink inner = { .kept = &kept };
    bool stop = false;
    eval_deeper(e);
    eval_spend(e, e->p->n_rule);
    e->world = new_world(e, f, o);
    eval_run(e, f, pc + 1, &inner);
    e->world = outer;
    for (uint32_t i = 0; i < kept.count && !stop; i++) {
        for (uint32_t k = 0; k < kept.n; k++)
            f->reg[kept.reg[k]] = kept.solution[i][k];
        stop = eval_run(e, f, (uint32_t)o->b, sink);
    }
    e->depth--;
    return stop;
}

/* The path from one node down to another. */
static const struct value *value_below(const struct value *v, const struct doc *top, const struct doc *d)
{
    if (d == top)
        return v;
    v = value_below(v, top, d->parent);
    return v ? value_get(v, d->name) : NULL;
}

const struct value *eval_override(struct eval *e, const struct doc *d, bool *found)
{
    for (uint32_t i = e->world->n_override; i-- > 0;) {
        const struct override *o = &e->world->override[i];
        for (const struct doc *up = d; up; up = up->parent) {
            if (up != o->doc || (o->n_rest && up != d))
                continue;
            *found = true;
            if (!o->n_rest)
                return value_below(o->value, up, d);
            /* below a rule's value: without the rule's own, the rest is new */
            return put_at(e, NULL, o->rest, o->n_rest, o->value);
        }
    }
    return NULL;
}

const struct replacement *eval_replacement(const struct eval *e, bool builtin, uint32_t id)
{
    for (uint32_t i = e->world->n_replacement; i-- > 0;)
        if (e->world->replacement[i].builtin == builtin && e->world->replacement[i].id == id)
            return &e->world->replacement[i];
    return NULL;
}

const struct value *eval_unmocked(struct eval *e, uint32_t rule, const struct value *const *arg)
{
    struct world *outer = e->world, *w = arena_alloc(&e->arena, sizeof(*w));
    *w = *outer;
    w->memo = arena_zero(&e->arena, e->p->n_rule + 1, sizeof(*w->memo));
    w->n_replacement = 0;
    eval_spend(e, e->p->n_rule);
    e->world = w;
    const struct value *v = eval_call(e, rule, arg);
    e->world = outer;
    return v;
}
