/** policy/rego/text.h: what the lexer and the JSON reader share: places, UTF-8, escapes. */
#ifndef CVM_POLICY_REGO_TEXT_H
#define CVM_POLICY_REGO_TEXT_H

#include "base/bytes.h"

/** Line and column, both from 1; columns count code points, a tab is one. */
void text_place(struct bytes text, size_t at, uint32_t *line, uint32_t *column);

/** Bytes of the well-formed UTF-8 sequence (RFC 3629) at the start of p, 0 if there is none. */
size_t text_utf8_length(const uint8_t *p, size_t n);

/** The offset of the first byte that is not UTF-8 or is NUL; text.n if there is none. */
size_t text_utf8_check(struct bytes text);

/** Writes a code point; returns its bytes, at most 4. */
size_t text_utf8_put(uint32_t c, char *out);

/** Reads the code point at the start of valid UTF-8; returns its bytes. */
size_t text_utf8_get(const char *p, size_t n, uint32_t *c);

/** Number of code points. */
size_t text_utf8_count(struct bytes text);

/** From the byte after an opening quote: the offset of the closing quote, or of the control character or end
 * that comes before it. */
size_t text_string_end(struct bytes text, size_t at);

/** Resolves JSON escapes (RFC 8259, section 7). A lone surrogate becomes U+FFFD, as in Go.
 *  @param out   room for raw.n bytes
 *  @return false with *why, a literal, and *at, the offset of the bad escape */
bool text_unescape(struct bytes raw, char *out, size_t *n, const char **why, size_t *at);

#endif
