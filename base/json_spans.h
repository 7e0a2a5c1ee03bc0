/** base/json_spans.h: JSON whose long strings are kept where they are. Documents full of base64 are read
 * several times faster: jansson sees a short name in the place of each long string, and the caller takes the
 * bytes from the text. What is accepted is what json_parse() accepts, but for bytes of long strings that
 * nobody asks for. */
#ifndef CVM_BASE_JSON_SPANS_H
#define CVM_BASE_JSON_SPANS_H

#include "base/json.h"

#define JSON_SPANS_MAX 1024
#define JSON_SPAN_MIN  160 /* shorter strings stay in the tree */

struct json_spans {
    json_t *root; /* owned */
    size_t n;
    struct bytes span[JSON_SPANS_MAX]; /* views into the text: without the quotes, escapes as written */
};

/** As json_parse().
 *  @param out  its spans are valid as long as text is; free with json_spans_done(); written only on success
 */
MUST_USE int json_spans_parse(struct bytes text, size_t max, struct json_spans *out, struct err *err);

/** For AUTO(json_spans_done). */
void json_spans_done(struct json_spans *s);

/** The content of a string of the tree, long or not, escapes as written: nobody need write base64 with any,
 * but some writers escape its slashes. */
struct bytes json_spans_raw(const struct json_spans *s, const json_t *string);

/** Appends the content of a string with its escapes resolved.
 *  @return 0, or -1 with ERR_INPUT: an escape or UTF-8 that is none */
MUST_USE int json_spans_text(const struct json_spans *s, const json_t *string, struct buf *out,
                             struct err *err);

/** A new reference to value with all its long strings put back.
 *  @return 0, or -1 as json_spans_text() */
MUST_USE int json_spans_whole(const struct json_spans *s, json_t *value, json_t **out, struct err *err);

#endif
