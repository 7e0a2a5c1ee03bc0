/** policy/rego/eval.h: running compiled rules. What the evaluator's files share. */
#ifndef CVM_POLICY_REGO_EVAL_H
#define CVM_POLICY_REGO_EVAL_H

#include "policy/rego/program.h"

enum memo_state { MEMO_NEW, MEMO_BUSY, MEMO_DONE };

struct memo {
    const struct value *value; /* NULL: undefined */
    uint8_t state;
};

/* A document put into another's place by "with". */
struct override {
    const struct doc *doc; /* the node of the tree that the path leads to, as far as the tree goes */
    const int32_t *rest;   /* constants: the path behind it */
    uint32_t n_rest;
    const struct value *value;
};

/* A function put into another's place. */
struct replacement {
    bool builtin; /* id is a built-in's */
    uint8_t by;   /* enum with_by */
    uint32_t id, other;
    const struct value *value;
};

/* What rules are evaluated against; "with" makes a new one. */
struct world {
    const struct value *input, *data; /* input: NULL if undefined */
    struct memo *memo;
    struct override *override;
    struct replacement *replacement;
    uint32_t n_override, n_replacement;
};

struct trace;

struct eval {
    struct arena arena, frames; /* frames: registers, given back when a rule is done */
    const struct rego *p;
    struct world *world;
    uint64_t steps, max_steps;
    unsigned depth, max_depth;
    int64_t now_ns;
    struct buf scratch;        /* of built-in functions */
    struct names regexes;      /* likewise */
    struct trace *trace;       /* NULL: not asked for */
    const struct place *place; /* of the operation that runs, for errors */
};

/* What one solution of a body is for. */
struct sink {
    const struct value *value; /* OP_RETURN */
    bool found;                /* OP_FOUND */
    struct items items;        /* OP_ADD to an array */
    struct builder builder;    /* OP_ADD to a set, OP_PUT, OP_EMIT */
    struct nest *nest;         /* OP_EMIT of nested keys */
    struct kept *kept;         /* OP_YIELD */
    uint8_t type;
};

struct frame {
    const struct value **reg;
};

/** Counts cost; fails when there were too many. */
void eval_spend(struct eval *e, uint64_t cost);
__attribute__((format(printf, 2, 3), noreturn)) void eval_fail(struct eval *e, const char *fmt, ...);
void eval_deeper(struct eval *e);

/** The value of a rule that is no function, computed once; NULL: undefined. */
const struct value *eval_rule(struct eval *e, uint32_t rule);

/** The value of a function; NULL: undefined. */
const struct value *eval_call(struct eval *e, uint32_t rule, const struct value *const *arg);

/** Runs operations from pc on; true: the sink wants no more. */
bool eval_run(struct eval *e, struct frame *f, uint32_t pc, struct sink *sink);

/** What is at a node: rules and data, of the keys that are asked for. */
const struct value *eval_doc(struct eval *e, const struct frame *f, const struct op *o);

/** The base document at data and what "with" has put there. */
const struct value *eval_path(struct eval *e, const struct value *v, const int32_t *key, uint32_t n);

/** Runs the operations up to o->b in another world, then the rest with each solution. */
bool eval_with(struct eval *e, struct frame *f, uint32_t pc, struct sink *sink);
/** Keeps one solution of it. */
void eval_keep(struct eval *e, const struct frame *f, const struct op *o, struct sink *sink);

/** The value that "with" gives a rule in its place; *found tells whether there is one (it may be undefined).
 */
const struct value *eval_override(struct eval *e, const struct doc *d, bool *found);
/** A function that comes in the place of another: inside it nothing is replaced. */
const struct value *eval_unmocked(struct eval *e, uint32_t rule, const struct value *const *arg);
const struct replacement *eval_replacement(const struct eval *e, bool builtin, uint32_t id);

struct nest *nest_new(struct eval *e);
/** Adds a solution of a partial object with nested keys. */
void nest_add(struct eval *e, struct sink *sink, const struct value *const *part, uint32_t n, bool contains);
const struct value *nest_value(struct eval *e, const struct nest *nest);

/* trace.c */
struct trace *trace_new(struct arena *a);
void trace_failed(struct eval *e, const struct frame *f, const struct op *o);
void trace_rule(struct eval *e, const struct rule *r, const struct value *v);
/** Appends what was noted, one line each. */
void trace_put(const struct trace *t, const struct rego *p, struct buf *out);
/** A short form of a value. */
void trace_value(struct buf *out, const struct value *v);

#endif
