/* Policies in Rego: reading and compiling, evaluating warm, memory, and iteration over many members.
 * usage: bench_rego FOLDER  (with cases.json: the policies that the article on policy V2 prints) */
#include "stats.h"

#include "base/auto.h"
#include "base/file.h"
#include "base/json.h"
#include "policy/rego/policy.h"

#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 2000

/* Five that stand for what relying parties write: SGX, two TEEs at once, Azure, exports, the old style. */
static const char *const typical[] = { "06-export-and-exportonmatch.rego", "09-sgx.rego",
                                       "12-tdx-and-nvgpu.rego", "14-azure-vtpm-and-tdx.rego",
                                       "15-sevsnp-v1-style.rego" };

__attribute__((noreturn)) static void fatal(const char *what, const struct err *err)
{
    char text[ERR_TEXT_MAX];
    fprintf(stderr, "bench_rego: %s: %s\n", what, err_text(err, text, sizeof(text)));
    exit(1);
}

static struct rego *compile(struct bytes text)
{
    struct rego *policy = NULL;
    struct err err = { 0 };
    const struct rego_source source = { "policy", text };
    if (rego_compile(&source, 1, &(struct rego_options){ .mode = REGO_POLICY }, &policy, NULL, &err) < 0)
        fatal("compile", &err);
    return policy;
}

static double compile_us(struct bytes text)
{
    struct samples s = { 0 };
    for (int i = 0; i < ROUNDS; i++) {
        double start = now_us();
        struct rego *policy = compile(text);
        samples_add(&s, now_us() - start);
        rego_free(policy);
    }
    double median = samples_quantile(&s, 0.5);
    samples_done(&s);
    return median;
}

static double evaluate_us(const struct rego *policy, const struct rego_document *input, bool want,
                          size_t *memory)
{
    struct samples s = { 0 };
    struct err err = { 0 };
    for (int i = 0; i < ROUNDS; i++) {
        struct rego_result r = { 0 };
        double start = now_us();
        if (rego_evaluate(policy, &(struct rego_run){ .input = input }, &r, &err) < 0)
            fatal("evaluate", &err);
        samples_add(&s, now_us() - start);
        if (r.matched != want)
            fatal("evaluate", &(struct err){ .cause = "another verdict than the cases say" });
        *memory = r.memory > *memory ? r.memory : *memory;
        rego_result_done(&r);
    }
    double median = samples_quantile(&s, 0.5);
    samples_done(&s);
    return median;
}

struct worst {
    double compile, evaluate;
    size_t memory;
};

static void measure(const char *folder, const json_t *policy, struct worst *w)
{
    AUTO(free_u8) uint8_t *text = NULL;
    AUTO(rego_drop) struct rego *compiled = NULL;
    char path[4096];
    struct err err = { 0 };
    size_t n, i;
    const json_t *one;
    snprintf(path, sizeof(path), "%s/%s", folder, json_string_value(json_object_get(policy, "policy")));
    if (file_read(path, REGO_POLICY_TEXT_MAX, &text, &n, &err) < 0)
        fatal(path, &err);
    compiled = compile(bytes_of(text, n));
    double us = compile_us(bytes_of(text, n));
    w->compile = us > w->compile ? us : w->compile;
    json_array_foreach(json_object_get(policy, "cases"), i, one)
    {
        AUTO(rego_document_drop) struct rego_document *input = NULL;
        AUTO(free_str) char *claims = json_dumps(json_object_get(one, "input"), JSON_COMPACT);
        if (!claims || rego_document_read(bytes_str(claims), &input, &err) < 0)
            fatal(path, &err);
        bool want = json_is_true(json_object_get(json_object_get(one, "expect"), "matched"));
        us = evaluate_us(compiled, input, want, &w->memory);
        w->evaluate = us > w->evaluate ? us : w->evaluate;
    }
}

/* Microseconds for a member of a collection of n. */
static double iteration_us(size_t n)
{
    AUTO(rego_drop) struct rego *policy = NULL;
    AUTO(rego_document_drop) struct rego_document *input = NULL;
    AUTO(buf_done) struct buf json = buf_new((size_t)64 << 20);
    struct err err = { 0 };
    buf_str(&json, "{\"ids\":[");
    for (size_t i = 0; i < n; i++)
        buf_printf(&json, "%s\"id-%zu\"", i ? "," : "", i);
    buf_str(&json, "]}");
    if (rego_document_read(buf_bytes(&json), &input, &err) < 0)
        fatal("input", &err);
    policy = compile(bytes_str(
        "import rego.v1\nknown := {x | some x in input.ids}\nmatch if every x in input.ids { x in known }"));
    struct samples s = { 0 };
    for (int i = 0; i < 20; i++) {
        struct rego_result r = { 0 };
        double start = now_us();
        if (rego_evaluate(policy, &(struct rego_run){ .input = input }, &r, &err) < 0 || !r.matched)
            fatal("iteration", &err);
        samples_add(&s, now_us() - start);
        rego_result_done(&r);
    }
    double median = samples_quantile(&s, 0.5);
    samples_done(&s);
    return median / (double)n;
}

int main(int argc, char **argv)
{
    AUTO(free_u8) uint8_t *text = NULL;
    AUTO(json_drop) json_t *cases = NULL;
    char path[4096];
    struct err err = { 0 };
    struct worst w = { 0 };
    size_t n, i;
    const json_t *policy;
    if (argc != 2)
        return fprintf(stderr, "usage: bench_rego FOLDER\n"), 2;
    snprintf(path, sizeof(path), "%s/cases.json", argv[1]);
    if (file_read(path, (size_t)16 << 20, &text, &n, &err) < 0
        || json_parse(bytes_of(text, n), n, &cases, &err) < 0)
        fatal(path, &err);
    json_array_foreach(json_object_get(cases, "policies"), i, policy)
    {
        const char *name = json_string_value(json_object_get(policy, "policy"));
        for (size_t k = 0; name && k < ARRAY_SIZE(typical); k++)
            if (strcmp(name, typical[k]) == 0)
                measure(argv[1], policy, &w);
    }
    stats_row("Rego: evaluate, warm, the slowest of five typical policies", w.evaluate, "us", 20, true);
    stats_row("Rego: parse and compile, the slowest of five", w.compile, "us", 300, true);
    stats_row("Rego: memory of an evaluation", (double)w.memory / 1024, "KiB", 64, true);
    double small = iteration_us(10000), large = iteration_us(100000);
    stats_row("Rego: a member of 100,000 over a member of 10,000", large / small, "x", 2, true);
    return 0;
}
