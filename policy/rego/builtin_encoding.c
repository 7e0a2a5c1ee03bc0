/* Base64, hex, JSON, digests. */
#include "base/auto.h"
#include "base/digest.h"
#include "base/enc.h"
#include "policy/rego/builtin.h"
#include "policy/rego/text.h"

/* Moves a text into the arena; the caller's heap memory goes to the evaluation's keeping first, which frees
 * it whatever happens. */
static const struct value *keep(struct call *c, struct buf *b)
{
    buf_done(c->scratch);
    *c->scratch = *b;
    if (b->failed)
        arena_fail(c->arena, ERR_TOO_LARGE, "a text that a built-in function made is too long");
    const struct value *v = value_string(c->arena, buf_bytes(c->scratch));
    buf_done(c->scratch);
    return v;
}

#define TEXT_MAX ((size_t)64 << 20)

static const struct value *base64_encode(struct call *c, const struct value *const *arg)
{
    struct buf out = buf_new(TEXT_MAX);
    b64_put(&out, value_bytes(arg[0]));
    return keep(c, &out);
}

static const struct value *base64url_raw(struct call *c, const struct value *const *arg)
{
    struct buf out = buf_new(TEXT_MAX);
    b64url_put(&out, value_bytes(arg[0]));
    return keep(c, &out);
}

static const struct value *base64url_encode(struct call *c, const struct value *const *arg)
{
    struct buf out = buf_new(TEXT_MAX);
    b64url_put(&out, value_bytes(arg[0]));
    while (out.n % 4 && !out.failed)
        buf_u8(&out, '=');
    return keep(c, &out);
}

/* The standard alphabet with padding, as OPA wants it; the URL-safe one with or without. */
static bool well_formed(struct bytes text, bool url)
{
    size_t n = text.n;
    while (n && text.p[n - 1] == '=')
        n--;
    for (size_t i = 0; i < n; i++)
        if ((url && (text.p[i] == '+' || text.p[i] == '/'))
            || (!url && (text.p[i] == '-' || text.p[i] == '_')))
            return false;
    return text.n - n <= 2 && (url && n == text.n ? n % 4 != 1 : text.n % 4 == 0);
}

static const struct value *decode(struct call *c, struct bytes text, bool url)
{
    struct buf out = buf_new(TEXT_MAX);
    if (!well_formed(text, url) || b64_decode(text, &out, NULL) < 0) {
        buf_done(&out);
        return NULL;
    }
    return keep(c, &out);
}

static const struct value *base64_decode(struct call *c, const struct value *const *arg)
{
    return decode(c, value_bytes(arg[0]), false);
}

static const struct value *base64url_decode(struct call *c, const struct value *const *arg)
{
    return decode(c, value_bytes(arg[0]), true);
}

static const struct value *base64_is_valid(struct call *c, const struct value *const *arg)
{
    return value_bool(decode(c, value_bytes(arg[0]), false) != NULL);
}

static const struct value *hex_encode(struct call *c, const struct value *const *arg)
{
    char *out = arena_alloc(c->arena, 2 * (size_t)arg[0]->n + 1);
    hex_to(out, value_bytes(arg[0]));
    return value_text(c->arena, out, 2 * (size_t)arg[0]->n);
}

static const struct value *hex_decode_of(struct call *c, const struct value *const *arg)
{
    char *out = arena_alloc(c->arena, arg[0]->n / 2 + 1);
    bool prefixed = arg[0]->n >= 2 && (arg[0]->text[1] == 'x' || arg[0]->text[1] == 'X');
    if (prefixed || arg[0]->n % 2
        || hex_decode_fixed(value_bytes(arg[0]), (uint8_t *)out, arg[0]->n / 2, NULL) < 0)
        return NULL;
    return value_text(c->arena, out, arg[0]->n / 2);
}

/* As Go's encoder writes it for HTML: <, > and & escaped, and the two line separators. */
static const struct value *json_marshal(struct call *c, const struct value *const *arg)
{
    struct buf plain = buf_new(TEXT_MAX), out = buf_new(TEXT_MAX);
    value_put_json(&plain, arg[0]);
    struct bytes p = buf_bytes(&plain);
    for (size_t i = 0; i < p.n && !plain.failed; i++) {
        bool line =
            p.p[i] == 0xE2 && p.n - i > 2 && p.p[i + 1] == 0x80 && (p.p[i + 2] == 0xA8 || p.p[i + 2] == 0xA9);
        if (p.p[i] == '<' || p.p[i] == '>' || p.p[i] == '&')
            buf_printf(&out, "\\u%04x", p.p[i]);
        else if (line)
            buf_printf(&out, "\\u20%02x", p.p[i + 2] - 0x80);
        else
            buf_u8(&out, p.p[i]);
        i += line ? 2 : 0;
    }
    out.failed |= plain.failed;
    buf_done(&plain);
    return keep(c, &out);
}

static const struct value *json_unmarshal(struct call *c, const struct value *const *arg)
{
    c->cost += arg[0]->n;
    return value_from_json(c->arena, value_bytes(arg[0]), false, NULL);
}

static const struct value *json_is_valid(struct call *c, const struct value *const *arg)
{
    c->cost += arg[0]->n;
    return value_bool(arg[0]->type == V_STRING
                      && value_from_json(c->arena, value_bytes(arg[0]), false, NULL));
}

static const struct value *hashed(struct call *c, const struct value *v, uint16_t alg)
{
    struct digest d;
    char hex[2 * DIGEST_MAX + 1];
    c->cost += v->n / 16;
    if (digest_of(alg, value_bytes(v), &d, NULL) < 0)
        return NULL;
    return value_string(c->arena, bytes_str(hex_to(hex, digest_bytes(&d))));
}

static const struct value *crypto_sha1(struct call *c, const struct value *const *arg)
{
    return hashed(c, arg[0], ALG_SHA1);
}

static const struct value *crypto_sha256(struct call *c, const struct value *const *arg)
{
    return hashed(c, arg[0], ALG_SHA256);
}

const struct builtin builtins_encoding[] = {
    { "base64.encode", 1, false, { A_STRING }, base64_encode },
    { "base64.decode", 1, false, { A_STRING }, base64_decode },
    { "base64.is_valid", 1, false, { A_STRING }, base64_is_valid },
    { "base64url.encode", 1, false, { A_STRING }, base64url_encode },
    { "base64url.encode_no_pad", 1, false, { A_STRING }, base64url_raw },
    { "base64url.decode", 1, false, { A_STRING }, base64url_decode },
    { "hex.encode", 1, false, { A_STRING }, hex_encode },
    { "hex.decode", 1, false, { A_STRING }, hex_decode_of },
    { "json.marshal", 1, false, { A_ANY }, json_marshal },
    { "json.unmarshal", 1, false, { A_STRING }, json_unmarshal },
    { "json.is_valid", 1, false, { A_ANY }, json_is_valid },
    { "crypto.sha1", 1, false, { A_STRING }, crypto_sha1 },
    { "crypto.sha256", 1, false, { A_STRING }, crypto_sha256 },
};
const uint32_t builtins_encoding_n = ARRAY_SIZE(builtins_encoding);
