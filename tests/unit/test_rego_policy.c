/* Policy mode, hostile policies, limits, and one compiled policy on several threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/auto.h"
#include "policy/rego/policy.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static int compile(struct bytes text, bool strict, struct rego **out, struct rego_place *place,
                   struct err *err)
{
    const struct rego_source source = { "policy", text };
    const struct rego_options how = { .mode = REGO_POLICY, .strict = strict };
    return rego_compile(&source, 1, &how, out, place, err);
}

/* "yes {claims}", "no {claims}", "refused ...", "error ..." */
static void judge(const char *text, const char *input, bool strict, char *out, size_t size)
{
    AUTO(rego_drop) struct rego *policy = NULL;
    AUTO(rego_result_done) struct rego_result r = { 0 };
    AUTO(rego_document_drop) struct rego_document *claims = NULL;
    struct err err = { 0 };
    assert_int_equal(rego_document_read(bytes_str(input), &claims, &err), 0);
    const struct rego_run run = { .input = claims, .now_ns = 1 };
    if (compile(bytes_str(text), strict, &policy, NULL, &err) < 0)
        snprintf(out, size, "refused %s", err.cause);
    else if (rego_evaluate(policy, &run, &r, &err) < 0)
        snprintf(out, size, "error %s", err.cause);
    else
        snprintf(out, size, "%s %s", r.matched ? "yes" : "no", r.json);
}

static void verdicts(void **state)
{
    (void)state;
    static const struct {
        const char *text, *input, *want;
    } row[] = {
        { "match { input.a == 1 }", "{\"a\":1}", "yes {}" },
        { "match { input.a == 1 }", "{\"a\":2}", "no {}" },
        { "match := 1", "{}", "no {}" },
        { "match := \"true\"", "{}", "no {}" },
        { "match[x] { x := true }", "{}", "no {}" },
        { "a { input.a }\nb = true { input.b }", "{\"a\":1,\"b\":1}", "yes {}" },
        { "a { input.a }\nb = true { input.b }", "{\"a\":1}", "no {}" },
        { "a = x { x := input.a }", "{\"a\":true}", "yes {}" },
        { "a = x { x := input.a }", "{\"a\":false}", "no {}" },
        { "a = x { x := input.a }", "{\"a\":1}", "no {}" },
        { "a = x { x := input.a }\nb { true }", "{\"a\":1}", "yes {}" },
        { "s[x] { x := 1 }\nf(x) = x", "{}", "no {}" },
        { "", "{}", "no {}" },
        { "input.a == 1\ninput.b == 2", "{\"a\":1,\"b\":2}", "yes {}" },
        { "input.a == 1\nok { input.b == 2 }", "{\"a\":1,\"b\":3}", "no {}" },
        { "input.a == 2\nmatch { true }", "{\"a\":1}", "yes {}" },
        { "not input.a", "{}", "yes {}" },
        { "input[x].a == 1\ninput[x].b == 2", "{\"p\":{\"a\":1},\"q\":{\"b\":2}}", "yes {}" },
        { "match { true }\nexport := {\"b\": {2, 1}, \"a\": 1.50}", "{}", "yes {\"a\":1.50,\"b\":[1,2]}" },
        { "match { false }\nexport := {\"a\": 1}\nExportOnMatch := {\"b\": 2}", "{}", "no {\"a\":1}" },
        { "match { true }\nexport := {\"a\": 1}\neXPORToNmATCH := {\"b\": 2}", "{}",
          "yes {\"a\":1,\"b\":2}" },
        { "match { true }\nexport := {\"a\": 1}\nexportonmatch := {\"a\": 1}", "{}", "yes {\"a\":1}" },
        { "match { true }\nexport := {\"a\": 1}\nexportonmatch := {\"a\": 2}", "{}",
          "error claim a different values" },
        { "match { true }\nexport := [1]", "{}", "error export must be an object, not an array" },
        { "match { true }\nexport := {\"a\": input.x}", "{}", "yes {}" },
        { "match { true }\nexportOnMatch := {}\nexportonmatch := {}", "{}",
          "refused 3:1: exportOnMatch is there in two" },
        { "match = 1\nmatch = 2", "{}", "error multiple outputs" },
        { "a = true\na = false", "{}", "error multiple outputs" },
        { "match(x) = x", "{}", "refused must be a rule" },
        { "match { data.x }", "{}", "refused 1:9: data documents" },
        { "match { input.a with input as {} }", "{}", "refused with is not supported" },
        { "match { sum([1]) == 1 }", "{}", "yes {}" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
        char got[1024];
        judge(row[i].text, row[i].input, false, got, sizeof(got));
        size_t word = strcspn(row[i].want, " ");
        bool message = row[i].want[0] == 'r' || row[i].want[0] == 'e';
        if (message ? strncmp(got, row[i].want, word) != 0 || !strstr(got, row[i].want + word + 1)
                    : strcmp(got, row[i].want) != 0)
            fail_msg("%s\ngot  %s\nwant %s", row[i].text, got, row[i].want);
    }
    char got[1024];
    judge("match { sum([1]) == 1 }", "{}", true, got, sizeof(got));
    assert_string_equal(got, "refused 1:9: built-in function sum is not supported in strict mode");
    judge("match { count({1} | {2}) == 2; 1 + 1 != 3 }", "{}", true, got, sizeof(got));
    assert_string_equal(got, "yes {}");
}

static void warnings(void **state)
{
    (void)state;
    static const char *const text[] = { "Match { true }", "f(x) = x", "match { true }\ninput.a" };
    static const char *const want[] = { "only the spelling match", "never matches", "do not count" };
    for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
        AUTO(rego_drop) struct rego *policy = NULL;
        assert_int_equal(compile(bytes_str(text[i]), false, &policy, NULL, NULL), 0);
        assert_non_null(rego_warning(policy, 0));
        assert_non_null(strstr(rego_warning(policy, 0), want[i]));
    }
}

/* A text that repeats a unit. */
static char *repeated(const char *before, const char *unit, size_t n, const char *after)
{
    AUTO(buf_done) struct buf b = buf_new((size_t)64 << 20);
    buf_str(&b, before);
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%s", unit);
    buf_str(&b, after);
    char *text = buf_take_str(&b);
    assert_non_null(text);
    return text;
}

static void query_text(const char *text, const char *query, struct rego_limits limits, char *out, size_t size)
{
    AUTO(rego_drop) struct rego *policy = NULL;
    AUTO(rego_result_done) struct rego_result r = { 0 };
    struct err err = { 0 };
    const struct rego_source source = { "policy", bytes_str(text) };
    const struct rego_options how = { .mode = REGO_QUERY, .query = query };
    const struct rego_run run = { .limits = limits };
    if (rego_compile(&source, 1, &how, &policy, NULL, &err) < 0)
        snprintf(out, size, "refused %s", err.cause);
    else if (rego_evaluate(policy, &run, &r, &err) < 0)
        snprintf(out, size, "error %s", err.cause);
    else
        snprintf(out, size, "%s", r.defined ? r.json : "undefined");
}

static void ten_thousand_rules(void **state)
{
    (void)state;
    AUTO(buf_done) struct buf b = buf_new((size_t)64 << 20);
    char got[512];
    buf_str(&b, "package t\n");
    for (int i = 0; i < 10000; i++)
        buf_printf(&b, "r%d { input.x%d == %d }\nq%d = %d\n", i, i, i, i, i);
    buf_u8(&b, 0);
    query_text((const char *)b.p, "data.t.q9999", (struct rego_limits){ 0 }, got, sizeof(got));
    assert_string_equal(got, "9999");
    b.n = 0;
    buf_str(&b, "package t\n");
    for (int i = 0; i < 10000; i++) /* each hangs on the next: too deep, but no crash */
        buf_printf(&b, "r%d { r%d }\n", i, i + 1);
    buf_str(&b, "r10000 { true }\n");
    buf_u8(&b, 0);
    query_text((const char *)b.p, "data.t.r0", (struct rego_limits){ 0 }, got, sizeof(got));
    assert_non_null(strstr(got, "error the evaluation is nested deeper than 400 levels"));
    query_text((const char *)b.p, "data.t.r9900", (struct rego_limits){ 0 }, got, sizeof(got));
    assert_string_equal(got, "true");
    b.n -= strlen("r10000 { true }\n") + 1;
    buf_str(&b, "r10000 { r0 }\n");
    buf_u8(&b, 0);
    query_text((const char *)b.p, "data.t.r0", (struct rego_limits){ 0 }, got, sizeof(got));
    assert_non_null(strstr(got, "recursive"));
}

static void hostile_texts_end(void **state)
{
    (void)state;
    static const struct {
        const char *before, *unit;
        size_t n;
        const char *after, *want;
    } row[] = {
        { "p := ", "[", 10000, "", "nested deeper" },
        { "p := ", "[[1, ", 10000, "", "nested deeper" },
        { "p { x := ", "{y | y := ", 10000, "", "nested deeper" },
        { "p := 1", " + 1", 200, "", "201" },
        { "p := 1", " + 1", 10000, "", "nested deeper" },
        { "p := \"", "x", 1 << 20, "\"\n", "\"xxx" },
        { "p := count(\"", "x", 1 << 20, "\")", "1048576" },
        { "p := ", "9", 1000, "", "999999999" },
        { "p := ", "9", 2000, "", "more than 1024 digits" },
        { "p := [", "1, ", 60000, "]", "[1,1,1" },
        { "p := {", "1, ", 60000, "]", "found ]" },
        { "p { true", "; true", 20000, " }", "true" },
        { "p { x0 := 1", "; some z; z = 1", 1, " }", "true" },
        { "p ", "{ true } ", 5000, "", "true" },
        { "p = 1 { false }", " else = 2 { false }", 300, "", "nested deeper" },
        { "p { input", ".a", 5000, " }", "undefined" },
        { "p { input", "[input", 10000, " }", "nested deeper" },
        { "p { not ", "not ", 10000, " }", "found not" },
        { "#", "x", 1 << 20, "\np := 1", "1" },
        { "p := regex.match(\"", "(a*)*", 100, "b\", \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac\")", "false" },
        { "p := regex.match(\"", "(a{100}){100}", 1, "\", \"a\")", "too large" },
        { "p := regex.match(\"", "(", 5000, "\", \"a\")", "nesting is not supported" },
        { "p := sprintf(\"", "%999d", 1000, "\", [1])", "     " },
    };
    for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
        char head[256], got[512];
        snprintf(head, sizeof(head), "package t\n%s", row[i].before);
        AUTO(free_str) char *text = repeated(head, row[i].unit, row[i].n, row[i].after);
        query_text(text, "data.t.p", (struct rego_limits){ 0 }, got, sizeof(got));
        if (!strstr(got, row[i].want))
            fail_msg("%s%s...: %s, want %s", row[i].before, row[i].unit, got, row[i].want);
    }
}

static void work_is_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } row[] = {
        { "a := numbers.range(1, 1000)\np { x := a[_]; y := a[_]; z := a[_]; x != x }", "steps" },
        { "a := numbers.range(1, 100000000)\np := count(a)", "memory" },
        { "p := count(numbers.range(1, 9223372036854775807))", "memory" },
        { "a := numbers.range(1, 3000)\np := count({[x, y, a] | x := a[_]; y := a[_]})", "" },
        { "s0 := \"0123456789\"\ns1 := concat(s0, [s0, s0, s0, s0, s0, s0, s0, s0, s0, s0])\ns2 := "
          "concat(s1, [s1, s1, s1, "
          "s1, s1, s1, s1, s1])\ns3 := concat(s2, [s2, s2, s2, s2, s2, s2, s2, s2, s2, s2])\ns4 := "
          "concat(s3, [s3, s3, s3, s3, "
          "s3, s3, s3, s3, s3, s3, s3, s3])\ns5 := concat(s4, [s4, s4, s4, s4, s4, s4, s4, s4, s4, s4, s4, "
          "s4, s4])\np := "
          "count(concat(s5, [s5, s5, s5, s5, s5, s5, s5, s5, s5, s5, s5, s5, s5, s5, s5, s5, s5, s5, s5, s5, "
          "s5, s5, s5, s5]))",
          "memory" },
        { "f0(x) = x + 1\nf1(x) = f0(f0(x))\nf2(x) = f1(f1(x))\nf3(x) = f2(f2(x))\nf4(x) = f3(f3(x))\nf5(x) "
          "= f4(f4(x))\nf6(x) = "
          "f5(f5(x))\nf7(x) = f6(f6(x))\nf8(x) = f7(f7(x))\nf9(x) = f8(f8(x))\nfa(x) = f9(f9(x))\nfb(x) = "
          "fa(fa(x))\nfc(x) = fb(fb(x))\n"
          "fd(x) = fc(fc(x))\nfe(x) = fd(fd(x))\nff(x) = fe(fe(x))\nfg(x) = ff(ff(x))\nfh(x) = "
          "fg(fg(x))\nfi(x) = fh(fh(x))\n"
          "fj(x) = fi(fi(x))\nfk(x) = fj(fj(x))\nfl(x) = fk(fk(x))\nfm(x) = fl(fl(x))\nfn(x) = fm(fm(x))\np "
          ":= fn(1)",
          "" },
        { "a := [[0]]\nm0 := 1e20000\np := m0 * m0", "ten to the power" },
        { "m0 := 1.23456789e-20000 + 1e20000\np := m0", "digits in a calculation" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(row); i++) {
        char got[512];
        AUTO(free_str) char *text = repeated("package t\n", row[i].text, 1, "");
        query_text(text, "data.t.p", (struct rego_limits){ .steps = 3000000, .memory = (size_t)16 << 20 },
                   got, sizeof(got));
        if (strncmp(got, "error ", 6) != 0 || !strstr(got, row[i].want))
            fail_msg("%s: %s", row[i].text, got);
    }
    char got[64];
    struct err err = { 0 };
    AUTO(free_str) char *large = repeated("match { true }\n", "# comment\n", 10000, "");
    AUTO(rego_drop) struct rego *policy = NULL;
    assert_int_equal(compile(bytes_str(large), false, &policy, NULL, &err), -1);
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    query_text("package t\np := [1]", "data.t.p", (struct rego_limits){ .output = 2 }, got, sizeof(got));
    assert_non_null(strstr(got, "error"));
}

/* Twice the members, about twice the steps. */
static void iteration_is_linear(void **state)
{
    (void)state;
    uint64_t steps[2];
    for (size_t k = 0; k < 2; k++) {
        AUTO(rego_drop) struct rego *policy = NULL;
        AUTO(rego_result_done) struct rego_result r = { 0 };
        char text[256];
        snprintf(text, sizeof(text),
                 "a := numbers.range(1, %d)\ns := {x | x := a[_]}\no := {x: x | x := a[_]}\nmatch { count([x "
                 "| x := a[_]; s[x]; o[x] "
                 "== x]) == %d }",
                 (int)(10000 << k), (int)(10000 << k));
        assert_int_equal(compile(bytes_str(text), false, &policy, NULL, NULL), 0);
        assert_int_equal(rego_evaluate(policy, &(struct rego_run){ 0 }, &r, NULL), 0);
        assert_true(r.matched);
        steps[k] = r.steps;
    }
    assert_true(steps[1] < 21 * steps[0] / 10);
}

static void bytes_that_are_no_text(void **state)
{
    (void)state;
    static const struct bytes text[] = { { (const uint8_t *)"match { \0 }", 11 },
                                         { (const uint8_t *)"x := \"\xC0\x80\"", 9 },
                                         { (const uint8_t *)"# \xED\xA0\x80", 5 },
                                         { (const uint8_t *)"\xEF\xBB\xBFmatch { true }", 17 },
                                         { (const uint8_t *)"\xFF\xFE", 2 } };
    for (size_t i = 0; i < ARRAY_SIZE(text); i++) {
        AUTO(rego_drop) struct rego *policy = NULL;
        struct rego_place place = { 0 };
        struct err err = { 0 };
        assert_int_equal(compile(text[i], false, &policy, &place, &err), -1);
        assert_int_equal(err.kind, ERR_INPUT);
        assert_int_equal(place.line, 1);
    }
    struct rego_document *d = NULL;
    static const char *const bad[] = { "{\"a\":1,\"a\":2}", "{\"a\":1}x", "", "[1,]",
                                       "\"\xFF\"",          "1e999999999" };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(rego_document_read(bytes_str(bad[i]), &d, NULL), -1);
}

static void claims_of_several_policies(void **state)
{
    (void)state;
    static const char *const name[] = { "one", "two" };
    struct rego_result r[2] = { { .json = (char[]){ "{\"a\":1,\"b\":[1]}" }, .json_n = 15 },
                                { .json = (char[]){ "{\"c\":2,\"b\":[1]}" }, .json_n = 15 } };
    AUTO(free_str) char *json = NULL;
    size_t n;
    struct err err = { 0 };
    assert_int_equal(rego_join_claims(name, r, 2, &json, &n, &err), 0);
    assert_string_equal(json, "{\"a\":1,\"b\":[1],\"c\":2}");
    assert_int_equal(n, strlen(json));
    r[1].json[12] = '2';
    char *none = NULL;
    assert_int_equal(rego_join_claims(name, r, 2, &none, &n, &err), -1);
    assert_string_equal(err.cause, "policies one and two give the claim b different values");
}

static void explains(void **state)
{
    (void)state;
    AUTO(rego_drop) struct rego *policy = NULL;
    AUTO(rego_result_done) struct rego_result r = { 0 };
    AUTO(rego_document_drop) struct rego_document *input = NULL;
    static const char text[] = "match {\n\tinput.a == 1\n\tinput.svn >= 3\n}\nmatch { input.gone.x }";
    assert_int_equal(rego_document_read(bytes_str("{\"a\":1,\"svn\":2}"), &input, NULL), 0);
    assert_int_equal(compile(bytes_str(text), false, &policy, NULL, NULL), 0);
    const struct rego_run run = { .input = input, .explain = true };
    assert_int_equal(rego_evaluate(policy, &run, &r, NULL), 0);
    assert_false(r.matched);
    assert_non_null(strstr(r.explain, "3:2: input.svn >= 3: 2 >= 3 is false\n"));
    assert_non_null(
        strstr(r.explain, "5:9: input.gone.x: undefined: {\"a\": 1, \"svn\": 2} has no member \"gone\"\n"));
    assert_non_null(strstr(r.explain, "1:1: rule match: undefined\n"));
}

#define THREADS 4
struct shared {
    const struct rego *policy;
    const struct rego_document *input;
    bool ok;
};

static void *evaluate_often(void *arg)
{
    struct shared *s = arg;
    const struct rego_run run = { .input = s->input };
    s->ok = true;
    for (int i = 0; i < 300; i++) {
        AUTO(rego_result_done) struct rego_result r = { 0 };
        s->ok &= rego_evaluate(s->policy, &run, &r, NULL) == 0 && r.matched && strstr(r.json, "\"n\":3");
    }
    return NULL;
}

static void threads_share_a_policy(void **state)
{
    (void)state;
    AUTO(rego_drop) struct rego *policy = NULL;
    AUTO(rego_document_drop) struct rego_document *input = NULL;
    static const char text[] =
        "s := {\"z\", \"y\", \"x\", {\"k\": {3, 2, 1}}}\nmatch { s[input.o[_]]; input.t == {\"b\": 1, \"a\": "
        "[2]}; "
        "regex.match(\"^x+$\", \"xxx\") }\nexport := {\"n\": count(input.o), \"s\": s, \"t\": input.t}";
    assert_int_equal(rego_document_read(bytes_str("{\"o\":[\"q\",\"x\",\"a\"],\"t\":{\"b\":1,\"a\":[2]}}"),
                                        &input, NULL),
                     0);
    assert_int_equal(compile(bytes_str(text), false, &policy, NULL, NULL), 0);
    pthread_t id[THREADS];
    struct shared shared[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        shared[i] = (struct shared){ policy, input, false };
        assert_int_equal(pthread_create(&id[i], NULL, evaluate_often, &shared[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(id[i], NULL);
        assert_true(shared[i].ok);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts),
        cmocka_unit_test(warnings),
        cmocka_unit_test(ten_thousand_rules),
        cmocka_unit_test(hostile_texts_end),
        cmocka_unit_test(work_is_bounded),
        cmocka_unit_test(iteration_is_linear),
        cmocka_unit_test(bytes_that_are_no_text),
        cmocka_unit_test(claims_of_several_policies),
        cmocka_unit_test(explains),
        cmocka_unit_test(threads_share_a_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
