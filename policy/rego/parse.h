/** policy/rego/parse.h: from text to tree. */
#ifndef CVM_POLICY_REGO_PARSE_H
#define CVM_POLICY_REGO_PARSE_H

#include "policy/rego/lexer.h"

/** Brackets, braces, parentheses and chained operators within each other. */
#define PARSE_DEPTH_MAX 256

struct parse_options {
    bool strict;     /* no comments */
    bool conditions; /* bare expressions at top level (policy mode) */
    bool assume_v1;  /* as if the text had import rego.v1 */
};

/** Parses one module. Failure goes through arena_fail() as ERR_INPUT "LINE:COLUMN: what was found, what was
 * expected". The module keeps views into s->text. */
struct module *parse_module(const struct source *s, const struct parse_options *o);

/** Parses a query: one term that fills the text, with all keywords. */
struct node *parse_query(const struct source *s);

/* What the parser's files share. */
struct parser {
    struct source source;
    struct arena *arena;
    struct module *m;
    const struct parse_options *options;
    struct token *token; /* of the text, the last being T_END */
    uint32_t at;
    unsigned depth;
};

static inline const struct token *parse_now(const struct parser *p)
{
    return &p->token[p->at];
}
static inline bool parse_is(const struct parser *p, enum token_kind kind)
{
    return p->token[p->at].kind == kind;
}

/** The end of the token before the next one. */
uint32_t parse_last_end(const struct parser *p);

/** Takes the next token if it is of that kind. */
bool parse_accept(struct parser *p, enum token_kind kind);

/** Takes the next token or fails: "found X, expected WHAT". */
void parse_expect(struct parser *p, enum token_kind kind, const char *what);
__attribute__((noreturn)) void parse_unexpected(const struct parser *p, const char *expected);

/** Keywords of the dialect: a name otherwise. */
bool parse_word(const struct parser *p, enum token_kind kind);

/** True if the next token can be a name in this dialect. */
bool parse_at_name(const struct parser *p);
const struct value *parse_name(struct parser *p);

void parse_deeper(struct parser *p);
struct node *parse_node(struct parser *p, enum node_kind kind, uint32_t at);
void parse_add(struct parser *p, struct node *n, uint32_t *cap, struct node *item);

struct node *parse_term(struct parser *p);
/** The term with what follows it: .name [key] (arguments). spaced: white space is allowed before those. */
struct node *parse_term_rest(struct parser *p, struct node *head, bool spaced);
/** An expression of infix operators. pair: "k, v in xs" is one. */
struct node *parse_infix(struct parser *p, bool pair);
/** As parse_infix(p, false) when the first term has been read: nothing is read twice. */
struct node *parse_infix_after(struct parser *p, struct node *first);
struct expr *parse_literal(struct parser *p);
/** Expressions up to the closing token, which is taken. */
struct body *parse_body(struct parser *p, enum token_kind close);
/** A rule if one starts here, else false with nothing taken. */
bool parse_rule(struct parser *p);

/** True for input and data: documents, never rules. */
bool parse_is_root(const struct value *name);

#endif
