/* The tree of documents that the modules' rules make up. */
#include "policy/rego/compile.h"

static struct doc *new_doc(struct compiler *c, struct doc *parent, const struct value *name)
{
    struct doc *d = arena_zero(c->arena, 1, sizeof(*d));
    *d = (struct doc){ .name = name,
                       .child = names_new(c->arena),
                       .head = names_new(c->arena),
                       .rule = NONE,
                       .parent = parent };
    c->doc = arena_grow(c->arena, c->doc, c->out->n_doc, &c->cap_doc, sizeof(d));
    d->id = c->out->n_doc;
    c->doc[c->out->n_doc++] = d;
    return d;
}

struct doc *doc_child(struct compiler *c, struct doc *d, const struct value *name, bool make)
{
    struct doc *child = names_get(&d->child, name);
    if (!child && make) {
        child = new_doc(c, d, name);
        names_put(&d->child, name, child);
    }
    return child;
}

static struct doc *package_doc(struct compiler *c, const struct module *m)
{
    struct doc *d = c->root;
    const struct node *p = m->package;
    uint32_t n = !p ? 1 : p->kind == N_REF ? p->n : 1;
    if (n > PARSE_DEPTH_MAX)
        compile_fail(c, m->package_at, "more than %d parts in a package's name", PARSE_DEPTH_MAX);
    for (uint32_t i = 0; i < n; i++) {
        const struct value *name = !p                 ? value_text(c->arena, "policy", 6)
                                   : p->kind == N_REF ? p->item[i]->value
                                                      : p->value;
        d = doc_child(c, d, name, true);
        d->package = true;
        if (c->policy_mode)
            return d; /* an own package, whatever it is called */
    }
    return d;
}

static bool constant_string(const struct node *n)
{
    return n->kind == N_CONST && n->value->type == V_STRING;
}

/* How many parts of a head's reference are the rule's path; what follows are keys of a partial object. */
uint32_t doc_prefix(const struct rule_ast *r)
{
    uint32_t n = 1;
    while (n < r->n_ref && constant_string(r->ref[n]))
        n++;
    return n;
}

static void take_imports(struct compiler *c, uint32_t module)
{
    const struct module *m = c->module[module];
    c->imports[module] = names_new(c->arena);
    for (uint32_t i = 0; i < m->n_import; i++) {
        struct node *path = m->import[i].path;
        const struct node *head = path->kind == N_REF ? path->item[0] : path;
        const struct value *alias = m->import[i].alias;
        bool words = !(head->value->n == 5 && memcmp(head->value->text, "input", 5) == 0)
                     && !(head->value->n == 4 && memcmp(head->value->text, "data", 4) == 0);
        if (words)
            continue;
        if (!alias)
            alias = path->kind == N_REF ? path->item[path->n - 1]->value : path->value;
        if (m->v1 && names_get(&c->imports[module], alias))
            compile_fail(c, m->import[i].at, "import must not shadow another import: %.*s", (int)alias->n,
                         alias->text);
        names_put(&c->imports[module], alias, path);
    }
}

static enum rule_kind kind_of(const struct rule_ast *r, uint32_t prefix)
{
    if (r->function)
        return RULE_FUNCTION;
    if (prefix < r->n_ref)
        return RULE_OBJECT;
    return r->contains ? RULE_SET : RULE_COMPLETE;
}

static void add_rule_doc(struct compiler *c, const struct rule_ast *r)
{
    uint32_t prefix = doc_prefix(r);
    if (prefix > PARSE_DEPTH_MAX)
        compile_fail(c, r->at, "more than %d parts in a rule's name", PARSE_DEPTH_MAX);
    enum rule_kind kind = kind_of(r, prefix);
    struct doc *d = c->package[c->module_now];
    names_put(&d->head, r->ref[0]->value, d);
    for (uint32_t i = 0; i < prefix; i++) {
        if (d->rule != NONE && c->rule[d->rule].kind == RULE_OBJECT)
            return; /* p.q := 1 beside p[x] := y is a member of p */
        d = doc_child(c, d, r->ref[i]->value, true);
    }
    if (d->rule == NONE) {
        c->rule = arena_grow(c->arena, c->rule, c->out->n_rule, &c->cap_rule, sizeof(struct rule));
        d->rule = c->out->n_rule++;
        c->rule[d->rule] = (struct rule){ .name = d->name,
                                          .node = d->id,
                                          .kind = (uint8_t)kind,
                                          .arity = (uint16_t)r->n_arg,
                                          .first = NONE,
                                          .last = NONE,
                                          .fallback = NONE,
                                          .place = new_place(c, r->at, r->end) };
        return;
    }
    const struct rule *known = &c->rule[d->rule];
    if (known->kind != kind)
        compile_fail(c, r->at,
                     "conflicting rules named %.*s: a name is either complete, a partial set, a partial "
                     "object or a function",
                     (int)d->name->n, d->name->text);
    if (kind == RULE_FUNCTION && known->arity != r->n_arg)
        compile_fail(c, r->at, "function %.*s has %u arguments here and %u elsewhere", (int)d->name->n,
                     d->name->text, r->n_arg, known->arity);
}

/* A rule's document is a leaf, but for partial objects, whose further members are their own. */
static void check_leaves(struct compiler *c)
{
    for (uint32_t i = 0; i < c->out->n_rule; i++) {
        const struct doc *d = c->doc[c->rule[i].node];
        const struct place *p = &c->place[c->rule[i].place];
        c->m = c->module[p->module];
        c->source.text = c->m->text;
        c->module_now = p->module;
        if (d->package)
            compile_fail(c, p->at, "rule %.*s conflicts with a package of that path", (int)d->name->n,
                         d->name->text);
        if (d->child.n)
            compile_fail(c, p->at, "rule %.*s conflicts with rules below it", (int)d->name->n, d->name->text);
    }
}

static bool use_module(struct compiler *c, uint32_t i)
{
    c->module_now = i;
    c->m = c->module[i];
    c->source.text = c->m->text;
    c->source.name = c->m->name;
    return true;
}

/* Partial objects first, those with short names before longer ones: they take in rules that name a member. */
static void add_rule_docs(struct compiler *c)
{
    uint32_t longest = 1;
    for (uint32_t length = 1; length <= longest; length++)
        for (uint32_t i = 0; i < c->n_module && use_module(c, i); i++)
            for (uint32_t k = 0; k < c->m->n_rule; k++) {
                const struct rule_ast *r = c->m->rule[k];
                uint32_t prefix = doc_prefix(r);
                if (prefix == length && prefix < r->n_ref)
                    add_rule_doc(c, r);
                if (prefix < r->n_ref && prefix > longest)
                    longest = prefix;
            }
    for (uint32_t i = 0; i < c->n_module && use_module(c, i); i++)
        for (uint32_t k = 0; k < c->m->n_rule; k++)
            if (doc_prefix(c->m->rule[k]) == c->m->rule[k]->n_ref)
                add_rule_doc(c, c->m->rule[k]);
}

void modules_collect(struct compiler *c)
{
    c->root = new_doc(c, NULL, value_text(c->arena, "data", 4));
    c->root->package = true;
    c->package = arena_zero(c->arena, c->n_module + 1, sizeof(*c->package));
    c->imports = arena_zero(c->arena, c->n_module + 1, sizeof(*c->imports));
    for (uint32_t i = 0; i < c->n_module && use_module(c, i); i++)
        c->package[i] = package_doc(c, c->m);
    add_rule_docs(c);
    for (uint32_t i = 0; i < c->n_module && use_module(c, i); i++)
        take_imports(c, i);
    check_leaves(c);
}

bool name_is_global(const struct compiler *c, const struct value *name)
{
    if ((name->n == 5 && memcmp(name->text, "input", 5) == 0)
        || (name->n == 4 && memcmp(name->text, "data", 4) == 0))
        return true;
    if (c->n_module == 0)
        return false;
    return names_get(&c->package[c->module_now]->head, name) || names_get(&c->imports[c->module_now], name);
}
