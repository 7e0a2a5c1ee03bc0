#include "agent/target.h"

#include "base/auto.h"
#include "base/enc.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <strings.h>

static bool starts_with(struct bytes b, const char *prefix)
{
    size_t n = strlen(prefix);
    return b.n >= n && strncasecmp((const char *)b.p, prefix, n) == 0;
}

static struct bytes from(struct bytes b, size_t start)
{
    return bytes_of(b.p + start, b.n - start);
}

/* Everything before the first c; *rest begins at c, or is empty. */
static struct bytes before(struct bytes b, char c, struct bytes *rest)
{
    const uint8_t *at = b.n ? memchr(b.p, c, b.n) : NULL;
    size_t n = at ? (size_t)(at - b.p) : b.n;
    *rest = from(b, n);
    return bytes_of(b.p, n);
}

int target_parse(struct bytes raw, struct target *out, struct err *err)
{
    static const char *const schemes[] = { "http://", "https://" };
    struct target t = { bytes_of(NULL, 0), bytes_of(NULL, 0), bytes_of(NULL, 0) };
    struct bytes rest;
    for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
        if (starts_with(raw, schemes[i])) {
            t.authority = before(from(raw, strlen(schemes[i])), '/', &raw);
            if (t.authority.n == 0)
                return err_set(err, ERR_INPUT, 0, "the request target names no host: send the path only");
        }
    }
    t.path = before(raw, '?', &rest);
    if (rest.n)
        t.query = from(rest, 1);
    if (t.path.n == 0 || t.path.p[0] != '/')
        return err_set(err, ERR_INPUT, 0,
                       "the request target does not begin with a slash: send the path only");
    *out = t;
    return 0;
}

bool path_match(const char *pattern, struct bytes path, struct bytes *segment)
{
    const char *brace = strchr(pattern, '{');
    size_t fixed = brace ? (size_t)(brace - pattern) : strlen(pattern);
    *segment = bytes_of(NULL, 0);
    if (path.n < fixed || memcmp(path.p, pattern, fixed) != 0)
        return false;
    struct bytes rest = from(path, fixed);
    if (!brace)
        return rest.n == 0;
    if (rest.n && memchr(rest.p, '/', rest.n))
        return false;
    *segment = rest;
    return true;
}

static int decode_text(struct bytes raw, char *out, size_t max, struct err *err)
{
    AUTO(buf_done) struct buf b = buf_new(max);
    if (percent_decode(raw, &b, err) < 0)
        return b.failed ? err_set(err, ERR_INPUT, 0, "a query parameter is longer than %zu bytes", max) : -1;
    if (b.n && memchr(b.p, 0, b.n))
        return err_set(err, ERR_INPUT, 0, "a query parameter holds a NUL byte");
    if (b.n)
        memcpy(out, b.p, b.n);
    out[b.n] = '\0';
    return 0;
}

static int add_pair(struct query *q, struct bytes raw, const char *repeat, struct err *err)
{
    struct bytes value, name = before(raw, '=', &value);
    struct query_pair pair;
    if (value.n)
        value = from(value, 1);
    if (q->n == QUERY_MAX)
        return err_set(err, ERR_INPUT, 0, "more than %d query parameters", QUERY_MAX);
    if (decode_text(name, pair.name, QUERY_NAME_MAX, err) < 0
        || decode_text(value, pair.value, QUERY_VALUE_MAX, err) < 0)
        return -1;
    if ((!repeat || strcmp(repeat, pair.name) != 0) && query_get(q, pair.name))
        return err_set(err, ERR_INPUT, 0, "query parameter %s is given twice: give it once", pair.name);
    q->pair[q->n++] = pair;
    return 0;
}

int query_parse(struct bytes raw, const char *repeat, struct query *out, struct err *err)
{
    struct query q = { 0 };
    while (raw.n) {
        struct bytes rest, pair = before(raw, '&', &rest);
        if (pair.n && add_pair(&q, pair, repeat, err) < 0)
            return -1;
        raw = rest.n ? from(rest, 1) : rest;
    }
    *out = q;
    return 0;
}

const char *query_get(const struct query *q, const char *name)
{
    for (size_t i = 0; i < q->n; i++) {
        if (!strcmp(q->pair[i].name, name))
            return q->pair[i].value;
    }
    return NULL;
}

int nonce_decode(struct bytes segment, size_t max, struct buf *out, struct err *err)
{
    AUTO(buf_done) struct buf b = buf_new(segment.n + 1);
    if (segment.n == 0)
        return err_set(err, ERR_INPUT, 0, "the nonce is empty: give 1 to %zu bytes after the last slash",
                       max);
    if (percent_decode(segment, &b, err) < 0)
        return err_set(err, ERR_INPUT, 0,
                       "the nonce has a bad percent escape: write %%XX with two hex digits, %%25 for %%");
    if (memchr(b.p, 0, b.n))
        return err_set(err, ERR_INPUT, 0,
                       "the nonce holds a NUL byte: use other bytes, for instance hex text");
    if (b.n > max)
        return err_set(
            err, ERR_INPUT, 0,
            "the nonce has %zu bytes, at most %zu are bound: hash a longer challenge and cut it to %zu", b.n,
            max, max);
    buf_put(out, buf_bytes(&b));
    return buf_check(out, "nonce", err);
}

/* ":PORT" or nothing. */
static bool port_ok(struct bytes b)
{
    if (b.n == 0)
        return true;
    if (b.p[0] != ':' || b.n > 6)
        return false;
    for (size_t i = 1; i < b.n; i++) {
        if (b.p[i] < '0' || b.p[i] > '9')
            return false;
    }
    return true;
}

/* Blanks around a header's value are not part of it (RFC 9110, section 5.5); the library leaves those behind.
 */
static struct bytes trimmed(struct bytes b)
{
    while (b.n && (b.p[0] == ' ' || b.p[0] == '\t'))
        b = from(b, 1);
    while (b.n && (b.p[b.n - 1] == ' ' || b.p[b.n - 1] == '\t'))
        b.n--;
    return b;
}

/* "::1" in any of its spellings, or 127.0.0.0/8 mapped into IPv6. */
static bool v6_is_loopback(const char *text)
{
    struct in6_addr v6;
    if (inet_pton(AF_INET6, text, &v6) != 1)
        return false;
    return IN6_IS_ADDR_LOOPBACK(&v6) || (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == 127);
}

static bool v4_is_loopback(const char *text)
{
    struct in_addr v4;
    return inet_pton(AF_INET, text, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

bool host_is_loopback(struct bytes host)
{
    struct bytes port;
    char text[INET6_ADDRSTRLEN];
    host = trimmed(host);
    bool literal = host.n && host.p[0] == '[';
    struct bytes name = before(literal ? from(host, 1) : host, literal ? ']' : ':', &port);
    if (literal && port.n == 0)
        return false;
    if (!port_ok(literal ? from(port, 1) : port))
        return false;
    if (!literal && name.n == 9 && starts_with(name, "localhost"))
        return true;
    if (name.n >= sizeof(text) || (name.n && memchr(name.p, 0, name.n)))
        return false;
    if (name.n)
        memcpy(text, name.p, name.n);
    text[name.n] = '\0';
    return literal ? v6_is_loopback(text) : v4_is_loopback(text);
}
