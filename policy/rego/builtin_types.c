/* Types, and walk and print, which the compiler has operations for. */
#include "base/auto.h"
#include "policy/rego/builtin.h"
#include "policy/rego/number.h"

/* OPA: is_string(1) is false in newer versions, undefined in older ones; false here. */
#define IS_TYPE(name, test)                                                                                  \
    static const struct value *name(struct call *c, const struct value *const *arg)                          \
    {                                                                                                        \
        (void)c;                                                                                             \
        return value_bool(test);                                                                             \
    }
IS_TYPE(is_null, arg[0]->type == V_NULL)
IS_TYPE(is_boolean, value_is_bool(arg[0]))
IS_TYPE(is_number, arg[0]->type == V_NUMBER)
IS_TYPE(is_string, arg[0]->type == V_STRING)
IS_TYPE(is_array, arg[0]->type == V_ARRAY)
IS_TYPE(is_object, arg[0]->type == V_OBJECT)
IS_TYPE(is_set, arg[0]->type == V_SET)

static const struct value *type_name(struct call *c, const struct value *const *arg)
{
    const char *name = value_type_name(arg[0]);
    return value_text(c->arena, name, strlen(name));
}

static const struct value *to_number(struct call *c, const struct value *const *arg)
{
    switch ((enum value_type)arg[0]->type) {
    case V_NULL:
    case V_FALSE:
        return value_int(c->arena, 0);
    case V_TRUE:
        return value_int(c->arena, 1);
    case V_STRING:
        return number_parse(c->arena, value_bytes(arg[0]));
    case V_NUMBER:
        return arg[0];
    default:
        return NULL;
    }
}

static const struct value *compiled_away(struct call *c, const struct value *const *arg)
{
    (void)c;
    (void)arg;
    return NULL;
}

const struct builtin builtins_types[] = {
    { "is_null", 1, false, { A_ANY }, is_null },         { "is_boolean", 1, false, { A_ANY }, is_boolean },
    { "is_number", 1, false, { A_ANY }, is_number },     { "is_string", 1, false, { A_ANY }, is_string },
    { "is_array", 1, false, { A_ANY }, is_array },       { "is_object", 1, false, { A_ANY }, is_object },
    { "is_set", 1, false, { A_ANY }, is_set },           { "type_name", 1, false, { A_ANY }, type_name },
    { "to_number", 1, false, { A_ANY }, to_number },     { "walk", 1, false, { A_ANY }, compiled_away },
    { "print", UINT8_MAX, false, { 0 }, compiled_away },
};
const uint32_t builtins_types_n = ARRAY_SIZE(builtins_types);
