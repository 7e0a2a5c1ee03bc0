/* Rules: each definition is a sequence that ends with giving a value. */
#include "policy/rego/compile.h"

static void check_safe(struct compiler *c, struct node *n)
{
    uint32_t mark = trial_begin(c);
    bool can = can_term(c, n);
    trial_end(c, mark);
    const struct var *v = can ? NULL : unbound_in_term(c, n);
    if (v)
        compile_fail(c, v->at, "var %.*s is unsafe: nothing gives it a value", (int)v->name->n,
                     v->name->text);
}

/* References of a head are computed like any term; those of default values are refused. */
static void refuse_references(struct compiler *c, const struct node *n)
{
    if (n->kind == N_VAR || n->kind == N_REF || n->kind == N_CALL)
        compile_fail(c, n->at, "a default value cannot contain a %s",
                     n->kind == N_VAR   ? "var"
                     : n->kind == N_REF ? "ref"
                                        : "call");
    if (n->body)
        return;
    for (uint32_t i = 0; i < n->n; i++)
        refuse_references(c, n->item[i]);
}

/* The rule that a head belongs to; *prefix: parts of the head's reference that are its path. */
static uint32_t rule_of(struct compiler *c, const struct rule_ast *r, uint32_t *prefix)
{
    struct doc *d = c->package[c->module_now];
    for (*prefix = 0; d->rule == NONE; ++*prefix)
        d = doc_child(c, d, r->ref[*prefix]->value, false);
    return d->rule;
}

static void open_scope(struct compiler *c, struct scope *s, struct rule_ast *r, uint32_t prefix)
{
    scope_open(c, s, NULL);
    for (uint32_t i = 0; i < r->n_arg; i++)
        scope_arguments(c, r->arg[i]);
    scope_mention_body(c, r->body);
    for (uint32_t i = prefix; i < r->n_ref; i++)
        scope_mention(c, r->ref[i]);
    if (r->key)
        scope_mention(c, r->key);
    if (r->value)
        scope_mention(c, r->value);
    for (uint32_t i = 0; i < r->n_arg; i++)
        resolve_term(c, r->arg[i]);
    resolve_body(c, r->body);
    for (uint32_t i = prefix; i < r->n_ref; i++)
        resolve_term(c, r->ref[i]);
    if (r->key)
        resolve_term(c, r->key);
    if (r->value)
        resolve_term(c, r->value);
    scope_check_used(c);
}

static void compile_arguments(struct compiler *c, struct rule_ast *r)
{
    c->registers = r->n_arg;
    for (uint32_t i = 0; i < r->n_arg; i++) /* names first: patterns may use them */
        if (r->arg[i]->kind == N_VAR && r->arg[i]->var && !r->arg[i]->wildcard && !r->arg[i]->var->bound)
            bind_var(c, r->arg[i]->var, (int32_t)i);
    for (uint32_t i = 0; i < r->n_arg; i++)
        if (r->arg[i]->kind != N_VAR || !r->arg[i]->var
            || (!r->arg[i]->wildcard && r->arg[i]->var->operand != (int32_t)i))
            compile_match(c, r->arg[i], (int32_t)i);
}

/* The last operation: RETURN for complete rules and functions, EMIT for partial ones. */
static void compile_head(struct compiler *c, struct rule_ast *r, uint32_t prefix, uint8_t kind)
{
    struct node *item[PARSE_DEPTH_MAX + 2];
    int32_t operand[PARSE_DEPTH_MAX + 2];
    uint32_t n = 0;
    if (r->n_ref - prefix > PARSE_DEPTH_MAX)
        compile_fail(c, r->at, "more than %d keys in a rule's head", PARSE_DEPTH_MAX);
    for (uint32_t i = prefix; i < r->n_ref; i++)
        item[n++] = r->ref[i];
    if (r->contains)
        item[n++] = r->key;
    else if (r->value)
        item[n++] = r->value;
    for (uint32_t i = 0; i < n; i++)
        check_safe(c, item[i]);
    compile_terms(c, item, n, operand);
    if (!r->contains && !r->value)
        operand[n++] = emit_constant(c, &value_true);
    if (kind == RULE_COMPLETE || kind == RULE_FUNCTION) {
        emit_op(c, OP_RETURN, NO_REG, operand[0], 0)->flag = operand[0] < 0;
        return;
    }
    uint32_t list = new_list(c, operand, n);
    uint32_t at = emit(c, OP_EMIT, NO_REG, (int32_t)list, 0);
    c->op[at].n = (uint16_t)n;
    c->op[at].flag = r->contains;
}

static uint32_t new_def(struct compiler *c, const struct rule_ast *r)
{
    c->def = arena_grow(c->arena, c->def, c->out->n_def, &c->cap_def, sizeof(struct def));
    c->def[c->out->n_def] = (struct def){
        .entry = c->out->n_op, .otherwise = NONE, .next = NONE, .place = new_place(c, r->at, r->end)
    };
    return c->out->n_def++;
}

static uint32_t compile_def(struct compiler *c, struct rule_ast *r, uint32_t prefix)
{
    struct scope scope;
    uint32_t def = new_def(c, r);
    uint8_t kind = c->rule[c->rule_now].kind;
    c->scope = NULL;
    c->place_now = c->def[def].place;
    open_scope(c, &scope, r, prefix);
    compile_arguments(c, r);
    if (r->body)
        compile_body(c, r->body);
    compile_head(c, r, prefix, kind);
    c->def[def].registers = c->registers;
    scope_close(c);
    if (r->otherwise) {
        uint32_t other = compile_def(c, r->otherwise, prefix);
        c->def[def].otherwise = other;
    }
    return def;
}

static bool is_bool(const struct node *n)
{
    return !n || (n->kind == N_CONST && value_is_bool(n->value));
}

static void compile_default(struct compiler *c, struct rule_ast *r, uint32_t prefix)
{
    struct rule *rule = &c->rule[c->rule_now];
    if (rule->kind == RULE_SET || rule->kind == RULE_OBJECT)
        compile_fail(c, r->at, "a partial rule has no default: without a member it is empty");
    if (rule->fallback != NONE)
        compile_fail(c, r->at, "multiple default rules named %.*s", (int)rule->name->n, rule->name->text);
    refuse_references(c, r->value);
    for (uint32_t i = 0; i < r->n_arg; i++)
        if (r->arg[i]->kind != N_VAR)
            compile_fail(c, r->arg[i]->at, "the arguments of a default function are plain names");
    uint32_t def = compile_def(c, r, prefix);
    c->rule[c->rule_now].fallback = def;
}

static void compile_one(struct compiler *c, struct rule_ast *r)
{
    uint32_t prefix, rule = rule_of(c, r, &prefix);
    c->rule_now = rule;
    if (is_bool(r->value) && !r->contains)
        c->rule[rule].is_static_bool = true;
    if (r->is_default) {
        compile_default(c, r, prefix);
        return;
    }
    uint32_t def = compile_def(c, r, prefix);
    struct rule *to = &c->rule[rule];
    if (r->n_ref - prefix > 1 || (r->contains && prefix < r->n_ref))
        to->nested = true;
    if (to->first == NONE)
        to->first = def;
    else
        c->def[to->last].next = def;
    to->last = def;
}

void compile_rules(struct compiler *c)
{
    for (uint32_t i = 0; i < c->n_module; i++) {
        c->module_now = i;
        c->m = c->module[i];
        c->source.text = c->m->text;
        c->source.name = c->m->name;
        for (uint32_t k = 0; k < c->m->n_rule; k++)
            compile_one(c, c->m->rule[k]);
    }
}

static uint32_t extra_rule(struct compiler *c, const struct rule_ast *r)
{
    c->rule = arena_grow(c->arena, c->rule, c->out->n_rule, &c->cap_rule, sizeof(struct rule));
    c->rule[c->out->n_rule] = (struct rule){ .name = &value_empty_string,
                                             .kind = RULE_COMPLETE,
                                             .fallback = NONE,
                                             .place = new_place(c, r->at, r->end) };
    c->rule_now = c->out->n_rule++;
    return c->rule_now;
}

static uint32_t compile_extra(struct compiler *c, struct rule_ast *r)
{
    uint32_t rule = extra_rule(c, r);
    uint32_t def = compile_def(c, r, 0);
    c->rule[rule].first = c->rule[rule].last = def;
    return rule;
}

uint32_t compile_query(struct compiler *c, struct node *query)
{
    struct rule_ast r = { .at = query->at, .end = query->end, .value = query };
    return compile_extra(c, &r);
}

uint32_t compile_condition(struct compiler *c, struct expr *e)
{
    struct expr **item = arena_alloc(c->arena, sizeof(*item));
    struct body *body = arena_zero(c->arena, 1, sizeof(*body));
    item[0] = e;
    *body = (struct body){ .n = 1, .at = e->at, .end = e->end, .item = item };
    struct rule_ast r = { .at = e->at, .end = e->end, .body = body };
    return compile_extra(c, &r);
}
