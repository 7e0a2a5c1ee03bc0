/* JSON into values. jansson is not used: it has no numbers beyond 64 bits and no arena. */
#include "policy/rego/number.h"
#include "policy/rego/text.h"
#include "policy/rego/value.h"

#define JSON_NESTING_MAX 200

struct json_in {
    struct arena *arena;
    struct bytes text;
    size_t at;
    bool unique;
    struct err *err;
};

static const struct value *bad(struct json_in *in, const char *what)
{
    uint32_t line, column;
    text_place(in->text, in->at, &line, &column);
    err_set(in->err, ERR_INPUT, 0, "not JSON: %" PRIu32 ":%" PRIu32 ": %s", line, column, what);
    return NULL;
}

static void skip_space(struct json_in *in)
{
    while (in->at < in->text.n && memchr(" \t\r\n", in->text.p[in->at], 4))
        in->at++;
}

static int peek(const struct json_in *in)
{
    return in->at < in->text.n ? in->text.p[in->at] : -1;
}

static const struct value *read_string(struct json_in *in)
{
    const char *why;
    size_t start = ++in->at, plain = in->text.n - start, n = 0;
    const uint8_t *p = in->text.p;
    while (n < plain && p[start + n] != '"' && p[start + n] != '\\' && p[start + n] >= 0x20)
        n++;
    if (n < plain && p[start + n] == '"') { /* the common case: the value's bytes are the text's */
        in->at = start + n + 1;
        return value_string(in->arena, bytes_of(p + start, n));
    }
    size_t end = text_string_end(in->text, start);
    if (end >= in->text.n || p[end] != '"') {
        in->at = end;
        return bad(in, "a string that is not closed, or holds a control character");
    }
    char *out = arena_alloc(in->arena, end - start + 1);
    size_t bad_at;
    if (!text_unescape(bytes_of(p + start, end - start), out, &n, &why, &bad_at)) {
        in->at = start + bad_at;
        return bad(in, why);
    }
    in->at = end + 1;
    return value_text(in->arena, out, n);
}

static const struct value *read_value(struct json_in *in, unsigned depth);

static const struct value *read_array(struct json_in *in, unsigned depth)
{
    struct items list = { .arena = in->arena };
    in->at++;
    skip_space(in);
    if (peek(in) == ']') {
        in->at++;
        return &value_empty_array;
    }
    for (;;) {
        const struct value *v = read_value(in, depth);
        if (!v)
            return NULL;
        items_add(&list, v);
        skip_space(in);
        int c = peek(in);
        if (c != ',' && c != ']')
            return bad(in, "expected , or ]");
        in->at++;
        if (c == ']')
            return items_value(&list);
    }
}

static const struct value *read_member(struct json_in *in, struct builder *b, unsigned depth)
{
    skip_space(in);
    if (peek(in) != '"')
        return bad(in, "expected a member's name in quotes");
    size_t at = in->at;
    const struct value *key = read_string(in);
    if (!key)
        return NULL;
    skip_space(in);
    if (peek(in) != ':')
        return bad(in, "expected :");
    in->at++;
    const struct value *v = read_value(in, depth);
    if (!v)
        return NULL;
    if (in->unique && builder_put(b, key, v)) {
        in->at = at;
        return bad(in, "a second member of this name");
    }
    builder_set(b, key, v);
    return v;
}

static const struct value *read_object(struct json_in *in, unsigned depth)
{
    struct builder b;
    builder_init(&b, in->arena, true);
    in->at++;
    skip_space(in);
    if (peek(in) == '}') {
        in->at++;
        return builder_value(&b);
    }
    for (;;) {
        if (!read_member(in, &b, depth))
            return NULL;
        skip_space(in);
        int c = peek(in);
        if (c != ',' && c != '}')
            return bad(in, "expected , or }");
        in->at++;
        if (c == '}')
            return builder_value(&b);
    }
}

static bool word(struct json_in *in, const char *w)
{
    size_t n = strlen(w);
    if (in->text.n - in->at < n || memcmp(in->text.p + in->at, w, n) != 0)
        return false;
    in->at += n;
    return true;
}

static const struct value *read_value(struct json_in *in, unsigned depth)
{
    skip_space(in);
    int c = peek(in);
    if (c == '"')
        return read_string(in);
    if ((c == '[' || c == '{') && depth >= JSON_NESTING_MAX)
        return bad(in, "nested too deep");
    if (c == '[')
        return read_array(in, depth + 1);
    if (c == '{')
        return read_object(in, depth + 1);
    if (word(in, "null"))
        return &value_null;
    if (word(in, "true"))
        return &value_true;
    if (word(in, "false"))
        return &value_false;
    size_t n = number_length(bytes_of(in->text.p + in->at, in->text.n - in->at));
    if (!n)
        return bad(in, c < 0 ? "the text ends too early" : "expected a value");
    const struct value *v = number_parse(in->arena, bytes_of(in->text.p + in->at, n));
    in->at += n;
    return v;
}

const struct value *value_from_json(struct arena *a, struct bytes text, bool unique, struct err *err)
{
    struct json_in in = { a, text, 0, unique, err };
    size_t bad_at = text_utf8_check(text);
    if (bad_at < text.n) {
        in.at = bad_at;
        return bad(&in, text.p[bad_at] ? "not valid UTF-8" : "a NUL byte");
    }
    const struct value *v = read_value(&in, 0);
    if (!v)
        return NULL;
    skip_space(&in);
    return in.at == text.n ? v : bad(&in, "more text after the value");
}
