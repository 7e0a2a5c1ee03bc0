/** agent/target.h: the request target of HTTP (RFC 9112, section 3.2), split raw and decoded afterwards, so
 * that %2F and %00 stay inside the segment in which they were sent. */
#ifndef CVM_AGENT_TARGET_H
#define CVM_AGENT_TARGET_H

#include "base/buf.h"

/** Query parameters that one request may carry, and the decoded size of each name and value. */
#define QUERY_MAX       8
#define QUERY_NAME_MAX  32
#define QUERY_VALUE_MAX 256

struct target {
    struct bytes authority; /* of the absolute form, "http://HOST:PORT/..."; empty in the usual form */
    struct bytes path;      /* begins with a slash, still encoded */
    struct bytes query;     /* after the question mark, still encoded */
};

struct query_pair {
    char name[QUERY_NAME_MAX + 1];
    char value[QUERY_VALUE_MAX + 1];
};

struct query {
    size_t n;
    struct query_pair pair[QUERY_MAX];
};

/** Splits a request target; all members are views into raw.
 *  @return 0, or -1 with ERR_INPUT: neither a path nor an absolute http or https URI */
MUST_USE int target_parse(struct bytes raw, struct target *out, struct err *err);

/** True if path is pattern. A pattern may end in one "{name}" segment, which takes the rest of the path if
 * that holds no slash (it may be empty).
 *  @param segment  the raw segment of "{name}", empty if the pattern has none */
bool path_match(const char *pattern, struct bytes path, struct bytes *segment);

/** Splits and decodes a query.
 *  @param repeat  a name that may occur several times; NULL: none
 *  @return 0, or -1 with ERR_INPUT: more than QUERY_MAX pairs, too long, a bad escape, a NUL, a name twice */
MUST_USE int query_parse(struct bytes raw, const char *repeat, struct query *out, struct err *err);

/** The value of a parameter, or NULL if it was not given. */
const char *query_get(const struct query *q, const char *name);

/** Decodes the nonce segment of contract section 2 and appends it to out.
 *  @return 0, or -1 with ERR_INPUT and a sentence that says what is wrong: empty, longer than max bytes, a
 * bad escape, a NUL */
MUST_USE int nonce_decode(struct bytes segment, size_t max, struct buf *out, struct err *err);

/** True if host (a Host header's value, or an authority) is a loopback literal: 127.0.0.0/8, [::1] or
 * localhost, with or without a port. */
bool host_is_loopback(struct bytes host);

#endif
