/* The language of policies, feature by feature: text and query in, JSON, "undefined" or an error out. The
 * outcomes were compared with OPA's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/auto.h"
#include "policy/rego/policy.h"

#include <stdio.h>
#include <stdlib.h>

#define INPUT                                                                                                \
    "{\"a\":[1,2,3],\"o\":{\"x\":1,\"y\":2},\"s\":\"text\",\"big\":9007199254740993,\"no\":false,\"nil\":"   \
    "null,"                                                                                                  \
    "\"u64\":18446744073709551615,\"list\":[{\"k\":\"a\",\"v\":1},{\"k\":\"b\",\"v\":2}]}"

/* The value as JSON, "undefined", or the message. */
static void ask(const char *text, const char *query, const char *data, char *out, size_t size)
{
    AUTO(rego_drop) struct rego *policy = NULL;
    AUTO(rego_result_done) struct rego_result r = { 0 };
    AUTO(rego_document_drop) struct rego_document *input = NULL;
    AUTO(rego_document_drop) struct rego_document *doc = NULL;
    struct err err = { 0 };
    const struct rego_source source = { "test", bytes_str(text) };
    const struct rego_options how = { .mode = REGO_QUERY, .query = query };
    assert_int_equal(rego_document_read(bytes_str(INPUT), &input, &err), 0);
    assert_int_equal(rego_document_read(bytes_str(data), &doc, &err), 0);
    const struct rego_run run = {
        .input = input, .data = doc, .now_ns = 1700000000123456789, .explain = true
    };
    if (rego_compile(&source, 1, &how, &policy, NULL, &err) < 0)
        snprintf(out, size, "refused %s", err.cause);
    else if (rego_evaluate(policy, &run, &r, &err) < 0)
        snprintf(out, size, "error %s", err.cause);
    else
        snprintf(out, size, "%s", r.defined ? r.json : "undefined");
}

struct row {
    const char *text,
        *want; /* the value of data.t.p; or "refused ..." or "error ..." with a part of the message */
};

static void check_rows(const struct row *row, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        AUTO(buf_done) struct buf text = buf_new(1 << 20);
        char got[4096];
        buf_printf(&text, "package t\n%s", row[i].text);
        buf_u8(&text, 0);
        ask((const char *)text.p, "data.t.p", "{\"base\":{\"k\":1}}", got, sizeof(got));
        size_t word = strcspn(row[i].want, " ");
        bool message = strncmp(row[i].want, "refused ", 8) == 0 || strncmp(row[i].want, "error ", 6) == 0;
        if (message ? strncmp(got, row[i].want, word) != 0 || !strstr(got, row[i].want + word + 1)
                    : strcmp(got, row[i].want) != 0)
            fail_msg("%s\ngot  %s\nwant %s", row[i].text, got, row[i].want);
    }
}

#define V1 "import rego.v1\n"

static void rules(void **state)
{
    (void)state;
    static const struct row row[] = {
        { "p := 1", "1" },
        { "p = x { x := input.a[_]; x > 2 }", "3" },
        { "p { false }", "undefined" },
        { "default p = 7\np = 1 { false }", "7" },
        { "p = 1 { true }\np = 1 { true }", "1" },
        { "p = 1 { true }\np = 2 { true }", "error multiple outputs" },
        { "p = x { x := input.a[_] }", "error multiple outputs" },
        { "p = 1 { false } else = 2 { input.no } else = 3 { true } else = 4 { true }", "3" },
        { V1 "p contains x if some x in input.a\np contains 9", "[1,2,3,9]" },
        { "p[x] { x := input.a[_]; x != 2 }", "[1,3]" },
        { "p[\"a\"] { true }", "[\"a\"]" },
        { "p[k] = v { v := input.o[k] }", "{\"x\":1,\"y\":2}" },
        { V1 "p[k] := v if some k, v in {\"a\": 1}\np.b := 2", "{\"a\":1,\"b\":2}" },
        { V1 "p[x] if x := input.a[_]", "{\"1\":true,\"2\":true,\"3\":true}" },
        { V1 "p[\"a\"] := x if some x in [1, 2]", "error multiple outputs" },
        { V1 "p[k] := x if { k := \"a\"; some x in [1, 2] }", "error unique" },
        { V1 "p contains x if { some x in []; x > 1 }", "[]" },
        { V1 "p.q[x][y] := 1 if { x := \"a\"; some y in [\"b\", \"c\"] }\np.r := 2",
          "{\"q\":{\"a\":{\"b\":1,\"c\":1}},\"r\":2}" },
        { V1 "p[x] contains y if { some x in [\"a\", \"b\"]; some y in [1, 2] }",
          "{\"a\":[1,2],\"b\":[1,2]}" },
        { V1 "a.b.c := 1\na.d := 2\np := a", "{\"b\":{\"c\":1},\"d\":2}" },
        { "f(x) = y { y := x + 1 }\np := f(f(1))", "3" },
        { "f(1) = \"one\"\nf(2) = \"two\"\np := [f(1), f(2)]", "[\"one\",\"two\"]" },
        { "f([x, y]) = x + y\np := f([1, 2])", "3" },
        { "f(x, x) = true\np := f(1, 1)\nq := f(1, 2)", "true" },
        { "f(x) = 1 { x > 0 }\nf(x) = 2 { x > 1 }\np := f(2)", "error multiple outputs" },
        { "f(x) = 1 { x > 5 }\np := f(1)", "undefined" },
        { V1 "default f(_) := 3\nf(x) := 1 if x > 5\np := [f(1), f(6)]", "[3,1]" },
        { "unused = 1\nunused = 2\np := 1", "1" },
        { "p := q\nq := r\nr := 5", "5" },
        { "p { q }\nq { p }", "refused recursive" },
        { "f(x) = f(x)\np := f(1)", "refused recursive" },
        { "p := 1\np[x] { x := 1 }", "refused conflicting rules" },
        { "default p = 1\ndefault p = 2", "refused multiple default" },
        { "default p = input.a", "refused default value" },
        { "p := data.base.k + data.t.q\nq := 1", "2" },
    };
    check_rows(row, ARRAY_SIZE(row));
}

static void bodies(void **state)
{
    (void)state;
    static const struct row row[] = {
        { "p { y = x; x = input.a[0]; y == 1 }", "true" },
        { "p { [x, [y, 1]] = [1, [2, x]]; y == 2 }", "true" },
        { "p = x { {\"a\": x, \"b\": [_, y]} = {\"a\": 1, \"b\": [2, 3]}; y == 3 }", "1" },
        { "p { [1, 2] = [1, 2, 3] }", "undefined" },
        { "p = [x, y] { [x, y] = [y, 1] }", "[1,1]" },
        { "p { input.x == 1 }", "undefined" },
        { "p { not input.x == 1 }", "true" },
        { "p { input.x != 1 }", "undefined" },
        { "p { input.no }", "undefined" },
        { "p { not input.no }", "true" },
        { "p { input.nil }", "true" },
        { "p { 0; \"\"; []; null }", "true" },
        { "p { not count(input.x) == 1 }", "undefined" },
        { "p { not input.x > 1 }", "undefined" },
        { "p { not input.a[0] > 1 }", "true" },
        { "p { not q > 1 }\nq { false }", "undefined" },
        { "p { not q == 1 }\nq { false }", "true" },
        { "p { not q }\nq { false }", "true" },
        { "p { not input.o[input.x] }", "undefined" },
        { "p { not [input.x] == [1] }", "undefined" },
        { "p { not f(input.x) }\nf(x) { x > 1 }", "undefined" },
        { "p { not f(1) }\nf(x) { x > 1 }", "true" },
        { "p = [i | input.a[i] == 2]", "[1]" },
        { "p = {k: v | v := input.o[k]}", "{\"x\":1,\"y\":2}" },
        { "p = {1 | false}", "[]" },
        { "p = {\"a\": x | x := [1, 2][_]}", "error unique" },
        { "p = [[x, y] | x := [1, 2][_]; y := [x, 3][_]]", "[[1,1],[1,3],[2,2],[2,3]]" },
        { "p { x := 1; x := 2 }", "refused assigned above" },
        { "import rego.v1\nf(data) := 1\np if f(1) == 1", "refused data cannot be an argument" },
        { "import rego.v1\nf([a, input]) := a\np if f([1, 2]) == 1", "refused input cannot be an argument" },
        { "p { x == 1; x := 1 }", "refused referenced above" },
        { "p { x > 1 }", "refused var x is unsafe" },
        { "p { not x }", "refused var x is unsafe" },
        { "p { count(x) == 1 }", "refused var x is unsafe" },
        { "p[x] { true }", "refused var x is unsafe" },
        { "p { typo }", "refused var typo is unsafe" },
        { "p { some x; true }", "refused unused" },
        { "p { some x; input.a[x] == 3 }", "true" },
        { "p { input.a[_] == 1; input.a[_] == 2 }", "true" },
        { "p { i := 0; input.a[i] == 1 }", "true" },
        { "p { input.a[7] }", "undefined" },
        { "p { input.a.x }", "undefined" },
        { "p { input.s[0] }", "undefined" },
        { "x := 5\np = y { x := 1; y := x }", "1" },
        { "x := 5\np = [y | y := x]", "[5]" },
        { "p = x { y := {x | x := input.a[_]}; x := count(y) }", "3" },
        { V1 "p := [k | some k, 2 in {\"a\": 2, \"b\": 3, \"c\": 2}]", "[\"a\",\"c\"]" },
        { V1 "p := [x | some [x, 1] in [[1, 1], [2, 2], [3, 1]]]", "[1,3]" },
        { V1 "p := [[k, v] | some k, v in {7, 8}]", "[[7,7],[8,8]]" },
        { V1 "p if some x in 5", "undefined" },
        { V1 "p := [1 in [1], 2 in {\"a\": 2}, \"a\" in {\"a\": 2}, 1 in 1, (0, 1 in [1])]",
          "[true,true,false,false,true]" },
        { V1 "p := [\"a\", 9 in {\"a\": 9}]", "[\"a\",true]" },
        { V1 "p if every x in [1, 2] { x > 0 }", "true" },
        { V1 "p if every x in [] { x > 0 }", "true" },
        { V1 "p if every k, v in {\"a\": 1} { k == \"a\"; v == 1 }", "true" },
        { V1 "p if every x in [1, 2] { x > 1 }", "undefined" },
        { V1 "p if every x in 5 { x > 1 }", "undefined" },
        { V1 "p if every x in input.missing { x > 1 }", "undefined" },
        { "p { s := {[1, 2], [3, 4]}; s[[3, x]]; x == 4 }", "true" },
        { "p = x { walk({\"a\": [5]}, [[\"a\", 0], x]) }", "5" },
        { "p { a := [2, 3]; not a[2]; a[0] == 2; s := {2, 3}; s[2] }", "true" },
        { "p = x { input.list[i].k == \"b\"; x := input.list[i].v }", "2" },
        { "p { x := input.a == [1, 2, 3]; x == true }", "true" },
        { "p { input.a == [1, 2, 3]\n\t; true }", "true" },
    };
    check_rows(row, ARRAY_SIZE(row));
}

static void values(void **state)
{
    (void)state;
    static const struct row row[] = {
        { "p := [1 == 1.0, 1 == \"1\", null == false, [1, 2] == [2, 1], {1, 2} == {2, 1}]",
          "[true,false,false,false,true]" },
        { "p := [null < false, false < true, true < -1, 9 < \"\", \"z\" < [], [9] < {}, {\"a\": 1} < set()]",
          "[true,true,true,true,true,true,true]" },
        { "p := input.big", "9007199254740993" },
        { "p := input.big == 9007199254740992", "false" },
        { "p := [input.u64, input.u64 + 1, input.u64 * 2, -input.a[0]]",
          "refused number right after the minus" },
        { "p := [input.u64, input.u64 + 1, input.u64 * 2]",
          "[18446744073709551615,18446744073709551616,36893488147419103230]" },
        { "p := [7 / 2, 1 / 3, 0.1 + 0.2, 10 / 5, 7 % 4, -7 % 4, 1e3, 1.0]",
          "[3.5,0.33333333333333333334,0.3,2,3,-3,1e3,1.0]" },
        { "p := 1 / 0", "undefined" },
        { "p := 1 % 0", "undefined" },
        { "p := 1 + \"a\"", "refused type" },
        { "p := input.s + 1", "undefined" },
        { "p := {1, 2, 3} - {2}", "[1,3]" },
        { "p := {1, 2} & {2, 3} | {4}", "[2,4]" },
        { "p := 1 + 2 * 3 - 4 / 2", "5" },
        { "p := (1 + 2) * 3", "9" },
        { "p := {\"a\": 1, \"a\": 2}", "{\"a\":2}" },
        { "p := {1: 2, \"x\": {3}}", "{\"1\":2,\"x\":[3]}" },
        { "p := {3, 1, 2, 1}", "[1,2,3]" },
        { "p := [\"\\u00e9\\n\", `a\\nb`]", "[\"\xC3\xA9\\n\",\"a\\\\nb\"]" },
        { "p := {\"a\": input.missing}", "undefined" },
        { "p := set()", "[]" },
    };
    check_rows(row, ARRAY_SIZE(row));
}

static void built_ins(void **state)
{
    (void)state;
    static const struct row row[] = {
        { "p := [count(\"\xC3\xA9x\"), count({1, 1}), count({\"a\": 1})]", "[2,1,1]" },
        { "p := count(5)", "refused type" },
        { "p := count(input.no)", "undefined" },
        { "p := [object.subset({\"a\": {\"b\": 1, \"c\": 2}}, {\"a\": {\"b\": 1}}), object.subset([1, 2, 3], "
          "[2, 3]), "
          "object.subset([1, 2, 3], [1, 3]), object.subset([1, 1, 2], {1, 2}), object.subset({1, 2}, {3})]",
          "[true,true,false,true,false]" },
        { "p := object.subset({1}, [1])", "undefined" },
        { "p := time.now_ns()", "1700000000123456789" },
        { "p := time.parse_rfc3339_ns(\"1970-01-01T00:00:01.5+00:00\")", "1500000000" },
        { "p := [x | s := [\"2024-02-30T00:00:00Z\", \"2024-01-01t00:00:00Z\", \"2024-01-01T00:00:00\", "
          "\"9999-01-01T00:00:00Z\", \"2024-01-01T24:00:00Z\"][_]; x := time.parse_rfc3339_ns(s)]",
          "[]" },
        { "p := [time.date(time.add_date(time.parse_rfc3339_ns(\"2024-01-31T05:06:07Z\"), 0, 1, 0)), "
          "time.date(time.add_date(time.parse_rfc3339_ns(\"2024-02-29T00:00:00Z\"), 1, 0, 0)), "
          "time.date(time.add_date(0, 0, -1, 0))]",
          "[[2024,3,2],[2025,3,1],[1969,12,1]]" },
        { "p := time.add_date(0, 400, 0, 0)", "undefined" },
        { "p := time.weekday(0)", "\"Thursday\"" },
        { "p := [sum([1, 2.5]), max({3, \"a\"}), min([3, 1]), product([2, 3]), sort({2, 1}), abs(-2), "
          "round(2.5), ceil(1.1), floor(-1.1)]",
          "[3.5,\"a\",1,6,[1,2],2,3,2,-2]" },
        { "p := max([])", "undefined" },
        { "p := [object.get({\"a\": {\"b\": 1}}, [\"a\", \"b\"], 0), object.get({}, \"x\", 9), "
          "object.keys({\"a\": 1}), "
          "object.remove({\"a\": 1, \"b\": 2}, {\"a\"}), object.union({\"a\": {\"b\": 1}}, {\"a\": {\"c\": "
          "2}})]",
          "[1,9,[\"a\"],{\"b\":2},{\"a\":{\"b\":1,\"c\":2}}]" },
        { "p := [array.concat([1], [2]), array.slice([1, 2, 3], 1, 9), array.reverse([1, 2])]",
          "[[1,2],[2,3],[2,1]]" },
        { "p := [contains(\"abc\", \"b\"), startswith(\"abc\", \"b\"), endswith(\"abc\", \"c\"), "
          "indexof(\"h\xC3\xA9y\", \"y\"), "
          "lower(\"A\xC3\x89\"), upper(\"a\xC3\xA9\"), concat(\",\", [\"a\", \"b\"]), replace(\"aXbX\", "
          "\"X\", \"-\"), "
          "split(\"a.b.\", \".\"), substring(\"h\xC3\xA9llo\", 1, 2), trim(\"..a..\", \".\"), trim_space(\" "
          "a\\n\")]",
          "[true,false,true,2,\"a\xC3\xA9\",\"A\xC3\x89\",\"a,b\",\"a-b-\",[\"a\",\"b\",\"\"],\"\xC3\xA9l\","
          "\"a\",\"a\"]" },
        { "p := sprintf(\"%v|%d|%s|%x|%5.2f|%q|%v|%d|%v\", [1.5, 3, \"a\", 255, 3.14159, \"q\", {\"b\": "
          "{1}}, 1.5, null])",
          "\"1.5|3|a|ff| 3.14|\\\"q\\\"|{\\\"b\\\": {1}}|%!d(float64=1.5)|null\"" },
        { "p := [sprintf(\"%d\", []), sprintf(\"x\", [1])]", "[\"%!d(MISSING)\",\"x%!(EXTRA int=1)\"]" },
        { "p := [base64.encode(\"a?\"), base64.decode(\"YT8=\"), base64url.encode_no_pad(\"a?>\"), "
          "hex.encode(\"a\"), hex.decode(\"61\")]",
          "[\"YT8=\",\"a?\",\"YT8-\",\"61\",\"a\"]" },
        { "p := [x | s := [\"YT8\", \"Y!8=\"][_]; x := base64.decode(s)]", "[]" },
        { "p := json.marshal({\"b\": [1, {2}], \"a\": \"<\"})",
          "\"{\\\"a\\\":\\\"\\\\u003c\\\",\\\"b\\\":[1,[2]]}\"" },
        { "p := json.unmarshal(\"{\\\"a\\\":[1.50]}\")", "{\"a\":[1.50]}" },
        { "p := json.unmarshal(\"{\")", "undefined" },
        { "p := [type_name(null), type_name({}), is_set({1}), is_number(\"1\"), to_number(\"1.5\"), "
          "to_number(true)]",
          "[\"null\",\"object\",true,false,1.5,1]" },
        { "p := numbers.range(3, 1)", "[3,2,1]" },
        { "p := [union({{1}, {2}}), intersection({{1, 2}, {2}})]", "[[1,2],[2]]" },
        { "p { print(\"x\", input.missing) }", "true" },
        { "p := http.send({})", "refused http.send is not supported" },
        { "p := frobnicate(1)", "refused undefined function frobnicate" },
        { "p := count()", "refused takes 1 argument" },
    };
    check_rows(row, ARRAY_SIZE(row));
}

static void regular_expressions(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *text, *want;
    } row[] = {
        { "^a(b|c)*d$", "abcbcd", "true" },
        { "^a(b|c)*d$", "abcxd", "false" },
        { "x{2,3}y", "axxy", "true" },
        { "^x{2,3}$", "xxxx", "false" },
        { "[^a-c]", "abc", "false" },
        { "(?i)ABC", "xabcx", "true" },
        { "\\\\bfoo\\\\b", "a foo b", "true" },
        { "\\\\bfoo\\\\b", "afoo", "false" },
        { "^\\\\d+\\\\.\\\\d*$", "12.", "true" },
        { "a.c", "a\\nc", "false" },
        { "(?s)a.c", "a\\nc", "true" },
        { "(?m)^b$", "a\\nb\\nc", "true" },
        { "^(a*)*$", "aaaaaaaaaaaaaaaaaaaaaaaaaab", "false" },
        { "[[:alpha:]]+", "123", "false" },
        { "", "x", "true" },
        { "\xC3\xA9+$", "\xC3\xA9\xC3\xA9", "true" },
        { "^[\\\\w.-]+@x$", "a.b-c@x", "true" },
        { "a(", "a", "undefined" },
        { "a**", "a", "undefined" },
        { "[z-a]", "a", "undefined" },
        { "\\\\1", "a", "undefined" },
        { "a{1001}", "a", "undefined" },
        { "\\\\pL", "a", "error not supported" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
        char text[512], got[512];
        snprintf(text, sizeof(text), "package t\np := regex.match(\"%s\", \"%s\")", row[i].pattern,
                 row[i].text);
        ask(text, "data.t.p", "{}", got, sizeof(got));
        bool error = strncmp(row[i].want, "error ", 6) == 0;
        if (error ? !strstr(got, row[i].want + 6) : strcmp(got, row[i].want) != 0)
            fail_msg("%s: %s, want %s", text, got, row[i].want);
    }
}

static void replacements(void **state)
{
    (void)state;
    static const struct row row[] = {
        { V1 "q := input.s\np := x if x := q with input as {\"s\": 1}", "1" },
        { V1 "p := [q, x] if x := q with input.s as 2\nq := input.s", "[\"text\",2]" },
        { V1 "p := x if x := data.base.k with data.base.k as 5", "5" },
        { V1 "q := 1\np := x if x := q with data.t.q as 5", "5" },
        { V1 "f(x) := x\ng(x) := x * 10\np := y if y := f(2) with f as g", "20" },
        { V1 "p := y if y := count([1]) with count as 9", "9" },
        { V1 "g(x) := count(x) + 1\np := y if y := count([1]) with count as g", "2" },
        { V1 "p if not q with input as {}\nq if input.s", "true" },
        { V1 "p := [x | some x in q with input.a as [7, 8]]\nq := input.a", "[7,8]" },
        { V1 "q := input.s\np := [a, b] if { a := q with input.s as 1; b := q }", "[1,\"text\"]" },
    };
    check_rows(row, ARRAY_SIZE(row));
}

static void documents(void **state)
{
    (void)state;
    static const char text[] =
        "package a.b\nimport data.x as y\nimport input.o\np := y.z\nq := o.x\nf(x) = x\nr { false }";
    static const struct {
        const char *query, *want;
    } row[] = {
        { "data.a.b.p", "1" },
        { "data.a.b", "{\"p\":1,\"q\":1}" },
        { "data.a", "{\"b\":{\"p\":1,\"q\":1},\"c\":2}" },
        { "data.x", "{\"z\":1}" },
        { "data.nothing", "undefined" },
        { "data.a.b.f(7)", "7" },
        { "data.a.b[\"p\"] + 1", "2" },
        { "[k | some k, _ in data.a.b]", "[\"p\",\"q\"]" },
        { "input.a[1]", "2" },
        { "data.a.b.f", "refused needs arguments" },
        { "data.", "refused name after the dot" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
        char got[512];
        ask(text, row[i].query, "{\"x\":{\"z\":1},\"a\":{\"c\":2}}", got, sizeof(got));
        bool refused = strncmp(row[i].want, "refused ", 8) == 0;
        if (refused ? !strstr(got, row[i].want + 8) : strcmp(got, row[i].want) != 0)
            fail_msg("%s: %s, want %s", row[i].query, got, row[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules),
        cmocka_unit_test(bodies),
        cmocka_unit_test(values),
        cmocka_unit_test(built_ins),
        cmocka_unit_test(regular_expressions),
        cmocka_unit_test(replacements),
        cmocka_unit_test(documents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
