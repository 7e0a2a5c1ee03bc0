/* The parser of policies: what it takes, and where it says that it cannot go on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/auto.h"
#include "policy/rego/parse.h"

#include <stdio.h>
#include <stdlib.h>

/* "" when it parses, else the message. */
static void parse_text(struct bytes text, const struct parse_options *o, char out[static ERR_TEXT_MAX],
                       struct module *got)
{
    struct err err = { 0 };
    struct arena arena;
    arena_init(&arena, "the policy", (size_t)64 << 20, &err);
    struct source s = { .arena = &arena, .text = text };
    out[0] = 0;
    if (setjmp(arena.escape))
        snprintf(out, ERR_TEXT_MAX, "%s", err.cause);
    else
        *got = *parse_module(&s, o);
    arena_done(&arena);
}

static const struct parse_options policy = { .conditions = true },
                                  strict = { .conditions = true, .strict = true }, query = { 0 },
                                  v1 = { .assume_v1 = true };

static void accepts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t rules, conditions;
    } row[] = {
        { "", 0, 0 },
        { "# only a comment", 0, 0 },
        { "default match := false\nmatch { input.a == 1 }", 2, 0 },
        { "import rego.v1\nmatch if input.a\n== 1", 1, 0 },
        { "import rego.v1\nmatch if {\n\tinput.a == 1\n}\n\nmatch if input.b", 2, 0 },
        { "input.a == 1\ninput.b == 2", 0, 2 },
        { "count(input.x) == 0; not input.y", 0, 2 },
        { "good { true }\ngood == true", 1, 1 },
        { "match = x { x := 1 } { x := 2 } else = 3 { false }", 0, 0 },
        { "match { x := 1; x == 1 } { false }", 2, 0 },
        { "a := [1, 2,]\nb := {1, 2,}\nc := {\"a\": 1,}", 3, 0 },
        { "p[x] { x := 1 }\nq[x] = y { x := 1; y := 2 }", 2, 0 },
        { "f(x, [y, _]) = z { z := x + y }", 1, 0 },
        { "import rego.v1\np contains x if some x in [1]\nq[k] := v if some k, v in {\"a\": 1}", 2, 0 },
        { "import rego.v1\nx := {y | some y in [1]}\ny := {1 | 2}\nz := [a | a := 1; a > 0]", 3, 0 },
        { "import rego.v1\np if {1 | true}\nq if {\"a\": 1}\nr if { 1; 2 }\ns if {}", 4, 0 },
        { "import rego.v1\np if every x in [1] { x > 0 }", 1, 0 },
        { "p { x := `a\nb\\n`; x }", 1, 0 },
        { "if := 1\nin := 2\ncontains := 3\nevery := 4", 4, 0 },
        { "import future.keywords\nimport future.keywords.in\np if 1 in [1]", 1, 0 },
        { "import rego.v1\nf(x) := 1 if x > 0 else := 2 if x < 0 else := 3", 1, 0 },
        { "package a.b\nimport rego.v1\nmatch if true", 1, 0 },
        { "import rego.v1\np if input.default == 1", 1, 0 },
        { "import rego.v1\na.b.c := 1\na.b[x].d := y if { x := 1; y := 2 }", 2, 0 },
        { "import rego.v1\np if { x := input.a -1; x == -1 }", 1, 0 },
        { "import rego.v1\nx := [1, (2\n+ 3), [\n4\n]]", 1, 0 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
        char why[ERR_TEXT_MAX];
        struct module m = { 0 };
        parse_text(bytes_str(row[i].text), &policy, why, &m);
        if (i == 8) {
            assert_non_null(strstr(why, "found else"));
            continue;
        }
        if (why[0] || m.n_rule != row[i].rules || m.n_condition != row[i].conditions)
            fail_msg("%s\n%s: %u rules, %u conditions", row[i].text, why, m.n_rule, m.n_condition);
    }
}

static void names_the_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place, *about;
        const struct parse_options *o;
    } row[] = {
        { "export := {\n\"a\": 1\n\"b\": 2\n}", "3:1:", "comma or the closing brace", &policy },
        { "match {\n<conditions>\n}", "2:1:", "found <, expected an expression", &policy },
        { "match {\n  input.a == \"abc\n}", "2:14:", "not closed", &policy },
        { "match {\n\tinput.a == 1 # note\n}", "2:15:", "comments", &strict },
        { "x := \"\xC3\xA9\xC3\xA9\" \xC3\xA9", "1:11:", "character", &policy },
        { "x := \"\xFF\"", "1:7:", "UTF-8", &policy },
        { "match { }", "1:9:", "found empty body", &policy },
        { "(cc)", "1:1:", "a name in parentheses", &policy },
        { "(f(y)) = 1", "1:1:", "a name in parentheses", &policy },
        { "match", "1:1:", "name alone", &policy },
        { "x := 01", "1:6:", "not a number", &policy },
        { "x := 1.", "1:6:", "not a number", &policy },
        { "x := 1a", "1:6:", "not a number", &policy },
        { "x := [1 2]", "1:9:", "a comma or the closing bracket ]", &policy },
        { "f(1,) == 2", "1:5:", "a further argument", &policy },
        { "x := \"\\q\"", "1:7:", "escape", &policy },
        { "import rego.v1\nmatch { true }", "2:7:", "if", &policy },
        { "import rego.v1\nimport rego.v1", "2:1:", "twice", &policy },
        { "import rego.v1\nimport future.keywords", "2:1:", "mixed", &policy },
        { "import future.keywords.in\nimport rego.v1", "2:1:", "mixed", &policy },
        { "import rego.v1\np[x] { x := 1 }", "2:1:", "contains", &policy },
        { "import rego.v1\ninput := 1", "2:1:", "input cannot be defined", &policy },
        { "import data.x", "1:8:", "not supported", &policy },
        { "match if { true }", "1:7:", "found if", &policy },
        { "x := `abc", "1:6:", "not closed", &policy },
        { "x := 1 y := 2", "1:8:", "operator or a new line", &policy },
        { "p { input.a input.b }", "1:13:", "a new line, ; or }", &policy },
        { "p { input. }", "1:12:", "a name after the dot", &policy },
        { "p { 1.a }", "1:5:", "not a number", &policy },
        { "p { \"a\".b }", "1:8:", "constant has no members", &policy },
        { "input.a == 1", "1:1:", "expected a rule", &query },
        { "p := @", "1:6:", "character @", &policy },
        { "import rego.v1\np if not some x in [1]", "2:10:", "not can be applied", &policy },
        { "default p", "1:10:", "the default value", &policy },
        { "package a\npackage b", "2:1:", "first statement", &policy },
        { "p contains 1 { true }", "1:14:", "if before", &v1 },
        { "x := \"a\tb\"", "1:8:", "control character", &policy },
    };
    for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
        char why[ERR_TEXT_MAX];
        struct module m;
        parse_text(bytes_str(row[i].text), row[i].o, why, &m);
        if (strncmp(why, row[i].place, strlen(row[i].place)) != 0 || !strstr(why, row[i].about))
            fail_msg("%s\ngot \"%s\", want %s %s", row[i].text, why, row[i].place, row[i].about);
    }
    char why[ERR_TEXT_MAX];
    struct module m;
    parse_text(bytes_of("x := 1\n\0", 8), &policy, why, &m);
    assert_string_equal(why, "2:1: a NUL byte");
}

/* Brackets, operators, else, set braces: each repeated more often than is allowed. */
static void deep_nesting_is_refused(void **state)
{
    (void)state;
    static const char *const unit[] = { "[",  "{",  "(",    "{\"a\":", "[1 | x := ",
                                        "f(", "1+", "not ", "a[",      "1 in " };
    for (size_t i = 0; i < ARRAY_SIZE(unit); i++) {
        AUTO(buf_done) struct buf text = buf_new(1 << 20);
        char why[ERR_TEXT_MAX];
        struct module m;
        buf_str(&text, "import rego.v1\nx if { y := ");
        for (int k = 0; k < 10000; k++)
            buf_str(&text, unit[i]);
        parse_text(buf_bytes(&text), &policy, why, &m);
        if (i == 7)
            assert_non_null(strstr(why, "found not"));
        else if (!strstr(why, "nested deeper"))
            fail_msg("%s: %s", unit[i], why);
    }
}

static void every_cut_is_refused_or_taken(void **state)
{
    (void)state;
    static const char text[] =
        "import rego.v1\ndefault match := false\nmatch if {\n\tsome k, v in input.x # note\n"
        "\tevery y in v { y != `raw` }\n\tx := {a: b | b := input[a]}\n\tnot x[\"\\u00e9\"] with "
        "input as {1, -2.5e3}\n} else := [1, {2}] if input.a == (1 + 2) * 3\n";
    for (size_t n = 0; n <= sizeof(text) - 1; n++) {
        AUTO(free_u8) uint8_t *cut = malloc(n ? n : 1);
        char why[ERR_TEXT_MAX];
        struct module m;
        assert_non_null(cut);
        memcpy(cut, text, n);
        parse_text(bytes_of(cut, n), &policy, why, &m);
        for (size_t bit = 0; n && bit < 8; bit++) {
            cut[n / 2] ^= (uint8_t)(1u << bit);
            parse_text(bytes_of(cut, n), &policy, why, &m);
            cut[n / 2] ^= (uint8_t)(1u << bit);
        }
    }
    char why[ERR_TEXT_MAX];
    struct module m;
    parse_text(bytes_str(text), &policy, why, &m);
    assert_string_equal(why, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts),
        cmocka_unit_test(names_the_place),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(every_cut_is_refused_or_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
