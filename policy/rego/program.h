/** policy/rego/program.h: a compiled policy. Rules are straight sequences of operations over registers; an
 * operation that finds nothing ends the attempt, one that finds several things tries the rest of the sequence
 * with each. A register is written before it is read on every way through, so that nothing needs to be
 * undone. */
#ifndef CVM_POLICY_REGO_PROGRAM_H
#define CVM_POLICY_REGO_PROGRAM_H

#include "policy/rego/builtin.h"
#include "policy/rego/names.h"
#include "policy/rego/policy.h"

/** Operands: a register from 0 on, or ~i for constant i. */
enum op_code {
    OP_GET,       /* dst = a[b] */
    OP_SCAN,      /* each member of a: key to register b unless NO_REG, value to dst unless NO_REG */
    OP_EQUAL,     /* goes on if a = b */
    OP_COMPARE,   /* goes on if a OP b holds; flag: the operator's token */
    OP_COMPARED,  /* dst = a OP b */
    OP_TRUE,      /* goes on unless a is false */
    OP_IS_ARRAY,  /* goes on if a is an array of b members */
    OP_IS_OBJECT, /* goes on if a is an object of b members */
    OP_ARRAY,     /* dst = [list a of n] */
    OP_SET,
    OP_OBJECT,  /* list: key, value, ... */
    OP_RULE,    /* dst = rule a */
    OP_CALL,    /* dst = function a (list b of n) */
    OP_BUILTIN, /* dst = built-in a (list b of n) */
    OP_WALK,    /* each [path, value] below a to dst */
    OP_INPUT,   /* dst = the input document */
    OP_DATA,    /* dst = what is at node a, rules and data, with the keys in list b of n (NO_REG: all) */
    OP_BASE,    /* dst = the data document at path: list a of n constants */
    OP_MEMBER,  /* dst = whether a is in b */
    OP_PAIR,    /* dst = whether list b of n: key, value, collection */
    OP_COLLECT, /* dst = the comprehension up to b; flag: value_type */
    OP_NOT,     /* goes on at b if what is before it finds nothing */
    OP_EVERY, /* for each member of a: key to dst unless NO_REG, value to dst2 (n); the body up to b must hold
               */
    OP_WITH,  /* what is before b, with the replacements of list a (n of them) */
    OP_ADD,   /* to the comprehension: a */
    OP_PUT,   /* to the comprehension: a: b */
    OP_FOUND, /* ends a body that is only asked whether it holds */
    OP_YIELD, /* ends OP_WITH: registers of list a (n) are kept */
    OP_RETURN, /* ends a rule's body: value a; flag: it is the same for every solution */
    OP_EMIT,   /* ends a partial rule's body: list a: keys, then the value (n in all) */
    OP_FAIL
};

#define NO_REG INT32_MIN

struct op {
    uint8_t code, flag;
    uint16_t n;
    int32_t dst, a, b;
    uint32_t place; /* of the expression, index into program.place */
};

enum rule_kind { RULE_COMPLETE, RULE_SET, RULE_OBJECT, RULE_FUNCTION };

#define NONE UINT32_MAX

/* One body of a rule. */
struct def {
    uint32_t entry, registers;
    uint32_t otherwise; /* the def tried when this one gives nothing, or NONE */
    uint32_t next;      /* of the same rule, or NONE */
    uint32_t place;
};

struct rule {
    const struct value *name; /* the last part of its path */
    uint32_t node;            /* in the tree of documents */
    uint8_t kind;
    bool nested;         /* some def has more than one key, or a set below a key */
    bool is_static_bool; /* a head without value or with true/false, in policy mode's fallback */
    uint16_t arity;
    uint32_t first, last; /* defs */
    uint32_t fallback;    /* the def of the default, or NONE */
    uint32_t place;
};

/* A node of the tree of documents: data is the root. */
struct doc {
    const struct value *name;
    struct names child; /* struct doc */
    struct names head;  /* of a package: first names of its rules */
    uint32_t id, rule;  /* NONE: no rule */
    bool package;
    struct doc *parent;
};

struct place {
    uint32_t module, at, end;
};

/* One replacement in a list of OP_WITH, five entries: what (below); which: the list of a path's constants, a
 * rule or a built-in; how many parts the path has; the value's operand, or the function that comes in its
 * place; what that is. */
enum with_kind { WITH_INPUT, WITH_DATA, WITH_RULE, WITH_BUILTIN };
enum with_by { BY_VALUE, BY_RULE, BY_BUILTIN };
#define WITH_ENTRIES 5

struct rego {
    struct arena arena;
    const struct op *op;
    const struct value *const *constant;
    const int32_t *list;
    const struct rule *rule;
    const struct def *def;
    struct doc *const *doc;
    const struct place *place;
    struct module *const *module;
    uint32_t n_op, n_constant, n_list, n_rule, n_def, n_doc, n_place, n_module;
    /* policy mode: rules by their role, NONE if there is none */
    uint32_t match, export, export_on_match;
    uint32_t query;            /* query mode: the rule made of the query */
    const uint32_t *condition; /* rules made of bare conditions */
    uint32_t n_condition;
    const char **warning;
    uint32_t n_warning;
    bool policy_mode;
};

#endif
