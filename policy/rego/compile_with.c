/* with: the expression is computed by itself, with other documents or functions; what it finds is kept, and
 * the rest of the body goes on with each solution and the documents as they were. */
#include "policy/rego/compile.h"

bool with_function(struct compiler *c, const struct with *w)
{
    const struct rule *rule;
    const struct builtin *builtin;
    named_function(c, w->target, &rule, &builtin);
    if (!rule && !builtin)
        return false;
    for (struct scope *s = c->scope; s && w->value->kind == N_VAR; s = s->around)
        if (names_get(&s->declared, w->value->value))
            return false;
    named_function(c, w->value, &rule, &builtin);
    return rule || builtin;
}

static void put_function(struct compiler *c, const struct node *value, int32_t entry[static WITH_ENTRIES])
{
    const struct rule *rule;
    const struct builtin *builtin;
    named_function(c, value, &rule, &builtin);
    entry[4] = rule ? BY_RULE : BY_BUILTIN;
    entry[3] = rule ? (int32_t)(rule - c->rule) : (int32_t)builtin_index(builtin);
    if (rule)
        depends_on(c, (uint32_t)(rule - c->rule));
}

static void put_path(struct compiler *c, const struct with *w, int32_t entry[static WITH_ENTRIES])
{
    uint32_t n;
    const struct value **part = global_path(c, w->target, &n);
    entry[0] = part[0] && part[0]->n == 5 ? WITH_INPUT : WITH_DATA;
    entry[1] = (int32_t)c->out->n_list;
    entry[2] = (int32_t)n - 1;
    for (uint32_t i = 1; i < n; i++) {
        if (!part[i])
            compile_fail(c, w->target->at, "with replaces a path of constant names");
        int32_t k = emit_constant(c, part[i]);
        new_list(c, &k, 1);
    }
}

static void compile_target(struct compiler *c, struct with *w, int32_t value,
                           int32_t entry[static WITH_ENTRIES])
{
    const struct node *head = w->target->kind == N_REF ? w->target->item[0] : w->target;
    const struct rule *rule;
    const struct builtin *builtin;
    memset(entry, 0, WITH_ENTRIES * sizeof(*entry));
    named_function(c, w->target, &rule, &builtin);
    entry[3] = value;
    if (rule || builtin) {
        entry[0] = rule ? WITH_RULE : WITH_BUILTIN;
        entry[1] = rule ? (int32_t)(rule - c->rule) : (int32_t)builtin_index(builtin);
        if (w->function)
            put_function(c, w->value, entry);
        return;
    }
    if (head->kind != N_VAR || !name_is_global(c, head->value))
        compile_fail(c, w->target->at,
                     "with replaces input, data, a rule or a function, or what is below them");
    put_path(c, w, entry);
}

/* The variables that the expression will bind. */
static uint32_t find_outputs(struct compiler *c, struct expr *e, struct var ***out)
{
    struct expr bare = *e;
    bare.n_with = 0;
    uint32_t mark = trial_begin(c);
    if (!e->negated)
        can_expr(c, &bare);
    uint32_t n = c->n_trail - mark;
    *out = arena_alloc(c->arena, (n + 1) * sizeof(**out));
    for (uint32_t i = 0; i < n; i++)
        (*out)[i] = c->trail[mark + i];
    trial_end(c, mark);
    return n;
}

void compile_with(struct compiler *c, struct expr *e)
{
    int32_t *entry = arena_alloc(c->arena, (size_t)e->n_with * WITH_ENTRIES * sizeof(*entry));
    struct var **output;
    uint32_t n_output = find_outputs(c, e, &output), n = 0;
    for (uint32_t i = 0; i < e->n_with; i++) {
        int32_t value = e->with[i].function ? 0 : compile_term(c, e->with[i].value);
        compile_target(c, &e->with[i], value, entry + (size_t)WITH_ENTRIES * i);
    }
    uint32_t list = new_list(c, entry, e->n_with * WITH_ENTRIES);
    uint32_t start = emit(c, OP_WITH, NO_REG, (int32_t)list, 0);
    c->op[start].n = (uint16_t)e->n_with;
    compile_plain(c, e);
    int32_t *kept = arena_alloc(c->arena, (n_output + 1) * sizeof(*kept));
    for (uint32_t i = 0; i < n_output; i++)
        if (output[i]->bound && output[i]->operand >= 0)
            kept[n++] = output[i]->operand;
    list = new_list(c, kept, n);
    emit_op(c, OP_YIELD, NO_REG, (int32_t)list, 0)->n = (uint16_t)n;
    c->op[start].b = (int32_t)c->out->n_op;
}
