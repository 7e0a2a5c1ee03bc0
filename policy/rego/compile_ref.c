/* References: where they start, and each key: a look-up when it is bound, all members when it is not. */
#include "policy/rego/compile.h"

static const struct value *string_of(const struct node *n)
{
    return n->kind == N_CONST && n->value->type == V_STRING ? n->value : NULL;
}

static bool is_name(const struct value *v, const char *name)
{
    return v->n == strlen(name) && memcmp(v->text, name, v->n) == 0;
}

/* A path of known parts, then unknown ones. */
struct path {
    const struct value **part; /* NULL: not a constant string */
    struct node **node;        /* of the reference; NULL for parts that an import or the package stand for */
    uint32_t n;
};

static void path_add(struct compiler *c, struct path *p, uint32_t cap, const struct value *part,
                     struct node *node)
{
    (void)c;
    if (p->n < cap) {
        p->part[p->n] = part;
        p->node[p->n++] = node;
    }
}

/* Input or data with the parts behind it, imports and the package written out. */
static struct path full_path(struct compiler *c, const struct node *head, struct node *const *key, uint32_t n)
{
    const struct node *import = c->n_module ? names_get(&c->imports[c->module_now], head->value) : NULL;
    bool own = c->n_module && names_get(&c->package[c->module_now]->head, head->value);
    uint32_t depth = 2, cap;
    for (const struct doc *d = c->n_module ? c->package[c->module_now] : NULL; d; d = d->parent)
        depth++;
    cap = depth + n + (import ? import->n : 0) + 1;
    struct path p = { arena_alloc(c->arena, cap * sizeof(*p.part)),
                      arena_alloc(c->arena, cap * sizeof(*p.node)), 0 };
    bool root = is_name(head->value, "input") || is_name(head->value, "data");
    if (!root && own) {
        const struct doc *d = c->package[c->module_now];
        uint32_t up = 0;
        for (; d; d = d->parent)
            up++;
        p.n = up;
        d = c->package[c->module_now];
        for (uint32_t i = up; i-- > 0; d = d->parent) {
            p.part[i] = d->name;
            p.node[i] = NULL;
        }
        path_add(c, &p, cap, head->value, NULL);
    } else if (!root && import) {
        path_add(c, &p, cap, import->kind == N_REF ? import->item[0]->value : import->value, NULL);
        for (uint32_t i = 1; import->kind == N_REF && i < import->n; i++)
            path_add(c, &p, cap, import->item[i]->value, NULL);
    } else {
        path_add(c, &p, cap, head->value, NULL);
    }
    for (uint32_t i = 0; i < n; i++)
        path_add(c, &p, cap, string_of(key[i]), key[i]);
    return p;
}

static int32_t get(struct compiler *c, int32_t from, int32_t key)
{
    int32_t dst = new_register(c);
    emit(c, OP_GET, dst, from, key);
    return dst;
}

/* One key that is no constant string, or any key of a value. */
static int32_t compile_key(struct compiler *c, int32_t from, struct node *k)
{
    if (k->kind == N_CONST)
        return get(c, from, emit_constant(c, k->value));
    uint32_t mark = trial_begin(c);
    bool known = can_term(c, k);
    trial_end(c, mark);
    if (known)
        return get(c, from, compile_term(c, k));
    bool plain = k->kind == N_VAR;
    int32_t key = plain && k->wildcard ? NO_REG : new_register(c), dst = new_register(c);
    emit(c, OP_SCAN, dst, from, key);
    if (plain && !k->wildcard)
        bind_var(c, k->var, key);
    else if (!plain)
        compile_match(c, k, key);
    return dst;
}

static void refuse_function(struct compiler *c, const struct rule *r, uint32_t at)
{
    if (r->kind == RULE_FUNCTION)
        compile_fail(c, at, "%.*s is a function: it needs arguments", (int)r->name->n, r->name->text);
}

static int32_t rule_value(struct compiler *c, uint32_t rule, uint32_t at)
{
    int32_t dst = new_register(c);
    refuse_function(c, &c->rule[rule], at);
    emit(c, OP_RULE, dst, (int32_t)rule, 0);
    depends_on(c, rule);
    return dst;
}

/* data[2] is data["2"]: the data document's parts are found by their text. */
static void number_as_text(struct compiler *c, struct path *p, uint32_t i)
{
    const struct node *k = p->node[i];
    if (!p->part[i] && k && k->kind == N_CONST && k->value->type == V_NUMBER && k->value->small
        && !k->value->dec)
        p->part[i] = value_string(c->arena, bytes_of(c->source.text.p + k->at, k->end - k->at));
}

/* A path that no rule is on: the data document alone. */
static int32_t base_value(struct compiler *c, const struct path *p, uint32_t *at)
{
    int32_t dst = new_register(c);
    uint32_t n = 0, list = c->out->n_list;
    for (uint32_t i = 1; i < p->n && p->part[i]; i++, n++) {
        int32_t k = emit_constant(c, p->part[i]);
        new_list(c, &k, 1);
    }
    emit_op(c, OP_BASE, dst, (int32_t)list, 0)->n = (uint16_t)n;
    *at = n + 1;
    return dst;
}

/* The keys behind a node as far as they are known: they limit what is computed, and what depends on what. */
static void rest_of_tree(struct compiler *c, struct doc *d, const struct path *p, uint32_t at, int32_t dst)
{
    uint32_t n = p->n - at;
    int32_t *key = arena_alloc(c->arena, (n + 1) * sizeof(*key));
    for (uint32_t i = 0; i < n; i++) {
        const struct node *k = p->node[at + i];
        bool bound = k && k->kind == N_VAR && k->var && k->var->bound;
        key[i] = p->part[at + i] ? emit_constant(c, p->part[at + i]) : bound ? k->var->operand : NO_REG;
    }
    uint32_t list = new_list(c, key, n);
    emit_op(c, OP_DATA, dst, (int32_t)d->id, (int32_t)list)->n = (uint16_t)n;
    depends_below(c, d, p->part + at, n);
}

/* data and what follows, as far as rules go; *at: parts taken. */
static int32_t data_value(struct compiler *c, struct path *p, uint32_t *at, uint32_t place)
{
    struct doc *d = c->root;
    uint32_t i = 1;
    for (; i < p->n && d->rule == NONE; i++) {
        number_as_text(c, p, i);
        struct doc *child = p->part[i] ? doc_child(c, d, p->part[i], false) : NULL;
        if (p->part[i] && !child)
            return base_value(c, p, at);
        if (!child)
            break;
        d = child;
    }
    *at = i;
    if (d->rule != NONE)
        return rule_value(c, d->rule, place);
    int32_t dst = new_register(c);
    rest_of_tree(c, d, p, i, dst);
    return dst;
}

static int32_t path_value(struct compiler *c, const struct node *head, struct node *const *key, uint32_t n)
{
    uint32_t at = 1;
    int32_t value;
    struct path p = full_path(c, head, key, n);
    if (is_name(p.part[0], "input")) {
        value = new_register(c);
        emit(c, OP_INPUT, value, 0, 0);
    } else if (is_name(p.part[0], "data")) {
        if (c->policy_mode && is_name(head->value, "data"))
            compile_fail(c, head->at, "data documents are not supported in policies");
        value = data_value(c, &p, &at, head->at);
    } else {
        compile_fail(c, head->at, "var %.*s is unsafe: it is no rule, and nothing gives it a value",
                     (int)head->value->n, head->value->text);
    }
    for (; at < p.n; at++)
        value = p.node[at] ? compile_key(c, value, p.node[at]) : get(c, value, emit_constant(c, p.part[at]));
    return value;
}

int32_t compile_global(struct compiler *c, const struct node *name)
{
    return path_value(c, name, NULL, 0);
}

int32_t compile_ref(struct compiler *c, struct node *n)
{
    struct node *head = n->item[0];
    if (head->kind == N_VAR && !head->var)
        return path_value(c, head, n->item + 1, n->n - 1);
    int32_t value = compile_term(c, head);
    for (uint32_t i = 1; i < n->n; i++)
        value = compile_key(c, value, n->item[i]);
    return value;
}

/* "object.get" */
static const struct value *dotted(struct compiler *c, const struct node *f)
{
    const struct value *first = f->kind == N_REF ? f->item[0]->value : f->value;
    size_t n = first->n;
    for (uint32_t i = 1; f->kind == N_REF && i < f->n; i++)
        n += 1 + f->item[i]->value->n;
    char *text = arena_copy(c->arena, first->text, first->n), *at;
    if (n > first->n)
        memcpy(text = arena_alloc(c->arena, n + 1), first->text, first->n);
    at = text + first->n;
    for (uint32_t i = 1; f->kind == N_REF && i < f->n; i++) {
        *at++ = '.';
        memcpy(at, f->item[i]->value->text, f->item[i]->value->n);
        at += f->item[i]->value->n;
    }
    return value_text(c->arena, text, n);
}

/* The rule at the path of a function's name, or NULL. */
static const struct rule *rule_at(struct compiler *c, const struct node *f)
{
    const struct node *head = f->kind == N_REF ? f->item[0] : f;
    if (!name_is_global(c, head->value) || is_name(head->value, "input"))
        return NULL;
    struct path p =
        full_path(c, head, f->kind == N_REF ? f->item + 1 : NULL, f->kind == N_REF ? f->n - 1 : 0);
    struct doc *d = c->root;
    for (uint32_t i = 1; i < p.n && d; i++)
        d = p.part[i] ? doc_child(c, d, p.part[i], false) : NULL;
    return d && d->rule != NONE && c->rule[d->rule].kind == RULE_FUNCTION ? &c->rule[d->rule] : NULL;
}

static bool is_operator(const struct builtin *b)
{
    uint8_t first = (uint8_t)b->name[0];
    return (first < 'a' || first > 'z') && b->name[0] != '_';
}

const struct rule *called_function(struct compiler *c, const struct node *call,
                                   const struct builtin **builtin)
{
    const struct node *f = call->item[0];
    const struct rule *r = call->op ? NULL : rule_at(c, f);
    *builtin = NULL;
    if (r)
        return r;
    const struct value *name = dotted(c, f);
    const struct builtin *b = builtin_find(name->text, name->n);
    if (b && !call->op && is_operator(b))
        b = NULL;
    if (!b && builtin_known_elsewhere(name->text, name->n))
        compile_fail(c, f->at, "built-in function %.*s is not supported", (int)name->n, name->text);
    if (!b)
        compile_fail(c, f->at, "undefined function %.*s", (int)name->n, name->text);
    if (c->strict && !b->strict)
        compile_fail(c, f->at, "built-in function %.*s is not supported in strict mode", (int)name->n,
                     name->text);
    *builtin = b;
    return NULL;
}

void named_function(struct compiler *c, const struct node *name, const struct rule **rule,
                    const struct builtin **builtin)
{
    *rule = NULL;
    *builtin = NULL;
    if (name->kind != N_VAR && (name->kind != N_REF || name->item[0]->kind != N_VAR))
        return;
    for (uint32_t i = 1; i < name->n; i++)
        if (!string_of(name->item[i]))
            return;
    *rule = rule_at(c, name);
    const struct value *text = dotted(c, name);
    if (!*rule && !name_is_global(c, name->kind == N_REF ? name->item[0]->value : name->value))
        *builtin = builtin_find(text->text, text->n);
    if (*builtin && is_operator(*builtin))
        *builtin = NULL;
}

const struct value **global_path(struct compiler *c, const struct node *name, uint32_t *n)
{
    bool ref = name->kind == N_REF;
    struct path p =
        full_path(c, ref ? name->item[0] : name, ref ? name->item + 1 : NULL, ref ? name->n - 1 : 0);
    *n = p.n;
    return p.part;
}
