/* Rules and functions: their definitions, else, defaults; each rule once. */
#include "policy/rego/eval.h"

static void run_def(struct eval *e, const struct def *d, const struct value *const *arg, uint32_t n,
                    struct sink *sink)
{
    struct arena_mark mark = arena_mark(&e->frames);
    struct frame f = { arena_alloc(&e->frames, (d->registers + 1) * sizeof(*f.reg)) };
    for (uint32_t i = 0; i < n; i++)
        f.reg[i] = arg[i];
    eval_run(e, &f, d->entry, sink);
    arena_release(&e->frames, mark);
}

/* A definition and what comes after its else. */
static const struct value *def_value(struct eval *e, uint32_t def, const struct value *const *arg, uint32_t n)
{
    for (; def != NONE; def = e->p->def[def].otherwise) {
        struct sink sink = { 0 };
        run_def(e, &e->p->def[def], arg, n, &sink);
        if (sink.value)
            return sink.value;
    }
    return NULL;
}

static const struct value *complete_value(struct eval *e, const struct rule *r,
                                          const struct value *const *arg)
{
    const struct value *v = NULL;
    for (uint32_t def = r->first; def != NONE; def = e->p->def[def].next) {
        const struct value *next = def_value(e, def, arg, r->arity);
        if (v && next && !value_equal(v, next)) {
            e->place = &e->p->place[e->p->def[def].place];
            eval_fail(e, "%s must not produce multiple outputs: %.*s",
                      r->kind == RULE_FUNCTION ? "functions" : "complete rules", (int)r->name->n,
                      r->name->text);
        }
        v = next ? next : v;
    }
    if (!v && r->fallback != NONE)
        v = def_value(e, r->fallback, arg, r->arity);
    return v;
}

static const struct value *partial_value(struct eval *e, const struct rule *r)
{
    struct sink sink = { 0 };
    builder_init(&sink.builder, &e->arena, r->kind == RULE_OBJECT);
    if (r->nested)
        sink.nest = nest_new(e);
    for (uint32_t def = r->first; def != NONE; def = e->p->def[def].next)
        run_def(e, &e->p->def[def], NULL, 0, &sink);
    return r->nested ? nest_value(e, sink.nest) : builder_value(&sink.builder);
}

const struct value *eval_rule(struct eval *e, uint32_t rule)
{
    struct memo *m = &e->world->memo[rule];
    const struct rule *r = &e->p->rule[rule];
    const struct place *outer = e->place;
    bool overridden = false;
    if (m->state == MEMO_DONE)
        return m->value;
    if (m->state == MEMO_BUSY)
        eval_fail(e, "rule %.*s is recursive", (int)r->name->n, r->name->text);
    m->state = MEMO_BUSY;
    eval_deeper(e);
    const struct value *v =
        e->world->n_override && r->name->n ? eval_override(e, e->p->doc[r->node], &overridden) : NULL;
    if (!overridden)
        v = r->kind == RULE_COMPLETE ? complete_value(e, r, NULL) : partial_value(e, r);
    e->depth--;
    e->place = outer;
    m->value = v;
    m->state = MEMO_DONE;
    if (e->trace)
        trace_rule(e, r, v);
    return v;
}

const struct value *eval_call(struct eval *e, uint32_t rule, const struct value *const *arg)
{
    const struct place *outer = e->place;
    eval_deeper(e);
    const struct value *v = complete_value(e, &e->p->rule[rule], arg);
    e->depth--;
    e->place = outer;
    return v;
}
