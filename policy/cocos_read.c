/* Members of Cocos policies, in all their spellings. */
#include "base/auto.h"
#include "base/enc.h"
#include "base/json_wide.h"
#include "policy/cocos_internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#define NAME_MAX_ 64

int cocos_bad(struct err *err, const struct cocos_object *o, const char *name, const char *fmt, ...)
{
    char what[200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    return err_set(err, ERR_INPUT, 0, "%s%s%s: %s", o->path, *o->path && *name ? "." : "", name, what);
}

/* trusted_id_keys becomes trustedIdKeys. */
static const char *camel(const char *snake, char out[static NAME_MAX_])
{
    size_t n = 0;
    for (const char *p = snake; *p && n < NAME_MAX_ - 1; p++)
        out[n++] = *p == '_' && p[1] ? (char)toupper((unsigned char)*++p) : *p;
    out[n] = '\0';
    return out;
}

int cocos_member(const struct cocos_object *o, const char *name, const json_t **out, struct err *err)
{
    char other[NAME_MAX_];
    const json_t *snake = json_object_get(o->json, name), *v = snake;
    if (strchr(name, '_')) {
        const json_t *c = json_object_get(o->json, camel(name, other));
        if (snake && c)
            return cocos_bad(err, o, name, "is there in two spellings, also as %s", other);
        v = snake ? snake : c;
    }
    *out = json_is_null(v) ? NULL : v;
    return 0;
}

int cocos_inner(const struct cocos_object *o, const char *name, const char *path, struct cocos_object *out,
                struct err *err)
{
    const json_t *v;
    if (cocos_member(o, name, &v, err) < 0)
        return -1;
    if (v && !json_is_object(v))
        return cocos_bad(err, o, name, "want an object");
    *out = (struct cocos_object){ v, path };
    return 0;
}

static int decode(const json_t *v, struct buf *out, struct err *err)
{
    if (!json_is_string(v) || json_wide_is(v))
        return err_set(err, ERR_INPUT, 0, "want base64 text");
    if (b64_decode(bytes_of(json_string_value(v), json_string_length(v)), out, err) < 0)
        return -1;
    return buf_check(out, "base64", err);
}

int cocos_element(const struct cocos_object *o, const char *name, size_t at, const json_t *v, struct buf *out,
                  struct err *err)
{
    struct err why = { 0 };
    if (decode(v, out, &why) < 0)
        return cocos_bad(err, o, name, "element %zu: %.150s", at, why.cause);
    return 0;
}

int cocos_bytes(const struct cocos_object *o, const char *name, size_t size, uint8_t *out, bool *has,
                struct err *err)
{
    AUTO(buf_done) struct buf raw = buf_new(COCOS_SIZE_MAX);
    struct err why = { 0 };
    const json_t *v;
    *has = false;
    if (cocos_member(o, name, &v, err) < 0)
        return -1;
    if (!v)
        return 0;
    if (decode(v, &raw, &why) < 0)
        return cocos_bad(err, o, name, "%.150s", why.cause);
    if (!raw.n)
        return 0;
    if (raw.n != size)
        return cocos_bad(err, o, name, "%zu bytes, want %zu", raw.n, size);
    memcpy(out, raw.p, size);
    *has = true;
    return 0;
}

int cocos_hex(const struct cocos_object *o, const char *name, size_t size, struct cocos_hex *out,
              struct err *err)
{
    uint8_t raw[COCOS_VALUE_MAX];
    bool has;
    if (cocos_bytes(o, name, size, raw, &has, err) < 0)
        return -1;
    if (has)
        hex_to(out->text, bytes_of(raw, size));
    return 0;
}

int cocos_list(const struct cocos_object *o, const char *name, const json_t **out, struct err *err)
{
    if (cocos_member(o, name, out, err) < 0)
        return -1;
    if (*out && (!json_is_array(*out) || json_array_size(*out) > COCOS_LIST_MAX))
        return cocos_bad(err, o, name, "want a list of at most %d", COCOS_LIST_MAX);
    return 0;
}

int cocos_add_hex(struct cocos_hex_list *list, struct bytes value, struct err *err)
{
    if (list->n % 16 == 0) {
        struct cocos_hex *more = realloc(list->item, (list->n + 16) * sizeof(*more));
        if (!more)
            return err_set(err, ERR_IO, ENOMEM, "no memory for a policy");
        list->item = more;
    }
    hex_to(list->item[list->n++].text, value);
    return 0;
}

int cocos_hexes(const struct cocos_object *o, const char *name, size_t size, struct cocos_hex_list *out,
                struct err *err)
{
    const json_t *list, *v;
    size_t i;
    if (cocos_list(o, name, &list, err) < 0)
        return -1;
    json_array_foreach(list, i, v)
    {
        AUTO(buf_done) struct buf raw = buf_new(COCOS_SIZE_MAX);
        if (cocos_element(o, name, i, v, &raw, err) < 0)
            return -1;
        if (raw.n != size)
            return cocos_bad(err, o, name, "element %zu has %zu bytes, want %zu", i, raw.n, size);
        if (cocos_add_hex(out, buf_bytes(&raw), err) < 0)
            return -1;
    }
    return 0;
}

bool cocos_listed(const struct cocos_hex_list *list, const char *hex)
{
    for (size_t i = 0; i < list->n; i++)
        if (!strcmp(list->item[i].text, hex))
            return true;
    return false;
}

/* Bare, or as decimal text. */
static bool number_of(const json_t *v, uint64_t *out)
{
    const char *text = json_string_value(v);
    uint64_t n = 0;
    if (json_wide_u64(v, out))
        return true;
    if (!text || !*text || strlen(text) > 20 || text[strspn(text, "0123456789")])
        return false;
    for (; *text; text++) {
        unsigned d = (unsigned)(*text - '0');
        if (n > (UINT64_MAX - d) / 10)
            return false;
        n = n * 10 + d;
    }
    *out = n;
    return true;
}

int cocos_number(const struct cocos_object *o, const char *name, uint64_t max, uint64_t *out, bool *has,
                 struct err *err)
{
    const json_t *v;
    uint64_t n = 0;
    if (cocos_member(o, name, &v, err) < 0)
        return -1;
    if (has)
        *has = v != NULL;
    if (!v)
        return 0;
    if (!number_of(v, &n) || n > max)
        return cocos_bad(err, o, name, "want a whole number from 0 to %" PRIu64, max);
    *out = n;
    return 0;
}

int cocos_number32(const struct cocos_object *o, const char *name, uint64_t max, uint32_t *out,
                   struct err *err)
{
    uint64_t n = 0;
    if (cocos_number(o, name, max < UINT32_MAX ? max : UINT32_MAX, &n, NULL, err) < 0)
        return -1;
    *out = (uint32_t)n;
    return 0;
}

int cocos_bool(const struct cocos_object *o, const char *name, bool *out, struct err *err)
{
    const json_t *v;
    if (cocos_member(o, name, &v, err) < 0)
        return -1;
    if (v && !json_is_boolean(v))
        return cocos_bad(err, o, name, "want true or false");
    *out = json_is_true(v);
    return 0;
}

int cocos_text(const struct cocos_object *o, const char *name, const char **out, struct err *err)
{
    const json_t *v;
    if (cocos_member(o, name, &v, err) < 0)
        return -1;
    if (v && (!json_is_string(v) || json_wide_is(v)))
        return cocos_bad(err, o, name, "want text");
    *out = v && json_string_length(v) ? json_string_value(v) : NULL;
    return 0;
}

int cocos_only(const struct cocos_object *o, const char *const *names, struct err *err)
{
    char other[NAME_MAX_];
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)o->json, key, v)
    {
        size_t i = 0;
        while (names[i] && strcmp(names[i], key) != 0 && strcmp(camel(names[i], other), key) != 0)
            i++;
        if (!names[i])
            return err_set(err, ERR_INPUT, 0, "%s%s%.60s: no such member in a TDX policy", o->path,
                           *o->path ? "." : "", key);
    }
    return 0;
}
