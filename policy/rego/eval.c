/* The operations. An operation that does not hold returns: whoever called tries its next alternative. */
#include "policy/rego/eval.h"

#include "policy/rego/lexer.h"
#include "policy/rego/text.h"

#include <stdarg.h>
#include <stdio.h>

void eval_fail(struct eval *e, const char *fmt, ...)
{
    char text[256];
    uint32_t line = 0, column = 0;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (!e->place)
        arena_fail(&e->arena, ERR_INPUT, "%s", text);
    text_place(e->p->module[e->place->module]->text, e->place->at, &line, &column);
    arena_fail(&e->arena, ERR_INPUT, "%" PRIu32 ":%" PRIu32 ": %s", line, column, text);
}

void eval_spend(struct eval *e, uint64_t cost)
{
    e->steps += cost;
    if (e->steps > e->max_steps)
        arena_fail(&e->arena, ERR_TOO_LARGE, "the evaluation needs more than %" PRIu64 " steps",
                   e->max_steps);
}

void eval_deeper(struct eval *e)
{
    if (++e->depth > e->max_depth)
        arena_fail(&e->arena, ERR_TOO_LARGE, "the evaluation is nested deeper than %u levels", e->max_depth);
}

static inline const struct value *val(const struct eval *e, const struct frame *f, int32_t x)
{
    return x >= 0 ? f->reg[x] : e->p->constant[~x];
}

static bool compare(uint8_t op, const struct value *a, const struct value *b)
{
    if (op == T_EQUAL)
        return value_equal(a, b);
    if (op == T_NOT_EQUAL)
        return !value_equal(a, b);
    int c = value_compare(a, b);
    return op == T_LESS ? c < 0 : op == T_LESS_EQUAL ? c <= 0 : op == T_GREATER ? c > 0 : c >= 0;
}

static void spend_both(struct eval *e, const struct value *a, const struct value *b)
{
    eval_spend(e, a->weight < b->weight ? a->weight : b->weight);
}

static bool is_member(struct eval *e, const struct value *x, const struct value *in)
{
    if (in->type == V_SET) {
        eval_spend(e, x->weight);
        return value_get(in, x) != NULL;
    }
    if (in->type != V_ARRAY && in->type != V_OBJECT)
        return false;
    for (uint32_t i = 0; i < in->n; i++) {
        const struct value *each = in->type == V_ARRAY ? in->item[i] : in->table->val[i];
        eval_spend(e, 1);
        spend_both(e, each, x);
        if (value_equal(each, x))
            return true;
    }
    return false;
}

static bool is_pair(const struct value *key, const struct value *x, const struct value *in)
{
    const struct value *at = value_get(in, key);
    return at && value_equal(at, x);
}

static const struct value *collection(struct eval *e, const struct frame *f, const struct op *o)
{
    const int32_t *list = e->p->list + o->a;
    if (o->code == OP_ARRAY) {
        const struct value **item = arena_alloc(&e->arena, o->n * sizeof(*item));
        for (uint32_t i = 0; i < o->n; i++)
            item[i] = val(e, f, list[i]);
        return value_array(&e->arena, item, o->n);
    }
    struct builder b;
    builder_init(&b, &e->arena, o->code == OP_OBJECT);
    for (uint32_t i = 0; i < o->n; i += o->code == OP_OBJECT ? 2 : 1) {
        const struct value *key = val(e, f, list[i]);
        eval_spend(e, key->weight);
        builder_set(&b, key, o->code == OP_OBJECT ? val(e, f, list[i + 1]) : NULL);
    }
    return builder_value(&b);
}

static bool scan(struct eval *e, struct frame *f, uint32_t pc, struct sink *sink)
{
    const struct op *o = &e->p->op[pc];
    const struct value *in = val(e, f, o->a);
    bool stop = false;
    if (in->type != V_ARRAY && in->type != V_OBJECT && in->type != V_SET)
        return false;
    if (in->type != V_ARRAY && !in->sorted) {
        eval_spend(e, in->weight);
        value_sort(in);
    }
    eval_deeper(e);
    for (uint32_t i = 0; i < in->n && !stop; i++) {
        if (o->b != NO_REG)
            f->reg[o->b] = in->type == V_ARRAY ? value_int(&e->arena, i) : in->table->key[i];
        if (o->dst != NO_REG)
            f->reg[o->dst] = in->type == V_ARRAY    ? in->item[i]
                             : in->type == V_OBJECT ? in->table->val[i]
                                                    : in->table->key[i];
        stop = eval_run(e, f, pc + 1, sink);
    }
    e->depth--;
    return stop;
}

static bool every(struct eval *e, struct frame *f, uint32_t pc)
{
    const struct op *o = &e->p->op[pc];
    const struct value *in = val(e, f, o->a);
    bool all = in->type == V_ARRAY || in->type == V_OBJECT || in->type == V_SET;
    if (all && in->type != V_ARRAY)
        value_sort(in);
    eval_deeper(e);
    for (uint32_t i = 0; all && i < in->n; i++) {
        struct sink sink = { 0 };
        if (o->dst != NO_REG)
            f->reg[o->dst] = in->type == V_ARRAY ? value_int(&e->arena, i) : in->table->key[i];
        f->reg[o[1].dst] = in->type == V_ARRAY    ? in->item[i]
                           : in->type == V_OBJECT ? in->table->val[i]
                                                  : in->table->key[i];
        eval_run(e, f, pc + 2, &sink);
        all = sink.found;
    }
    e->depth--;
    return all;
}

struct walk {
    struct eval *e;
    struct frame *f;
    uint32_t pc;
    struct sink *sink;
    const struct value *path[VALUE_DEPTH_MAX + 1];
};

static bool walk_below(struct walk *w, const struct value *v, uint32_t depth)
{
    struct eval *e = w->e;
    const struct value **path = arena_alloc(&e->arena, (depth + 1) * sizeof(*path));
    const struct value **pair = arena_alloc(&e->arena, 2 * sizeof(*pair));
    if (depth)
        memcpy(path, w->path, depth * sizeof(*path));
    pair[0] = value_array(&e->arena, path, depth);
    pair[1] = v;
    w->f->reg[e->p->op[w->pc].dst] = value_array(&e->arena, pair, 2);
    if (eval_run(e, w->f, w->pc + 1, w->sink))
        return true;
    if (v->type != V_ARRAY && v->type != V_OBJECT && v->type != V_SET)
        return false;
    if (v->type != V_ARRAY)
        value_sort(v);
    for (uint32_t i = 0; i < v->n; i++) {
        w->path[depth] = v->type == V_ARRAY ? value_int(&e->arena, i) : v->table->key[i];
        if (walk_below(w,
                       v->type == V_ARRAY ? v->item[i]
                       : v->type == V_SET ? v->table->key[i]
                                          : v->table->val[i],
                       depth + 1))
            return true;
    }
    return false;
}

static bool walk(struct eval *e, struct frame *f, uint32_t pc, struct sink *sink)
{
    struct walk *w = arena_alloc(&e->arena, sizeof(*w));
    w->e = e;
    w->f = f;
    w->pc = pc;
    w->sink = sink;
    eval_deeper(e);
    bool stop = walk_below(w, val(e, f, e->p->op[pc].a), 0);
    e->depth--;
    return stop;
}

static const struct value *collect(struct eval *e, struct frame *f, uint32_t pc)
{
    const struct op *o = &e->p->op[pc];
    struct sink sink = { .type = o->flag, .items = { .arena = &e->arena } };
    builder_init(&sink.builder, &e->arena, o->flag == V_OBJECT);
    eval_deeper(e);
    eval_run(e, f, pc + 1, &sink);
    e->depth--;
    return o->flag == V_ARRAY ? items_value(&sink.items) : builder_value(&sink.builder);
}

static bool holds(struct eval *e, struct frame *f, uint32_t pc)
{
    struct sink sink = { 0 };
    eval_deeper(e);
    eval_run(e, f, pc, &sink);
    e->depth--;
    return sink.found;
}

static const struct value *run_builtin(struct eval *e, uint32_t id, const struct value *const *arg)
{
    const struct builtin *b = builtin_at(id);
    struct call call = {
        .arena = &e->arena, .now_ns = e->now_ns, .scratch = &e->scratch, .regexes = &e->regexes
    };
    for (uint32_t i = 0; i < b->arity; i++) {
        if (!(b->arg[i] >> arg[i]->type & 1))
            return NULL;
        eval_spend(e, arg[i]->weight);
    }
    const struct value *v = b->run(&call, arg);
    eval_spend(e, call.cost + (v ? v->weight : 0));
    return v;
}

static const struct value *call(struct eval *e, const struct frame *f, const struct op *o)
{
    const struct value *arg[UINT8_MAX + 1];
    bool builtin = o->code == OP_BUILTIN;
    uint32_t id = (uint32_t)o->a;
    for (uint32_t i = 0; i < o->n; i++)
        arg[i] = val(e, f, e->p->list[o->b + (int32_t)i]);
    const struct replacement *r = e->world->n_replacement ? eval_replacement(e, builtin, id) : NULL;
    if (r && r->by == BY_VALUE)
        return r->value;
    if (r) {
        builtin = r->by == BY_BUILTIN;
        id = r->other;
        uint32_t arity = builtin ? builtin_at(id)->arity : e->p->rule[id].arity;
        if (arity != o->n)
            eval_fail(e, "the function that comes in the place of another takes %u arguments, not %u", arity,
                      o->n);
    }
    if (r && !builtin)
        return eval_unmocked(e, id, arg);
    return builtin ? run_builtin(e, id, arg) : eval_call(e, id, arg);
}

/* One solution; true if no other is wanted. */
static bool solution(struct eval *e, struct frame *f, const struct op *o, struct sink *sink)
{
    const struct value *a = o->code == OP_FOUND ? NULL : val(e, f, o->a), *b, *old;
    switch ((enum op_code)o->code) {
    case OP_FOUND:
        sink->found = true;
        return true;
    case OP_RETURN:
        if (sink->value && !value_equal(sink->value, a))
            eval_fail(e, "complete rules must not produce multiple outputs");
        sink->value = a;
        return o->flag;
    case OP_ADD:
        if (sink->type == V_ARRAY) {
            items_add(&sink->items, a);
            return false;
        }
        eval_spend(e, a->weight);
        builder_put(&sink->builder, a, NULL);
        return false;
    case OP_PUT:
        b = val(e, f, o->b);
        eval_spend(e, a->weight);
        old = builder_put(&sink->builder, a, b);
        if (old && !value_equal(old, b))
            eval_fail(e, "object keys must be unique: two values for one key");
        return false;
    default:
        return true;
    }
}

static bool emit_partial(struct eval *e, const struct frame *f, const struct op *o, struct sink *sink)
{
    const int32_t *list = e->p->list + o->a;
    if (sink->nest) {
        const struct value **part = arena_alloc(&e->arena, o->n * sizeof(*part));
        for (uint32_t i = 0; i < o->n; i++)
            part[i] = val(e, f, list[i]);
        nest_add(e, sink, part, o->n, o->flag);
        return false;
    }
    const struct value *key = val(e, f, list[0]), *v = o->n == 2 ? val(e, f, list[1]) : NULL;
    eval_spend(e, key->weight);
    const struct value *old = builder_put(&sink->builder, key, v);
    if (v && old && !value_equal(old, v))
        eval_fail(e, "object keys must be unique: two values for one key");
    return false;
}

#define HOLD(condition)                                                                                      \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            if (e->trace)                                                                                    \
                trace_failed(e, f, o);                                                                       \
            return false;                                                                                    \
        }                                                                                                    \
    } while (0)

bool eval_run(struct eval *e, struct frame *f, uint32_t pc, struct sink *sink)
{
    for (;; pc++) {
        const struct op *o = &e->p->op[pc];
        const struct value *a, *b;
        if (++e->steps > e->max_steps)
            eval_spend(e, 0);
        switch ((enum op_code)o->code) {
        case OP_GET:
            a = val(e, f, o->a);
            b = val(e, f, o->b);
            if (b->weight)
                eval_spend(e, b->weight);
            HOLD((f->reg[o->dst] = value_get(a, b)) != NULL);
            break;
        case OP_SCAN:
            if (e->trace && val(e, f, o->a)->n == 0)
                trace_failed(e, f, o);
            return scan(e, f, pc, sink);
        case OP_EQUAL:
            a = val(e, f, o->a);
            b = val(e, f, o->b);
            spend_both(e, a, b);
            HOLD(value_equal(a, b));
            break;
        case OP_COMPARE:
            a = val(e, f, o->a);
            b = val(e, f, o->b);
            spend_both(e, a, b);
            HOLD(compare(o->flag, a, b));
            break;
        case OP_COMPARED:
            a = val(e, f, o->a);
            b = val(e, f, o->b);
            spend_both(e, a, b);
            f->reg[o->dst] = value_bool(compare(o->flag, a, b));
            break;
        case OP_TRUE:
            HOLD(val(e, f, o->a)->type != V_FALSE);
            break;
        case OP_IS_ARRAY:
            a = val(e, f, o->a);
            HOLD(a->type == V_ARRAY && a->n == (uint32_t)o->b);
            break;
        case OP_IS_OBJECT:
            a = val(e, f, o->a);
            HOLD(a->type == V_OBJECT && a->n == (uint32_t)o->b);
            break;
        case OP_ARRAY:
        case OP_SET:
        case OP_OBJECT:
            f->reg[o->dst] = collection(e, f, o);
            eval_spend(e, o->n);
            break;
        case OP_RULE:
            e->place = &e->p->place[o->place];
            HOLD((f->reg[o->dst] = eval_rule(e, (uint32_t)o->a)) != NULL);
            break;
        case OP_CALL:
        case OP_BUILTIN:
            e->place = &e->p->place[o->place];
            HOLD((f->reg[o->dst] = call(e, f, o)) != NULL);
            break;
        case OP_WALK:
            return walk(e, f, pc, sink);
        case OP_INPUT:
            HOLD((f->reg[o->dst] = e->world->input) != NULL);
            break;
        case OP_DATA:
            HOLD((f->reg[o->dst] = eval_doc(e, f, o)) != NULL);
            break;
        case OP_BASE:
            HOLD((f->reg[o->dst] = eval_path(e, e->world->data, e->p->list + o->a, o->n)) != NULL);
            break;
        case OP_MEMBER:
            f->reg[o->dst] = value_bool(is_member(e, val(e, f, o->a), val(e, f, o->b)));
            break;
        case OP_PAIR:
            f->reg[o->dst] = value_bool(is_pair(val(e, f, e->p->list[o->b]), val(e, f, e->p->list[o->b + 1]),
                                                val(e, f, e->p->list[o->b + 2])));
            break;
        case OP_COLLECT:
            f->reg[o->dst] = collect(e, f, pc);
            pc = (uint32_t)o->b - 1;
            break;
        case OP_NOT:
            HOLD(!holds(e, f, pc + 1));
            pc = (uint32_t)o->b - 1;
            break;
        case OP_EVERY:
            HOLD(every(e, f, pc));
            pc = (uint32_t)o->b - 1;
            break;
        case OP_WITH:
            return eval_with(e, f, pc, sink);
        case OP_YIELD:
            eval_keep(e, f, o, sink);
            return false;
        case OP_EMIT:
            e->place = &e->p->place[o->place];
            return emit_partial(e, f, o, sink);
        case OP_FAIL:
            return false;
        case OP_ADD:
        case OP_PUT:
        case OP_FOUND:
        case OP_RETURN:
            e->place = &e->p->place[o->place];
            return solution(e, f, o, sink);
        }
    }
}
