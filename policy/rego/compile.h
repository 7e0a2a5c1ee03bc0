/** policy/rego/compile.h: from trees to operations. What the compiler's files share. */
#ifndef CVM_POLICY_REGO_COMPILE_H
#define CVM_POLICY_REGO_COMPILE_H

#include "policy/rego/parse.h"
#include "policy/rego/program.h"

/* A local variable of one rule body. */
struct var {
    const struct value *name;
    int32_t operand; /* once bound */
    bool bound;      /* so far, in the order of operations being made */
    bool argument, must_use, used;
    uint32_t at;
    struct scope *scope;
};

/* What a comprehension or every uses of the bodies around it. */
struct captured {
    uint32_t n, cap;
    struct var **var;
};

/* A body with its variables. */
struct scope {
    struct scope *around;
    struct names declaring;    /* names that := and some declare somewhere in this body */
    struct names declared;     /* struct var: those of them that were read so far; arguments */
    struct names mentioned;    /* struct var or &not_made: used without declaration somewhere in this body */
    struct names seen;         /* names that were looked up in this body so far */
    struct captured *captured; /* of the closure that this scope belongs to; NULL for a rule's own body */
};

struct compiler {
    struct arena *arena;
    struct source source; /* of the module being compiled */
    struct module *m;
    struct rego *out;
    bool policy_mode, strict;
    const struct parse_options *parse;

    struct op *op;
    const struct value **constant;
    int32_t *list;
    struct rule *rule;
    struct def *def;
    struct doc **doc;
    struct place *place;
    uint32_t cap_op, cap_constant, cap_list, cap_rule, cap_def, cap_doc, cap_place, cap_warning;
    const char **warning;

    struct module **module;
    uint32_t n_module, module_now;
    struct doc **package;   /* of each module */
    struct names *imports;  /* of each module: struct node * (path) */
    struct names constants; /* strings already kept: operand + 1 as a pointer */

    struct doc *root;
    uint32_t registers, place_now;
    struct scope *scope;
    struct var **trail; /* variables marked as bound on trial */
    uint32_t n_trail, cap_trail, depth;
    uint32_t **edge; /* of each rule: the rules it reads */
    uint32_t *n_edge, *cap_edge;
    uint32_t rule_now; /* being compiled */
};

/* resolve.c */
/** Opens a body: notes what is used in it without declaration. */
void scope_open(struct compiler *c, struct scope *s, struct captured *captured);
void scope_close(struct compiler *c);
void scope_mention(struct compiler *c, const struct node *n);
void scope_mention_body(struct compiler *c, const struct body *b);
/** Declares the variables of an argument's pattern. */
void scope_arguments(struct compiler *c, const struct node *n);
/** Points variables to what they stand for. */
void resolve_term(struct compiler *c, struct node *n);
void resolve_body(struct compiler *c, struct body *b);
/** Fails if a declared variable was never used. */
void scope_check_used(struct compiler *c);

/* modules.c */
/** Builds the tree of documents out of the modules' heads, with one rule each. */
void modules_collect(struct compiler *c);
struct doc *doc_child(struct compiler *c, struct doc *d, const struct value *name, bool make);
/** True if the name stands for a rule, an import, input or data. */
bool name_is_global(const struct compiler *c, const struct value *name);
uint32_t doc_prefix(const struct rule_ast *r);

/* compile.c */
int32_t emit_constant(struct compiler *c, const struct value *v);
uint32_t emit(struct compiler *c, enum op_code code, int32_t dst, int32_t a, int32_t b);
/** The operation itself; valid until the next one is made. */
struct op *emit_op(struct compiler *c, enum op_code code, int32_t dst, int32_t a, int32_t b);
int32_t new_register(struct compiler *c);
uint32_t new_list(struct compiler *c, const int32_t *item, uint32_t n);
uint32_t new_place(struct compiler *c, uint32_t at, uint32_t end);
__attribute__((format(printf, 3, 4), noreturn)) void compile_fail(const struct compiler *c, uint32_t at,
                                                                  const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void compile_warn(struct compiler *c, const char *fmt, ...);
void bind_var(struct compiler *c, struct var *v, int32_t operand);
void depends_on(struct compiler *c, uint32_t rule);
/** On all rules below a node whose names fit the parts that are known (NULL: any). */
void depends_below(struct compiler *c, const struct doc *d, const struct value *const *part, uint32_t n);

/* ready.c: whether something can be computed with what is bound so far; marks what it would bind */
uint32_t trial_begin(const struct compiler *c);
void trial_end(struct compiler *c, uint32_t mark);
bool can_term(struct compiler *c, const struct node *n);
bool can_match(struct compiler *c, const struct node *n);
bool can_unify(struct compiler *c, const struct node *a, const struct node *b);
bool can_expr(struct compiler *c, const struct expr *e);
/** The first variable that nothing has bound, or NULL. */
const struct var *unbound_in_expr(struct compiler *c, const struct expr *e);
const struct var *unbound_in_term(struct compiler *c, const struct node *n);

/* compile_term.c */
int32_t compile_term(struct compiler *c, struct node *n);
void compile_terms(struct compiler *c, struct node *const *item, uint32_t n, int32_t *out);

/** A call with its first arguments only; the one after them takes the result. */
int32_t compile_call(struct compiler *c, struct node *n, uint32_t given);

/* compile_ref.c */
int32_t compile_ref(struct compiler *c, struct node *n);
/** A name outside the rule with nothing behind it. */
int32_t compile_global(struct compiler *c, const struct node *name);
/** The rule that a call's function names, or NULL; then the built-in in *builtin. */
const struct rule *called_function(struct compiler *c, const struct node *call,
                                   const struct builtin **builtin);

/** The function that a name stands for: a rule, or a built-in, or neither. */
void named_function(struct compiler *c, const struct node *name, const struct rule **rule,
                    const struct builtin **builtin);
/** The path of a name outside the rule: its first part is input or data; *n parts, NULL where it is no name.
 */
const struct value **global_path(struct compiler *c, const struct node *name, uint32_t *n);

/* compile_with.c */
/** True if a replacement puts one function into the place of another. */
bool with_function(struct compiler *c, const struct with *w);

/* compile_unify.c */
void compile_match(struct compiler *c, struct node *pattern, int32_t operand);
void compile_unify(struct compiler *c, struct node *a, struct node *b);

/* compile_body.c */
void compile_body(struct compiler *c, struct body *b);
void compile_plain(struct compiler *c, struct expr *e);
void compile_with(struct compiler *c, struct expr *e);
/** Makes the calls inside an expression after "not" before it. */
void compile_inner_calls(struct compiler *c, struct node *n, bool top);

/* compile_rule.c */
void compile_rules(struct compiler *c);
uint32_t compile_query(struct compiler *c, struct node *query);
uint32_t compile_condition(struct compiler *c, struct expr *e);

/* check_recursion.c */
void check_recursion(struct compiler *c);

#endif
