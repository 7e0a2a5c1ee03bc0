/* What did not hold, with the values: for people who ask why a policy did not match. */
#include "policy/rego/eval.h"
#include "policy/rego/lexer.h"
#include "policy/rego/text.h"

#include <stdio.h>

#define LINES_MAX 500
#define VALUE_MAX 120 /* bytes shown of one value */

struct line {
    uint32_t place;
    const char *why;
};

struct trace {
    struct arena *arena;
    struct line line[LINES_MAX];
    uint32_t n;
    bool more;
};

struct trace *trace_new(struct arena *a)
{
    struct trace *t = arena_zero(a, 1, sizeof(*t));
    t->arena = a;
    return t;
}

void trace_value(struct buf *out, const struct value *v)
{
    struct buf text = buf_new(VALUE_MAX);
    if (!v) {
        buf_str(out, "undefined");
        return;
    }
    if (v->weight < 8)
        value_put_rego(&text, v);
    if (v->weight < 8 && !text.failed)
        buf_put(out, buf_bytes(&text));
    else if (v->type == V_STRING)
        buf_printf(out, "a string of %u bytes", v->n);
    else
        buf_printf(out, "%s %s of %u members", v->type == V_STRING || v->type == V_SET ? "a" : "an",
                   value_type_name(v), v->n);
    buf_done(&text);
}

/* The same finding twice, from another iteration, is one line. */
static void note(struct eval *e, uint32_t place, struct buf *why)
{
    struct trace *t = e->trace;
    buf_u8(why, 0);
    const char *text = why->failed ? "a long value" : arena_copy(t->arena, why->p, why->n);
    for (uint32_t i = t->n > 50 ? t->n - 50 : 0; i < t->n; i++)
        if (t->line[i].place == place && strcmp(t->line[i].why, text) == 0)
            return;
    if (t->n == LINES_MAX) {
        t->more = true;
        return;
    }
    t->line[t->n++] = (struct line){ place, text };
}

static const struct value *operand(const struct eval *e, const struct frame *f, int32_t x)
{
    return x >= 0 ? f->reg[x] : e->p->constant[~x];
}

static const char *operator_text(uint8_t op)
{
    return op == T_EQUAL           ? "=="
           : op == T_NOT_EQUAL     ? "!="
           : op == T_LESS          ? "<"
           : op == T_LESS_EQUAL    ? "<="
           : op == T_GREATER       ? ">"
           : op == T_GREATER_EQUAL ? ">="
                                   : "=";
}

static void put_two(struct buf *why, const struct value *a, const char *between, const struct value *b,
                    const char *end)
{
    trace_value(why, a);
    buf_str(why, between);
    trace_value(why, b);
    buf_str(why, end);
}

static void describe(struct eval *e, const struct frame *f, const struct op *o, struct buf *why)
{
    char between[8];
    switch ((enum op_code)o->code) {
    case OP_GET:
        buf_str(why, "undefined: ");
        put_two(why, operand(e, f, o->a), " has no member ", operand(e, f, o->b), "");
        break;
    case OP_SCAN:
        buf_str(why, "nothing to try in ");
        trace_value(why, operand(e, f, o->a));
        break;
    case OP_EQUAL:
    case OP_COMPARE:
        snprintf(between, sizeof(between), " %s ", o->code == OP_EQUAL ? "==" : operator_text(o->flag));
        put_two(why, operand(e, f, o->a), between, operand(e, f, o->b), " is false");
        break;
    case OP_TRUE:
        buf_str(why, "is false");
        break;
    case OP_IS_ARRAY:
    case OP_IS_OBJECT:
        trace_value(why, operand(e, f, o->a));
        buf_printf(why, " is no %s of %d members", o->code == OP_IS_ARRAY ? "array" : "object", o->b);
        break;
    case OP_RULE:
    case OP_CALL:
        buf_printf(why, "%s %.*s is undefined", o->code == OP_RULE ? "rule" : "function",
                   (int)e->p->rule[o->a].name->n, e->p->rule[o->a].name->text);
        break;
    case OP_BUILTIN:
        buf_printf(why, "%s is undefined for these arguments:", builtin_at((uint32_t)o->a)->name);
        for (uint32_t i = 0; i < o->n; i++) {
            buf_str(why, i ? ", " : " ");
            trace_value(why, operand(e, f, e->p->list[o->b + (int32_t)i]));
        }
        break;
    case OP_INPUT:
        buf_str(why, "there is no input");
        break;
    case OP_NOT:
        buf_str(why, "what not is applied to holds");
        break;
    case OP_EVERY:
        buf_str(why, "does not hold for every member of ");
        trace_value(why, operand(e, f, o->a));
        break;
    default:
        buf_str(why, "undefined");
    }
}

void trace_failed(struct eval *e, const struct frame *f, const struct op *o)
{
    buf_done(&e->scratch);
    e->scratch = buf_new(2048);
    describe(e, f, o, &e->scratch);
    note(e, o->place, &e->scratch);
}

void trace_rule(struct eval *e, const struct rule *r, const struct value *v)
{
    if (!r->name->n)
        return;
    buf_done(&e->scratch);
    e->scratch = buf_new(2048);
    buf_printf(&e->scratch, "rule %.*s: ", (int)r->name->n, r->name->text);
    trace_value(&e->scratch, v);
    note(e, r->place, &e->scratch);
}

/* The expression on one line. */
static void put_source(struct buf *out, const struct module *m, const struct place *p)
{
    bool space = false;
    size_t shown = 0;
    for (uint32_t i = p->at; i < p->end && shown < VALUE_MAX; i++) {
        uint8_t c = m->text.p[i];
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            space = true;
            continue;
        }
        if (space)
            buf_u8(out, ' ');
        space = false;
        buf_u8(out, c);
        shown++;
    }
}

void trace_put(const struct trace *t, const struct rego *p, struct buf *out)
{
    for (uint32_t i = 0; i < t->n; i++) {
        const struct place *at = &p->place[t->line[i].place];
        const struct module *m = p->module[at->module];
        uint32_t line, column;
        text_place(m->text, at->at, &line, &column);
        if (p->n_module > 1 && m->name)
            buf_printf(out, "%s:", m->name);
        buf_printf(out, "%" PRIu32 ":%" PRIu32 ": ", line, column);
        if (strncmp(t->line[i].why, "rule ", 5) != 0 || !strchr(t->line[i].why, ':')) {
            put_source(out, m, at);
            buf_str(out, ": ");
        }
        buf_printf(out, "%s\n", t->line[i].why);
    }
    if (t->more)
        buf_str(out, "more did not hold\n");
}
