/* Terms to operations: the operand that holds the value afterwards. */
#include "policy/rego/compile.h"

/* In whatever order works; the values keep their places. */
void compile_terms(struct compiler *c, struct node *const *item, uint32_t n, int32_t *out)
{
    bool *done = arena_zero(c->arena, n + 1, 1);
    for (uint32_t left = n; left;) {
        uint32_t before = left;
        for (uint32_t i = 0; i < n; i++) {
            if (done[i])
                continue;
            uint32_t mark = trial_begin(c);
            bool can = can_term(c, item[i]);
            trial_end(c, mark);
            if (!can)
                continue;
            out[i] = compile_term(c, item[i]);
            done[i] = true;
            left--;
        }
        if (left == before)
            compile_fail(c, item[0]->at, "the variables of this expression cannot be ordered");
    }
}

static bool all_constant(const struct node *n)
{
    if (n->kind == N_CONST)
        return true;
    if (n->kind != N_ARRAY && n->kind != N_SET && n->kind != N_OBJECT)
        return false;
    for (uint32_t i = 0; i < n->n; i++)
        if (!all_constant(n->item[i]))
            return false;
    return true;
}

static const struct value *constant_value(struct compiler *c, const struct node *n)
{
    if (n->kind == N_CONST)
        return n->value;
    if (n->kind == N_ARRAY) {
        const struct value **item = arena_alloc(c->arena, (n->n + 1) * sizeof(*item));
        for (uint32_t i = 0; i < n->n; i++)
            item[i] = constant_value(c, n->item[i]);
        return value_array(c->arena, item, n->n);
    }
    struct builder b;
    builder_init(&b, c->arena, n->kind == N_OBJECT);
    for (uint32_t i = 0; i < n->n; i += n->kind == N_OBJECT ? 2 : 1) {
        const struct value *key = constant_value(c, n->item[i]);
        builder_set(&b, key, n->kind == N_OBJECT ? constant_value(c, n->item[i + 1]) : NULL);
    }
    return builder_value(&b);
}

static int32_t collection(struct compiler *c, struct node *n)
{
    if (all_constant(n))
        return emit_constant(c, constant_value(c, n));
    int32_t *item = arena_alloc(c->arena, (n->n + 1) * sizeof(*item));
    compile_terms(c, n->item, n->n, item);
    enum op_code code = n->kind == N_ARRAY ? OP_ARRAY : n->kind == N_SET ? OP_SET : OP_OBJECT;
    int32_t dst = new_register(c);
    uint32_t list = new_list(c, item, n->n);
    emit_op(c, code, dst, (int32_t)list, 0)->n = (uint16_t)n->n;
    return dst;
}

static int32_t comprehension(struct compiler *c, struct node *n)
{
    int32_t dst = new_register(c);
    int32_t head[2];
    uint32_t place = c->place_now;
    uint32_t start = emit(c, OP_COLLECT, dst, 0, 0);
    c->op[start].flag = n->kind == N_ARRAY_OF ? V_ARRAY : n->kind == N_SET_OF ? V_SET : V_OBJECT;
    compile_body(c, n->body);
    c->place_now = place;
    for (uint32_t i = 0; i < n->n; i++) {
        const struct var *v = unbound_in_term(c, n->item[i]);
        uint32_t mark = trial_begin(c);
        bool can = can_term(c, n->item[i]);
        trial_end(c, mark);
        if (v && !can)
            compile_fail(c, v->at, "var %.*s is unsafe", (int)v->name->n, v->name->text);
    }
    compile_terms(c, n->item, n->n, head);
    emit(c, n->kind == N_OBJECT_OF ? OP_PUT : OP_ADD, NO_REG, head[0], n->kind == N_OBJECT_OF ? head[1] : 0);
    c->op[start].b = (int32_t)c->out->n_op;
    return dst;
}

static enum value_type type_of_literal(const struct node *n)
{
    switch ((enum node_kind)n->kind) {
    case N_CONST:
        return n->value->type;
    case N_ARRAY:
    case N_ARRAY_OF:
        return V_ARRAY;
    case N_SET:
    case N_SET_OF:
        return V_SET;
    case N_OBJECT:
    case N_OBJECT_OF:
        return V_OBJECT;
    default:
        return 8; /* not known when loading */
    }
}

static void check_arguments(struct compiler *c, const struct node *n, const struct builtin *b, uint32_t given)
{
    if (given != b->arity)
        compile_fail(c, n->at, "%s takes %u argument%s, %u given", b->name, b->arity,
                     b->arity == 1 ? "" : "s", given);
    for (uint32_t i = 0; i < given; i++) {
        unsigned type = type_of_literal(n->item[i + 1]);
        if (type < 8 && !(b->arg[i] >> type & 1))
            compile_fail(c, n->item[i + 1]->at, "argument %u of %s is of a type that it does not take", i + 1,
                         b->name);
    }
}

static int32_t user_call(struct compiler *c, const struct rule *f, const int32_t *arg, uint32_t n)
{
    uint32_t list = new_list(c, arg, n);
    int32_t dst = new_register(c);
    uint32_t rule = (uint32_t)(f - c->rule);
    emit_op(c, OP_CALL, dst, (int32_t)rule, (int32_t)list)->n = (uint16_t)n;
    depends_on(c, rule);
    return dst;
}

/* x == 1 and the like, and x in xs, have operations of their own. */
static int32_t operator_call(struct compiler *c, const struct node *n, const int32_t *arg)
{
    int32_t dst = new_register(c);
    if (n->op == T_IN && n->n == 3)
        emit(c, OP_MEMBER, dst, arg[0], arg[1]);
    else if (n->op == T_IN)
        emit_op(c, OP_PAIR, dst, 0, (int32_t)new_list(c, arg, 3))->n = 3;
    else
        emit_op(c, OP_COMPARED, dst, arg[0], arg[1])->flag = n->op;
    return dst;
}

static int32_t walk_call(struct compiler *c, int32_t from)
{
    int32_t dst = new_register(c);
    emit(c, OP_WALK, dst, from, 0);
    return dst;
}

/* given: arguments without one that takes the result. */
int32_t compile_call(struct compiler *c, struct node *n, uint32_t given)
{
    int32_t *arg = arena_alloc(c->arena, (given + 1) * sizeof(*arg));
    if (n->op == T_IN || (n->op >= T_EQUAL && n->op <= T_GREATER_EQUAL)) {
        compile_terms(c, n->item + 1, given, arg);
        return operator_call(c, n, arg);
    }
    const struct builtin *b;
    const struct rule *f = called_function(c, n, &b);
    if (f && f->arity != given)
        compile_fail(c, n->at, "function %.*s takes %u argument%s, %u given", (int)f->name->n, f->name->text,
                     f->arity, f->arity == 1 ? "" : "s", given);
    if (b && strcmp(b->name, "print") == 0)
        return emit_constant(c, &value_true);
    if (b)
        check_arguments(c, n, b, given);
    compile_terms(c, n->item + 1, given, arg);
    if (f)
        return user_call(c, f, arg, given);
    if (strcmp(b->name, "walk") == 0)
        return walk_call(c, arg[0]);
    int32_t dst = new_register(c);
    uint32_t list = new_list(c, arg, given);
    emit_op(c, OP_BUILTIN, dst, (int32_t)builtin_index(b), (int32_t)list)->n = (uint16_t)given;
    return dst;
}

int32_t compile_term(struct compiler *c, struct node *n)
{
    switch ((enum node_kind)n->kind) {
    case N_CONST:
        return emit_constant(c, n->value);
    case N_VAR:
        return n->var ? n->var->operand : compile_global(c, n);
    case N_REF:
        return compile_ref(c, n);
    case N_CALL:
        return compile_call(c, n, n->n - 1);
    case N_ARRAY:
    case N_SET:
    case N_OBJECT:
        return collection(c, n);
    case N_ARRAY_OF:
    case N_SET_OF:
    case N_OBJECT_OF:
        return comprehension(c, n);
    }
    return emit_constant(c, &value_null);
}
