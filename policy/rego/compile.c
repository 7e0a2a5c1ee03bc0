/* The compiler's tools: operations, constants, registers, places, dependencies. */
#include "policy/rego/compile.h"

#include <stdarg.h>
#include <stdio.h>

void compile_fail(const struct compiler *c, uint32_t at, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    source_fail(&c->source, at, "%s", text);
}

void compile_warn(struct compiler *c, const char *fmt, ...)
{
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    c->warning = arena_grow(c->arena, c->warning, c->out->n_warning, &c->cap_warning, sizeof(*c->warning));
    c->warning[c->out->n_warning++] = arena_copy(c->arena, text, strlen(text));
}

uint32_t new_place(struct compiler *c, uint32_t at, uint32_t end)
{
    c->place = arena_grow(c->arena, c->place, c->out->n_place, &c->cap_place, sizeof(struct place));
    c->place[c->out->n_place] = (struct place){ c->module_now, at, end };
    return c->out->n_place++;
}

int32_t emit_constant(struct compiler *c, const struct value *v)
{
    bool string = v->type == V_STRING;
    uintptr_t known = string ? (uintptr_t)names_get(&c->constants, v) : 0;
    if (known)
        return ~(int32_t)(known - 1);
    c->constant = arena_grow(c->arena, c->constant, c->out->n_constant, &c->cap_constant, sizeof(v));
    value_freeze(v);
    c->constant[c->out->n_constant] = v;
    if (string)
        names_put(&c->constants, v, (void *)((uintptr_t)c->out->n_constant + 1));
    return ~(int32_t)c->out->n_constant++;
}

uint32_t emit(struct compiler *c, enum op_code code, int32_t dst, int32_t a, int32_t b)
{
    c->op = arena_grow(c->arena, c->op, c->out->n_op, &c->cap_op, sizeof(struct op));
    c->op[c->out->n_op] =
        (struct op){ .code = (uint8_t)code, .dst = dst, .a = a, .b = b, .place = c->place_now };
    return c->out->n_op++;
}

struct op *emit_op(struct compiler *c, enum op_code code, int32_t dst, int32_t a, int32_t b)
{
    uint32_t at = emit(c, code, dst, a, b);
    return &c->op[at];
}

int32_t new_register(struct compiler *c)
{
    return (int32_t)c->registers++;
}

uint32_t new_list(struct compiler *c, const int32_t *item, uint32_t n)
{
    uint32_t at = c->out->n_list;
    for (uint32_t i = 0; i < n; i++) {
        c->list = arena_grow(c->arena, c->list, c->out->n_list, &c->cap_list, sizeof(*c->list));
        c->list[c->out->n_list++] = item[i];
    }
    if (n > UINT16_MAX)
        compile_fail(c, c->place[c->place_now].at, "more than %d members in one literal", UINT16_MAX);
    return at;
}

void bind_var(struct compiler *c, struct var *v, int32_t operand)
{
    (void)c;
    v->bound = true;
    v->operand = operand;
}

void depends_on(struct compiler *c, uint32_t rule)
{
    uint32_t from = c->rule_now;
    if (c->n_edge[from] && c->edge[from][c->n_edge[from] - 1] == rule)
        return;
    c->edge[from] =
        arena_grow(c->arena, c->edge[from], c->n_edge[from], &c->cap_edge[from], sizeof(uint32_t));
    c->edge[from][c->n_edge[from]++] = rule;
}

void depends_below(struct compiler *c, const struct doc *d, const struct value *const *part, uint32_t n)
{
    if (d->rule != NONE)
        depends_on(c, d->rule);
    for (uint32_t i = 0; i < d->child.n; i++) {
        const struct doc *child = d->child.item[i];
        if (!n || !part[0] || value_equal(part[0], child->name))
            depends_below(c, child, n ? part + 1 : NULL, n ? n - 1 : 0);
    }
}
