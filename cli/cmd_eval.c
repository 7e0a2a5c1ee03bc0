/* cvm-cli eval: policies in Rego over a file of claims, or a query over modules, data and input. */
#include "cli/commands.h"

#include "base/auto.h"
#include "base/file.h"
#include "cli/rego_files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Its own meanings (contract, section 7): 3 the policy was refused, 4 an evaluation error. */
#define STATUS_EVALUATION 4

struct options {
    const char *input, *data, *query, *now;
    bool strict, explain, json, bench;
    int64_t now_ns;
};

static int read_document(const char *path, struct rego_document **out)
{
    AUTO(free_u8) uint8_t *text = NULL;
    struct err err = { 0 };
    size_t n;
    int rc = path ? read_input(path, REGO_DOCUMENT_MAX, &text, &n) : 0;
    if (rc || !path)
        return rc;
    if (rego_document_read(bytes_of(text, n), out, &err) < 0)
        return fail_err(STATUS_INPUT, path, "not a JSON document", &err);
    return 0;
}

static int parse_now(struct options *o)
{
    char *end;
    struct timespec ts;
    if (!o->now) {
        clock_gettime(CLOCK_REALTIME, &ts);
        o->now_ns = (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
        return 0;
    }
    errno = 0;
    long long ns = strtoll(o->now, &end, 10);
    if (errno || *end || end == o->now)
        return fail(STATUS_USAGE, "eval", "--now-ns takes nanoseconds since 1970", o->now);
    o->now_ns = ns;
    return 0;
}

static void put_explain(const struct rego_result *r)
{
    for (const char *p = r->explain; p && *p; p++)
        fputc((unsigned char)*p < 0x20 && *p != '\n' ? '?' : *p, stderr);
}

/* With --json the lines are a member of the answer; else they go to standard error. */
static void put_explain_member(struct buf *out, const struct rego_result *r)
{
    json_put_key(out, "explain");
    buf_u8(out, '[');
    for (const char *p = r->explain; p && *p;) {
        size_t n = strcspn(p, "\n");
        if (p != r->explain)
            buf_u8(out, ',');
        json_put_string(out, bytes_of(p, n));
        p += n + (p[n] == '\n');
    }
    buf_u8(out, ']');
}

static int evaluate(const struct rego *policy, const struct rego_run *run, const char *path,
                    struct rego_result *out)
{
    struct err err = { 0 };
    if (rego_evaluate(policy, run, out, &err) < 0)
        return fail_err(STATUS_EVALUATION, path, "evaluation error", &err);
    return 0;
}

struct results {
    size_t n;
    struct rego_result item[REGO_FILES_MAX];
};

static void results_done(struct results *r)
{
    for (size_t i = 0; i < r->n; i++)
        rego_result_done(&r->item[i]);
}

static int print_verdict(const struct rego_files *files, const struct results *r, const struct options *o)
{
    AUTO(buf_done) struct buf out = buf_new((size_t)256 << 20);
    AUTO(free_str) char *claims = NULL;
    const char *name[REGO_FILES_MAX];
    struct err err = { 0 };
    size_t n;
    bool matched = true;
    for (size_t i = 0; i < r->n; i++) {
        matched &= r->item[i].matched;
        name[i] = files->source[i].name;
    }
    if (rego_join_claims(name, r->item, r->n, &claims, &n, &err) < 0)
        return fail_err(STATUS_EVALUATION, "eval", "evaluation error", &err);
    buf_printf(&out, "{\"matched\":%s", matched ? "true" : "false");
    json_put_key(&out, "policy_defined_claims");
    buf_put(&out, bytes_of(claims, n));
    for (size_t i = 0; i < r->n && o->explain; i++)
        if (!o->json)
            put_explain(&r->item[i]);
        else if (r->n == 1)
            put_explain_member(&out, &r->item[i]);
    buf_u8(&out, '}');
    int rc = write_out(&out, NULL);
    return rc ? rc : matched ? STATUS_DONE : STATUS_NO;
}

/* Each file is a policy of its own; all of them must match. */
static int run_policies(const struct rego_files *files, const struct rego_run *run, const struct options *o)
{
    AUTO(results_done) struct results results = { 0 };
    const struct rego_options how = { .mode = REGO_POLICY, .strict = o->strict };
    if (files->n > REGO_POLICIES_MAX)
        return fail(STATUS_USAGE, "eval", "too many policies", "at most ten are appraised together");
    for (size_t i = 0; i < files->n; i++) {
        AUTO(rego_drop) struct rego *policy = NULL;
        int rc = rego_files_compile(files, i, 1, &how, &policy);
        if (rc)
            return rc;
        const char *warning;
        for (size_t k = 0; (warning = rego_warning(policy, k)); k++)
            fprintf(stderr, "cvm-cli: %s: warning: %s\n", files->source[i].name, warning);
        rc = evaluate(policy, run, files->source[i].name, &results.item[i]);
        if (rc)
            return rc;
        results.n++;
    }
    return print_verdict(files, &results, o);
}

static int run_query(const struct rego_files *files, const struct rego_run *run, const struct options *o)
{
    AUTO(rego_drop) struct rego *policy = NULL;
    AUTO(rego_result_done) struct rego_result result = { 0 };
    AUTO(buf_done) struct buf out = buf_new((size_t)256 << 20);
    const struct rego_options how = { .mode = REGO_QUERY, .query = o->query };
    int rc = rego_files_compile(files, 0, files->n, &how, &policy);
    if (!rc)
        rc = evaluate(policy, run, o->query, &result);
    if (rc)
        return rc;
    if (o->explain)
        put_explain(&result);
    buf_str(&out, result.defined ? result.json : "undefined");
    return write_out(&out, NULL);
}

static int run_loaded(const struct rego_files *files, const struct options *o)
{
    AUTO(rego_document_drop) struct rego_document *input = NULL;
    AUTO(rego_document_drop) struct rego_document *data = NULL;
    int rc = read_document(o->input, &input);
    if (!rc)
        rc = read_document(o->data, &data);
    if (rc)
        return rc;
    const struct rego_run run = { .input = input, .data = data, .now_ns = o->now_ns, .explain = o->explain };
    if (o->bench)
        return rego_files_bench(files, &run, o->strict, o->query);
    return o->query ? run_query(files, &run, o) : run_policies(files, &run, o);
}

static int run(int argc, char **argv)
{
    struct options o = { 0 };
    const char *path[REGO_FILES_MAX + 1] = { NULL };
    const struct option_row rows[] = {
        { "input", OPTION_TEXT, &o.input },   { "data", OPTION_TEXT, &o.data },
        { "query", OPTION_TEXT, &o.query },   { "now-ns", OPTION_TEXT, &o.now },
        { "strict", OPTION_FLAG, &o.strict }, { "explain", OPTION_FLAG, &o.explain },
        { "json", OPTION_FLAG, &o.json },     { "bench", OPTION_FLAG, &o.bench },
    };
    int rc = options_parse(&command_eval, argc, argv, rows, ARRAY_SIZE(rows), path, 1, REGO_FILES_MAX);
    if (rc)
        return rc == STATUS_HELP ? 0 : rc;
    if (o.data && !o.query)
        return fail(STATUS_USAGE, "eval", "--data goes with --query", "policies see input only");
    if (o.strict && o.query)
        return fail(STATUS_USAGE, "eval", "--strict is for policies", "a query is plain Rego");
    rc = parse_now(&o);
    if (rc)
        return rc;
    AUTO(rego_files_done) struct rego_files files = { 0 };
    rc = rego_files_read(path, &files);
    return rc ? rc : run_loaded(&files, &o);
}

const struct command command_eval = {
    "eval",
    "POLICY.rego... [--input CLAIMS.json] [--data F.json] [--query data.a.b] [--now-ns N] [--strict] "
    "[--explain] "
    "[--json] [--bench]",
    "Evaluates policies written in Rego, offline",
    "Without --query each file is a policy as Intel Trust Authority's policy V2 has them: match, export and\n"
    "exportOnMatch, or all boolean rules where there is no match rule. Prints\n"
    "{\"matched\":bool,\"policy_defined_claims\":{...}}; of several policies all must match.\n"
    "\n"
    "  --input F    the claims, one JSON document (-: standard input)\n"
    "  --query Q    plain Rego: the files are modules, the value of the term Q is printed as JSON, or "
    "\"undefined\"\n"
    "  --data F     with --query: the data document\n"
    "  --now-ns N   the time that time.now_ns() gives; else the clock's\n"
    "  --strict     refuse comments, and every built-in function that policy V2 does not list\n"
    "  --explain    say on standard error what did not hold, and with which values; with --json in the "
    "answer\n"
    "  --json       the answer is one JSON document, also with --explain\n"
    "  --bench      time it: reading and compiling, and evaluation\n"
    "\n"
    "Exit status: 0 matched, or the query was answered; 1 unmatched; 2 wrong usage; 3 the policy or an input "
    "was\n"
    "refused, with LINE:COLUMN; 4 an evaluation error: two values for one rule, a limit.\n",
    run,
};
