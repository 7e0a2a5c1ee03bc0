/* Values of policies: exact numbers, order, hashed collections, JSON in and out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/auto.h"
#include "policy/rego/number.h"

#include <stdio.h>
#include <stdlib.h>

/* Runs with an arena of its own; failures inside end the test with their text. */
static struct arena arena;
static struct err arena_err;
#define WITH_ARENA                                                                                           \
    arena_init(&arena, "test", (size_t)64 << 20, &arena_err);                                                \
    if (setjmp(arena.escape))                                                                                \
        fail_msg("%s", arena_err.cause);

static int drop_arena(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static const struct value *json(const char *text)
{
    struct err err = { 0 };
    const struct value *v = value_from_json(&arena, bytes_str(text), true, &err);
    if (!v)
        fail_msg("%s: %s", text, err.cause);
    return v;
}

static void assert_text(const struct value *v, const char *want)
{
    AUTO(buf_done) struct buf out = buf_new(1 << 20);
    value_put_json(&out, v);
    buf_u8(&out, 0);
    assert_string_equal((const char *)out.p, want);
}

static void numbers_are_exact(void **state)
{
    (void)state;
    WITH_ARENA
    static const struct {
        const char *a, *b;
        int order;
    } row[] = {
        { "9007199254740993", "9007199254740992", 1 },
        { "18446744073709551615", "18446744073709551614", 1 },
        { "18446744073709551615", "-9223372036854775808", 1 },
        { "1", "1.0", 0 },
        { "1e0", "10e-1", 0 },
        { "1e400", "1e399", 1 },
        { "-1e400", "1e399", -1 },
        { "0.1", "0.10000000000000000000000001", -1 },
        { "-0", "0", 0 },
        { "-2", "-1", -1 },
        { "123456789012345678901234567890", "123456789012345678901234567891", -1 },
        { "100", "99.999", 1 },
        { "1000000000000000000000", "999999999999999999999", 1 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
        const struct value *a = json(row[i].a), *b = json(row[i].b);
        int c = value_compare(a, b);
        if ((c > 0) - (c < 0) != row[i].order)
            fail_msg("%s against %s: %d", row[i].a, row[i].b, c);
        c = value_compare(b, a);
        assert_int_equal((c > 0) - (c < 0), -row[i].order);
        assert_true(value_equal(a, b) == (row[i].order == 0));
        if (row[i].order == 0)
            assert_int_equal(value_hash(a), value_hash(b));
        assert_text(a, row[i].a);
    }
}

static void numbers_compute(void **state)
{
    (void)state;
    WITH_ARENA
    static const struct {
        const char *a;
        char op;
        const char *b, *want;
    } row[] = {
        { "9223372036854775807", '+', "1", "9223372036854775808" },
        { "18446744073709551615", '+', "1", "18446744073709551616" },
        { "18446744073709551615", '-', "18446744073709551615", "0" },
        { "-9223372036854775808", '-', "1", "-9223372036854775809" },
        { "18446744073709551615", '*', "18446744073709551615", "340282366920938463426481119284349108225" },
        { "0.1", '+', "0.2", "0.3" },
        { "1.5", '*', "2", "3" },
        { "10", '/', "4", "2.5" },
        { "10", '/', "5", "2" },
        { "1", '/', "0", NULL },
        { "7", '%', "3", "1" },
        { "-7", '%', "3", "-1" },
        { "7", '%', "0", NULL },
        { "7.5", '%', "2", NULL },
        { "-9223372036854775808", '%', "-1", "0" },
        { "-9223372036854775808", '/', "-1", "9223372036854775808" },
        { "340282366920938463426481119284349108225", '%', "18446744073709551616", "1" },
        { "3", '-', "5.25", "-2.25" },
        { "1e30", '-', "1", "999999999999999999999999999999" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
        const struct value *a = json(row[i].a), *b = json(row[i].b), *r = NULL;
        switch (row[i].op) {
        case '+':
            r = number_add(&arena, a, b);
            break;
        case '-':
            r = number_sub(&arena, a, b);
            break;
        case '*':
            r = number_mul(&arena, a, b);
            break;
        case '/':
            r = number_div(&arena, a, b);
            break;
        default:
            r = number_rem(&arena, a, b);
        }
        if (!row[i].want) {
            assert_null(r);
            continue;
        }
        if (!r || !value_equal(r, json(row[i].want)))
            fail_msg("%s %c %s", row[i].a, row[i].op, row[i].b);
        assert_text(r, row[i].want);
    }
    assert_text(number_round(&arena, json("2.5"), ROUND_NEAREST), "3");
    assert_text(number_round(&arena, json("-2.5"), ROUND_NEAREST), "-3");
    assert_text(number_round(&arena, json("-2.5"), ROUND_FLOOR), "-3");
    assert_text(number_round(&arena, json("-2.5"), ROUND_CEIL), "-2");
    assert_text(number_round(&arena, json("0.01"), ROUND_CEIL), "1");
    assert_text(number_round(&arena, json("0.01"), ROUND_NEAREST), "0");
}

static void a_number_out_of_range_is_an_error(void **state)
{
    (void)state;
    static const char *const text[] = { "1e1000000000", "1e-1000000000", "1e99999999999999999999" };
    for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
        volatile bool failed = false;
        arena_init(&arena, "test", (size_t)1 << 20, &arena_err);
        if (setjmp(arena.escape))
            failed = true;
        else
            value_from_json(&arena, bytes_str(text[i]), true, &arena_err);
        assert_true(failed && arena_err.kind == ERR_TOO_LARGE);
        arena_done(&arena);
    }
}

static void types_have_an_order(void **state)
{
    (void)state;
    WITH_ARENA
    static const char *const row[] = { "null",  "false", "true",   "-1",        "1e0",       "2",
                                       "\"\"",  "\"a\"", "\"aa\"", "\"b\"",     "[]",        "[1]",
                                       "[1,1]", "[2]",   "{}",     "{\"a\":1}", "{\"a\":2}", "{\"b\":0}" };
    for (size_t i = 0; i < ARRAY_SIZE(row); i++)
        for (size_t k = 0; k < ARRAY_SIZE(row); k++) {
            int c = value_compare(json(row[i]), json(row[k]));
            assert_int_equal((c > 0) - (c < 0), (i > k) - (i < k));
        }
}

static void collections_are_hashed_and_sorted(void **state)
{
    (void)state;
    WITH_ARENA
    struct builder a, b;
    builder_init(&a, &arena, false);
    builder_init(&b, &arena, false);
    for (int i = 0; i < 5000; i++) {
        assert_null(builder_put(&a, value_int(&arena, i * 7919 % 5003), NULL));
        assert_null(builder_put(&b, value_int(&arena, (4999 - i) * 7919 % 5003), NULL));
        assert_non_null(builder_put(&a, value_int(&arena, i * 7919 % 5003), NULL));
    }
    const struct value *x = builder_value(&a), *y = builder_value(&b);
    assert_true(value_equal(x, y));
    assert_int_equal(value_hash(x), value_hash(y));
    value_sort(x);
    for (uint32_t i = 1; i < x->n; i++)
        assert_true(x->table->key[i - 1]->i < x->table->key[i]->i);
    for (int i = 0; i < 5000; i++)
        assert_non_null(value_get(x, value_int(&arena, i * 7919 % 5003)));
    assert_null(value_get(x, value_int(&arena, 6000)));
    assert_null(value_get(x, value_text(&arena, "1", 1)));
    assert_int_equal(value_compare(x, y), 0);
}

static void json_is_strict(void **state)
{
    (void)state;
    WITH_ARENA
    static const char *const bad[] = { "",         "[",         "[1,]",  "{\"a\":1,}", "{\"a\":1,\"a\":2}",
                                       "01",       "1.",        "+1",    "nul",        "\"\\x\"",
                                       "\"a\nb\"", "\"\xFF\"",  "{a:1}", "1 2",        "[1 2]",
                                       "\"",       "\"\\ud8\"", "tru",   "-",          "1e",
                                       "{\"a\"}",  "]" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct err err = { 0 };
        if (value_from_json(&arena, bytes_str(bad[i]), true, &err))
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(err.kind, ERR_INPUT);
    }
    assert_text(json("{\"b\":[1,2.50,\"\\u00e9\\ud83d\\ude00\\n\"], \"a\" : {} }"),
                "{\"a\":{},\"b\":[1,2.50,\"\xC3\xA9\xF0\x9F\x98\x80\\n\"]}");
    struct err err = { 0 };
    assert_null(value_from_json(&arena, bytes_of("1\0", 2), true, &err));
    char deep[2001];
    memset(deep, '[', 1000);
    memset(deep + 1000, ']', 1000);
    deep[2000] = 0;
    assert_null(value_from_json(&arena, bytes_str(deep), true, &err));
    const struct value *twice = value_from_json(&arena, bytes_str("{\"a\":1,\"a\":2}"), false, &err);
    assert_non_null(twice);
    assert_text(twice, "{\"a\":2}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(numbers_are_exact, drop_arena),
        cmocka_unit_test_teardown(numbers_compute, drop_arena),
        cmocka_unit_test(a_number_out_of_range_is_an_error),
        cmocka_unit_test_teardown(types_have_an_order, drop_arena),
        cmocka_unit_test_teardown(collections_are_hashed_and_sorted, drop_arena),
        cmocka_unit_test_teardown(json_is_strict, drop_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
