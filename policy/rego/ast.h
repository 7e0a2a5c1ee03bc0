/** policy/rego/ast.h: what the parser makes of a text. All of it lies in one arena. */
#ifndef CVM_POLICY_REGO_AST_H
#define CVM_POLICY_REGO_AST_H

#include "policy/rego/value.h"

enum node_kind {
    N_CONST,  /* .value */
    N_VAR,    /* .name */
    N_REF,    /* item[0] is the head, the others are keys */
    N_CALL,   /* item[0] is the function (N_VAR or N_REF), the others are arguments */
    N_ARRAY,  /* items */
    N_SET,    /* items */
    N_OBJECT, /* items: key, value, key, value ... */
    N_ARRAY_OF,
    N_SET_OF,
    N_OBJECT_OF /* comprehensions: item[0] (and item[1]) over .body */
};

struct var;
struct body;

struct node {
    uint8_t kind;
    uint8_t op;         /* N_CALL: the operator's token if it was written infix, else 0 */
    bool parenthesised; /* for the printer */
    bool wildcard;      /* N_VAR written _ */
    uint32_t at, end;   /* offsets in the module's text */
    uint32_t n;
    struct node **item;
    const struct value *value; /* N_CONST; N_VAR: its name */
    struct body *body;
    struct var *var;   /* N_VAR of a local variable, once resolved */
    const void *scope; /* comprehensions: what the resolver keeps */
};

enum expr_kind {
    E_TERM,
    E_ASSIGN,  /* lhs := rhs */
    E_UNIFY,   /* lhs = rhs */
    E_SOME,    /* some a, b: names in list */
    E_SOME_IN, /* some [key,] value in domain: key may be NULL, lhs is the value, rhs the domain */
    E_EVERY    /* every [key,] value in domain { body } */
};

struct with {
    struct node *target, *value;
    bool function; /* both name functions */
};

struct expr {
    uint8_t kind;
    bool negated;
    uint32_t at, end;
    struct node *lhs, *rhs, *key;
    struct node **list;
    uint32_t n_list, n_with;
    struct with *with;
    struct body *body;
    const void *scope; /* every: what the resolver keeps */
};

struct body {
    uint32_t n;
    bool braces;
    uint32_t at, end;
    struct expr **item;
};

struct rule_ast {
    uint32_t at, end;  /* end: after the last token */
    struct node **ref; /* ref[0] is the name, the others are keys */
    uint32_t n_ref, n_arg;
    struct node **arg;
    bool function, is_default, contains, assign, with_if;
    struct node *key;   /* of "contains", or of an old partial set */
    struct node *value; /* NULL: true */
    struct body *body;  /* NULL: always */
    struct rule_ast *otherwise;
    struct rule_ast *again; /* name { } { }: the same head with a further body */
};

struct import_ast {
    uint32_t at, end;
    struct node *path; /* N_REF or N_VAR */
    const struct value *alias;
};

struct comment {
    uint32_t at, end;
};

struct module {
    const char *name; /* of the file */
    struct bytes text;
    bool v1; /* import rego.v1, or taken as such */
    bool word_if, word_in, word_contains, word_every;
    struct node *package; /* NULL: none */
    uint32_t package_at;
    struct import_ast *import;
    struct rule_ast **rule;
    struct expr **condition; /* bare ones, policy mode */
    struct comment *comment;
    uint32_t n_import, n_rule, n_condition, n_comment;
    uint32_t cap_import, cap_rule, cap_condition, cap_comment;
};

#endif
