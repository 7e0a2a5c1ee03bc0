#include "policy/rego/lexer.h"

#include "base/auto.h"
#include "policy/rego/number.h"
#include "policy/rego/text.h"

#include <stdarg.h>
#include <stdio.h>

void source_fail(const struct source *s, uint32_t at, const char *fmt, ...)
{
    char text[256];
    uint32_t line, column;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    text_place(s->text, at, &line, &column);
    if (s->line && s->column) {
        *s->line = line;
        *s->column = column;
    }
    arena_fail(s->arena, ERR_INPUT, "%" PRIu32 ":%" PRIu32 ": %s", line, column, text);
}

static const struct {
    const char *text;
    enum token_kind kind;
} words[] = {
    { "package", T_PACKAGE }, { "import", T_IMPORT },     { "default", T_DEFAULT },
    { "not", T_NOT },         { "with", T_WITH },         { "as", T_AS },
    { "some", T_SOME },       { "else", T_ELSE },         { "null", T_NULL },
    { "true", T_TRUE },       { "false", T_FALSE },       { "if", T_IF },
    { "in", T_IN },           { "contains", T_CONTAINS }, { "every", T_EVERY },
};

/* The longer ones first. */
static const struct {
    char text[3];
    enum token_kind kind;
} marks[] = {
    { ":=", T_ASSIGN },        { "==", T_EQUAL },  { "!=", T_NOT_EQUAL }, { "<=", T_LESS_EQUAL },
    { ">=", T_GREATER_EQUAL }, { "(", T_LPAREN },  { ")", T_RPAREN },     { "[", T_LBRACKET },
    { "]", T_RBRACKET },       { "{", T_LBRACE },  { "}", T_RBRACE },     { ",", T_COMMA },
    { ";", T_SEMICOLON },      { ":", T_COLON },   { ".", T_DOT },        { "=", T_UNIFY },
    { "<", T_LESS },           { ">", T_GREATER }, { "|", T_OR },         { "&", T_AND },
    { "+", T_PLUS },           { "-", T_MINUS },   { "*", T_TIMES },      { "/", T_DIVIDE },
    { "%", T_REMAINDER },
};

static bool name_byte(uint8_t c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

struct lexer {
    const struct source *s;
    struct bytes text;
    uint32_t at;
};

static void take_name(struct lexer *x, struct token *t)
{
    while (x->at < x->text.n && name_byte(x->text.p[x->at], false))
        x->at++;
    t->kind = T_NAME;
    size_t n = x->at - t->at;
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        if (strlen(words[i].text) == n && memcmp(words[i].text, x->text.p + t->at, n) == 0)
            t->kind = (uint8_t)words[i].kind;
}

static void take_number(struct lexer *x, struct token *t)
{
    size_t n = number_length(bytes_of(x->text.p + x->at, x->text.n - x->at));
    if (n == 0 || (x->at + n < x->text.n && name_byte(x->text.p[x->at + n], false)))
        source_fail(x->s, t->at, "not a number as JSON writes it");
    x->at += (uint32_t)n;
    t->kind = T_NUMBER;
}

static void take_string(struct lexer *x, struct token *t)
{
    size_t end = text_string_end(x->text, t->at + 1);
    if (end >= x->text.n || x->text.p[end] == '\n' || x->text.p[end] == '\r')
        source_fail(x->s, t->at, "this string is not closed at the end of its line");
    if (x->text.p[end] != '"')
        source_fail(x->s, (uint32_t)end, "a control character in a string: write it as an escape");
    x->at = (uint32_t)end + 1;
    t->kind = T_STRING;
}

static void take_raw(struct lexer *x, struct token *t)
{
    const uint8_t *close = memchr(x->text.p + t->at + 1, '`', x->text.n - t->at - 1);
    if (!close)
        source_fail(x->s, t->at, "this raw string is not closed");
    x->at = (uint32_t)(close - x->text.p) + 1;
    t->kind = T_RAW;
}

static void take_mark(struct lexer *x, struct token *t)
{
    size_t rest = x->text.n - x->at;
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
        size_t n = strlen(marks[i].text);
        if (n <= rest && memcmp(marks[i].text, x->text.p + x->at, n) == 0) {
            t->kind = (uint8_t)marks[i].kind;
            x->at += (uint32_t)n;
            return;
        }
    }
    uint8_t c = x->text.p[x->at];
    if (c > 0x20 && c < 0x7F)
        source_fail(x->s, t->at, "an expression cannot hold the character %c", c);
    source_fail(x->s, t->at, "this character may stand in strings and comments only");
}

/* White space and comments before the next token. */
static void skip(struct lexer *x, struct module *m, bool strict, struct token *t)
{
    for (; x->at < x->text.n; x->at++) {
        uint8_t c = x->text.p[x->at];
        if (c == '\n')
            t->newline = true;
        if (c == '#') {
            struct comment note = { x->at, x->at };
            if (strict)
                source_fail(x->s, x->at, "comments are not supported in strict mode");
            while (x->at < x->text.n && x->text.p[x->at] != '\n')
                x->at++;
            note.end = x->at--;
            m->comment = arena_grow(x->s->arena, m->comment, m->n_comment, &m->cap_comment, sizeof(note));
            m->comment[m->n_comment++] = note;
        } else if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
            return;
        }
        t->space = true;
    }
}

static void take(struct lexer *x, struct token *t)
{
    if (x->at == x->text.n) {
        t->kind = T_END;
        return;
    }
    uint8_t c = x->text.p[x->at];
    if (name_byte(c, true))
        take_name(x, t);
    else if (c >= '0' && c <= '9')
        take_number(x, t);
    else if (c == '"')
        take_string(x, t);
    else if (c == '`')
        take_raw(x, t);
    else
        take_mark(x, t);
}

struct token *lexer_run(const struct source *s, struct module *m, bool strict, uint32_t *count)
{
    struct lexer x = { s, s->text, 0 };
    struct token *list = NULL;
    uint32_t n = 0, cap = 0;
    size_t bad = text_utf8_check(s->text);
    if (bad < s->text.n)
        source_fail(s, (uint32_t)bad, s->text.p[bad] ? "not valid UTF-8" : "a NUL byte");
    if (s->text.n >= 3 && memcmp(s->text.p, "\xEF\xBB\xBF", 3) == 0)
        source_fail(s, 0, "a byte order mark: save the file as UTF-8 without it");
    for (;;) {
        struct token t = { .newline = n == 0 };
        skip(&x, m, strict, &t);
        t.at = x.at;
        take(&x, &t);
        t.end = x.at;
        list = arena_grow(s->arena, list, n, &cap, sizeof(t));
        list[n++] = t;
        if (t.kind == T_END)
            break;
    }
    *count = n;
    return list;
}

const char *token_text(const struct source *s, const struct token *t, char room[static 48])
{
    int n = (int)(t->end - t->at);
    if (t->kind == T_END)
        return "the end of the text";
    if (t->kind == T_STRING || t->kind == T_RAW)
        snprintf(room, 48, "a string");
    else
        snprintf(room, 48, "%.*s%s", n > 32 ? 32 : n, (const char *)s->text.p + t->at, n > 32 ? "..." : "");
    return room;
}
