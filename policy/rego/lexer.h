/** policy/rego/lexer.h: tokens. */
#ifndef CVM_POLICY_REGO_LEXER_H
#define CVM_POLICY_REGO_LEXER_H

#include "policy/rego/ast.h"

enum token_kind {
    T_END,
    T_NAME,
    T_NUMBER,
    T_STRING,
    T_RAW,
    T_LPAREN,
    T_RPAREN,
    T_LBRACKET,
    T_RBRACKET,
    T_LBRACE,
    T_RBRACE,
    T_COMMA,
    T_SEMICOLON,
    T_COLON,
    T_DOT,
    T_ASSIGN,
    T_UNIFY,
    T_EQUAL,
    T_NOT_EQUAL,
    T_LESS,
    T_LESS_EQUAL,
    T_GREATER,
    T_GREATER_EQUAL,
    T_OR,
    T_AND,
    T_PLUS,
    T_MINUS,
    T_TIMES,
    T_DIVIDE,
    T_REMAINDER,
    /* words that are keywords in every dialect */
    T_PACKAGE,
    T_IMPORT,
    T_DEFAULT,
    T_NOT,
    T_WITH,
    T_AS,
    T_SOME,
    T_ELSE,
    T_NULL,
    T_TRUE,
    T_FALSE,
    /* words that are keywords when imported */
    T_IF,
    T_IN,
    T_CONTAINS,
    T_EVERY
};

struct token {
    uint8_t kind;
    bool newline; /* a line break before it */
    bool space;   /* white space or a comment before it */
    uint32_t at, end;
};

struct source {
    struct arena *arena;
    const char *name; /* of the file, for messages when several are given; or NULL */
    struct bytes text;
    uint32_t *line, *column; /* receive the place of an error; may be NULL */
};

/** Fails with "LINE:COLUMN: message". */
__attribute__((format(printf, 3, 4), noreturn)) void source_fail(const struct source *s, uint32_t at,
                                                                 const char *fmt, ...);

/** Splits the text of a module, the last token being T_END; comments go to the module.
 *  @param strict  a comment is an error */
struct token *lexer_run(const struct source *s, struct module *m, bool strict, uint32_t *count);

/** How a token is named in messages: its text, or "the end". Writes into room. */
const char *token_text(const struct source *s, const struct token *t, char room[static 48]);

#endif
