/* A rule that needs itself has no value: found when loading, with the way round. */
#include "policy/rego/compile.h"

#include <stdio.h>

enum { NEW, OPEN, DONE };

static void report(struct compiler *c, const uint32_t *stack, uint32_t depth, uint32_t again)
{
    struct buf way = buf_new(200);
    uint32_t from = 0;
    while (stack[from] != again)
        from++;
    for (uint32_t i = from; i < depth && way.n < 120; i++)
        buf_printf(&way, "%.*s -> ", (int)c->rule[stack[i]].name->n, c->rule[stack[i]].name->text);
    char text[200];
    snprintf(text, sizeof(text), "%.*s", way.failed ? 0 : (int)way.n, way.p ? (const char *)way.p : "");
    buf_done(&way);
    const struct rule *r = &c->rule[again];
    const struct place *p = &c->place[r->place];
    c->source.text = c->module[p->module]->text;
    c->module_now = p->module;
    compile_fail(c, p->at, "rule %.*s is recursive: %s%.*s", (int)r->name->n, r->name->text, text,
                 (int)r->name->n, r->name->text);
}

/* Depth first without recursion of our own: ten thousand rules may hang on each other. */
void check_recursion(struct compiler *c)
{
    uint32_t n = c->out->n_rule;
    uint8_t *state = arena_zero(c->arena, n + 1, 1);
    uint32_t *stack = arena_zero(c->arena, n + 1, sizeof(*stack)),
             *at = arena_zero(c->arena, n + 1, sizeof(*at));
    for (uint32_t root = 0; root < n; root++) {
        uint32_t depth = 0;
        if (state[root] != NEW)
            continue;
        stack[depth++] = root;
        state[root] = OPEN;
        while (depth) {
            uint32_t rule = stack[depth - 1];
            if (at[rule] == c->n_edge[rule]) {
                state[rule] = DONE;
                depth--;
                continue;
            }
            uint32_t next = c->edge[rule][at[rule]++];
            if (state[next] == OPEN)
                report(c, stack, depth, next);
            if (state[next] == NEW) {
                state[next] = OPEN;
                stack[depth++] = next;
            }
        }
    }
}
