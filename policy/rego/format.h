/** policy/rego/format.h: what the printer's files share. */
#ifndef CVM_POLICY_REGO_FORMAT_H
#define CVM_POLICY_REGO_FORMAT_H

#include "policy/rego/ast.h"

struct printer {
    struct buf *out;
    const struct module *m;
    uint32_t comment; /* the first that was not written yet */
    size_t indent;
};

/** Ends the line and indents the next one. */
void format_line(struct printer *p);
bool format_newline_between(const struct printer *p, uint32_t from, uint32_t to);

/** Comments before an offset, each with a line of its own. */
void format_comments(struct printer *p, uint32_t before);

/** Comments behind what ends at the offset. */
void format_trailing(struct printer *p, uint32_t end);

void format_term(struct printer *p, const struct node *n);
void format_terms(struct printer *p, struct node *const *item, uint32_t n);
/** joins: signs that must not begin the text, since they would join it to the line before. */
void format_expr(struct printer *p, const struct expr *e, const char *joins);
/** A body in braces, one expression a line. */
void format_block(struct printer *p, const struct body *b);

#endif
