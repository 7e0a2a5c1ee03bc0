/* Values as text. */
#include "policy/rego/number.h"
#include "policy/rego/value.h"

/* As JSON needs; control characters as Go writes them. */
static void put_quoted(struct buf *out, struct bytes s)
{
    static const char special[] = "\b\f\n\r\t", letter[] = "bfnrt";
    size_t plain = 0;
    buf_u8(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = s.p[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7F)
            continue;
        buf_put(out, bytes_of(s.p + plain, i - plain));
        plain = i + 1;
        const char *at = c ? strchr(special, c) : NULL;
        if (at)
            buf_printf(out, "\\%c", letter[at - special]);
        else if (c < 0x20 || c == 0x7F)
            buf_printf(out, "\\u%04x", c);
        else
            buf_printf(out, "\\%c", c);
    }
    buf_put(out, bytes_of(s.p + plain, s.n - plain));
    buf_u8(out, '"');
}

static void put(struct buf *out, const struct value *v, bool rego);

static void put_key(struct buf *out, const struct value *key)
{
    if (key->type == V_STRING) {
        put_quoted(out, value_bytes(key));
        return;
    }
    struct buf text = buf_new(out->max);
    put(&text, key, false);
    put_quoted(out, buf_bytes(&text));
    if (text.failed)
        out->failed = true;
    buf_done(&text);
}

static void put_members(struct buf *out, const struct value *v, bool rego)
{
    value_sort(v);
    buf_u8(out, v->type == V_OBJECT || rego ? '{' : '[');
    for (uint32_t i = 0; i < v->n && !out->failed; i++) {
        if (i)
            buf_str(out, rego ? ", " : ",");
        if (v->type == V_SET) {
            put(out, v->table->key[i], rego);
            continue;
        }
        if (rego)
            put(out, v->table->key[i], true);
        else
            put_key(out, v->table->key[i]);
        buf_str(out, rego ? ": " : ":");
        put(out, v->table->val[i], rego);
    }
    buf_u8(out, v->type == V_OBJECT || rego ? '}' : ']');
}

static void put(struct buf *out, const struct value *v, bool rego)
{
    switch ((enum value_type)v->type) {
    case V_NULL:
        buf_str(out, "null");
        break;
    case V_FALSE:
        buf_str(out, "false");
        break;
    case V_TRUE:
        buf_str(out, "true");
        break;
    case V_NUMBER:
        number_put(out, v);
        break;
    case V_STRING:
        put_quoted(out, value_bytes(v));
        break;
    case V_ARRAY:
        buf_u8(out, '[');
        for (uint32_t i = 0; i < v->n && !out->failed; i++) {
            if (i)
                buf_str(out, rego ? ", " : ",");
            put(out, v->item[i], rego);
        }
        buf_u8(out, ']');
        break;
    case V_OBJECT:
    case V_SET:
        if (rego && v->type == V_SET && v->n == 0)
            buf_str(out, "set()");
        else
            put_members(out, v, rego);
        break;
    }
}

void value_put_json(struct buf *out, const struct value *v)
{
    put(out, v, false);
}

void value_put_rego(struct buf *out, const struct value *v)
{
    put(out, v, true);
}
