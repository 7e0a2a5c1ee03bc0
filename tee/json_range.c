#include "tee/json_range.h"

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void skip_space(struct reader *r)
{
    while (r->rest.n && is_space(r->rest.p[0]) && rd_skip(r, 1))
        ;
}

static bool take_char(struct reader *r, uint8_t c)
{
    skip_space(r);
    return r->rest.n && r->rest.p[0] == c && rd_skip(r, 1);
}

/* A string with its quotes. */
static bool take_string(struct reader *r, struct bytes *out)
{
    size_t i = 1;
    if (!r->rest.n || r->rest.p[0] != '"')
        return false;
    while (i < r->rest.n && r->rest.p[i] != '"')
        i += r->rest.p[i] == '\\' ? 2 : 1;
    return i < r->rest.n && rd_take(r, i + 1, out);
}

/* An object, array, string or word; brackets are only counted, since the text was parsed before. */
static bool take_value(struct reader *r, struct bytes *out)
{
    struct reader at;
    size_t depth = 0;
    skip_space(r);
    at = *r;
    while (at.rest.n) {
        uint8_t c = at.rest.p[0];
        struct bytes string;
        if (c == '"') {
            if (!take_string(&at, &string))
                return false;
        } else if (depth == 0 && (c == ',' || c == '}' || c == ']' || is_space(c))) {
            break;
        } else {
            depth += c == '{' || c == '[';
            depth -= c == '}' || c == ']';
            if (!rd_skip(&at, 1))
                return false;
        }
        if (depth == 0 && (c == '"' || c == '}' || c == ']'))
            break;
    }
    return at.off > r->off && rd_take(r, at.off - r->off, out);
}

bool json_member_range(struct bytes text, const char *key, struct bytes *out)
{
    struct reader r = reader_of(text);
    size_t n = strlen(key);
    if (!take_char(&r, '{'))
        return false;
    do {
        struct bytes name, value;
        skip_space(&r);
        if (!take_string(&r, &name) || !take_char(&r, ':') || !take_value(&r, &value))
            return false;
        if (name.n == n + 2 && memcmp(name.p + 1, key, n) == 0) {
            *out = value;
            return true;
        }
    } while (take_char(&r, ','));
    return false;
}
