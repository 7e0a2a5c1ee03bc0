/* What names in bodies stand for: variables declared in this body or one around it, rules and documents, or
 * variables that a body uses without declaring them. */
#include "policy/rego/compile.h"

/* Marks a name that is used in a body but stands for nothing yet. */
static struct var not_made;

static struct var *new_var(struct compiler *c, const struct value *name, uint32_t at, struct scope *s)
{
    struct var *v = arena_zero(c->arena, 1, sizeof(*v));
    v->name = name;
    v->at = at;
    v->scope = s;
    return v;
}

void scope_open(struct compiler *c, struct scope *s, struct captured *captured)
{
    *s = (struct scope){ .around = c->scope,
                         .declaring = names_new(c->arena),
                         .declared = names_new(c->arena),
                         .mentioned = names_new(c->arena),
                         .seen = names_new(c->arena),
                         .captured = captured };
    c->scope = s;
}

void scope_close(struct compiler *c)
{
    c->scope = c->scope->around;
}

static bool is_collection_of(const struct node *n)
{
    return n->kind == N_ARRAY_OF || n->kind == N_SET_OF || n->kind == N_OBJECT_OF;
}

void scope_mention(struct compiler *c, const struct node *n)
{
    if (n->kind == N_VAR && !n->wildcard && !names_get(&c->scope->declaring, n->value)
        && !names_get(&c->scope->mentioned, n->value))
        names_put(&c->scope->mentioned, n->value, &not_made);
    if (is_collection_of(n))
        return;
    for (uint32_t i = n->kind == N_CALL ? 1 : 0; i < n->n; i++)
        scope_mention(c, n->item[i]);
}

/* The left side of := and the names after some: all but the variables that it declares. */
static void mention_pattern(struct compiler *c, const struct node *n)
{
    if (n->kind == N_ARRAY)
        for (uint32_t i = 0; i < n->n; i++)
            mention_pattern(c, n->item[i]);
    else if (n->kind == N_OBJECT)
        for (uint32_t i = 0; i < n->n; i++)
            if (i % 2)
                mention_pattern(c, n->item[i]);
            else
                scope_mention(c, n->item[i]);
    else if (n->kind != N_VAR)
        scope_mention(c, n);
}

static void mention_expr(struct compiler *c, const struct expr *e)
{
    bool declares = e->kind == E_ASSIGN || e->kind == E_SOME_IN;
    if (e->key && e->kind == E_SOME_IN)
        mention_pattern(c, e->key);
    if (e->lhs && declares)
        mention_pattern(c, e->lhs);
    else if (e->lhs && e->kind != E_EVERY)
        scope_mention(c, e->lhs);
    if (e->rhs)
        scope_mention(c, e->rhs);
    for (uint32_t i = 0; i < e->n_with; i++)
        scope_mention(c, e->with[i].value);
}

static void note_declared(struct compiler *c, const struct node *n)
{
    if (n->kind == N_VAR && !n->wildcard)
        names_put(&c->scope->declaring, n->value, &not_made);
    for (uint32_t i = 0; n->kind == N_ARRAY && i < n->n; i++)
        note_declared(c, n->item[i]);
    for (uint32_t i = 1; n->kind == N_OBJECT && i < n->n; i += 2)
        note_declared(c, n->item[i]);
}

void scope_mention_body(struct compiler *c, const struct body *b)
{
    for (uint32_t i = 0; b && i < b->n; i++) {
        const struct expr *e = b->item[i];
        if (e->kind == E_ASSIGN || e->kind == E_SOME_IN)
            note_declared(c, e->lhs);
        if (e->kind == E_SOME_IN && e->key)
            note_declared(c, e->key);
        for (uint32_t k = 0; k < e->n_list; k++)
            note_declared(c, e->list[k]);
    }
    for (uint32_t i = 0; b && i < b->n; i++)
        mention_expr(c, b->item[i]);
}

static bool is_document(const struct node *n)
{
    const struct bytes name = bytes_of(n->value->text, n->value->n);
    return bytes_equal(name, bytes_str("input")) || bytes_equal(name, bytes_str("data"));
}

static struct var *declare(struct compiler *c, const struct node *n)
{
    struct scope *s = c->scope;
    int len = (int)n->value->n;
    const struct var *before = names_get(&s->declared, n->value);
    if (is_document(n))
        compile_fail(c, n->at, "%.*s cannot be assigned to: it is a document of its own", len,
                     n->value->text);
    if (before && before->argument)
        compile_fail(c, n->at, "arg %.*s redeclared", len, n->value->text);
    if (before)
        compile_fail(c, n->at, "var %.*s %s above", len, n->value->text,
                     before->must_use ? "declared" : "assigned");
    if (names_get(&s->seen, n->value))
        compile_fail(c, n->at, "var %.*s referenced above", len, n->value->text);
    struct var *v = new_var(c, n->value, n->at, s);
    names_put(&s->declared, n->value, v);
    return v;
}

void scope_arguments(struct compiler *c, const struct node *n)
{
    if (n->kind == N_VAR && !n->wildcard && c->m->v1 && is_document(n))
        compile_fail(c, n->at, "%.*s cannot be an argument: it is a document of its own", (int)n->value->n,
                     n->value->text);
    if (n->kind == N_VAR && !n->wildcard && !names_get(&c->scope->declared, n->value)) {
        struct var *v = new_var(c, n->value, n->at, c->scope);
        v->argument = true;
        names_put(&c->scope->declared, n->value, v);
    }
    if (n->kind != N_ARRAY && n->kind != N_OBJECT)
        return;
    for (uint32_t i = 0; i < n->n; i++)
        if (n->kind == N_ARRAY || i % 2 || n->item[i]->kind == N_VAR)
            scope_arguments(c, n->item[i]);
}

/* The closures between here and the body that owns the variable capture it. */
static struct var *capture(struct compiler *c, struct var *v)
{
    for (struct scope *s = c->scope; s && s != v->scope; s = s->around) {
        struct captured *k = s->captured;
        bool known = false;
        for (uint32_t i = 0; k && i < k->n && !known; i++)
            known = k->var[i] == v;
        if (!k || known)
            continue;
        k->var = arena_grow(c->arena, k->var, k->n, &k->cap, sizeof(v));
        k->var[k->n++] = v;
    }
    v->used = true;
    return v;
}

/* The variable that a name stands for, or NULL: something outside the rule. */
static struct var *look_up(struct compiler *c, const struct node *n)
{
    struct scope *owner = NULL;
    for (struct scope *s = c->scope; s; s = s->around) {
        struct var *v = names_get(&s->declared, n->value);
        if (v)
            return capture(c, v);
    }
    if (name_is_global(c, n->value))
        return NULL;
    for (struct scope *s = c->scope; s; s = s->around)
        if (names_get(&s->mentioned, n->value))
            owner = s;
    if (!owner)
        owner = c->scope;
    struct var *v = names_get(&owner->mentioned, n->value);
    if (!v || v == &not_made) {
        v = new_var(c, n->value, n->at, owner);
        names_put(&owner->mentioned, n->value, v);
    }
    return capture(c, v);
}

static void resolve_name(struct compiler *c, struct node *n)
{
    if (n->wildcard) {
        n->var = new_var(c, n->value, n->at, c->scope);
        return;
    }
    if (!names_get(&c->scope->seen, n->value))
        names_put(&c->scope->seen, n->value, &not_made);
    n->var = look_up(c, n);
}

static void resolve_closure(struct compiler *c, struct node *n)
{
    struct captured *captured = arena_zero(c->arena, 1, sizeof(*captured));
    struct scope s;
    scope_open(c, &s, captured);
    scope_mention_body(c, n->body);
    for (uint32_t i = 0; i < n->n; i++)
        scope_mention(c, n->item[i]);
    /* what the head names without declaring it may be declared in the body */
    resolve_body(c, n->body);
    for (uint32_t i = 0; i < n->n; i++)
        resolve_term(c, n->item[i]);
    scope_check_used(c);
    scope_close(c);
    n->scope = captured;
}

void resolve_term(struct compiler *c, struct node *n)
{
    if (n->kind == N_VAR)
        resolve_name(c, n);
    else if (is_collection_of(n))
        resolve_closure(c, n);
    else
        for (uint32_t i = n->kind == N_CALL ? 1 : 0; i < n->n; i++)
            resolve_term(c, n->item[i]);
}

/* := and some ... in: variables of the pattern are new, everything else in it is looked up. */
static void declare_pattern(struct compiler *c, struct node *n, bool assign)
{
    switch ((enum node_kind)n->kind) {
    case N_VAR:
        n->var = n->wildcard ? new_var(c, n->value, n->at, c->scope) : declare(c, n);
        break;
    case N_ARRAY:
        for (uint32_t i = 0; i < n->n; i++)
            declare_pattern(c, n->item[i], assign);
        break;
    case N_OBJECT:
        for (uint32_t i = 0; i < n->n; i++)
            if (i % 2)
                declare_pattern(c, n->item[i], assign);
            else
                resolve_term(c, n->item[i]);
        break;
    case N_CONST:
        break;
    default:
        if (assign)
            compile_fail(c, n->at, "cannot assign to %s",
                         n->kind == N_REF    ? "a reference"
                         : n->kind == N_CALL ? "a call"
                                             : "this");
        resolve_term(c, n);
    }
}

static void resolve_every(struct compiler *c, struct expr *e)
{
    struct captured *captured = arena_zero(c->arena, 1, sizeof(*captured));
    struct scope s;
    resolve_term(c, e->rhs);
    scope_open(c, &s, captured);
    if (e->key)
        declare_pattern(c, e->key, true);
    declare_pattern(c, e->lhs, true);
    struct scope *holder = c->scope;
    for (uint32_t i = 0; i < holder->declared.n; i++)
        ((struct var *)holder->declared.item[i])->must_use = true;
    struct scope body;
    scope_open(c, &body, captured);
    scope_mention_body(c, e->body);
    resolve_body(c, e->body);
    scope_check_used(c);
    scope_close(c);
    scope_check_used(c);
    scope_close(c);
    /* its own variables are no captured ones */
    uint32_t kept = 0;
    for (uint32_t i = 0; i < captured->n; i++)
        if (captured->var[i]->scope != &s)
            captured->var[kept++] = captured->var[i];
    captured->n = kept;
    e->scope = captured;
}

static void resolve_expr(struct compiler *c, struct expr *e)
{
    for (uint32_t i = 0; i < e->n_with; i++) {
        e->with[i].function = with_function(c, &e->with[i]);
        if (!e->with[i].function)
            resolve_term(c, e->with[i].value);
    }
    switch ((enum expr_kind)e->kind) {
    case E_TERM:
        resolve_term(c, e->lhs);
        break;
    case E_UNIFY:
        resolve_term(c, e->lhs);
        resolve_term(c, e->rhs);
        break;
    case E_ASSIGN:
        if (e->lhs->kind == N_CONST)
            compile_fail(c, e->lhs->at, "cannot assign to a constant");
        resolve_term(c, e->rhs);
        declare_pattern(c, e->lhs, true);
        break;
    case E_SOME:
        for (uint32_t i = 0; i < e->n_list; i++)
            if (!e->list[i]->wildcard)
                declare(c, e->list[i])->must_use = true;
        break;
    case E_SOME_IN:
        resolve_term(c, e->rhs);
        if (e->key)
            declare_pattern(c, e->key, false);
        declare_pattern(c, e->lhs, false);
        break;
    case E_EVERY:
        resolve_every(c, e);
        break;
    }
}

void resolve_body(struct compiler *c, struct body *b)
{
    for (uint32_t i = 0; b && i < b->n; i++)
        resolve_expr(c, b->item[i]);
}

void scope_check_used(struct compiler *c)
{
    const struct names *d = &c->scope->declared;
    for (uint32_t i = 0; i < d->n; i++) {
        const struct var *v = d->item[i];
        if (v->must_use && !v->used)
            compile_fail(c, v->at, "declared var %.*s unused", (int)v->name->n, v->name->text);
    }
}
